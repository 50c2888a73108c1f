"""From the arguments of ``Memphis.connect`` to what the transport needs, checked.

The only I/O is reading certificate files.
"""

from __future__ import annotations

import ssl
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memphis.exceptions import MemphisConnectError
from memphis.transport.options import ConnectOptions
from memphis.wire.names import InvalidNameError, UserName
from memphis.wire.subjects import connection_inbox_prefix

_PORT_MAX: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectArguments:
    """What ``Memphis.connect`` was given, by its names there."""

    host: str
    username: str
    connection_token: str
    password: str
    port: int
    reconnect: bool
    max_reconnect: int
    reconnect_interval_ms: int
    timeout_ms: int
    cert_file: str
    key_file: str
    ca_file: str


def connect_options(arguments: ConnectArguments) -> tuple[ConnectOptions, str]:
    """Check the arguments; return the transport's options and the new connection's id.

    Raises:
        MemphisConnectError: An argument is wrong; nothing was tried.
    """
    if bool(arguments.password) == bool(arguments.connection_token):
        raise MemphisConnectError(
            "give exactly one of password and connection_token, to log in with"
        )
    try:
        user = UserName.parse(arguments.username)
    except InvalidNameError as error:
        raise MemphisConnectError(str(error)) from error
    for name in ("reconnect_interval_ms", "timeout_ms"):
        _check_int(name, getattr(arguments, name), 1)
    _check_int("max_reconnect", arguments.max_reconnect, -1)
    host, port = _address(arguments.host, arguments.port)
    # The inbox is as secret as this; the connection's id goes out with every message.
    secret_id, connection_id = str(uuid.uuid4()), str(uuid.uuid4())
    return ConnectOptions(
        servers=((host, port),),
        name=f"{secret_id}::{user}",
        inbox_prefix=connection_inbox_prefix(user, secret_id),
        user="" if arguments.connection_token else user,
        password=arguments.password,
        token=arguments.connection_token,
        tls=_tls_context(arguments),
        connect_timeout_s=arguments.timeout_ms / 1000,
        reconnect=arguments.reconnect,
        max_reconnect=arguments.max_reconnect,
        reconnect_interval_s=arguments.reconnect_interval_ms / 1000,
    ), connection_id


def _address(host: str, port: int) -> tuple[str, int]:
    """Host and port of ``host``, which may carry a scheme, a trailing slash and a port of its own."""
    if not isinstance(host, str):
        raise MemphisConnectError(f"host must be a string, not {type(host).__name__}")
    port = _number_of(port)
    _check_int("port", port, 1, _PORT_MAX)
    bare = host.strip().partition("://")[2] if "://" in host else host.strip()
    bare = bare.rstrip("/")
    if bare.startswith("["):
        bare, _, own_port = bare[1:].partition("]")
        own_port = own_port.removeprefix(":")
    elif bare.count(":") == 1:
        bare, _, own_port = bare.partition(":")
    else:
        own_port = ""  # no port, or an IPv6 address without brackets
    if own_port:
        if not own_port.isdecimal() or not 1 <= int(own_port) <= _PORT_MAX:
            raise MemphisConnectError(
                f"the port in host {host!r} is no number from 1 to {_PORT_MAX}"
            )
        port = int(own_port)
    if not bare or any(c in bare for c in "/@ \t\r\n"):
        raise MemphisConnectError(
            f"{host!r} is no host: give a name or address, such as 'localhost'"
        )
    return bare, port


def _tls_context(arguments: ConnectArguments) -> ssl.SSLContext | None:
    """A context for the given files: a CA to trust, a certificate to show, or both."""
    if bool(arguments.cert_file) != bool(arguments.key_file):
        raise MemphisConnectError("cert_file and key_file go together: give both or none")
    if not (arguments.cert_file or arguments.ca_file):
        return None
    files = [
        str(Path(path).expanduser()) if path else ""
        for path in (arguments.ca_file, arguments.cert_file, arguments.key_file)
    ]
    ca_file, cert_file, key_file = files
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        if cert_file:
            context.load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(path for path in files if path)
        raise MemphisConnectError(f"the TLS files cannot be used ({named}): {error}") from error
    return context


def _number_of(port: Any) -> Any:
    """A port as a number where it came as its digits, as from the environment."""
    return int(port) if isinstance(port, str) and port.isdecimal() else port


def _check_int(name: str, value: object, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise MemphisConnectError(f"{name} must be an int, not {type(value).__name__}")
    if value < low or (high is not None and value > high):
        limits = f"from {low}" if high is None else f"from {low} to {high}"
        raise MemphisConnectError(f"{name} must be {limits}, not {value}")
