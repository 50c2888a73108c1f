"""A queue at the door: callers that produce too fast wait here, first come, first served.

Invariant: who was let in counts as inside until it has done its part, so that a burst of waiters
released together cannot overrun the limit, and nobody overtakes who waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Room:
    """Waiting for room.

    Args:
        fits: Whether one more fits when this many, let in already, have not arrived inside yet.
    """

    def __init__(self, fits: Callable[[int], bool]) -> None:
        self._fits = fits
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._let_in = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    @property
    def is_deserted(self) -> bool:
        """Whether nobody waits, nor was let in and has not arrived inside yet."""
        return not self._waiters and not self._let_in

    @property
    def is_free(self) -> bool:
        """Whether one may go in at once, without overtaking anyone."""
        return not self._waiters and self._fits(self._let_in)

    async def wait(self) -> None:
        """Wait for one's turn. It is kept until the caller's next ``await``."""
        if self.is_free:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # Let in and cancelled in the same turn: the place goes to the next.
                self._let_in -= 1
                self.let_in()
            raise
        self._let_in -= 1

    def let_in(self, *, everyone: bool = False) -> None:
        """Something became free: let in as many as fit, or everyone because it is over."""
        waiters = self._waiters
        while waiters and (everyone or self._fits(self._let_in)):
            waiter = waiters.popleft()
            if not waiter.done():
                self._let_in += 1
                waiter.set_result(None)
