"""A message as a consumer gets it; decoded piece by piece, when asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from memphis._core.arguments import checked
from memphis.exceptions import MemphisSchemaError, MemphisUsageError
from memphis.wire.acknowledgements import AGAIN, again_after, never_again
from memphis.wire.headers import SCHEMA, decode_block
from memphis.wire.models import REASON_LENGTH_MAX, DeadLetterAdd, DeadLetterAdded
from memphis.wire.schemas import read_mark

if TYPE_CHECKING:
    from memphis._core.enforcement import Codecs
    from memphis._core.rpc import Rpc
    from memphis._core.station_state import StationState
    from memphis.transport.connection import Connection
    from memphis.transport.protocol import MessageFrame
    from memphis.wire.names import GroupName

__all__ = ["Message"]

_NANOSECONDS = 1_000_000_000
# The places of a MessageFrame.
_ACK_SUBJECT: Final = 3
_HEADER: Final = 4
_PAYLOAD: Final = 5
_SHORT_FORM_TOKENS = 9
_DELAY_MAX_S = 1_000_000_000


class Delivery(NamedTuple):
    """What the engine says about one delivery, in the subject that acknowledges it."""

    delivery_count: int
    sequence: int
    time_ns: int
    pending: int


def parse_delivery(ack_subject: bytes) -> Delivery:
    """Read an acknowledgement subject of the engine, in either of its two forms.

    ``$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>``,
    or, from a server that adds them, with domain and account hash before the stream and possibly a
    token at the end (nats-server, ADR-15).
    """
    tokens = ack_subject.split(b".")
    first = 4 if len(tokens) == _SHORT_FORM_TOKENS else 6
    return Delivery(
        int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 3]), int(tokens[first + 4])
    )


class MessageSource(NamedTuple):
    """What all messages of one consumer share."""

    connection: Connection
    rpc: Rpc
    codecs: Codecs
    state: StationState
    group: GroupName


class Message:
    """One message of a station, delivered to one member of a group.

    Settle it with one of :meth:`ack`, :meth:`nack`, :meth:`delay` and :meth:`dead_letter`. Left
    unsettled, it is delivered again after the consumer's ``max_ack_time_ms``, until
    ``max_msg_deliveries`` is reached. Getters raise rather than return None.
    """

    __slots__ = (
        "_delivery",
        "_frame",
        "_settled",
        "_source",
        "partition",
    )

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
        seconds, nanoseconds = divmod(self._read_delivery().time_ns, _NANOSECONDS)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)

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

        A second call does nothing.

        Raises: As :meth:`ack`.
        """
        self._settle(AGAIN, "nacked")

    async def delay(self, delay: float) -> None:
        """Have the message delivered again after ``delay`` seconds, if deliveries are left.

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
        self._settle(again_after(delay), "delayed")

    async def dead_letter(self, reason: str) -> None:
        """Put the message among the dead letters of its group; the group does not get it again.

        It is stored first and only then taken from the group: when this raises, the message is
        still the group's and comes again. Other groups are not concerned. Where the station does not
        keep such dead letters (``send_poison_msg_to_dls=False``), it is taken from the group only.

        Args:
            reason: Kept with the dead letter; at most 4096 characters.

        Raises:
            MemphisUsageError: The reason is too long or no string, or the message was settled before.
            MemphisRequestError: The broker could not store it.
            MemphisConnectError: No broker answered, or the connection is closed.
        """
        if not isinstance(reason, str) or len(reason) > REASON_LENGTH_MAX:
            raise MemphisUsageError(
                f"the reason of a dead letter must be a string of at most {REASON_LENGTH_MAX} characters"
            )
        if self._settled == "dead-lettered":
            return
        self._check_unsettled("dead-lettered")
        delivery = self._read_delivery()
        request = checked(
            DeadLetterAdd,
            station=self._source.state.name,
            partition=self.partition,
            sequence=delivery.sequence,
            group=self._source.group,
            deliveries=delivery.delivery_count,
            reason=reason,
        )
        await self._source.rpc.call(request, DeadLetterAdded)
        self._settle(never_again(reason), "dead-lettered")

    def _read_delivery(self) -> Delivery:
        if self._delivery is None:
            self._delivery = parse_delivery(self._frame[_ACK_SUBJECT])
        return self._delivery

    def _check_unsettled(self, how: str) -> None:
        if self._settled:
            raise MemphisUsageError(
                f"{self!r} was {self._settled} before and cannot be {how}; a message is settled once"
            )

    def _settle(self, answer: bytes, how: str) -> None:
        if self._settled == how != "delayed":
            return  # a second delay is no repetition: it may be another one
        self._check_unsettled(how)
        self._source.connection.publish(self._frame[_ACK_SUBJECT], answer)
        self._settled = how
