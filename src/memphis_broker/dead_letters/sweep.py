"""Tidies up from time to time: what was given back and is settled, and what is over a station's limits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from memphis.wire import headers, subjects
from memphis.wire.dead_letters import read_label
from memphis.wire.names import GroupName
from memphis_broker.dead_letters import model
from memphis_broker.dead_letters.intake import Intake
from memphis_broker.engine.bulk import Bulk
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.durables import Durables
from memphis_broker.engine.streams import Streams
from memphis_broker.stations.model import StationRecord
from memphis_broker.stations.service import StationService

logger = logging.getLogger(__name__)

_EVERYTHING_AFTER: Final = timedelta(minutes=5)
"""How often all stations are looked at, for what another broker gave back and did not see to."""
_LIMITS_AFTER: Final = timedelta(seconds=10)
_READ_MAX: Final = 1000


class Sweeper:
    """Knows which stations have something to tidy. :meth:`step` is one round of work."""

    def __init__(
        self,
        stations: StationService,
        streams: Streams,
        durables: Durables,
        intake: Intake,
        bulk: Bulk,
        now: Callable[[], datetime],
    ) -> None:
        self._stations = stations
        self._streams = streams
        self._durables = durables
        self._intake = intake
        self._bulk = bulk
        self._now = now
        self._watched: dict[str, StationRecord] = {}
        self._floors: dict[tuple[str, str], int] = {}
        self._everything_at = self._limits_at = datetime.min.replace(tzinfo=UTC)

    def watch(self, station: StationRecord) -> None:
        """Groups of this station were given something back."""
        self._watched[station.id] = station

    async def step(self) -> None:
        """One round."""
        now = self._now()
        if now - self._everything_at > _EVERYTHING_AFTER:
            for station in await self._stations.all_ready():
                self._watched.setdefault(station.id, station)
            self._everything_at = now
        for station in list(self._watched.values()):
            if not await self._tidy(station):
                self._watched.pop(station.id, None)
        if now - self._limits_at > _LIMITS_AFTER:
            await self._hold_limits(now)
            self._limits_at = now

    async def take_back(self, station: StationRecord, group: GroupName) -> None:
        """A group is about to end: what it was given and has not settled becomes dead letters again."""

        async def take(partition: int) -> None:
            name = subjects.stream_name(station.station, partition)
            subject = subjects.redrive_subject(station.station, partition, group)
            if not await self._streams.counts(name, subject):
                return
            durable = await self._durables.state(name, group.internal)
            start = durable.acknowledged_through + 1 if durable else 1
            last = 0
            while start:
                page = await self._bulk.page(name, subject, start, _READ_MAX)
                for message in page.messages:
                    label = read_label(message.headers.get(headers.DEAD_LETTER))
                    if label is not None:
                        await self._streams.append(
                            model.subject_of(label),
                            message.payload,
                            model.headers_of(label, message.headers),
                        )
                    last = message.sequence
                start = page.following
            await self._streams.purge(name, subject=subject, below=last + 1)

        await for_each(station.partitions, take)

    async def _tidy(self, station: StationRecord) -> bool:
        """Delete what was given back and is settled; whether anything is left to watch."""

        async def tidy(partition: int) -> bool:
            name = subjects.stream_name(station.station, partition)
            given_back = subjects.redrives_filter(station.station, partition)
            left = await self._streams.counts(name, given_back)
            for subject in left:
                await self._tidy_group(name, subject)
            return bool(left)

        return any(await for_each(station.partitions, tidy))

    async def _tidy_group(self, stream: str, subject: str) -> None:
        durable = await self._durables.state(stream, subjects.redrive_group(subject))
        if durable is None:
            return  # the group has ended, or is about to be made; what is here waits for it
        # The floor of the round before: what the engine gave up by itself since has been seen to by now.
        place = (stream, subject)
        floor, self._floors[place] = self._floors.get(place, 0), durable.acknowledged_through
        if durable.deliveries_max > 0 and not await self._intake.is_done():
            self._floors[place] = 0
            return
        if floor:
            await self._streams.purge(stream, subject=subject, below=floor + 1)

    async def _hold_limits(self, now: datetime) -> None:
        for station in await self._stations.all_ready():
            options = station.options
            subject = subjects.dead_letters_filter(station.id)
            if not (options.dead_letter_count_max or options.dead_letter_age_max_s):
                continue
            if options.dead_letter_count_max:
                await self._streams.purge(
                    subjects.DEAD_LETTER_STREAM, subject=subject, keep=options.dead_letter_count_max
                )
            if options.dead_letter_age_max_s:
                oldest = now - timedelta(seconds=options.dead_letter_age_max_s)
                await self._purge_before(subject, oldest)

    async def _purge_before(self, subject: str, oldest: datetime) -> None:
        name = subjects.DEAD_LETTER_STREAM
        # Before the search: what comes after it is younger, and not to be touched.
        state = await self._streams.state(name)
        if state is None:
            return
        time_ns = max(0, int(oldest.timestamp() * 1_000_000)) * 1000
        found = await self._streams.found_at(name, subject, time_ns)
        below = state.last_sequence + 1 if found is None else found.sequence
        if below > 1:
            await self._streams.purge(name, subject=subject, below=below)
