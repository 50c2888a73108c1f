"""The event loop behind a synchronous connection: in a thread of its own, used from any other.

A call goes ``caller's thread → run → a task of the loop → result``. What needs no answer goes the shorter
way through :meth:`Loop.post`, which wakes the loop once for all that is posted while it is busy.

Invariant: whatever was handed over is either done or told that it will not be; a call that was under way
when the loop ended raises ``MemphisClosedError`` and never waits for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from memphis.exceptions import MemphisClosedError, MemphisConnectError, MemphisUsageError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_LOOK_S: Final = 1.0
"""How often a caller that waits looks up. A signal that comes just before a thread begins to wait does not
wake it, and KeyboardInterrupt would come only with the result."""
_END_S: Final = 30.0
"""How long the thread may take to end; its tasks have ended by themselves before, or are cancelled."""


class Pipe(Protocol):
    """Something that hands work to the loop and must be empty before the loop ends."""

    def finish(self, deadline_s: float) -> None:
        """Take nothing more, and wait until what was taken is handed over."""


class Worker(Protocol):
    """Something with a thread of its own, which ends after the loop has."""

    def end(self) -> None:
        """End the thread, if it is not the one that calls this."""


class Loop:
    """One event loop in one daemon thread. Made stopped; may be started again until it is ended.

    All methods may be called from any thread but the loop's own.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may call while its thread is in here
        self._pid = os.getpid()
        self._ended = False
        self._runner: asyncio.Runner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None
        self._posted: deque[Callable[[], object]] = deque()
        self._is_woken = False
        self._pipes: weakref.WeakSet[Pipe] = weakref.WeakSet()
        self._workers: set[Worker] = set()

    @property
    def is_running(self) -> bool:
        """Whether calls are taken."""
        return self._loop is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing is done any more, nor is under way."""
        return self._thread is None or not self._thread.is_alive()

    @property
    def is_forked(self) -> bool:
        """Whether this is the copy that a child process got: its thread has stayed with the parent."""
        return os.getpid() != self._pid

    def start(self) -> None:
        """Start the thread, if it does not run.

        Raises:
            MemphisClosedError: It was ended for good.
            MemphisUsageError: This is a child process.
        """
        self.check_process()
        with self._lock:
            if self._ended:
                raise _closed()
            if self._loop is not None:
                return
            self._posted.clear()
            self._is_woken = False
            # The factory keeps the runner from making its loop the one of this thread.
            self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
            self._stopping = asyncio.Event()
            self._thread = threading.Thread(
                target=self._serve,
                args=(self._runner, self._stopping),
                name="memphis event loop",
                daemon=True,  # a program that forgets to close can end
            )
            self._loop = self._runner.get_loop()
            self._thread.start()

    def run(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Have the loop call this and await what it returns; wait for the result.

        The wait has the deadlines of what is called. An exception that interrupts it, like
        KeyboardInterrupt, cancels what is called.

        Raises:
            MemphisConnectError: The loop was not started.
            MemphisClosedError: It was ended, before or meanwhile.
            MemphisUsageError: Called in the loop's own thread, or in a child process.
        """
        # Made first: wherever an interruption comes, what is under way is known and can be cancelled.
        under_way = _Call(call)
        try:
            self._hand_over(under_way.begin)
            return under_way.wait(self)
        except BaseException:
            under_way.cancel(self._runner)  # does nothing if it is the call's own exception
            raise

    def submit(self, call: Callable[[], Awaitable[object]]) -> None:
        """As :meth:`run`, without waiting; what it raises is lost, so it sees to that itself."""
        self._hand_over(_Call(call).begin)

    def post(self, act: Callable[[], object]) -> None:
        """Have the loop do this soon, before anything that is handed over later; it must not raise.

        Raises: As :meth:`run`.
        """
        self.check_usable()
        self._posted.append(act)
        with self._lock:
            if self._loop is None:
                raise _closed()
            if not self._is_woken:
                # In this order: interrupted in between, the loop is woken once too often, not never.
                self._loop.call_soon_threadsafe(self._do_posted)
                self._is_woken = True

    def add_pipe(self, pipe: Pipe) -> None:
        """Have a pipe finished before the loop ends; held weakly."""
        with self._lock:
            self._pipes.add(pipe)

    def add_worker(self, worker: Worker) -> None:
        """Have a worker ended after the loop."""
        with self._lock:
            self._workers.add(worker)

    def drop_worker(self, worker: Worker) -> None:
        """A worker was ended before."""
        with self._lock:
            self._workers.discard(worker)

    def finish_pipes(self, deadline_s: float) -> None:
        """Have all pipes hand over what they hold; each within this deadline."""
        with self._lock:
            pipes = list(self._pipes)
        for pipe in pipes:
            pipe.finish(deadline_s)

    def stop(self, *, for_good: bool) -> None:
        """End the thread, and the workers with it; what is under way is cancelled.

        Args:
            for_good: Whether it may not be started again.
        """
        if self.is_forked:
            return
        with self._lock:
            self._ended = self._ended or for_good
            loop, self._loop = self._loop, None
            thread, stopping = self._thread, self._stopping
            workers, self._workers = self._workers, set()
            if loop is not None and stopping is not None:
                loop.call_soon_threadsafe(stopping.set)
        if thread is not None:
            thread.join(_END_S)
            if thread.is_alive():
                _log.warning("the thread of a connection did not end within %.0f s", _END_S)
        for worker in workers:
            worker.end()

    def check_usable(self) -> None:
        """Raise what :meth:`run` would raise before it calls anything."""
        self.check_process()
        if self._thread is threading.current_thread():
            raise MemphisUsageError(
                "this was called in the thread that serves all calls of this connection, and would wait "
                "for itself; call it from a thread of your own"
            )
        if self._loop is None:
            if self._ended:
                raise _closed()
            raise MemphisConnectError("not connected; call connect() first")

    def check_process(self) -> None:
        """Raise MemphisUsageError in a child process."""
        # Before any lock is touched: another thread may have held it when the process was forked.
        if self.is_forked:
            raise MemphisUsageError(
                "this connection was made before the process was forked, and belongs to the parent; make "
                "and connect a Memphis object in each process, after the fork"
            )

    def _hand_over(self, act: Callable[[], object]) -> None:
        self.check_usable()
        with self._lock:  # under which the loop is not ended
            if self._loop is None:
                raise _closed()
            self._loop.call_soon_threadsafe(act)

    def _do_posted(self) -> None:
        with self._lock:
            self._is_woken = False  # what is posted from here on wakes it again
        posted = self._posted
        while posted:
            posted.popleft()()

    def _serve(self, runner: asyncio.Runner, stopping: asyncio.Event) -> None:
        try:
            with runner:  # whose end cancels what is under way
                runner.run(_wait(stopping))
        finally:
            with self._lock:
                if self._runner is runner and self._loop is not None:
                    # Nobody has stopped it: something in it has ended it that should not have.
                    self._loop, self._ended = None, True


