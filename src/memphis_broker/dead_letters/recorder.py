"""Stores dead letters that somebody else has found: the engine, or an SDK that cannot store them itself.

The order here: store the dead letter, then let the message go from a stream that waits for the consumer.
Whoever calls this acknowledges the word that led here after that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from memphis.types import Retention
from memphis.wire import headers, subjects
from memphis.wire.dead_letters import Failure, Label, as_reason, read_label
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.names import GroupName, InvalidNameError, StationName
from memphis_broker.dead_letters import model
from memphis_broker.engine.durables import Durables
from memphis_broker.engine.streams import StoredMessage, Streams
from memphis_broker.groups.model import life_of
from memphis_broker.stations.model import StationRecord
from memphis_broker.stations.service import StationService

_ASIDE_BYTES = 64 * 1024
_GONE = "retention took the message before it could be copied"


class GivenUp(NamedTuple):
    """A message that a consumer of a station's stream will not be given again.

    Attributes:
        stream: Of a partition.
        consumer: The durable's name.
        sequence: Which message.
        deliveries: How often it was given; 0 where nobody says.
        reason: Why.
        at: When; None where nobody says.
        was_terminated: Whether the consumer itself has settled it, so that a stream that waits for its
            consumers may have let it go.
    """

    stream: str
    consumer: str
    sequence: int
    deliveries: int
    reason: str
    at: datetime | None = None
    was_terminated: bool = False


class Place(NamedTuple):
    """Where a message was, and for whom."""

    station: StationRecord
    partition: int
    group: GroupName


class Recorder:
    """Safe for many tasks and many brokers at once; the same word twice leaves one dead letter.

    Every method raises ``Refusal`` where the engine refuses or does not answer.
    """

    def __init__(
        self,
        stations: StationService,
        streams: Streams,
        durables: Durables,
        now: Callable[[], datetime],
    ) -> None:
        self._stations = stations
        self._streams = streams
        self._durables = durables
        self._now = now

    async def given_up(self, word: GivenUp) -> None:
        """Store what a consumer was given for the last time, unless it is nobody's business any more."""
        place = await self._place(word)
        if place is None or (word.at is not None and word.at < place.station.created_at):
            return  # no station's stream; or of an earlier life of the station, whose message that was
        original = await self._streams.message(word.stream, word.sequence)
        whose = subjects.redrive_group(original.subject) if original else ""
        if whose and whose != place.group.internal:
            return  # another group's, that was given back: none of this consumer's business
        waits = place.station.options.retention_type is Retention.ACK_BASED
        if original is None and waits and not word.was_terminated:
            return  # everybody has acknowledged it, late
        if place.station.options.send_poison_msg_to_dls:
            label = self._label(word, place, original, await self._life(place))
            carried = original.headers if original else {}
            await self._append(label, carried, original.payload if original else b"")
        if original is not None and waits:
            await self._durables.acknowledge(word.stream, word.consumer, word.sequence)

    async def schema_failed(
        self,
        name: StationName,
        payload: bytes,
        carried: Mapping[str, str],
        reason: str,
        word_id: str,
    ) -> None:
        """Store a message that failed its station's schema, if the station keeps such ones.

        Args:
            name: The station; for one that is not there nothing is kept.
            payload: The message.
            carried: Its headers.
            reason: What the schema says.
            word_id: By which the same failure, reported again, is known.
        """
        try:
            station = await self._stations.ready(name)
        except Refusal as refusal:
            if refusal.code is ErrorCode.STATION_NOT_FOUND:
                return
            raise
        if not station.options.send_schema_failed_msg_to_dls:
            return
        label = Label(
            station=station.name,
            station_id=station.id,
            kind=subjects.KIND_SCHEMA,
            failures=[Failure(reason=as_reason(reason), at=self._now())],
        )
        own = model.headers_of(label, carried, f"schema/{station.id}/{word_id}")
        if not self._streams.fits(payload, own):
            raise Refusal(ErrorCode.ENGINE_REFUSED, "it is too large to be kept as a dead letter")
        await self._streams.append(model.subject_of(label), payload, own)

    async def set_aside(self, payload: bytes, reason: str, word_id: str) -> None:
        """Keep what cannot be understood where a person can see it; of what is too large, the beginning."""
        label = model.malformed_label(as_reason(reason), self._now())
        own = model.headers_of(label, {}, f"aside/{word_id}")
        if not self._streams.fits(payload, own):
            payload = payload[:_ASIDE_BYTES]
        await self._streams.append(subjects.MALFORMED, payload, own)

    async def knows(self, word: GivenUp) -> bool:
        """Whether there is such a consumer, and was such a message, by what the engine says now."""
        place = await self._place(word)
        if place is None:
            return False
        state = await self._streams.state(word.stream)
        if state is None or word.sequence > state.last_sequence:
            return False
        return await self._durables.state(word.stream, word.consumer) is not None

    async def _append(self, label: Label, carried: Mapping[str, str], payload: bytes) -> None:
        subject, own = model.subject_of(label), model.headers_of(label, carried)
        if not self._streams.fits(payload, own):
            label = label.model_copy(update={"payload_is_left": True})
            payload, own = b"", model.headers_of(label, {})
        await self._streams.append(subject, payload, own)

    async def _place(self, word: GivenUp) -> Place | None:
        name, _, number = word.stream.rpartition("$")
        try:
            station = await self._stations.ready(StationName.parse(name.replace("#", ".")))
            group = GroupName.parse(word.consumer.replace("#", "."))
        except InvalidNameError:
            return None
        except Refusal as refusal:
            if refusal.code is ErrorCode.STATION_NOT_FOUND:
                return None
            raise
        if word.stream not in station.stream_names:
            return None
        return Place(station, int(number), group)

    async def _life(self, place: Place) -> str:
        """Which life of its group this is: the same that a member of ours writes on such a label."""
        first = subjects.stream_name(place.station.station, place.station.partitions[0])
        durable = await self._durables.state(first, place.group.internal)
        return life_of(durable, {})

    def _label(
        self, word: GivenUp, place: Place, original: StoredMessage | None, life: str
    ) -> Label:
        reason = word.reason if original else f"{word.reason}; {_GONE}"
        failure = Failure(reason=as_reason(reason), deliveries=word.deliveries, at=self._now())
        if original is not None and subjects.redrive_group(original.subject):
            earlier = read_label(original.headers.get(headers.DEAD_LETTER))
            if earlier is not None:
                return earlier.failed_again(failure)
        return Label(
            station=place.station.name,
            station_id=place.station.id,
            partition=place.partition,
            sequence=word.sequence,
            group=str(place.group),
            group_life=life,
            kind=subjects.KIND_POISON,
            sent_at=model.time_of(original.stored_at) if original else None,
            failures=[failure],
            payload_is_gone=original is None,
        )
