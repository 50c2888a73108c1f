"""Tasks of the broker that go on until they are told to end.

A cancellation alone is not enough: the client library swallows one that meets an answer. So each
worker is told by an event as well, which it looks at between two pieces of work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from memphis.wire.errors import Refusal

logger = logging.getLogger(__name__)

_PAUSE_FIRST_S: Final = 0.1
_PAUSE_LONGEST_S: Final = 5.0
_CANCEL_AGAIN_S: Final = 0.5


class Worker:
    """Calls ``step`` again and again between :meth:`start` and :meth:`stop`.

    A step that is refused, or fails in a way that nobody foresaw, is logged and tried again after a pause
    that doubles. It may be cut off anywhere, so it must leave nothing half-done that is not done again.

    Args:
        name: What it does, for logs.
        step: One round of work. It waits, with a deadline, where there is nothing to do.
        pause_s: How long to wait between two rounds.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[None]], pause_s: float = 0) -> None:
        self._name = name
        self._step = step
        self._pause_s = pause_s
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=f"memphis {self._name}")

    async def stop(self) -> None:
        """End, also in the middle of a round. Idempotent."""
        self._stopping.set()
        task, self._task = self._task, None
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_AGAIN_S)

    async def _run(self) -> None:
        trouble_s = _PAUSE_FIRST_S
        while not self._stopping.is_set():
            try:
                await self._step()
            except Refusal as refusal:
                logger.warning("%s: %s", self._name, refusal.text)
            except Exception:  # a named supervisor: the broker's other work goes on
                logger.exception("%s failed and is tried again", self._name)
            else:
                trouble_s = _PAUSE_FIRST_S
                await self._wait(self._pause_s)
                continue
            await self._wait(trouble_s)
            trouble_s = min(2 * trouble_s, _PAUSE_LONGEST_S)

    async def _wait(self, seconds: float) -> None:
        if seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
