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
from memphis.headers import Headers, as_mapping
from memphis.transport.receipt import Receipt
from memphis.wire.headers import (
    BLOCK_END,
    BLOCK_START,
    CONNECTION_ID,
    MESSAGE_ID,
    ORIGINAL_MESSAGE_ID,
    PRODUCED_BY,
    check_user_header,
    encode_lines,
)
from memphis.wire.partitions import RoundRobin, check_selectors, partition_for_key
from memphis.wire.subjects import ingest_subject

if TYPE_CHECKING:
    from memphis._core.station_state import StationState
    from memphis.transport.publisher import Publisher
    from memphis.wire.names import ProducerName

_log = logging.getLogger(__name__)

WINDOW_DEFAULT: Final = 5000
"""Unconfirmed messages of one producer and station, where the caller set no limit."""
_FAILURES_KEPT: Final = 1000
"""Unseen failures kept with their details; beyond, they are only counted."""
_RESEND_SHARE: Final = 0.8
"""A message is sent again only in this part of the idempotency window: the engine must still know
its id when the copy arrives."""
_BLOCKS_KEPT: Final = 256
_KEPT_BLOCK_BYTES: Final = 1024
"""At most 256 kB of header blocks are kept per producer and station."""

ErrorCallback = Callable[[MemphisError], object]


class Choice(NamedTuple):
    """What a caller gave that decides on the partition."""

    message_id: str | None
    key: str | None
    number: int


NO_CHOICE: Final = Choice(None, None, -1)
"""Partitions in turn."""


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


class _Flight:
    """The messages sent between two flushes: a flush waits for those before it and for no others."""

    __slots__ = ("_landed", "count")

    def __init__(self) -> None:
        self.count = 0
        self._landed: asyncio.Event | None = None

    def leave(self) -> None:
        """One message is confirmed or has failed."""
        self.count -= 1
        if not self.count and self._landed is not None:
            self._landed.set()

    async def land(self) -> None:
        """Wait until none is under way; every message has a deadline, so this ends."""
        if self.count:
            self._landed = self._landed or asyncio.Event()
            await self._landed.wait()


