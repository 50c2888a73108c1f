"""Stores messages that a group gives up as dead letters, and only then takes them from the group.

The engine never gives up a message of a group of ours by itself, because what it says then it says
once, to whoever listens at that moment. It delivers the message one time more than the group's limit, and
the member that gets it stores it here. Until that is confirmed the message is the group's, whatever
is killed meanwhile. (docs/adr/0013)

Invariant: a message is settled in the engine only after its dead letter is confirmed, or where the
station keeps none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from memphis._core.deliveries import parse_delivery
from memphis.exceptions import MemphisConnectError, MemphisError, MemphisProduceError
from memphis.transport.errors import bare_text
from memphis.transport.receipt import Receipt
from memphis.types import Retention
from memphis.wire.acknowledgements import again_after, never_again
from memphis.wire.dead_letters import Failure, Label, as_reason, read_label, write_label
from memphis.wire.headers import (
    BLOCK_END,
    BLOCK_START,
    DEAD_LETTER,
    HEADER_BYTES_MAX,
    MESSAGE_ID,
    carried_lines,
    decode_block,
    encode_lines,
)
from memphis.wire.subjects import KIND_POISON, dead_letter_subject, redrive_group

if TYPE_CHECKING:
    from memphis._core.station_state import StationState
    from memphis.transport.connection import Connection
    from memphis.transport.protocol import MessageFrame
    from memphis.transport.publisher import Publisher
    from memphis.wire.names import GroupName

_log = logging.getLogger(__name__)

STORE_DEADLINE_S: Final = 15.0
RESEND_S: Final = 60.0
"""The stream of dead letters knows an id for much longer."""
_TRY_AGAIN_S: Final = 5.0
"""After so long the group is given the message again, and with it another attempt to store it."""
_LEFT_AGAIN_S: Final = 3600.0


class AwaitedReceipt(Receipt):
    """One dead letter on its way, which somebody awaits."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def confirmed(self, sequence: int, duplicate: bool) -> None:  # noqa: ARG002 - where is of no interest
        """It is stored, now or before."""
        if not self.future.done():
            self.future.set_result(None)

    def failed(self, error: MemphisProduceError) -> None:
        """It is not stored, or nobody knows."""
        if not self.future.done():
            self.future.set_exception(error)


class _PutAside(Receipt):
    """One dead letter on its way, which nobody awaits: tells how it ended, None for well."""

    __slots__ = ("_done",)

    def __init__(self, done: Callable[[MemphisProduceError | None], None]) -> None:
        self._done = done

    def confirmed(self, sequence: int, duplicate: bool) -> None:  # noqa: ARG002 - where is of no interest
        self.frame = b""
        self._done(None)

    def failed(self, error: MemphisProduceError) -> None:
        self.frame = b""
        self._done(error)


