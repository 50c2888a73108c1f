"""Consumers, for code without an event loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Generic, Self, TypeAlias

from memphis import consumer as asynchronous
from memphis import message as asynchronous_message
from memphis._core.models import ModelT
from memphis.exceptions import MemphisError, MemphisUsageError
from memphis.sync._faces import Face, blocking, in_loop
from memphis.sync._loop import Loop
from memphis.sync._worker import Worker
from memphis.sync.message import Message

__all__ = ["Consumer", "Handler"]

_Consumer = asynchronous.Consumer
_AsyncMessage = asynchronous_message.Message

Handler: TypeAlias = Callable[[list[Message[ModelT]], MemphisError | None, dict[str, Any]], Any]
"""``handler(messages, error, context)``; a plain function, which may block."""


class Consumer(Face[_Consumer[ModelT]], Generic[ModelT]):
    """See ``memphis.Consumer``.

    Read in one of three ways, one at a time: :meth:`fetch`, :meth:`consume`, or
    ``for message in consumer``.
    """

    __slots__ = ("_worker",)

    def __init__(self, loop: Loop, inner: _Consumer[ModelT]) -> None:
        super().__init__(loop, inner)
        self._worker: Worker | None = None

    @property
    def consumer_name(self) -> str:
        """As ``memphis.Consumer.consumer_name``."""
        return self._inner.consumer_name

    @property
    def consumer_group(self) -> str:
        """As ``memphis.Consumer.consumer_group``."""
        return self._inner.consumer_group

    @property
    def station_name(self) -> str:
        """As ``memphis.Consumer.station_name``."""
        return self._inner.station_name

    @property
    def is_stale(self) -> bool:
        """As ``memphis.Consumer.is_stale``."""
        return self._inner.is_stale

    set_context = in_loop(_Consumer.set_context)
    pause = in_loop(_Consumer.pause)
    resume = in_loop(_Consumer.resume)
    stop = blocking(_Consumer.stop)

    def consume(
        self,
        callback: Handler[ModelT],
        consumer_partition_key: str | None = None,
        consumer_partition_number: int = -1,
    ) -> None:
        """Call ``callback(messages, error, context)`` for batch after batch, in a thread of its own.

        Returns at once. It is one thread for this consumer, the same for all batches, so what is kept by
        thread, like a connection to a database, is kept. The handler may block, and may call anything
        of this connection, ``stop`` and ``close`` included. All else is as with
        ``memphis.Consumer.consume``.

        Args:
            callback: A plain function.
            consumer_partition_key: Read only the partition that messages with this key go to.
            consumer_partition_number: Read only this partition.

        Raises:
            MemphisUsageError: A bad partition choice, a coroutine function, or the consumer is consuming
                already.
            MemphisClosedError: The consumer was destroyed.
        """
        if not callable(callback) or inspect.iscoroutinefunction(callback):
            raise MemphisUsageError("the handler must be a plain function; it runs in a thread")

        async def handle(
            messages: list[_AsyncMessage[ModelT]],
            error: MemphisError | None,
            context: dict[str, Any],
        ) -> None:
            faces = [Message(self._loop, message) for message in messages]
            await self._working().call(callback, faces, error, context)

        async def begin() -> None:
            self._inner.consume(handle, consumer_partition_key, consumer_partition_number)

        self._loop.run(begin)

    def fetch(
        self,
        batch_size: int = 10,
        consumer_partition_key: str | None = None,
        consumer_partition_number: int = -1,
        prefetch: bool = False,
    ) -> list[Message[ModelT]]:
        """As ``memphis.Consumer.fetch``."""
        messages = self._loop.run(
            lambda: self._inner.fetch(
                batch_size, consumer_partition_key, consumer_partition_number, prefetch
            )
        )
        return [Message(self._loop, message) for message in messages]

    def __iter__(self) -> Self:
        """Messages one by one, as they come, until :meth:`stop` or :meth:`destroy`."""

        async def begin() -> None:
            aiter(self._inner)

        self._loop.run(begin)
        return self

    def __next__(self) -> Message[ModelT]:
        """Waits on purpose, without a deadline; KeyboardInterrupt ends that, and loses no message."""

        async def following() -> _AsyncMessage[ModelT] | None:
            return await anext(self._inner, None)

        message = self._loop.run(following)
        if message is None:
            raise StopIteration
        return Message(self._loop, message)

    def destroy(self, timeout_retries: int = 5) -> None:
        """As ``memphis.Consumer.destroy``; returns when it is done."""
        self._loop.run(lambda: self._inner.destroy(timeout_retries))
        if self._worker is not None:
            self._worker.end()

    def _working(self) -> Worker:
        """The thread of the handler; only the loop's thread comes here."""
        if self._worker is None:
            self._worker = Worker(self._loop, f"memphis consumer {self.consumer_name}")
        return self._worker
