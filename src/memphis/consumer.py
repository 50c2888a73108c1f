"""Consumers: members of a group that take messages in batches, one by one, or with a handler.

The flow: the engine → puller → :class:`GroupReader` → ``Message`` → your code → ``ack``.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeAlias

from memphis._core.models import ModelT
from memphis._core.pace import QUICK_S
from memphis._core.tasks import runs_inside
from memphis.exceptions import (
    MemphisClosedError,
    MemphisConnectError,
    MemphisError,
    MemphisTimeoutError,
    MemphisUsageError,
)
from memphis.message import Message
from memphis.wire.partitions import check_selectors, partition_for_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from memphis._core.membership import Membership
    from memphis._core.reader import GroupReader
    from memphis._core.session import Session

__all__ = ["Consumer", "Handler"]

_log = logging.getLogger(__name__)

BATCH_SIZE_MAX: Final = 5000
_ITERATION_WAIT_S: Final = 5.0
"""How long one pull of ``async for`` waits in the engine; it is renewed as often as needed."""
_RECONNECT_CHECK_S: Final = 5.0
_DRY_TEXT: Final = "Memphis: TimeoutError"
"""What the specification says a handler is told when the station has run dry."""

Handler: TypeAlias = Callable[[list[Message[ModelT]], MemphisError | None, dict[str, Any]], Any]
"""``handler(messages, error, context)``; a coroutine function or a plain function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerOptions:
    """How a consumer reads; times in milliseconds."""

    pull_interval_ms: int = 1000
    batch_size: int = 10
    batch_max_time_to_wait_ms: int = 100

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)
        _check_count("pull_interval_ms", self.pull_interval_ms)
        _check_count("batch_max_time_to_wait_ms", self.batch_max_time_to_wait_ms)


