"""Connections to the two sides of a mirror: the original's broker, and this one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from memphis._core.dialing import ConnectArguments, connect_options
from memphis._core.session import Session
from memphis.transport import Connection, ConnectOptions, LoginRefusedError
from memphis.wire.names import UserName
from memphis.wire.subjects import inbox_prefix

_CONNECT_TIMEOUT_MS: Final = 5_000
_RECONNECT_MS: Final = 500
_ACCOUNT: Final = "$1"
"""The only account of an open-source original; its SDKs write it behind the user's name."""
_LIBRARY: Final = "python3"
"""What the original's Python SDK calls its language; a broker may serve others otherwise."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a broker is and who asks; exactly one of password and token is set."""

    host: str
    port: int
    username: str
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    cert_file: str = ""
    key_file: str = ""
    ca_file: str = ""

    def options(self) -> tuple[ConnectOptions, str]:
        """What the transport needs, and the id of a connection.

        Raises:
            MemphisConnectError: Something of it cannot be used.
        """
        return connect_options(
            ConnectArguments(
                host=self.host,
                username=self.username,
                connection_token=self.token,
                password=self.password,
                port=self.port,
                reconnect=True,
                max_reconnect=-1,
                reconnect_interval_ms=_RECONNECT_MS,
                timeout_ms=_CONNECT_TIMEOUT_MS,
                cert_file=self.cert_file,
                key_file=self.key_file,
                ca_file=self.ca_file,
            )
        )


async def open_session(endpoint: Endpoint) -> Session:
    """A session with this broker.

    Raises:
        MemphisConnectError: No connection, or the login was refused.
    """
    options, connection_id = endpoint.options()
    return await Session.open(options, connection_id)


async def open_original(endpoint: Endpoint) -> tuple[Connection, str]:
    """A connection to an original's broker, logged in as its SDKs do, and the connection's id.

    Raises:
        MemphisConnectError: No connection, or the login was refused.
    """
    options, _ = endpoint.options()
    connection_id = options.name.partition("::")[0]
    # There every user listens below the same inbox; a user with restrictions nowhere else.
    inbox = f"{inbox_prefix(UserName.parse(endpoint.username))}.{connection_id}"
    options = replace(options, inbox_prefix=inbox, library=_LIBRARY)
    if not options.user:
        return await Connection.open(options), connection_id
    try:
        named = replace(options, user=options.user + _ACCOUNT)
        return await Connection.open(named), connection_id
    except LoginRefusedError:
        # Older ones know users without the account.
        return await Connection.open(options), connection_id
