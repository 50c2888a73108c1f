"""A thread in which an application's handler runs, so that it may block without blocking the loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from memphis.exceptions import MemphisError

if TYPE_CHECKING:
    from memphis.sync._loop import Loop

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_END_S: Final = 5.0
"""How long a closing connection waits for a handler that it has waited for before."""


class Worker:
    """One thread, which calls one function at a time in the order in which they were given.

    It is started by its first call and ends with :meth:`end`, or with its loop.
    """

    def __init__(self, loop: Loop, name: str) -> None:
        self._loop = loop
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=self._note_thread)
        self._thread: threading.Thread | None = None
        loop.add_worker(self)

    async def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the thread, with the context of this task; for code in the loop.

        Raises: Whatever the function raises; MemphisError where that would end a thread.
        """
        await asyncio.wrap_future(self._submit(function, arguments))

    def tell(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the thread, some time; what it raises is logged."""
        self._submit(function, arguments).add_done_callback(_log_failure)

    def end(self) -> None:
        """Call nothing more. Waits for the function that is running, but not if that is what calls this."""
        self._loop.drop_worker(self)
        self._pool.shutdown(wait=False)
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        thread.join(_END_S)
        if thread.is_alive():
            _log.warning("%s: a handler has not returned; its thread is left behind", thread.name)

    def _submit(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Future[None]:
        # The context says which tasks the handler runs inside of, and must not be waited for by it.
        context = contextvars.copy_context()
        return self._pool.submit(context.run, _guarded, function, arguments)

    def _note_thread(self) -> None:
        self._thread = threading.current_thread()


def told_by(worker: Worker, callback: Callable[[_T], object]) -> Callable[[_T], None]:
    """What the loop calls in the place of an application's callback, which the worker calls."""

    def tell(told: _T) -> None:
        worker.tell(callback, told)

    return tell


def _guarded(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        function(*arguments)
    except (SystemExit, KeyboardInterrupt) as error:
        raise MemphisError(
            "a handler cannot end the program, because it runs in a thread of its own; have it tell the main "
            "thread"
        ) from error


def _log_failure(done: Future[None]) -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None:
        _log.error("a callback of the application failed", exc_info=error)
