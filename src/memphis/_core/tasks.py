"""The parent of every task that the SDK starts."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_around: Final[contextvars.ContextVar[frozenset[asyncio.Task[Any]]]] = contextvars.ContextVar(
    "tasks around the running code", default=frozenset()
)
"""The tasks of owners in which the running code was begun, directly or through other tasks."""


def runs_inside(task: asyncio.Task[Any]) -> bool:
    """Whether ``task`` may be waiting for the code that asks, which must then not wait for it.

    A handler that closes what it is called by is the case in point.
    """
    return task in _around.get()


class TaskOwner:
    """Holds tasks until they end, and ends them when it is closed.

    asyncio itself keeps only weak references, so a task without an owner may vanish half-way.
    It is made in the event loop that the tasks run in.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, coroutine: Coroutine[Any, Any, _T], name: str) -> asyncio.Task[_T]:
        """Run ``coroutine`` as a task of this owner, at once; while the loop stands still, when it goes on.

        That is so in ``loop.run_until_complete(producer.destroy())``.
        """
        context = contextvars.copy_context()
        task = self._loop.create_task(coroutine, name=name, context=context)
        context.run(_around.set, _around.get() | {task})
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, deadline_s: float) -> None:
        """Let the tasks end by themselves, then cancel those that have not after ``deadline_s``.

        Tasks that the caller runs inside of are left alone. Failures stay with the tasks: whoever awaits one
        gets its exception, and asyncio logs the exception of a task that nobody awaited.
        """
        others = self._tasks - _around.get()
        if not others:
            return
        _, late = await asyncio.wait(others, timeout=deadline_s)
        for task in late:
            _log.warning(
                "%s did not end within %.1f s and is cancelled", task.get_name(), deadline_s
            )
            task.cancel()
        if late:
            await asyncio.wait(late)