class PendingProduce(Receipt):
    """The result of a nonblocking produce: await it, now or later, or leave it to ``flush()``.

    Awaiting gives a :class:`ProduceResult` or raises what went wrong. It may be awaited more than
    once. Cancelling the awaiting task does not take the message back.
    """

    __slots__ = (
        "_duplicate",
        "_error",
        "_flight",
        "_is_counted",
        "_nonblocking",
        "_partition",
        "_sender",
        "_sequence",
        "_waiters",
        "seen",
    )

    def __init__(
        self, sender: StationSender, flight: _Flight, partition: int, nonblocking: bool
    ) -> None:
        self._sender = sender
        self._flight = flight
        flight.count += 1
        self._partition = partition
        self._nonblocking = nonblocking
        self._sequence = 0
        self._duplicate = False
        self._error: MemphisError | None = None
        # Made when somebody awaits: a future per message would be the dearest part of its way.
        self._waiters: list[asyncio.Future[None]] | None = None
        self.seen = False
        self._is_counted = False

    @property
    def is_awaited(self) -> bool:
        """Whether somebody awaits it at this moment, and so will see how it ends."""
        return bool(self._waiters)

    def done(self) -> bool:
        """Whether the message is confirmed or failed."""
        return self._sequence > 0 or self._error is not None

    def error(self) -> MemphisError | None:
        """What went wrong; None while it is under way or if all went well."""
        return self._error

    def __await__(self) -> Generator[Any, None, ProduceResult]:
        if not self.done():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            try:
                yield from waiter.__await__()
            finally:
                self._waiters.remove(waiter)
        if self._error is not None:
            # Only now: whoever stops awaiting before the end has seen nothing.
            self.seen = True
            if self._is_counted:
                self._is_counted = False
                self._sender.uncount_failure()
            raise self._error
        return ProduceResult(
            self._sender.station_name, self._partition, self._sequence, self._duplicate
        )

    def confirmed(self, sequence: int, duplicate: bool, answer: bytes) -> None:  # noqa: ARG002 - the publisher's signature
        """For the publisher: it is stored."""
        self._sequence = sequence
        self._duplicate = duplicate
        self.frame = b""  # kept for sending it again, which is over
        self._flight.leave()
        self._sender.left()
        if self._waiters is not None:
            self._wake()

    def withdrawn(self) -> None:
        """It could not be sent, and the caller is told by an exception."""
        self._flight.leave()
        self._sender.left()

    def failed(self, error: MemphisError) -> None:
        """For the publisher: it is not stored, or nobody knows."""
        self._error = error
        self.frame = b""
        if self._nonblocking:
            self._is_counted = self._sender.note_failure(self, error)
        self._flight.leave()
        self._sender.left()
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)


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
        options = state.description.options.as_kept()
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
        self._header_blocks: dict[tuple[tuple[str, str], ...], bytes] = {}
        self._flights = [_Flight()]
        self._resend_s = _RESEND_SHARE * options.idempotency_window_ms / 1000
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

    def check(self, choice: Choice) -> None:
        """Raise MemphisUsageError for a partition that cannot be chosen, an id that cannot be sent."""
        message_id, key, number = choice
        check_selectors(key, number, self._state.partitions)
        if message_id is None:
            return
        if not isinstance(message_id, str) or not message_id:
            raise MemphisUsageError("msg_id must be a non-empty string")
        if not message_id.isprintable():
            raise MemphisUsageError(f"msg_id {message_id!r} has unprintable characters")
        if message_id != message_id.strip():
            # The engine trims header values, so " a" and "a" would be the same id to it.
            raise MemphisUsageError(f"msg_id {message_id!r} begins or ends with a space")

    def header(self, headers: Headers | Mapping[str, str] | None, message_id: str | None) -> bytes:
        """The header block of a message; blocks that come again and again are kept.

        Raises:
            MemphisHeaderError: A header that cannot be sent.
        """
        block = self._user_block(headers) if headers else self._header_plain
        if message_id is None:
            return block
        ids = encode_lines({ORIGINAL_MESSAGE_ID: message_id, MESSAGE_ID: message_id})
        return b"%b%b\r\n" % (block[:-2], ids)

    def send_now(
        self,
        payload: bytes,
        header: bytes,
        choice: Choice,
        *,
        window: int,
        deadline_s: float,
        nonblocking: bool,
    ) -> PendingProduce | None:
        """As :meth:`send`, if there is room at this moment; None if one must wait."""
        if self._waiting or self._in_flight >= window or not self._publisher.has_room:
            return None
        self._enter()
        return self._post(payload, header, choice, deadline_s, nonblocking)

    async def send(
        self,
        payload: bytes,
        header: bytes,
        choice: Choice,
        *,
        window: int,
        deadline_s: float,
        nonblocking: bool,
    ) -> PendingProduce:
        """Write a message and return its pending result; waits while ``window`` are unconfirmed.

        The caller has had :meth:`check` look at the choice. The failure of a ``nonblocking`` message
        is reported by the error callback or :meth:`take_failures`; other callers await.

        Raises:
            MemphisNotFoundError: The station was removed.
            MemphisProduceError: The message is larger than the engine takes.
            MemphisConnectError: The connection is closed.
        """
        if self._waiting or self._in_flight >= window:
            await self._wait_turn(window)
        else:
            self._enter()
        try:
            await self._publisher.wait_room()
        except BaseException:
            self.left()
            raise
        return self._post(payload, header, choice, deadline_s, nonblocking)

    def fail(self, error: MemphisError, *, nonblocking: bool) -> PendingProduce:
        """The pending result of a message that could not even be sent."""
        self._enter()
        pending = PendingProduce(self, self._flights[-1], 0, nonblocking)
        pending.failed(error)
        return pending

    def _enter(self) -> None:
        if not self._in_flight:
            self._idle.clear()
        self._in_flight += 1

    def _post(
        self, payload: bytes, header: bytes, choice: Choice, deadline_s: float, nonblocking: bool
    ) -> PendingProduce:
        """Hand a message that has a place in the window to the publisher."""
        try:
            if self._state.removed:
                self._state.check_present()
            partition = self._choose(choice)
            pending = PendingProduce(self, self._flights[-1], partition, nonblocking)
        except BaseException:
            self.left()
            raise
        try:
            self._publisher.post(
                pending,
                self._subjects[partition],
                payload,
                header=header,
                resend_s=0 if choice.message_id is None else self._resend_s,
                deadline_s=deadline_s,
            )
        except BaseException:
            pending.withdrawn()
            raise
        return pending

    async def flush(self) -> None:
        """Wait until the messages sent so far are confirmed or have failed, whatever is sent since."""
        before = [flight for flight in self._flights if flight.count]
        self._flights = [*before, _Flight()]
        for flight in before:
            await flight.land()

    async def drain(self) -> None:
        """Wait until nothing is in flight, nor waits for its turn; nothing new may be sent."""
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

    def _user_block(self, headers: Headers | Mapping[str, str]) -> bytes:
        checked = as_mapping(headers)
        try:
            key = tuple(checked.items())
            block = self._header_blocks.get(key)
        except TypeError:  # an unhashable value, which is no string
            key, block = (), None
        if block is not None:
            return block
        for name, value in checked.items():
            check_user_header(name, value)
        block = self._header_start + encode_lines(checked) + BLOCK_END
        if len(block) <= _KEPT_BLOCK_BYTES:
            if len(self._header_blocks) >= _BLOCKS_KEPT:
                self._header_blocks.clear()
            self._header_blocks[key] = block
        return block

    def _choose(self, choice: Choice) -> int:
        message_id, key, number = choice
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
                self.left()  # the turn was given in the same moment; pass it on
            elif (window, turn) in self._waiting:  # else it was passed over as cancelled already
                self._waiting.remove((window, turn))
            raise

    def left(self) -> None:
        """Give up a place in the window and pass it to whoever waits longest."""
        self._in_flight -= 1
        if self._waiting:
            self._pass_on()
        if not self._in_flight:
            self._idle.set()

    def _pass_on(self) -> None:
        while self._waiting and self._in_flight < self._waiting[0][0]:
            _, turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)

    def note_failure(self, pending: PendingProduce, error: MemphisError) -> bool:
        """For pending results: see to it that somebody hears of it; True if it is only counted."""
        if self._on_error is not None:
            pending.seen = True
            self._report(self._on_error, error)
            return False
        if len(self._failures) >= _FAILURES_KEPT:
            self._failures = deque(kept for kept in self._failures if not kept.seen)
        if len(self._failures) < _FAILURES_KEPT:
            self._failures.append(pending)
            return False
        self._failures_dropped += 1
        return True

    def uncount_failure(self) -> None:
        """For pending results: one that was only counted was seen after all."""
        self._failures_dropped = max(0, self._failures_dropped - 1)

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
