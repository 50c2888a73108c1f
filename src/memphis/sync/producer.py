"""Producers, for code without an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Generic

from memphis import producer as asynchronous
from memphis._core.models import ModelT
from memphis._core.pending import PendingProduce as _PendingProduce
from memphis._core.sending import ErrorCallback
from memphis.exceptions import MemphisClosedError, MemphisError
from memphis.headers import Headers
from memphis.producer import BatchMessage, ProduceResult
from memphis.sync._faces import Face
from memphis.sync._loop import Loop
from memphis.sync._pipeline import Item, Pipeline
from memphis.sync._worker import Worker, told_by

__all__ = ["BatchMessage", "PendingProduce", "ProduceResult", "Producer"]

_Producer = asynchronous.Producer


class PendingProduce:
    """The result of a nonblocking produce: ask for it, now or later, or leave it to ``flush()``."""

    __slots__ = ("_item", "_loop", "_pipeline")

    def __init__(self, loop: Loop, item: Item, pipeline: Pipeline | None = None) -> None:
        self._loop = loop
        self._item = item
        self._pipeline = pipeline

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits in :meth:`result` at this moment."""
        inner = self._item.inner
        return inner is not None and inner.is_awaited

    def done(self) -> bool:
        """Whether the message is confirmed or failed."""
        inner = self._item.inner
        return self._item.failure is not None or (inner is not None and inner.done())

    def error(self) -> MemphisError | None:
        """What went wrong; None while it is under way or if all went well."""
        inner = self._item.inner
        return self._item.failure or (None if inner is None else inner.error())

    def result(self) -> ProduceResult:
        """Wait until the message is confirmed, which the deadline of its ``produce`` bounds.

        Raises:
            MemphisError: What went wrong, as ``memphis.Producer.produce`` lists it.
        """
        self._loop.check_process()
        if self._item.inner is None and self._pipeline is not None:
            self._pipeline.wait_passed()
        if self._item.failure is not None:
            raise self._item.failure
        inner = self._item.inner
        if inner is None:
            raise MemphisClosedError("the connection was closed before the message was sent")
        if inner.done() and (inner.error() is None or not self._loop.is_running):
            return _read(inner)
        return self._loop.run(lambda: inner)


class Producer(Face[_Producer[ModelT]], Generic[ModelT]):
    """See ``memphis.Producer``. Messages keep, per partition, the order of the calls of one thread."""

    __slots__ = ("_pipeline", "_worker")

    def __init__(self, loop: Loop, inner: _Producer[ModelT], worker: Worker | None = None) -> None:
        super().__init__(loop, inner)
        self._worker = worker
        self._pipeline = Pipeline(loop, inner.produce, inner.fail)

    @property
    def producer_name(self) -> str:
        """As ``memphis.Producer.producer_name``."""
        return self._inner.producer_name

    @property
    def station_name(self) -> str | list[str]:
        """As ``memphis.Producer.station_name``."""
        return self._inner.station_name

    @property
    def is_stale(self) -> bool:
        """As ``memphis.Producer.is_stale``."""
        return self._inner.is_stale

    @property
    def in_flight(self) -> int:
        """As ``memphis.Producer.in_flight``."""
        return len(self._pipeline) + self._inner.in_flight

    @property
    def is_settled(self) -> bool:
        """As ``memphis.Producer.is_settled``."""
        return not len(self._pipeline) and self._inner.is_settled

    def produce(
        self,
        message: ModelT | Mapping[str, Any],
        ack_wait_sec: float = 15,
        headers: Headers | Mapping[str, str] | None = None,
        async_produce: bool | None = None,
        nonblocking: bool = False,
        msg_id: str | None = None,
        concurrent_task_limit: int | None = None,
        producer_partition_key: str | None = None,
        producer_partition_number: int = -1,
        limit_concurrent_tasks: int | None = None,
    ) -> Any:
        """Send a message to the station, or to each of the stations; see ``memphis.Producer.produce``.

        With ``nonblocking`` it returns a :class:`PendingProduce`, or a list of them, at once: the message was
        checked and copied, and is written soon. What shows only then, like a message that is larger than the
        engine takes, is a failure of that message: raised by its ``result()``, told to the producer's error
        callback, or else raised at the next ``flush()``, ``destroy()`` or ``Memphis.close()``.
        """
        arguments: dict[str, Any] = {
            "ack_wait_sec": ack_wait_sec,
            "headers": headers,
            "nonblocking": bool(nonblocking or async_produce),
            "msg_id": msg_id,
            "concurrent_task_limit": concurrent_task_limit,
            "producer_partition_key": producer_partition_key,
            "producer_partition_number": producer_partition_number,
            "limit_concurrent_tasks": limit_concurrent_tasks,
        }
        if arguments["nonblocking"]:
            self._loop.check_usable()
            ready = self._inner.made_ready(message, arguments)
            if ready is not None:
                item = Item(ready)
                self._pipeline.put(item)
                return PendingProduce(self._loop, item, self._pipeline)
        self._loop.check_usable()  # before a lock that a forked process may find taken
        self._pipeline.wait_passed()
        return faces(self._loop, self._loop.run(lambda: self._inner.produce(message, **arguments)))

    def produce_batch(
        self,
        messages: Iterable[ModelT | Mapping[str, Any] | BatchMessage],
        *,
        atomic: bool = False,
        ack_wait_sec: float = 15,
        producer_partition_key: str | None = None,
        producer_partition_number: int = -1,
    ) -> list[ProduceResult]:
        """As ``memphis.Producer.produce_batch``."""
        self._loop.check_usable()
        self._pipeline.wait_passed()
        return self._loop.run(
            lambda: self._inner.produce_batch(
                messages,
                atomic=atomic,
                ack_wait_sec=ack_wait_sec,
                producer_partition_key=producer_partition_key,
                producer_partition_number=producer_partition_number,
            )
        )

    def flush(self) -> None:
        """As ``memphis.Producer.flush``; for the messages of all threads."""
        self._loop.check_usable()
        self._pipeline.wait_passed()
        self._loop.run(self._inner.flush)

    def destroy(self, timeout_retries: int = 5) -> None:
        """As ``memphis.Producer.destroy``; returns when it is done."""
        self._loop.check_usable()
        self._pipeline.close()
        self._pipeline.wait_passed()
        try:
            self._loop.run(lambda: self._inner.destroy(timeout_retries))
        finally:
            if self._worker is not None:
                self._worker.end()


def make_producer(
    loop: Loop,
    make: Callable[[ErrorCallback | None], Awaitable[_Producer[ModelT]]],
    on_error: ErrorCallback | None,
) -> Producer[ModelT]:
    """A producer whose error callback is called in a thread of its own, made by ``make(on_error)``."""
    if not callable(on_error):
        return Producer(loop, loop.run(lambda: make(on_error)))
    worker = Worker(loop, "memphis error callback")
    tell = told_by(worker, on_error)
    try:
        return Producer(loop, loop.run(lambda: make(tell)), worker)
    except BaseException:
        worker.end()
        raise


def faces(loop: Loop, sent: Any) -> Any:
    """A result as it is, a pending one with its face, and a list of either."""
    if isinstance(sent, _PendingProduce):
        return PendingProduce(loop, Item({}, sent))
    if isinstance(sent, list):
        return [faces(loop, one) for one in sent]
    return sent


def _read(done: _PendingProduce) -> ProduceResult:
    """The result of a message that is confirmed or failed, without the loop."""
    try:
        next(done.__await__())
    except StopIteration as end:
        result: ProduceResult = end.value
        return result
    raise MemphisError("a result that was there is not")
