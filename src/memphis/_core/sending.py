"""From a message to a confirmed place in a station: partition, headers, window, result.

One :class:`StationSender` serves one producer and one station. The path of a message is a straight
line: choose the partition, wait for room in the window, write the frame, settle the result. Order on
the wire is the order in which callers pass the window, and callers pass it first come, first served.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from memphis._core.enforcement import SchemaPendingError
from memphis._core.payload import encode_payload
from memphis._core.pending import Flight, PendingProduce
from memphis._core.refused import keep_refused
from memphis.exceptions import (
    MemphisError,
    MemphisProduceError,
    MemphisSchemaError,
    MemphisUsageError,
)
from memphis.headers import Headers, as_mapping
from memphis.wire.headers import (
    BLOCK_END,
    BLOCK_START,
    CONNECTION_ID,
    MESSAGE_ID,
    ORIGINAL_MESSAGE_ID,
    PRODUCED_BY,
    add_lines,
    check_user_header,
    encode_lines,
)
from memphis.wire.partitions import check_selectors, partition_for_key, round_robin
from memphis.wire.subjects import ingest_subject

if TYPE_CHECKING:
    from memphis._core.enforcement import EnforcedSchema
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
_KEPT_BLOCK_BYTES: Final = 16 * 1024
"""Headers that are the same as the last message's are not encoded again, up to this size."""

ErrorCallback = Callable[[MemphisError], object]


class Choice(NamedTuple):
    """What a caller gave that decides on the partition."""

    message_id: str | None
    key: str | None
    number: int


NO_CHOICE: Final = Choice(None, None, -1)
"""Partitions in turn."""


