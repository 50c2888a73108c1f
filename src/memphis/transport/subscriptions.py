"""Who wants which messages: the subscriptions of one connection, over all its reconnects.

Invariant: a callback stays registered as long as a message for it may still be on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from memphis.transport.protocol import MessageFrame, encode_subscribe

MessageCallback: TypeAlias = Callable[[MessageFrame], None]
RunCallback: TypeAlias = Callable[[Sequence[MessageFrame]], None]
"""Gets messages of one subscription that came together, in order; at least one."""


class Subscription:
    """Interest in a subject, kept over reconnects until :meth:`unsubscribe`."""

    __slots__ = ("_end", "queue", "sid", "subject")

    def __init__(
        self, sid: int, subject: bytes, end: Callable[[Subscription], None], queue: bytes = b""
    ) -> None:
        self._end = end
        self.sid = sid
        self.subject = subject
        self.queue = queue

    def unsubscribe(self) -> None:
        """End it. Idempotent, and allowed after the connection was closed.

        Messages already on their way still reach the callback: they may be such that nobody else
        gets before a time-out.
        """
        self._end(self)

    @property
    def frame(self) -> bytes:
        """What tells the server of it."""
        return encode_subscribe(self.subject, self.sid, self.queue)


class Subscriptions:
    """All of them, by the number that comes back with each message."""

    def __init__(self, end: Callable[[Subscription], None]) -> None:
        self._end = end
        self._active: dict[int, Subscription] = {}
        self._next_sid = 1
        self.callbacks: dict[int, RunCallback] = {}
        """Read directly for everything that comes."""

    def __len__(self) -> int:
        return len(self._active)

    def add(self, subject: bytes, callback: RunCallback, queue: bytes = b"") -> Subscription:
        """A new one."""
        subscription = Subscription(self._next_sid, subject, self._end, queue)
        self._next_sid += 1
        self._active[subscription.sid] = subscription
        self.callbacks[subscription.sid] = callback
        return subscription

    def deactivate(self, subscription: Subscription) -> bool:
        """Do not restore it any more; say whether it was active. The callback stays."""
        return self._active.pop(subscription.sid, None) is not None

    def forget(self, subscription: Subscription) -> None:
        """No more messages can come for it."""
        self.callbacks.pop(subscription.sid, None)

    def restore_frames(self) -> bytes:
        """What tells a new server of all of them."""
        return b"".join(subscription.frame for subscription in self._active.values())
