"""From an address to a link that is logged in: TCP, INFO, TLS, CONNECT, PING, PONG.

Place in the flow: ``Connection → open_link → Link``. Invariant: either a link comes back that a
PONG has proved, or one exception that names host, port and reason, and no socket stays open.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from typing import Any, Final

from memphis.exceptions import MemphisConnectError
from memphis.transport.errors import LoginRefusedError, ProtocolError, bare_text
from memphis.transport.link import Link
from memphis.transport.options import ConnectOptions
from memphis.transport.protocol import (
    ERR,
    INFO,
    PING,
    PING_LINE,
    PONG,
    PONG_LINE,
    EngineRefusal,
    Frame,
    classify_error,
    encode_connect,
)
from memphis.transport.servers import Address

LIBRARY: Final = "python-memphis"
"""What this client calls its language, where those of the original name that of their NATS library."""


class _Handshake:
    """The sink of a link until it is logged in: one answer is awaited at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.link = Link(loop, self)
        self.info: dict[str, Any] = {}
        self._greeted: asyncio.Future[None] = loop.create_future()
        self._answered: asyncio.Future[None] = loop.create_future()

    async def greeting(self) -> None:
        await self._greeted

    async def answer(self) -> None:
        await self._answered

    def frames_received(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            kind = frame[0]
            if kind == INFO:
                self.info = frame[1]
                _settle(self._greeted, None)
            elif not self._greeted.done():
                raise ProtocolError("this is not a NATS server, it does not begin with INFO")
            elif kind == PING:
                self.link.write(PONG_LINE)
            elif kind == PONG:
                _settle(self._answered, None)
            elif kind == ERR:
                self._refused(frame[1])

    def _refused(self, text: bytes) -> None:
        shown = text.decode("utf-8", "replace")
        if classify_error(text) is EngineRefusal.LOGIN:
            _settle(self._answered, LoginRefusedError("the login was refused"))
        else:
            _settle(self._answered, MemphisConnectError(f"the server refused: {shown}"))

    def link_lost(self, reason: str) -> None:
        for future in (self._greeted, self._answered):
            _settle(future, MemphisConnectError(reason))

    def link_writable(self) -> None:
        pass

    def abandon(self) -> None:
        """Close the socket, and let no future complain that nobody looked at it."""
        self.link.fail("the attempt to connect ended")
        for future in (self._greeted, self._answered):
            if future.done() and not future.cancelled():
                future.exception()


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


async def open_link(
    address: Address, options: ConnectOptions, *, verified_name: str, timeout_s: float
) -> tuple[Link, dict[str, Any]]:
    """Connect to one server and log in.

    Returns:
        The link, still attached to nobody of use, and the fields of the server's last INFO.

    Raises:
        LoginRefusedError: The server refused user, password or token.
        MemphisConnectError: Anything else, the deadline included. The text names host, port, reason.
    """
    handshake = _Handshake(asyncio.get_running_loop())
    has_succeeded = False
    try:
        async with asyncio.timeout(timeout_s):
            await _shake_hands(handshake, address, options, verified_name)
        has_succeeded = True
    except (OSError, MemphisConnectError, UnicodeError) as error:
        raise _explained(error, address, options, timeout_s) from error
    finally:
        if not has_succeeded:
            handshake.abandon()
    return handshake.link, handshake.info


async def _shake_hands(
    handshake: _Handshake, address: Address, options: ConnectOptions, verified_name: str
) -> None:
    loop = asyncio.get_running_loop()
    link = handshake.link
    host, port = address
    # Without happy_eyeballs_delay: with it, asyncio of Python 3.11 leaks the socket of an attempt
    # that is cancelled at the wrong moment.
    transport, _ = await loop.create_connection(lambda: link, host, port)
    await handshake.greeting()
    offers_tls = handshake.info.get("tls_required") or handshake.info.get("tls_available")
    if options.tls is not None:
        if not offers_tls:
            raise MemphisConnectError("the server does not offer TLS, which this client asks for")
        secured = await loop.start_tls(transport, link, options.tls, server_hostname=verified_name)
        if secured is None:
            raise MemphisConnectError("the server closed the connection while TLS began")
        link.use_transport(secured)
    elif handshake.info.get("tls_required"):
        raise MemphisConnectError("the server wants TLS; give this client certificates for it")
    link.write(encode_connect(_connect_fields(options)) + PING_LINE)
    await handshake.answer()
    if not link.is_open:
        raise MemphisConnectError("the server closed the connection")


def _connect_fields(options: ConnectOptions) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": options.name,
        "lang": LIBRARY,
        "version": _version(),
        "protocol": 1,
        "headers": True,
        "no_responders": True,
        "echo": True,
        "verbose": False,
        "pedantic": False,
        "tls_required": options.tls is not None,
    }
    if options.user:
        fields["user"] = options.user
        fields["pass"] = options.password
    if options.token:
        fields["auth_token"] = options.token
    return fields


@cache
def _version() -> str:
    try:
        return metadata.version("memphis-py")
    except metadata.PackageNotFoundError:
        return "unknown"


def _explained(
    error: OSError | MemphisConnectError | UnicodeError,
    address: Address,
    options: ConnectOptions,
    timeout_s: float,
) -> MemphisConnectError:
    where = f"cannot connect to {address[0]}:{address[1]}"
    if isinstance(error, LoginRefusedError):
        who = f"of user {options.user!r}" if options.user else "with this connection token"
        return LoginRefusedError(f"{where}: the login {who} was refused; check the credentials")
    if isinstance(error, ProtocolError):
        return ProtocolError(f"{where}: {bare_text(error)}")
    if isinstance(error, MemphisConnectError):
        return MemphisConnectError(f"{where}: {bare_text(error)}")
    return MemphisConnectError(f"{where}: {_operating_system_reason(error, timeout_s)}")


def _operating_system_reason(error: OSError | UnicodeError, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:.3g} seconds"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "the host name is not known"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return str(error) or type(error).__name__