class GroupDeadLetters:
    """The dead letters that one member of a group finds.

    Args:
        connection: Where messages are settled.
        publisher: Stores them.
        state: The station, which says whether it keeps any.
        group: Whose they are.
        life: Which life of the group it is.
        deliveries_max: How often a message is given to the group.
    """

    def __init__(
        self,
        connection: Connection,
        publisher: Publisher,
        state: StationState,
        group: GroupName,
        life: str,
        deliveries_max: int,
    ) -> None:
        self._connection = connection
        self._publisher = publisher
        self._state = state
        self._group = group
        self._life = life
        self._deliveries_max = deliveries_max
        self._first_prefixes: dict[int, bytes] = {}

    @property
    def _is_kept(self) -> bool:
        return self._state.description.options.send_poison_msg_to_dls

    def is_last(self, delivery_count: int) -> bool:
        """Whether the group is not to be given a message again that it was given so often."""
        return delivery_count >= self._deliveries_max

    def screen(self, partition: int, frames: Sequence[MessageFrame]) -> Sequence[MessageFrame]:
        """The messages that the group may be given; the others are being put aside when this returns."""
        first = self._first_prefixes.get(partition)
        if first is not None and all(frame[3].startswith(first) for frame in frames):
            return frames  # nothing but first deliveries, as nearly always
        passed = []
        for frame in frames:
            delivery = parse_delivery(frame[3])
            if delivery.delivery_count > self._deliveries_max:
                self._put_aside(partition, frame)
                continue
            passed.append(frame)
            if delivery.delivery_count == 1 and first is None:
                first = self._first_prefixes[partition] = delivery.prefix + b"1."
        return passed

    async def keep(self, partition: int, frame: MessageFrame, reason: str) -> None:
        """Store a message as a dead letter, then take it from the group.

        Raises:
            MemphisProduceError: It is not stored, or nobody knows; it is still the group's.
            MemphisConnectError: The connection is closed.
        """
        self._connection.check_open()
        answer = never_again(reason)
        if self._is_kept:
            await self._publisher.wait_room()
            receipt = AwaitedReceipt()
            answer = self._post(partition, frame, reason, receipt)
            await receipt.future
        self._connection.publish(frame[3], answer)

    def _put_aside(self, partition: int, frame: MessageFrame) -> None:
        reason = f"not acknowledged in {self._deliveries_max} deliveries"
        answer = never_again(reason)

        def done(error: MemphisProduceError | None) -> None:
            if error is not None:
                _log.warning(
                    "a message of station %s that the group %s gave up could not be stored as a "
                    "dead letter and stays the group's: %s",
                    self._state.name, self._group, bare_text(error),
                )  # fmt: skip
            self._settle(frame, again_after(_TRY_AGAIN_S) if error else answer)

        if not self._is_kept:
            done(None)
            return
        try:
            answer = self._post(partition, frame, reason, _PutAside(done))
        except MemphisProduceError as error:
            done(error)
        except MemphisError as error:
            _log.debug("a dead letter waits for a connection: %s", error)

    def _settle(self, frame: MessageFrame, answer: bytes) -> None:
        try:
            self._connection.publish(frame[3], answer)
        except MemphisConnectError as error:
            _log.debug("the engine gives a message again, because it was not told: %s", error)

    def _post(self, partition: int, frame: MessageFrame, reason: str, receipt: Receipt) -> bytes:
        """Send the dead letter; returns how the message is settled once it is confirmed."""
        label = self._label(partition, frame, reason)
        payload, lines = bytes(frame[5]), carried_lines(frame[4])
        header = _header(label, lines)
        answer = never_again(reason)
        if not self._fits(header, payload):
            label = label.model_copy(update={"payload_is_left": True})
            header, payload = _header(label, b""), b""
            if self._state.description.options.retention_type is Retention.ACK_BASED:
                # Taken from the group it would be gone, and the payload with it.
                answer = again_after(_LEFT_AGAIN_S)
        subject = dead_letter_subject(label.station_id, label.partition, self._group, KIND_POISON)
        self._publisher.post(receipt, subject.encode(), payload, header, RESEND_S, STORE_DEADLINE_S)
        return answer

    def _fits(self, header: bytes, payload: bytes) -> bool:
        size = len(header) + len(payload)
        return len(header) <= HEADER_BYTES_MAX and size <= self._connection.max_payload

    def _label(self, partition: int, frame: MessageFrame, reason: str) -> Label:
        delivery = parse_delivery(frame[3])
        failure = Failure(
            reason=as_reason(reason),
            deliveries=min(delivery.delivery_count, self._deliveries_max),
            at=datetime.now(UTC),
        )
        if redrive_group(frame[2].decode()):
            earlier = read_label(decode_block(frame[4]).get(DEAD_LETTER))
            if earlier is not None:
                return earlier.failed_again(failure)
        return Label(
            station=str(self._state.name),
            station_id=self._state.description.id,
            partition=partition,
            sequence=delivery.sequence,
            group=str(self._group),
            group_life=self._life,
            kind=KIND_POISON,
            sent_at=delivery.sent_at,
            failures=[failure],
        )


def _header(label: Label, carried: bytes) -> bytes:
    # The engine obeys the first of two lines with one key: its own, then, come first.
    said = {MESSAGE_ID: label.identity, DEAD_LETTER: write_label(label)}
    return BLOCK_START + encode_lines(said) + carried + BLOCK_END
