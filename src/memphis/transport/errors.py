"""What can go wrong on the way to the engine, finer than the public tree.

Everything is a :class:`memphis.exceptions.MemphisConnectError`, so code that does not care about
the difference need not know these names.
"""

from __future__ import annotations

from memphis.exceptions import MemphisClosedError, MemphisConnectError, MemphisError


class ProtocolError(MemphisConnectError):
    """The other side does not speak the NATS protocol, or breaks its rules."""


class LoginRefusedError(MemphisConnectError):
    """The server answered, and refused user, password or token."""


class ConnectionLostError(MemphisConnectError):
    """The connection broke while an answer was awaited: the request may or may not have worked.

    The connection may come back by itself; whether repeating the request is safe, the caller knows.
    """


class ConnectionClosedError(MemphisConnectError, MemphisClosedError):
    """The application closed the connection itself, and uses it after that."""


class NoRespondersError(MemphisConnectError):
    """Nobody listens on the subject: the request reached no one and changed nothing."""


def bare_text(error: MemphisError) -> str:
    """The text of an error without the product's name, to be part of another text."""
    return str(error).removeprefix("memphis: ")
