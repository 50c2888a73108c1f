"""Tidies up from time to time: what was given back and is settled, and what is over a station's limits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from memphis.types import Retention
from memphis.wire import headers, subjects
from memphis.wire.dead_letters import read_label
from memphis.wire.errors import Refusal
from memphis.wire.models import SEQUENCE_MAX
from memphis.wire.names import GroupName, InvalidNameError
from memphis_broker.dead_letters import model
from memphis_broker.dead_letters.intake import Intake
from memphis_broker.engine.bulk import Bulk, NewMessage
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.durables import Durables, DurableState
from memphis_broker.engine.streams import StoredMessage, Streams, StreamState
from memphis_broker.stations.model import StationRecord
from memphis_broker.stations.service import StationService

logger = logging.getLogger(__name__)

_EVERYTHING_AFTER: Final = timedelta(minutes=5)
"""How often all stations are looked at, for what another broker gave back and did not see to."""
_LIMITS_AFTER: Final = timedelta(seconds=10)
_READ_MAX: Final = 1000
_SPARE_S: Final = 10.0
"""At least so long before retention takes something it is saved, if retention is not shorter."""


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
        self._watched: set[tuple[str, int]] = set()
        self._floors: dict[tuple[str, int, str], int] = {}
        self._everything_at = self._limits_at = datetime.min.replace(tzinfo=UTC)

    def watch(self, station: StationRecord, partition: int) -> None:
        """Groups were given something back in this partition."""
        self._watched.add((station.id, partition))

    async def step(self) -> None:
        """One round."""
        now = self._now()
        is_due = now - self._limits_at > _LIMITS_AFTER
        if not (self._watched or is_due):
            return  # nothing was given back: no need to read all stations every other second
        stations = {station.id: station for station in await self._stations.all_ready()}
        if now - self._everything_at > _EVERYTHING_AFTER:
            self._everything_at = now
            for station in stations.values():
                for partition in station.partitions:
                    self.watch(station, partition)
        await for_each(list(self._watched), lambda place: self._look(place, stations))
        if is_due:
            self._limits_at = now
            await for_each(stations.values(), lambda station: self._hold_limits(station, now))

    async def _look(self, place: tuple[str, int], stations: Mapping[str, StationRecord]) -> None:
        """Tidy one partition; one that has nothing left, or whose station is gone, is watched no more."""
        station_id, partition = place
        station = stations.get(station_id)
        # Now, not after: it may be named again while it is looked at.
        self._watched.discard(place)
        try:
            if station is not None and await self._tidy(station, partition):
                self._watched.add(place)
                return
        except Refusal as refusal:
            # One partition must not keep the others from being looked at.
            logger.warning(
                "partition %d of station %s is not tidied: %s", partition, station_id, refusal.text
            )
            self._watched.add(place)
            return
        for key in [key for key in self._floors if key[:2] == place]:
            del self._floors[key]

    async def take_back(self, station: StationRecord, group: GroupName) -> None:
        """A group is about to end: what it was given and has not settled becomes dead letters again."""
        await for_each(
            station.partitions, lambda partition: self._take_back(station, partition, group)
        )

    async def _take_back(
        self, station: StationRecord, partition: int, group: GroupName, below: int = SEQUENCE_MAX
    ) -> None:
        """Make dead letters again of what is not settled and has a sequence below this."""
        name = subjects.stream_name(station.station, partition)
        subject = subjects.group_redrives_filter(station.station, partition, group)
        if not await self._streams.count_from(name, subject, 1):
            return
        durable = await self._durables.state(name, group.internal)
        start = durable.acknowledged_through + 1 if durable else 1
        last = start - 1
        while start:
            page = await self._bulk.page(name, subject, start, _READ_MAX)
            taken = [message for message in page.messages if message.sequence < below]
            await self._store_again(taken)
            last = taken[-1].sequence if taken else last
            start = page.following if len(taken) == len(page.messages) else 0
        await self._streams.purge(name, subject=subject, below=last + 1)

    async def _store_again(self, messages: Sequence[StoredMessage]) -> None:
        letters = []
        for message in messages:
            label = read_label(message.headers.get(headers.DEAD_LETTER))
            if label is not None:
                own = model.headers_of(label, message.headers)
                letters.append(NewMessage(model.subject_of(label), message.payload, own))
        for refusal in await self._bulk.append_all(letters):
            if refusal is not None:
                raise refusal

    async def _tidy(self, station: StationRecord, partition: int) -> bool:
        """Delete what was given back and is settled; whether anything is left to watch."""
        name = subjects.stream_name(station.station, partition)
        state = await self._streams.state(name)
        if state is None:
            return False
        every = subjects.redrives_filter(station.station, partition)
        count = await self._streams.count_from(name, every, 1)
        if not count:
            return False
        of_groups = 0
        for durable in await self._durables.states(name, state.consumers):
            of_groups += await self._tidy_group(station, partition, durable)
            await self._save_from_expiry(station, partition, durable, state)
        if of_groups < count:
            await self._take_back_orphans(station, partition)
        return True

    async def _tidy_group(
        self, station: StationRecord, partition: int, durable: DurableState
    ) -> int:
        """How many there were for the group of this durable; those that are settled go."""
        group = _group_of(durable.name)
        if group is None:
            return 0
        name = subjects.stream_name(station.station, partition)
        subject = subjects.group_redrives_filter(station.station, partition, group)
        count = await self._streams.count_from(name, subject, 1)
        # The floor of the round before: what the engine gave up by itself since has been seen to by now.
        key = (station.id, partition, durable.name)
        floor = self._floors.get(key, 0)
        self._floors[key] = durable.acknowledged_through
        if durable.deliveries_max > 0 and not await self._intake.is_done():
            self._floors[key] = 0
        elif floor and count:
            await self._streams.purge(name, subject=subject, below=floor + 1)
        return count

    async def _save_from_expiry(
        self,
        station: StationRecord,
        partition: int,
        durable: DurableState,
        state: StreamState,
    ) -> None:
        """What a group was given back and does not read becomes a dead letter again before it is too old.

        In the station it would go like any message, and the dead letter it was is gone already.
        """
        group = _group_of(durable.name)
        kept_s = station.options.retention_value
        is_by_age = station.options.retention_type is Retention.MAX_MESSAGE_AGE_SECONDS
        if group is None or not is_by_age:
            return
        name = subjects.stream_name(station.station, partition)
        subject = subjects.group_redrives_filter(station.station, partition, group)
        spare_s = min(kept_s / 2, max(kept_s / 10, _SPARE_S))
        oldest = self._now() - timedelta(seconds=kept_s - spare_s)
        young = await self._streams.found_at(name, subject, int(oldest.timestamp() * 1e6) * 1000)
        below = young.sequence if young else state.last_sequence + 1
        every = await self._streams.count_from(name, subject, durable.acknowledged_through + 1)
        if every > (young.following if young else 0):
            logger.warning(
                "the group %s of station %s has not read what it was given back; it is taken back "
                "before its retention takes it",
                group, station.name,
            )  # fmt: skip
            await self._take_back(station, partition, group, below)

    async def _take_back_orphans(self, station: StationRecord, partition: int) -> None:
        """Given back in the moment in which their group ended: nobody else would ever see them."""
        name = subjects.stream_name(station.station, partition)
        every = subjects.redrives_filter(station.station, partition)
        counts = await self._streams.counts(name, every)
        groups = {_group_of(subjects.redrive_group(subject)) for subject in counts}
        for group in groups:
            if group is None or await self._durables.state(name, group.internal) is not None:
                continue
            logger.warning(
                "the group %s of station %s has ended; what it was given back is taken back",
                group, station.name,
            )  # fmt: skip
            await self._take_back(station, partition, group)

    async def _hold_limits(self, station: StationRecord, now: datetime) -> None:
        options = station.options
        subject = subjects.dead_letters_filter(station.id)
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


def _group_of(internal: str) -> GroupName | None:
    """The group that a durable of this name is of; None for one that is no group's."""
    try:
        return GroupName.parse(internal.replace("#", "."))
    except InvalidNameError:
        return None