class _Waiter(NamedTuple):
    """A caller that waits for a place while ``window`` messages are unconfirmed."""

    window: int
    turn: asyncio.Future[Flight]


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
        self._turns = round_robin(state.partitions)
        self._own_headers = {PRODUCED_BY: str(producer), CONNECTION_ID: connection_id}
        self._begin_headers(state.enforced)
        self._resend_s = _RESEND_SHARE * options.idempotency_window_ms / 1000
        self._flight = Flight(self)
        self._earlier: list[Flight] = []
        self._waiting: deque[_Waiter] = deque()
        self._failures: dict[PendingProduce, None] = {}
        self._failures_dropped = 0

    @property
    def station_removed(self) -> bool:
        """Whether the station is known to be gone."""
        return self._state.removed

    @property
    def in_flight(self) -> int:
        """Messages that are neither confirmed nor failed."""
        return self._flight.count + sum(flight.count for flight in self._earlier)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is in flight and no failure waits to be taken."""
        return not (self.in_flight or self._failures or self._failures_dropped)

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

    @property
    def schema(self) -> EnforcedSchema | None:
        """What :meth:`frame` checks by at this moment."""
        return self._state.enforced

    def frame(
        self,
        message: Any,
        headers: Headers | Mapping[str, str] | None,
        message_id: str | None,
    ) -> tuple[bytes, bytes]:
        """The payload and the header block of a message, by the schema that holds at this moment.

        Raises:
            SchemaPendingError: What holds is being loaded; :meth:`send` waits for it.
            MemphisSchemaError: It does not fit the schema; see :meth:`keep_refused`.
            MemphisUsageError: It is of a type that cannot be sent.
            MemphisHeaderError: A header that cannot be sent.
        """
        schema = self._state.enforced
        if schema is not self._header_schema:
            self._begin_headers(schema)
        header = self._header(headers, message_id)
        if schema is not None:
            return schema.codec.encode(message), header
        return message if type(message) is bytes else encode_payload(message), header

    async def keep_refused(
        self,
        message: Any,
        headers: Headers | Mapping[str, str] | None,
        message_id: str | None,
        error: MemphisSchemaError,
        deadline_s: float,
    ) -> None:
        """Have a message that :meth:`frame` refused kept as a dead letter, where the station says so."""
        user_headers = dict(as_mapping(headers)) if headers else {}
        if message_id is not None:
            user_headers[ORIGINAL_MESSAGE_ID] = message_id
        header = BLOCK_START + encode_lines({**self._own_headers, **user_headers}) + BLOCK_END
        await keep_refused(self._publisher, self._state, header, message, error, deadline_s)

    def _begin_headers(self, schema: EnforcedSchema | None) -> None:
        """Start the header blocks anew: they say which schema version a message was checked by."""
        mark = {} if schema is None else schema.header()
        self._header_schema = schema
        self._header_start = BLOCK_START + encode_lines({**self._own_headers, **mark})
        self._header_plain = self._header_start + BLOCK_END
        self._latest_headers: Mapping[str, str] = {}
        self._latest_block = self._header_plain

    def _header(self, headers: Headers | Mapping[str, str] | None, message_id: str | None) -> bytes:
        """The header block of a message; blocks that come again and again are kept."""
        if not headers:
            block = self._header_plain
        elif type(headers) is dict and headers == self._latest_headers:
            block = self._latest_block
        else:
            block = self._user_block(headers)
        if message_id is None:
            return block
        return add_lines(block, {ORIGINAL_MESSAGE_ID: message_id, MESSAGE_ID: message_id})

    def enter(self, window: int) -> Flight | None:
        """A place for one message, if there is one now and nobody waits; :meth:`post` uses it up."""
        flight = self._flight
        if flight.is_watched or not self._publisher.has_room:
            return None  # somebody may be waiting, or earlier flights count as well
        if flight.count >= window:
            return None
        flight.count += 1
        return flight

    async def wait_turn(self, window: int) -> Flight:
        """A place for one message, first come, first served; waits while ``window`` are unconfirmed.

        Raises:
            MemphisConnectError: The connection is closed.
        """
        flight = self._flight
        if self._waiting or self.in_flight >= window:
            flight = await self._wait_place(window)
        else:
            flight.count += 1
        try:
            await self._publisher.wait_room()
        except BaseException:
            flight.leave()
            raise
        return flight

    async def send(
        self,
        message: Any,
        headers: Headers | Mapping[str, str] | None,
        choice: Choice,
        window: int,
        deadline_s: float,
        nonblocking: bool,
    ) -> PendingProduce:
        """Send a message as soon as it has a place, checked by the schema that holds then.

        Arguments and errors are those of :meth:`wait_turn`, :meth:`frame` and :meth:`post`; a schema that
        is being loaded is waited for.
        """
        flight = self.enter(window) or await self.wait_turn(window)
        try:
            try:
                payload, header = self.frame(message, headers, choice.message_id)
            except SchemaPendingError:
                payload, header = await self.frame_when_known(
                    message, headers, choice.message_id, deadline_s
                )
        except BaseException:
            flight.leave()
            raise
        return self.post(flight, payload, header, choice, deadline_s, nonblocking)

    async def frame_when_known(
        self,
        message: Any,
        headers: Headers | Mapping[str, str] | None,
        message_id: str | None,
        deadline_s: float,
    ) -> tuple[bytes, bytes]:
        """As :meth:`frame`; a schema that is being loaded is waited for, ``deadline_s`` seconds."""
        deadline = time.monotonic() + deadline_s
        while True:
            try:
                return self.frame(message, headers, message_id)
            except SchemaPendingError:
                await self._state.schema_known(max(0.0, deadline - time.monotonic()))

    def post(
        self,
        flight: Flight,
        payload: bytes,
        header: bytes,
        choice: Choice,
        deadline_s: float,
        nonblocking: bool,
    ) -> PendingProduce:
        """Write a message that has a place in ``flight`` and return its pending result.

        The caller has had :meth:`check` look at the choice. The failure of a ``nonblocking`` message
        is reported by the error callback or :meth:`take_failures`; other callers await.

        Raises:
            MemphisNotFoundError: The station was removed.
            MemphisProduceError: The message is larger than the engine takes.
            MemphisConnectError: The connection is closed.
        """
        try:
            if self._state.removed:
                self._state.check_present()
            partition = next(self._turns) if choice is NO_CHOICE else self._choose(choice)
            pending = PendingProduce(flight, partition, nonblocking)
            self._publisher.post(
                pending,
                self._subjects[partition],
                payload,
                header,
                0 if choice is NO_CHOICE or choice.message_id is None else self._resend_s,
                deadline_s,
            )
        except BaseException:
            flight.leave()
            raise
        return pending

    def place(self, choice: Choice) -> tuple[int, bytes]:
        """The partition that this choice means, and the subject that leads there.

        Raises:
            MemphisNotFoundError: The station was removed.
        """
        self.check_present()
        number = self._choose(choice)
        return number, self._subjects[number]

    def check_present(self) -> None:
        """Raise MemphisNotFoundError if the station was removed."""
        self._state.check_present()

    def fail(self, error: MemphisError, *, nonblocking: bool) -> PendingProduce:
        """The pending result of a message that could not even be sent."""
        self._flight.count += 1
        pending = PendingProduce(self._flight, 0, nonblocking)
        pending.failed(error)
        return pending

    async def flush(self) -> None:
        """Wait until the messages sent so far are confirmed or have failed, whatever is sent since.

        Every message has a deadline, so this ends.
        """
        if self._flight.count:
            self._flight.is_watched = True
            self._earlier.append(self._flight)
            self._flight = self._new_flight()
        for flight in list(self._earlier):
            await flight.landed.wait()

    async def drain(self) -> None:
        """Wait until nothing is in flight, nor waits for its turn; nothing new may be sent."""
        while self.in_flight:
            await self.flush()

    def take_failures(self) -> tuple[list[MemphisError], int]:
        """The failures that nobody has seen, each given once, and how many more were not kept."""
        taken = [pending for pending in self._failures if not pending.is_awaited]
        for pending in taken:
            del self._failures[pending]
        dropped, self._failures_dropped = self._failures_dropped, 0
        return [error for pending in taken if (error := pending.error()) is not None], dropped

    def _user_block(self, headers: Headers | Mapping[str, str]) -> bytes:
        checked = as_mapping(headers)
        for name, value in checked.items():
            check_user_header(name, value)
        block = self._header_start + encode_lines(checked) + BLOCK_END
        if type(headers) is dict and len(block) <= _KEPT_BLOCK_BYTES:
            self._latest_headers, self._latest_block = dict(headers), block
        return block

    def _choose(self, choice: Choice) -> int:
        message_id, key, number = choice
        if number != -1:
            return number
        # A message sent twice must meet itself, or it is stored twice: the id decides.
        key = message_id if key is None else key
        if key is not None:
            return partition_for_key(key, self._state.partitions)
        return next(self._turns)

    async def _wait_place(self, window: int) -> Flight:
        waiter = _Waiter(window, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._watch()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled():
                waiter.turn.result().leave()  # the turn was given in the same moment; pass it on
            elif waiter in self._waiting:  # else it was passed over as cancelled already
                self._waiting.remove(waiter)
                self._watch()
            raise

    def flight_changed(self, flight: Flight) -> None:
        """A message has left: its place goes to whoever waits longest, and a flush may be over."""
        while self._waiting and self.in_flight < self._waiting[0].window:
            waiter = self._waiting.popleft()
            if not waiter.turn.done():
                self._flight.count += 1
                waiter.turn.set_result(self._flight)
        if not flight.count and flight in self._earlier:
            self._earlier.remove(flight)
            flight.landed.set()
        self._watch()

    def _new_flight(self) -> Flight:
        flight = Flight(self)
        flight.is_watched = True  # there is an earlier one
        return flight

    def _watch(self) -> None:
        """Have the open flight say when messages leave it, as long as that matters to anyone."""
        self._flight.is_watched = bool(self._waiting or self._earlier)

    def note_failure(self, pending: PendingProduce, error: MemphisError) -> bool:
        """For pending results: see to it that somebody hears of it; True if it is only counted."""
        if self._on_error is not None:
            self._report(self._on_error, error)
        elif len(self._failures) < _FAILURES_KEPT:
            self._failures[pending] = None
        else:
            self._failures_dropped += 1
            return True
        return False

    def failure_seen(self, pending: PendingProduce, *, was_counted: bool) -> None:
        """For pending results: who awaits it has heard of the failure, so a flush need not tell."""
        if was_counted:
            self._failures_dropped = max(0, self._failures_dropped - 1)
        else:
            self._failures.pop(pending, None)

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
