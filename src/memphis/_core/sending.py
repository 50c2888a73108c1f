"""From a message to a confirmed place in a station: partition, headers, window, result.

One :class:`StationSender` serves one producer and one station. The path of a message is a straight
line: choose the partition, wait for room in the window, write the frame, settle the result. Order on
the wire is the order in which callers pass the window, and callers pass it first come, first served.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from memphis.exceptions import MemphisError, MemphisProduceError, MemphisUsageError
from memphis.wire.headers import (
    BLOCK_END,
    BLOCK_START,
    CONNECTION_ID,
    MESSAGE_ID,
    ORIGINAL_MESSAGE_ID,
    PRODUCED_BY,
    encode_lines,
)
from memphis.wire.partitions import RoundRobin, check_selectors, partition_for_key
from memphis.wire.subjects import ingest_subject

if TYPE_CHECKING:
    from memphis._core.station_state import StationState
    from memphis.transport.acknowledgement import PublishResult
    from memphis.transport.publisher import Publisher
    from memphis.wire.names import ProducerName

_log = logging.getLogger(__name__)

WINDOW_DEFAULT: Final = 5000
"""Unconfirmed messages of one producer and station, where the caller set no limit."""
_FAILURES_KEPT: Final = 1000
"""Unseen failures kept with their details; beyond, they are only counted."""

ErrorCallback = Callable[[MemphisError], object]


class ProduceResult(NamedTuple):
    """Where a message is stored.

    Attributes:
        station: The station's name.
        partition: The partition's number, from 1.
        sequence: Its place in the partition, from 1.
        duplicate: True if the engine had a message with this ``msg_id`` already; the place is that
            message's, and nothing new was stored.
    """

    station: str
    partition: int
    sequence: int
    duplicate: bool


class PendingProduce:
    """The result of a nonblocking produce: await it, now or later, or leave it to ``flush()``.

    Awaiting gives a :class:`ProduceResult` or raises what went wrong. It may be awaited more than
    once. Cancelling the awaiting task does not take the message back.
    """

    __slots__ = ("_awaiting", "_future", "_partition", "_sender", "seen")

    def __init__(
        self, sender: StationSender, future: asyncio.Future[PublishResult], partition: int
    ) -> None:
        self._sender = sender
        self._future = future
        self._partition = partition
        self._awaiting = 0
        self.seen = False

    @property
    def is_awaited(self) -> bool:
        """Whether somebody awaits it at this moment, and so will see how it ends."""
        return self._awaiting > 0

    def done(self) -> bool:
        """Whether the message is confirmed or failed."""
        return self._future.done()

    def __await__(self) -> Generator[Any, None, ProduceResult]:
        self._awaiting += 1
        try:
            result = yield from asyncio.shield(self._future).__await__()
        except MemphisError:
            # Only now: whoever stops awaiting before the end has seen nothing.
            self.seen = True
            raise
        finally:
            self._awaiting -= 1
        return ProduceResult(
            self._sender.station_name, self._partition, result.sequence, result.duplicate
        )

    def error(self) -> MemphisError | None:
        """What went wrong; None while it is under way or if all went well."""
        if not self._future.done() or self._future.cancelled():
            return None
        error = self._future.exception()
        return error if isinstance(error, MemphisError) else None


class StationSender:
    """Sends one producer's messages to one station, a bounded number at a time."""

    def __init__(
        self,
        publisher: Publisher,
        state: StationState,
        producer: ProducerName,
        connection_id: str,
        on_error: ErrorCallback | None,
    ) -> None:
        self._publisher = publisher
        self._state = state
        self._on_error = on_error
        self.station_name = str(state.name)
        self._subjects = {p: ingest_subject(state.name, p).encode() for p in state.partitions}
        self._round_robin = RoundRobin(state.partitions)
        self._header_start = BLOCK_START + encode_lines(
            {PRODUCED_BY: producer, CONNECTION_ID: connection_id}
        )
        self._header_plain = self._header_start + BLOCK_END
        self._in_flight = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failures: deque[PendingProduce] = deque()
        self._failures_dropped = 0

    @property
    def station_removed(self) -> bool:
        """Whether the station is known to be gone."""
        return self._state.removed

    @property
    def in_flight(self) -> int:
        """Messages that are neither confirmed nor failed."""
        return self._in_flight

    @property
    def is_settled(self) -> bool:
        """Whether nothing is in flight and no failure waits to be taken."""
        return not (self._in_flight or self._failures or self._failures_dropped)

    def check(self, key: str | None, number: int, message_id: str | None) -> None:
        """Raise MemphisUsageError for a partition that cannot be chosen, an id that cannot be sent."""
        check_selectors(key, number, self._state.partitions)
        if message_id is None:
            return
        if not isinstance(message_id, str) or not message_id:
            raise MemphisUsageError("msg_id must be a non-empty string")
        if not message_id.isprintable():
            raise MemphisUsageError(f"msg_id {message_id!r} has unprintable characters")

    async def send(
        self,
        payload: bytes,
        *,
        headers: Mapping[str, str],
        message_id: str | None,
        key: str | None,
        number: int,
        window: int,
        deadline_s: float,
        nonblocking: bool,
    ) -> PendingProduce:
        """Write a message and return its pending result; waits while ``window`` are unconfirmed.

        The caller has had :meth:`check` look at key, number and id. The failure of a ``nonblocking``
        message is reported by the error callback or :meth:`take_failures`; other callers await.

        Raises:
            MemphisNotFoundError: The station was removed.
            MemphisProduceError: The message is larger than the engine takes.
            MemphisConnectError: The connection is closed.
        """
        header = self._header(headers, message_id)
        if self._waiting or self._in_flight >= window:
            await self._wait_turn(window)
        else:
            self._in_flight += 1
            self._idle.clear()
        try:
            if not self._publisher.has_room:
                await self._publisher.wait_room()
            self._state.check_present()
            partition = self._choose(key, number, message_id)
            future = self._publisher.send(
                self._subjects[partition],
                payload,
                header=header,
                resendable=message_id is not None,
                deadline_s=deadline_s,
            )
        except BaseException:
            self._leave()
            raise
        pending = PendingProduce(self, future, partition)
        future.add_done_callback(lambda _: self._settled(pending, nonblocking))
        return pending

    def fail(self, error: MemphisError, *, nonblocking: bool) -> PendingProduce:
        """The pending result of a message that could not even be sent."""
        future: asyncio.Future[PublishResult] = asyncio.get_running_loop().create_future()
        future.set_exception(error)
        pending = PendingProduce(self, future, 0)
        self._note_failure(pending, nonblocking)
        return pending

    async def flush(self) -> None:
        """Wait until nothing is in flight. Every message has a deadline, so this ends."""
        await self._idle.wait()

    def take_failures(self) -> tuple[list[MemphisError], int]:
        """The failures that nobody has seen, each given once, and how many more were not kept."""
        errors: list[MemphisError] = []
        awaited: deque[PendingProduce] = deque()
        for pending in self._failures:
            error = pending.error()
            if pending.is_awaited:
                awaited.append(pending)
            elif not pending.seen and error is not None:
                errors.append(error)
        self._failures = awaited
        dropped, self._failures_dropped = self._failures_dropped, 0
        return errors, dropped

    def _header(self, headers: Mapping[str, str], message_id: str | None) -> bytes:
        if not headers and message_id is None:
            return self._header_plain
        lines = encode_lines(headers)
        if message_id is not None:
            lines += encode_lines({ORIGINAL_MESSAGE_ID: message_id, MESSAGE_ID: message_id})
        return self._header_start + lines + BLOCK_END

    def _choose(self, key: str | None, number: int, message_id: str | None) -> int:
        if number != -1:
            return number
        # A message sent twice must meet itself, or it is stored twice: the id decides.
        key = message_id if key is None else key
        if key is not None:
            return partition_for_key(key, self._state.partitions)
        return next(self._round_robin)

    async def _wait_turn(self, window: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((window, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the turn was given in the same moment; pass it on
            elif (window, turn) in self._waiting:  # else it was passed over as cancelled already
                self._waiting.remove((window, turn))
            raise

    def _leave(self) -> None:
        """Give up a place in the window and pass it to whoever waits longest."""
        self._in_flight -= 1
        while self._waiting and self._in_flight < self._waiting[0][0]:
            _, turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)
        if not self._in_flight:
            self._idle.set()

    def _settled(self, pending: PendingProduce, nonblocking: bool) -> None:
        self._leave()
        self._note_failure(pending, nonblocking)

    def _note_failure(self, pending: PendingProduce, nonblocking: bool) -> None:
        error = pending.error()
        if error is None or not nonblocking:
            return
        if self._on_error is not None:
            pending.seen = True
            self._report(self._on_error, error)
        elif len(self._failures) < _FAILURES_KEPT:
            self._failures.append(pending)
        else:
            self._failures_dropped += 1

    def _report(self, callback: ErrorCallback, error: MemphisError) -> None:
        try:
            callback(error)
        except Exception:  # noqa: BLE001 - supervisor: an application's callback must not stop the producer
            _log.exception("the error callback of a producer of %s failed", self.station_name)


def summarize_failures(errors: list[MemphisError], dropped: int, what: str) -> MemphisError | None:
    """One error for many: the single one itself, or a summary that carries the first as its cause."""
    if not errors and not dropped:
        return None
    if len(errors) == 1 and not dropped:
        return errors[0]
    summary = MemphisProduceError(
        f"{len(errors) + dropped} messages of {what} failed; the first: {errors[0]}"
        if errors
        else f"{dropped} messages of {what} failed"
    )
    summary.__cause__ = errors[0] if errors else None
    return summary