def _closed() -> MemphisClosedError:
    return MemphisClosedError("this Memphis object was closed; make another one")


async def _wait(stopping: asyncio.Event) -> None:
    await stopping.wait()


class _Call(Generic[_T]):
    """One call from another thread, from before it is handed over until its result is there."""

    __slots__ = ("_call", "_is_cancelled", "_is_over", "_outcome", "_task")

    def __init__(self, call: Callable[[], Awaitable[_T]]) -> None:
        self._call = call
        self._is_over = threading.Event()
        self._is_cancelled = False
        self._task: asyncio.Task[_T] | None = None
        self._outcome: Callable[[], _T] = _never

    def begin(self) -> None:
        """In the loop: make it a task."""
        if self._is_cancelled:
            return
        self._task = asyncio.get_running_loop().create_task(_awaited(self._call))
        self._task.add_done_callback(self._ended)

    def wait(self, loop: Loop) -> _T:
        """What it returns; or raises what it raises."""
        while not self._is_over.wait(_LOOK_S):
            if loop.is_over and not self._is_over.is_set():
                raise _closed()
        return self._outcome()

    def cancel(self, runner: asyncio.Runner | None) -> None:
        """Have it cancelled, if it is not done."""
        self._is_cancelled = True
        if runner is not None and not self._is_over.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and has cancelled it
                runner.get_loop().call_soon_threadsafe(self._cancel_task)

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[_T]) -> None:
        if task.cancelled():
            self._outcome = _cut_off
        else:
            task.exception()  # so that nobody logs it, if the caller has been interrupted
            self._outcome = task.result
        self._is_over.set()


def _never() -> Any:
    raise MemphisClosedError("this call has no result")


def _cut_off() -> Any:
    raise MemphisClosedError("the connection was closed while this call was under way")


async def _awaited(call: Callable[[], Awaitable[_T]]) -> _T:
    return await call()
