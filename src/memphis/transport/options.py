"""How to connect, and the numbers of a connection: plain values."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Protocol

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """Everything a connection needs to know beforehand.

    Attributes:
        servers: Host and port of each server that may be tried, in order.
        name: What the engine shows for this connection.
        inbox_prefix: The subject under which replies are received; unique to this connection.
        user: Login name; with ``password``.
        password: The password of ``user``.
        token: A shared token instead of user and password.
        tls: Wrap the connection with this context; None for plain TCP.
        connect_timeout_s: Time for one attempt to connect, login included.
        reconnect: Whether to come back by itself after the connection broke.
        max_reconnect: Failed attempts in a row after which it is given up; -1 never, 0 at once.
        reconnect_interval_s: Pause between attempts, of which a random 0.5 to 1.0 is taken.
        ping_interval_s: How often a silent server is asked for a sign of life; after two
            questions without an answer the connection counts as broken.
        outgoing_bytes_max: What may wait to be sent while the connection is away or the server
            does not read; more is refused.
        library: What the server is told that this client is; empty: what it is.
    """

    servers: tuple[tuple[str, int], ...]
    name: str
    inbox_prefix: str
    user: str = ""
    password: str = ""
    token: str = ""
    tls: ssl.SSLContext | None = None
    connect_timeout_s: float = 2.0
    reconnect: bool = True
    max_reconnect: int = -1
    reconnect_interval_s: float = 1.5
    ping_interval_s: float = 20.0
    outgoing_bytes_max: int = 8 * MEBIBYTE
    library: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatistics:
    """The numbers of a connection, summed over all its reconnects."""

    server: str
    """``host:port`` of the server connected to now or last."""
    reconnects: int
    frames_in: int
    bytes_in: int
    bytes_out: int
    outgoing_bytes: int
    """What waits to be sent now."""
    outgoing_bytes_max: int
    subscriptions: int
    callback_errors: int


class ConnectionListener(Protocol):
    """What wants to know how the connection fares.

    The methods are called from the event loop, must return quickly, and should not raise; what
    they raise is logged.
    """

    def connection_lost(self, reason: str) -> None:
        """The connection broke; what was in flight may or may not have arrived."""

    def connection_restored(self) -> None:
        """It is back, and all subscriptions are in place."""

    def connection_closed(self, reason: str) -> None:
        """It was closed or given up and will not come back. The last call there is."""


class FrameSource(Protocol):
    """Something with frames of its own to send, asked once per turn of the event loop."""

    def take_frames(self) -> list[bytes]:
        """Hand over what is to be written next, a limited piece, or nothing if nothing waits.

        It counts as written from here on.
        """
