"""Logins and permissions as values: what the auth callout asks, and what it is answered.

Pure. Invariant: no secret shows in a ``repr`` or an error here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from memphis.wire.names import UserName


@dataclass(frozen=True, kw_only=True)
class LoginAttempt:
    """What a connecting client says about itself. Empty text stands for "not given"."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    connection_name: str = ""
    library: str = ""
    """What the client calls its language; an SDK of the original has that of its NATS client."""


class LoginRefusedError(Exception):
    """A login was refused; the text is the reason, without any secret, for the broker's log."""


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """What a connection may do; anything not listed is forbidden."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    subscribe_denied: tuple[str, ...] = ()
    """Of what ``subscribe`` covers, this all the same."""
    publish_denied: tuple[str, ...] = ()
    """Of what ``publish`` covers, this all the same."""
    responses_max: int = 1024
    """Replies that may be sent to a request that was received. Every member of a group answers the
    broker's question who is left in it, and any number of members may share one connection."""
    response_time_max_seconds: int = 5


@dataclass(frozen=True, kw_only=True)
class Login:
    """A login that was granted."""

    user: UserName
    permissions: Permissions
