"""Messages on their way from any thread to a producer in the loop, without a wait for each.

The flow: ``Producer.produce(nonblocking=True)`` in the caller's thread, which checks and encodes → the
pipeline → one task of the loop, which gives each message to the asynchronous producer, in order.

A caller that waited for the loop at every message would have two changes of threads for each. Here it
goes on, the loop is woken when it was idle, and takes what has come meanwhile. What the asynchronous
producer raises for a message is kept like the failure of one that was sent, so nothing vanishes.

Invariant: messages leave in the order in which they were put, and as long as the pump runs only it takes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from memphis._core.pending import PendingProduce
from memphis.exceptions import MemphisClosedError, MemphisError
from memphis.sync._loop import Loop

_log = logging.getLogger(__name__)

ITEMS_MAX: Final = 1000
"""Messages that wait for the loop; who puts more waits."""
_USED: Final[dict[str, Any]] = {}
"""What an item holds no longer."""
_TURN: Final = 64
"""After so many the loop gets a turn for everything else."""
_CHECK_S: Final = 1.0
"""How often a caller that waits looks whether the loop is still there."""


class Item:
    """One message, from the caller's thread to what it has become in the loop."""

    __slots__ = ("arguments", "failure", "inner")

    def __init__(self, arguments: dict[str, Any], inner: PendingProduce | None = None) -> None:
        self.arguments = arguments
        """What it is to be produced with."""
        self.inner = inner
        """Its pending result; None while it waits."""
        self.failure: MemphisError | None = None
        """Why it could not be given to the loop."""


class Pipeline:
    """The messages that wait for one producer. Any number of threads may put."""

    def __init__(
        self,
        loop: Loop,
        produce: Callable[..., Awaitable[PendingProduce]],
        fail: Callable[[MemphisError], PendingProduce],
    ) -> None:
        self._loop = loop
        self._produce = produce
        self._fail = fail
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._is_pumping = False
        self._is_closed = False
        self._put = 0
        self._passed = 0
        loop.add_pipe(self)

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Have a message produced; waits while as many as may wait do so.

        That wait has no deadline of its own: it ends because every message that was produced has one.

        Raises:
            MemphisClosedError: The producer or the connection was closed.
        """
        with self._changed:
            while len(self._items) >= ITEMS_MAX and not self._is_closed:
                self._changed.wait(_CHECK_S)
                self._loop.check_usable()
            if self._is_closed:
                raise MemphisClosedError("the producer was destroyed, or its connection closed")
            self._items.append(item)
            self._put += 1
            if self._is_pumping:
                return
            self._is_pumping = True
        try:
            self._loop.submit(self._pump)
        except MemphisError as error:
            self._abandon(error)
            raise
        except BaseException:  # KeyboardInterrupt: the next one wakes the loop
            self._is_pumping = False
            raise

    def wait_passed(self, deadline_s: float | None = None) -> bool:
        """Wait until what was put so far has been produced; False if the deadline came first.

        Without one it ends as :meth:`put` does.
        """
        if not self._is_pumping:
            return True
        end = None if deadline_s is None else time.monotonic() + deadline_s
        with self._changed:
            goal = self._put
            while self._passed < goal:
                if end is not None and time.monotonic() > end:
                    return False
                self._changed.wait(_CHECK_S)
                if self._loop.is_over:  # it may have ended before the pump had begun
                    self._abandon(_never_sent())
        return True

    def close(self) -> None:
        """Take nothing more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def finish(self, deadline_s: float) -> None:
        """Take nothing more, and wait until what was taken has been produced.

        What has not by then has failed, and is told of like any message that failed.
        """
        self.close()
        if not self.wait_passed(deadline_s):
            self._loop.run(self._give_up)

    async def _give_up(self) -> None:
        while len(self._items) > 1:  # the first is with the producer already
            item = self._items.pop()
            item.arguments = _USED
            item.inner = self._fail(_never_sent())

    async def _pump(self) -> None:
        items, turn = self._items, 0
        try:
            while True:
                while items:
                    item = items[0]
                    try:
                        item.inner = await self._produce(**item.arguments)
                    except MemphisError as error:
                        item.inner = self._fail(error)
                    item.arguments = _USED
                    items.popleft()
                    turn += 1
                    if turn % _TURN == 0:
                        self._tell_passed(_TURN)
                        await asyncio.sleep(0)
                with self._changed:
                    self._passed = self._put - len(items)
                    self._changed.notify_all()
                    if not items:
                        self._is_pumping = False
                        return
        except BaseException:
            self._abandon(_never_sent())
            raise

    def _tell_passed(self, count: int) -> None:
        with self._changed:
            self._passed += count
            self._changed.notify_all()

    def _abandon(self, error: MemphisError) -> None:
        """The loop will take nothing any more."""
        with self._changed:
            self._is_closed = True
            if self._items:
                _log.warning("%d messages were not sent: %s", len(self._items), error)
            while self._items:
                self._items.popleft().failure = error
            self._passed = self._put
            self._changed.notify_all()


def _never_sent() -> MemphisClosedError:
    return MemphisClosedError("the connection was closed before the message was sent")
