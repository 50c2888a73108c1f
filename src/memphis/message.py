"""A message as a consumer gets it; decoded piece by piece, when asked."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, cast

from memphis._core.deliveries import Delivery, parse_delivery
from memphis._core.models import ModelMisfit, ModelT
from memphis.exceptions import MemphisProduceError, MemphisSchemaError, MemphisUsageError
from memphis.wire.acknowledgements import AGAIN, again_after
from memphis.wire.dead_letters import REASON_LENGTH_MAX, is_reason
from memphis.wire.headers import SCHEMA, decode_block
from memphis.wire.schemas import read_mark

if TYPE_CHECKING:
    from memphis._core.dead_letters import GroupDeadLetters
    from memphis._core.enforcement import Codecs
    from memphis._core.models import Model
    from memphis._core.station_state import StationState
    from memphis.transport.connection import Connection
    from memphis.transport.protocol import MessageFrame
    from memphis.wire.names import GroupName

__all__ = ["Message"]

# The places of a MessageFrame.
_ACK_SUBJECT: Final = 3
_HEADER: Final = 4
_PAYLOAD: Final = 5
_DELAY_MAX_S = 1_000_000_000
_UNREAD: Final = object()


class MessageSource(NamedTuple):
    """What all messages of one consumer share."""

    connection: Connection
    codecs: Codecs
    state: StationState
    group: GroupName
    dead_letters: GroupDeadLetters
    model: Model | None = None


class Message(Generic[ModelT]):
    """One message of a station, delivered to one member of a group.

    Settle it with one of :meth:`ack`, :meth:`nack`, :meth:`delay` and :meth:`dead_letter`. Left
    unsettled, it is delivered again after the consumer's ``max_ack_time_ms``, until
    ``max_msg_deliveries`` is reached. Getters raise rather than return None.

    ``Message[Order]`` is a message of a consumer that was made with ``model=Order``.
    """

    __slots__ = (
        "_delivery",
        "_frame",
        "_settled",
        "_source",
        "_value",
        "partition",
    )

    # Set when it is first asked for; most messages are never asked.
    _value: ModelT

    def __init__(self, source: MessageSource, partition: int, frame: MessageFrame) -> None:
        self._source = source
        self.partition = partition
        self._frame = frame
        self._delivery: Delivery | None = None
        self._settled = ""

    def __repr__(self) -> str:
        return (
            f"<Message {self.station_name} partition {self.partition} "
            f"sequence {self.get_sequence_number()}>"
        )

    @property
    def station_name(self) -> str:
        """The station that the message is from."""
        return str(self._source.state.name)

    @property
    def consumer_group(self) -> str:
        """The group that the message was delivered to."""
        return str(self._source.group)

    @property
    def delivery_count(self) -> int:
        """How often the group was given this message, from 1."""
        return self._read_delivery().delivery_count

    @property
    def value(self) -> ModelT:
        """The payload as an object of the consumer's model.

        It is validated when it is first asked for, and the same object each time. It has nothing to do
        with the station's schema, by which producers' messages were checked.

        Raises:
            MemphisSchemaError: The payload is none of the model's; names station, partition, sequence and
                the reason, ``path`` the place where pydantic found it. The message is as it was: not
                settled, so it comes again, and at last becomes a dead letter; or call
                :meth:`dead_letter` at once.
            MemphisUsageError: The consumer was made without ``model``.
        """
        value: Any = getattr(self, "_value", _UNREAD)
        if value is _UNREAD:
            value = self._value = self._validated()
        return cast("ModelT", value)

    def get_data(self) -> bytearray:
        """The payload; a new object each time."""
        return bytearray(self._frame[_PAYLOAD])

    async def get_data_deserialized(self) -> Any:
        """The payload by the schema version that it was checked by when it was produced.

        Returns:
            A new object each time: for JSON and Avro what JSON or Avro hold (mostly a dict), for
            protobuf a message object, for GraphQL the document's text. A message that carries no schema
            version was produced without one; its payload is returned as :meth:`get_data` returns it.

        Raises:
            MemphisSchemaError: The payload does not fit that version, or the schema was removed;
                :meth:`get_data` has the bytes.
            MemphisConnectError: The version is not known here yet, and no broker answered.
        """
        mark = self.get_headers().get(SCHEMA)
        if mark is None:
            return self.get_data()
        version = read_mark(mark)
        if version is None:
            raise MemphisSchemaError(
                f"{self!r} carries the schema version {mark!r}, which no producer of ours can have "
                "written; get_data() has its bytes"
            )
        codec = await self._source.codecs.get(version)
        return codec.decode(self._frame[_PAYLOAD])

    def get_headers(self) -> dict[str, str]:
        """All headers, those of Memphis and the engine included; a new dict each time.

        A key that occurs more than once gives its first value.
        """
        header = self._frame[_HEADER]
        return decode_block(header) if header else {}

    def get_sequence_number(self) -> int:
        """The message's place in its partition, from 1."""
        return self._read_delivery().sequence

    def get_timesent(self) -> datetime:
        """When the engine stored the message, in UTC, to the microsecond."""
        return self._read_delivery().sent_at

    async def ack(self) -> None:
        """Tell the engine that the group is done with this message.

        The acknowledgement is written without waiting for an answer; if it is lost with the
        connection, the message is delivered again. A second call does nothing.

        Raises:
            MemphisUsageError: The message was settled in another way before.
            MemphisConnectError: The connection is closed.
        """
        if self._settled == "acknowledged":
            return
        if self._settled:
            self._check_unsettled("acknowledged")
        self._source.connection.acknowledge(self._frame[_ACK_SUBJECT])
        self._settled = "acknowledged"

    async def nack(self) -> None:
        """Have the message delivered again to the group at once, if deliveries are left.

        If this was the last, the message is put among the dead letters of the group, stored first and
        then taken from it, as by :meth:`dead_letter`; where that cannot be done now, the group gets the
        message once more and it is tried then. A second call does nothing.

        Raises: As :meth:`ack`.
        """
        await self._give_up_or(AGAIN, "nacked")

    async def delay(self, delay: float) -> None:
        """Have the message delivered again after ``delay`` seconds, if deliveries are left.

        If none are, it becomes a dead letter at once, as by :meth:`nack`.

        Raises:
            MemphisUsageError: The delay is negative, or the message was settled before.
            MemphisConnectError: The connection is closed.
        """
        if (
            isinstance(delay, bool)
            or not isinstance(delay, int | float)
            or not 0 <= delay < _DELAY_MAX_S
        ):
            raise MemphisUsageError(f"delay must be a number of seconds from 0, not {delay!r}")
        await self._give_up_or(again_after(delay), "delayed")

    async def dead_letter(self, reason: str) -> None:
        """Put the message among the dead letters of its group; the group does not get it again.

        It is stored first and only then taken from the group: when this raises, or is cancelled, the
        message is still the group's and comes again. Other groups are not concerned. It needs no broker.
        Where the station does not keep such dead letters (``send_poison_msg_to_dls=False``), it is
        taken from the group only.

        Args:
            reason: Kept with the dead letter; at most 4096 characters.

        Raises:
            MemphisUsageError: The reason is too long or no string, or the message was settled before.
            MemphisProduceError: It could not be stored, for example because with what is said about it
                it is larger than the engine takes.
            MemphisConnectError: The connection is closed.
        """
        if not isinstance(reason, str) or not is_reason(reason):
            raise MemphisUsageError(
                f"the reason of a dead letter must be a text of at most {REASON_LENGTH_MAX} characters"
            )
        if self._settled == "dead-lettered":
            return
        self._check_unsettled("dead-lettered")
        await self._source.dead_letters.keep(self.partition, self._frame, reason)
        self._settled = "dead-lettered"

    def _validated(self) -> ModelT:
        model = self._source.model
        if model is None:
            raise MemphisUsageError(
                f"{self!r} has no value, because its consumer has no model; make that with model=..., or "
                "use get_data()"
            )
        try:
            return cast("ModelT", model.decode(self._frame[_PAYLOAD]))
        except ModelMisfit as misfit:
            raise MemphisSchemaError(
                f"message {self.get_sequence_number()} of partition {self.partition} of station "
                f"{self.station_name} is no {model.name}: {misfit}; get_data() has its bytes",
                misfit.path,
                misfit.expected,
            ) from misfit

    def _read_delivery(self) -> Delivery:
        if self._delivery is None:
            self._delivery = parse_delivery(self._frame[_ACK_SUBJECT])
        return self._delivery

    def _check_unsettled(self, how: str) -> None:
        if self._settled:
            raise MemphisUsageError(
                f"{self!r} was {self._settled} before and cannot be {how}; a message is settled once"
            )

    async def _give_up_or(self, answer: bytes, how: str) -> None:
        """Settle with ``answer``, or, after the last delivery, as a dead letter."""
        if self._settled == how != "delayed":
            return  # a second delay is no repetition: it may be another one
        self._check_unsettled(how)
        self._settled = how  # now, so that it cannot be settled in another way meanwhile
        try:
            is_last = self._source.dead_letters.is_last(self.delivery_count)
            if not is_last or not await self._kept(f"{how} after {self.delivery_count} deliveries"):
                self._source.connection.publish(self._frame[_ACK_SUBJECT], answer)
        except BaseException:
            self._settled = ""
            raise

    async def _kept(self, reason: str) -> bool:
        """Whether it is a dead letter now; if that is not certain, whoever gets it next tries again."""
        try:
            await self._source.dead_letters.keep(self.partition, self._frame, reason)
        except MemphisProduceError:
            return False
        return True
