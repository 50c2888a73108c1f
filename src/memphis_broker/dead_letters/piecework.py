"""Rounds of work of which each piece is done for itself: one that cannot be done keeps no other waiting."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from memphis.wire.errors import ErrorCode, Refusal
from memphis_broker.dead_letters.recorder import Recorder
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.work import Work, WorkQueue

logger = logging.getLogger(__name__)

_BATCH: Final = 64
_WAIT_S: Final = 5.0
_AGAIN_S: Final = 2.0
_ATTEMPTS_MAX: Final = 5
_UNFORESEEN: Final = "the broker failed on it; its log says why"


class Piecework:
    """Takes work from a queue. :meth:`step` is one round.

    A piece that is refused, or fails in a way that nobody foresaw, is tried again a few times and then set
    aside, where a person can see it. While the engine does not answer it is tried without end.
    """

    def __init__(
        self, queue: WorkQueue, do: Callable[[Work], Awaitable[None]], recorder: Recorder, what: str
    ) -> None:
        """Make one.

        Args:
            queue: Where the work waits.
            do: Does one piece, or raises ``Refusal``. It may do a piece more than once.
            recorder: Sets aside what cannot be done.
            what: What a piece is, for people.
        """
        self._queue = queue
        self._do = do
        self._recorder = recorder
        self._what = what

    async def step(self) -> None:
        """Take what waits, up to some, and do it."""
        await for_each(await self._queue.take(_BATCH, _WAIT_S), self._see_to)

    async def set_aside(self, work: Work, reason: str) -> None:
        """Keep a piece that cannot be understood where a person can see it."""
        await self._recorder.set_aside(
            work.payload,
            f"{reason} (from {work.subject})",
            f"{work.subject}/{work.sequence}/{work.stored_at.timestamp()}",
        )

    async def _see_to(self, work: Work) -> None:
        try:
            try:
                await self._do(work)
            except Refusal as refusal:
                unavailable = refusal.code is ErrorCode.ENGINE_UNAVAILABLE
                if unavailable or work.attempts < _ATTEMPTS_MAX:
                    logger.warning("%s is not seen to yet: %s", self._what, refusal.text)
                    await work.again(_AGAIN_S)
                    return
                await self.set_aside(work, refusal.text)
            await work.done()
        except Exception:  # a named supervisor: the other pieces go on
            logger.exception("%s could not be seen to", self._what)
            await self._give_up(work)

    async def _give_up(self, work: Work) -> None:
        """After something that nobody foresaw: try again, but not for ever."""
        try:
            if work.attempts < _ATTEMPTS_MAX:
                await work.again(_AGAIN_S)
            else:
                await self.set_aside(work, _UNFORESEEN)
                await work.done()
        except Refusal as refusal:
            # The engine gives it again by itself.
            logger.warning("%s waits: %s", self._what, refusal.text)
