"""Stores what the engine gave up by itself: messages of consumers that have the engine's own limit.

Groups of ours have none (see :mod:`memphis_broker.groups.model`), but a consumer that another NATS client
made on a station's stream may. The engine says once that it gave a message up; that word is captured
in a work-queue stream, so a broker that is down misses none. The order here: store the dead letter,
let the message go from a stream that waits for the consumer, then call the work done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memphis.types import Retention
from memphis.wire import headers, subjects
from memphis.wire.dead_letters import Failure, Label, read_label
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import SEQUENCE_MAX
from memphis.wire.names import GroupName, InvalidNameError, StationName
from memphis_broker.dead_letters import model
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.durables import Durables
from memphis_broker.engine.streams import StoredMessage, Streams
from memphis_broker.engine.work import Work, WorkQueue
from memphis_broker.stations.model import StationRecord
from memphis_broker.stations.service import StationService

logger = logging.getLogger(__name__)

_BATCH: Final = 64
_WAIT_S: Final = 5.0
_AGAIN_S: Final = 2.0
_ATTEMPTS_MAX: Final = 5


class _GivenUp(BaseModel):
    """The part that is needed of the engine's advisory, ``io.nats.jetstream.advisory.v1.max_deliver``."""

    model_config = ConfigDict(extra="ignore", strict=True)

    stream: str = Field(min_length=1, max_length=512)
    consumer: str = Field(min_length=1, max_length=512)
    stream_seq: int = Field(ge=1, le=SEQUENCE_MAX)
    deliveries: int = Field(ge=0, le=SEQUENCE_MAX)
    timestamp: str = Field(default="", max_length=64)


class _Place(NamedTuple):
    station: StationRecord
    partition: int
    group: GroupName


class Intake:
    """Sees to what the engine gave up. :meth:`step` is one round of work."""

    def __init__(
        self,
        work: WorkQueue,
        stations: StationService,
        streams: Streams,
        durables: Durables,
        now: Callable[[], datetime],
    ) -> None:
        self._work = work
        self._stations = stations
        self._streams = streams
        self._durables = durables
        self._now = now

    async def step(self) -> None:
        """Take what waits, up to some, and see to it."""
        await for_each(await self._work.take(_BATCH, _WAIT_S), self._see_to)

    async def is_done(self) -> bool:
        """Whether every word of the engine so far was seen to."""
        return await self._work.is_empty()

    async def _see_to(self, work: Work) -> None:
        try:
            await self._store(work)
        except Refusal as refusal:
            if refusal.code is ErrorCode.ENGINE_UNAVAILABLE or work.attempts < _ATTEMPTS_MAX:
                logger.warning("a message that was given up is not stored yet: %s", refusal.text)
                await work.again(_AGAIN_S)
                return
            await self._set_aside(work, refusal.text)
        await work.done()

    async def _store(self, work: Work) -> None:
        try:
            given_up = _GivenUp.model_validate_json(work.payload)
        except ValidationError:
            await self._set_aside(
                work, "word of a message that was given up, which cannot be understood"
            )
            return
        place = await self._place(given_up)
        if place is None:
            return  # no station's stream, or one that has gone since
        if _is_before(given_up.timestamp, place.station.created_at):
            return  # of an earlier life of the station, whose message that was
        original = await self._streams.message(given_up.stream, given_up.stream_seq)
        whose = subjects.redrive_group(original.subject) if original else ""
        if whose and whose != place.group.internal:
            return  # another group's, that was given back: none of this consumer's business
        if original is None and place.station.options.retention_type is Retention.ACK_BASED:
            return  # everybody has acknowledged it, late
        if place.station.options.send_poison_msg_to_dls:
            label = self._label(given_up, place, original)
            carried = original.headers if original else {}
            payload = original.payload if original else b""
            await self._append(label, carried, payload)
        if original is not None and place.station.options.retention_type is Retention.ACK_BASED:
            await self._durables.acknowledge(
                given_up.stream, given_up.consumer, given_up.stream_seq
            )

    async def _append(self, label: Label, carried: Mapping[str, str], payload: bytes) -> None:
        subject, own = model.subject_of(label), model.headers_of(label, carried)
        if not self._streams.fits(payload, own):
            label = label.model_copy(update={"payload_is_left": True})
            payload, own = b"", model.headers_of(label, {})
        await self._streams.append(subject, payload, own)

    async def _place(self, given_up: _GivenUp) -> _Place | None:
        name, _, number = given_up.stream.rpartition("$")
        try:
            station = await self._stations.ready(StationName.parse(name.replace("#", ".")))
            group = GroupName.parse(given_up.consumer.replace("#", "."))
        except InvalidNameError:
            return None
        except Refusal as refusal:
            if refusal.code is ErrorCode.STATION_NOT_FOUND:
                return None
            raise
        if given_up.stream not in station.stream_names:
            return None
        return _Place(station, int(number), group)

    def _label(self, given_up: _GivenUp, place: _Place, original: StoredMessage | None) -> Label:
        reason = f"not acknowledged in {given_up.deliveries} deliveries"
        if original is None:
            reason += "; retention took the message before it could be copied"
        failure = Failure(reason=reason, deliveries=given_up.deliveries, at=self._now())
        if original is not None and subjects.redrive_group(original.subject):
            earlier = read_label(original.headers.get(headers.DEAD_LETTER))
            if earlier is not None:
                return earlier.failed_again(failure)
        return Label(
            station=place.station.name,
            station_id=place.station.id,
            partition=place.partition,
            sequence=given_up.stream_seq,
            group=str(place.group),
            kind=subjects.KIND_POISON,
            sent_at=model.time_of(original.stored_at) if original else None,
            failures=[failure],
            payload_is_gone=original is None,
        )

    async def _set_aside(self, work: Work, reason: str) -> None:
        """Keep what cannot be understood where a person can see it."""
        label = model.malformed_label(f"{reason} (from {work.subject})", self._now())
        own = model.headers_of(label, {}, f"aside/{work.sequence}/{self._now().timestamp()}")
        await self._streams.append(subjects.MALFORMED, work.payload, own)


def _is_before(timestamp: str, moment: datetime) -> bool:
    try:
        return model.time_of(timestamp) < moment
    except ValueError:
        return False  # it does not say
