"""One event-loop timer that watches over many deadlines.

A timer per message would cost more than the message. The owner keeps the deadlines where it keeps
its messages anyway; this timer wakes it when the earliest may be due, and it looks through them.

Invariant: as long as the owner has noted every deadline, the timer fires at or shortly after the
earliest of them, never more than :data:`GRANULARITY_S` late and never twice within it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

GRANULARITY_S: Final = 0.02
"""Deadlines that are closer together than this are handled in one look."""


class DeadlineTimer:
    """Calls ``expire(now)``, which ends what is due and returns the earliest deadline left.

    Args:
        loop: The event loop that the timer runs in; deadlines are read from ``time.monotonic``.
        expire: Returns ``math.inf`` where nothing is left.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[float], float]) -> None:
        self._loop = loop
        self._expire = expire
        self._handle: asyncio.TimerHandle | None = None
        self.due = inf
        """When the timer fires next; only an earlier deadline needs to be noted."""

    def note(self, deadline: float) -> None:
        """Make sure that the timer fires at ``deadline`` or before."""
        if deadline >= self.due:
            return
        if self._handle is not None:
            self._handle.cancel()
        self.due = deadline
        self._handle = self._loop.call_later(max(0.0, deadline - monotonic()), self._fire)

    def cancel(self) -> None:
        """Stop. A later :meth:`note` starts it again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.due = inf

    def _fire(self) -> None:
        self._handle = None
        self.due = inf
        now = monotonic()
        following = self._expire(now)
        if following < inf:
            self.note(max(following, now + GRANULARITY_S))