class Consumer(Generic[ModelT]):
    """A member of a consumer group of one station. Made by ``Memphis.consumer``, ``Station.consumer``.

    Read in one of three ways, one at a time: :meth:`fetch`, :meth:`consume`, or
    ``async for message in consumer``.

    The messages of a ``Consumer[Order]``, made with ``model=Order``, have an ``Order`` as their ``value``.
    """

    def __init__(
        self,
        name: str,
        membership: Membership,
        options: ConsumerOptions,
        reader: GroupReader[Message[ModelT]],
        session: Session,
        leave: Callable[[Consumer, int], Awaitable[None]],
    ) -> None:
        self.consumer_name = name
        self.consumer_group = str(membership.group)
        self._state = membership.state
        self._options = options
        self._reader = reader
        self._connection = session.connection
        self._tasks = session.tasks
        self._leave = leave
        self._context: dict[str, Any] = {}
        self._consuming: asyncio.Task[None] | None = None
        self._consumed_by: tuple[Handler, Sequence[int]] | None = None
        self._destroying: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._is_enough = False
        """Whether the handler itself has said that it wants no more."""
        self._running = asyncio.Event()
        self._running.set()

    @property
    def station_name(self) -> str:
        """The station that is read."""
        return str(self._state.name)

    @property
    def is_stale(self) -> bool:
        """Whether it was destroyed, or its station removed: it will not read again."""
        return self._reader.is_closed or self._state.removed

    def set_context(self, context: dict[str, Any]) -> None:
        """Set what the handler gets as its third argument."""
        self._context = context

    def consume(
        self,
        callback: Handler[ModelT],
        consumer_partition_key: str | None = None,
        consumer_partition_number: int = -1,
    ) -> None:
        """Call ``callback(messages, error, context)`` for batch after batch, in a task of its own.

        The station is polled every ``pull_interval_ms`` (0: without a pause), and the handler is
        awaited before the next poll. An exception in the handler is logged with its traceback and
        the loop goes on; messages that it did not acknowledge are delivered again after
        ``max_ack_time_ms``. When the station has run dry, the handler is told once, with no messages
        and a ``MemphisTimeoutError`` that reads ``Memphis: TimeoutError``, and again only after
        messages have come meanwhile. When reading must end (the group or station is gone, the
        connection is given up) the handler gets that error, and the loop ends. A second call with the same
        arguments does nothing while the first is at work.

        Args:
            callback: A coroutine function or a plain function.
            consumer_partition_key: Read only the partition that messages with this key go to.
            consumer_partition_number: Read only this partition.

        Raises:
            MemphisUsageError: A bad partition choice, or the consumer is consuming in another way.
            MemphisClosedError: The consumer was destroyed.
        """
        self._check_open()
        if not callable(callback):
            raise MemphisUsageError("the handler must be a function or coroutine function")
        numbers = self._numbers(consumer_partition_key, consumer_partition_number)
        if self._consuming is not None and not self._consuming.done():
            if self._consumed_by == (callback, numbers) and not self._stopping.is_set():
                return
            raise MemphisUsageError(
                f"the consumer {self.consumer_name!r} is consuming already; stop() it first"
            )
        self._consumed_by = (callback, numbers)
        self._stopping.clear()
        self._is_enough = False
        self._consuming = self._tasks.start(
            self._consume(callback, numbers),
            f"consumer {self.consumer_name} of {self.station_name}",
        )

    async def fetch(
        self,
        batch_size: int = 10,
        consumer_partition_key: str | None = None,
        consumer_partition_number: int = -1,
        prefetch: bool = False,
    ) -> list[Message[ModelT]]:
        """Take up to ``batch_size`` messages, from all partitions in turn.

        Returns when the batch is full or the consumer's ``batch_max_time_to_wait_ms`` has passed;
        the list is empty only if no partition had a message, or the connection is lost for the moment
        (see ``Memphis.is_connected``).

        Args:
            batch_size: 1 to 5000.
            consumer_partition_key: Take only from the partition that this key goes to.
            consumer_partition_number: Take only from this partition.
            prefetch: Ask for the next batch at once, so that the next fetch finds it here. At most
                one batch is held, and for at most ten times the consumer's ``max_ack_time_ms``.

        Raises:
            MemphisUsageError: A bad batch size or partition choice.
            MemphisClosedError: The consumer was destroyed.
            MemphisNotFoundError: The station or the group is gone.
            MemphisConnectError: The connection is closed or given up.

        Cancelling loses nothing: what has arrived is given to the next fetch. Concurrent fetches
        take turns.
        """
        self._check_open()
        check_batch_size(batch_size)
        numbers = self._numbers(consumer_partition_key, consumer_partition_number)
        wait_s = self._options.batch_max_time_to_wait_ms / 1000
        messages = await self._reader.read(batch_size, wait_s, numbers)
        if prefetch:
            self._reader.prefetch(batch_size, wait_s, numbers)
        return messages

    def __aiter__(self) -> Self:
        """Messages one by one, as they come, until :meth:`stop` or :meth:`destroy`."""
        self._check_open()
        self._stopping.clear()
        return self

    async def __anext__(self) -> Message[ModelT]:
        while not self._stopping.is_set():
            await self._running.wait()
            if self._stopping.is_set():
                break
            message = self._reader.take_one(
                self._options.batch_size, _ITERATION_WAIT_S, self._state.partitions
            )
            if message is not None:
                return message
            await self._next_arrived()
        raise StopAsyncIteration

    async def stop(self) -> None:
        """End :meth:`consume` or ``async for`` after the batch in hand; the group keeps its position.

        Waits until the handler has returned. Where the handler was quick and its next batch was fetched
        ahead, it is given that first. If it is the handler that calls this, it is not waited for and
        not called again; the batch goes back to the group, as does what ``async for`` or
        ``fetch(prefetch=True)`` fetched ahead.
        """
        self._stopping.set()
        self._running.set()
        self._reader.wake()
        if self._consuming is not None and not self._consuming.done():
            if runs_inside(self._consuming):
                self._is_enough = True  # the loop sees to it when the handler has returned
                return
            await asyncio.wait({self._consuming})
        await self._reader.release_rest()

    def pause(self) -> None:
        """Poll no more until :meth:`resume`.

        A handler that is running finishes its batch, and is given the next if that was fetched ahead.
        """
        self._running.clear()
        if self._consuming is not None:
            self._reader.wake()

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        self._running.set()

    def destroy(self, timeout_retries: int = 5) -> asyncio.Task[None]:
        """Stop, and leave the group; the group ends, with its position, with its last member.

        Waits until the handler has returned, as :meth:`stop` does, unless it is the handler that calls
        this. Messages that were fetched ahead and not taken go back to the group. It begins at once,
        whether or not the returned task is awaited; awaiting it raises what went wrong. Calling it
        again returns the same task.

        Args:
            timeout_retries: How often the broker is asked again when it does not answer.
        """
        if self._destroying is None:
            self._destroying = self._tasks.start(
                self._destroy(timeout_retries), f"destroy consumer {self.consumer_name}"
            )
        return self._destroying

    async def _destroy(self, retries: int) -> None:
        await self.end()
        await self._leave(self, retries)

    async def end(self) -> None:
        """Stop reading for good and give back what was not taken; the group stays as it is."""
        try:
            if self._consuming is not None:
                await self.stop()
        finally:
            self._stopping.set()
            self._running.set()
            self._reader.close()

    def _check_open(self) -> None:
        if self._destroying is not None or self._reader.is_closed:
            raise MemphisClosedError(f"the consumer {self.consumer_name!r} was destroyed")

    def _numbers(self, key: str | None, number: int) -> Sequence[int]:
        partitions = self._state.partitions
        check_selectors(key, number, partitions)
        if number != -1:
            return [number]
        if key is not None:
            return [partition_for_key(key, partitions)]
        return partitions

    async def _next_arrived(self) -> None:
        """Wait until a message is in the reader's buffer, or for the time of one pull.

        While the connection is lost this returns at the latest after that time, and is called again.
        """
        try:
            await self._reader.arrive(
                self._options.batch_size, _ITERATION_WAIT_S, self._state.partitions
            )
        except MemphisClosedError:
            self._stopping.set()
        except MemphisConnectError:
            if self._connection.is_closed:
                raise

    async def _consume(self, handler: Handler[ModelT], numbers: Sequence[int]) -> None:
        told_dry = is_quick = is_dry = False
        while not self._stopping.is_set():
            if not self._running.is_set():
                await self._handle_rest(handler, numbers)
                await self._running.wait()
                continue
            started = time.monotonic()
            try:
                messages = await self._next_batch(numbers, is_dry)
            except MemphisClosedError:
                return
            except MemphisError as error:
                _log.warning("consumer %s ends: %s", self.consumer_name, error)
                await self._handle(handler, [], error)
                return
            is_dry = messages == []
            if messages is None:
                continue
            if messages:
                told_dry = False
                self._ask_ahead(numbers, len(messages) if is_quick else 0)
                handling_since = time.monotonic()
                await self._handle(handler, messages, None)
                is_quick = time.monotonic() - handling_since < QUICK_S
            elif not told_dry and not self._stopping.is_set():
                told_dry = True
                await self._handle(handler, [], MemphisTimeoutError(_DRY_TEXT))
            if not is_dry:
                await self._pause_until(started + self._options.pull_interval_ms / 1000)
        if self._is_enough:
            await self._reader.release_rest()
        else:
            await self._handle_rest(handler, numbers)

    async def _handle_rest(self, handler: Handler[ModelT], numbers: Sequence[int]) -> None:
        """Before a pause or the end: what was asked for ahead has cost a delivery, so it is handled."""
        await self._reader.ask_no_more()
        rest = self._reader.take_rest(numbers)
        if rest:
            await self._handle(handler, rest, None)

    def _ask_ahead(self, numbers: Sequence[int], count: int) -> None:
        """Where no pause is wanted, have the next batch on its way while this one is handled.

        Only behind a full batch of ``count`` messages: then there may be more. 0 for a slow handler.
        It asks for what is there now, without waiting: such a pull ends by itself and never has to be
        cancelled, which would give back messages that are on their way.
        """
        goes_on = self._running.is_set() and not self._stopping.is_set()
        is_wanted = self._options.pull_interval_ms == 0 and count == self._options.batch_size
        if goes_on and is_wanted and self._connection.is_connected:
            self._reader.prefetch(self._options.batch_size, 0, numbers)

    async def _next_batch(
        self, numbers: Sequence[int], is_dry: bool
    ) -> list[Message[ModelT]] | None:
        """A batch; None if there is to be none now: paused meanwhile, or the connection is lost.

        From a station that has run dry it is waited for in the engine, not here: what comes need not
        wait for the end of the pause.
        """
        if is_dry:
            pause_s = self._options.pull_interval_ms / 1000
            next_poll = time.monotonic() + pause_s
            await self._reader.arrive(1, pause_s, numbers)
            if self._stopping.is_set() or not self._running.is_set():
                return None
            if not self._reader.buffered:
                await self._pause_until(next_poll)
        return await self._poll(numbers)

    async def _poll(self, numbers: Sequence[int]) -> list[Message[ModelT]] | None:
        """A batch; None if the connection is lost for the moment."""
        options = self._options
        messages = await self._reader.read(
            options.batch_size, options.batch_max_time_to_wait_ms / 1000, numbers
        )
        if messages or self._connection.is_connected:
            return messages
        # Nobody knows whether the station has run dry.
        await self._reader.wait_connected(_RECONNECT_CHECK_S)
        return None

    async def _handle(
        self, handler: Handler[ModelT], messages: list[Message[ModelT]], error: MemphisError | None
    ) -> None:
        try:
            await self._call(handler, messages, error)
        except Exception:  # noqa: BLE001 - supervisor: an application's handler must not stop the consumer
            _log.exception(
                "the handler of consumer %s of station %s failed; of its %d messages, those not "
                "acknowledged are delivered again",
                self.consumer_name,
                self.station_name,
                len(messages),
            )

    async def _call(
        self, handler: Handler[ModelT], messages: list[Message[ModelT]], error: MemphisError | None
    ) -> None:
        try:
            outcome = handler(messages, error, self._context)
            if inspect.isawaitable(outcome):
                await outcome
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancels this task: a mishap of the handler, like any other.
            raise MemphisError("something that the handler awaited was cancelled") from cancelled

    async def _pause_until(self, moment: float) -> None:
        left_s = moment - time.monotonic()
        if left_s <= 0:
            return
        try:
            async with asyncio.timeout(left_s):
                await self._stopping.wait()
        except TimeoutError:
            return


def check_batch_size(batch_size: int) -> None:
    """Raise MemphisUsageError unless it is an int from 1 to 5000."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int):
        raise MemphisUsageError(f"batch_size must be an int, not {type(batch_size).__name__}")
    if not 1 <= batch_size <= BATCH_SIZE_MAX:
        raise MemphisUsageError(f"batch_size must be from 1 to {BATCH_SIZE_MAX}, not {batch_size}")


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MemphisUsageError(f"{name} must be an int from 0, not {value!r}")
