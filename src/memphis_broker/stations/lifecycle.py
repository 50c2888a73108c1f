"""The life of a station: creating, ready, deleting, gone; and how a broken step is mended.

Every transition is one compare-and-set of the station's record, and the record is written first:
before the first stream is made it says ``creating``, before the first one is deleted ``deleting``.
So whatever a broker was doing when it was killed, the record tells the next one what to finish.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from memphis.types import Storage
from memphis.wire import subjects
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import StationOptions
from memphis.wire.names import StationName
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.records import Record, RecordConflictError, RecordStore
from memphis_broker.engine.streams import StreamExistsError, Streams, StreamSpec
from memphis_broker.stations import claims, model
from memphis_broker.stations.claims import Claim, ClaimLostError
from memphis_broker.stations.model import STATION_ID, StationRecord, StationState
from memphis_broker.stations.news import StationNews

logger = logging.getLogger(__name__)

_POLL_S: Final = 0.02


class Found(NamedTuple):
    """What is stored about a station now."""

    stored: Record
    station: StationRecord | None


class Lifecycle:
    """Creates and deletes stations. Safe for many tasks and many brokers at once."""

    def __init__(
        self,
        records: RecordStore,
        streams: Streams,
        news: StationNews,
        *,
        now: Callable[[], datetime],
        acknowledge_early: bool,
        alone: bool,
    ) -> None:
        """Args: ``alone`` says that no other broker can be at work on the same engine."""
        self._records = records
        self._streams = streams
        self._news = news
        self._now = now
        self._acknowledge_early = acknowledge_early
        self._alone = alone
        self._patience_s = 0.0 if alone else claims.PATIENCE_S
        self._broker_id = uuid.uuid4().hex
        # Within this broker a lock orders what claims order between brokers.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, name: StationName) -> Found:
        """The station if it is ready, after finishing or awaiting what is under way with it."""
        found = await self._read(name)
        if found.station is None or found.station.state is StationState.READY:
            return found
        async with self._lock(name):
            return await self._settled(name)

    async def create(
        self, name: StationName, options: StationOptions, found: Found
    ) -> tuple[StationRecord, bool]:
        """The station, and whether this call created it.

        Args:
            name: Its name.
            options: What it is created with; one that exists keeps its own.
            found: What :meth:`find` returned. If that has changed since, it is read again.

        Raises:
            Refusal: The engine cannot make its streams; nothing is left of it then, unless the
                engine stopped answering, which leaves the rest to the next request or start.
        """
        async with self._lock(name):
            while found.station is None:
                station = StationRecord(
                    name=name,
                    id=uuid.uuid4().hex,
                    state=StationState.CREATING,
                    options=options,
                    created_at=self._now(),
                )
                try:
                    claim = await self._claim(found.stored, station)
                    await self._finish_creating(claim)
                except ClaimLostError:
                    found = await self._settled(name)
                else:
                    return claim.record, True
            return found.station, False

    async def remove(self, name: StationName, life: str = "") -> bool:
        """Delete one life of the station and all it holds.

        Args:
            name: Its name.
            life: Its id; empty for the life that is there now.

        Returns:
            False if there is no station, or it has another life. A later life than the one that was
            there at the beginning is never touched, however slow this broker is.
        """
        began = False
        async with self._lock(name):
            while True:
                found = await self._settled(name)
                if found.station is None or found.station.id != (life or found.station.id):
                    return began
                life = found.station.id
                station = found.station.model_copy(update={"state": StationState.DELETING})
                try:
                    claim = await self._claim(found.stored, station)
                    began = True
                    await self._finish_deleting(claim)
                except ClaimLostError:
                    continue
                return True

    async def ensure_streams(self, station: StationRecord) -> None:
        """Make anew the streams that a station in memory has lost with the engine that held them.

        A stream on disk that is missing was taken away by somebody; making it anew would hide that.
        """
        if station.options.storage_type is not Storage.MEMORY:
            return
        states = await for_each(station.stream_names, self._streams.state)
        if any(state is None for state in states):
            await self._make_anew(station.station)

    async def recover(self) -> None:
        """Finish or undo whatever a broker that is gone has left half-done.

        Stations in memory, whose streams went with the engine that held them, get them anew, empty.
        """
        stations = await self.all()
        unfinished = [station.station for station in stations if not _is_ready(station)]
        await for_each(unfinished, self._recover_one)
        ready = [station for station in stations if _is_ready(station)]
        in_memory = [s.station for s in ready if s.options.storage_type is Storage.MEMORY]
        await for_each(in_memory, self._make_anew)
        if not self._alone:
            # Another broker may have been killed before it could tell. On an engine of our own, which
            # was started with us, everybody reconnects and asks.
            await for_each(ready, self._news.changed)

    async def all(self) -> list[StationRecord]:
        """Every station in every state, in no order, as some replica knows them."""
        return self._parsed(await self._records.scan())

    async def all_for_certain(self) -> list[StationRecord]:
        """The same, as the leader knows them; dearer, for decisions that must miss none."""
        return self._parsed(await self._records.scan_at_leader())

    @staticmethod
    def _parsed(stored: Iterable[Record]) -> list[StationRecord]:
        return [StationRecord.model_validate_json(record.value or b"") for record in stored]

    async def change(
        self,
        name: StationName,
        alter: Callable[[StationOptions], StationOptions],
        about: Collection[str],
    ) -> StationRecord | None:
        """Change the options of a ready station, of which ``about`` are meant, and tell its clients.

        They are told also if nothing had to be changed: whoever changed it before may have been killed
        before they could tell, and the request is then made again.

        Returns:
            The station as it is now, or None if there is none.
        """
        while True:
            found = await self.find(name)
            station = found.station
            if station is None:
                return None
            if (options := alter(station.options)) == station.options:
                await self._news.changed(station, about)
                return station
            try:
                return await self._rewrite(found, options, about)
            except RecordConflictError:
                continue  # somebody else changed it meanwhile: look again

    def _lock(self, name: StationName) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def _claim(self, stored: Record, station: StationRecord) -> Claim:
        return await Claim.take(self._records, stored, station, self._broker_id)

    async def _read(self, name: StationName) -> Found:
        stored = await self._records.read(model.key_of(name))
        if stored.value is None:
            return Found(stored, None)
        return Found(stored, StationRecord.model_validate_json(stored.value))

    async def _settled(self, name: StationName) -> Found:
        """Like :meth:`find`, for a caller that has the lock."""
        revision, since = -1, 0.0
        while True:
            found = await self._read(name)
            station = found.station
            if station is None or _is_ready(station):
                return found
            if found.stored.revision != revision:
                revision, since = found.stored.revision, time.monotonic()
            # We have the lock, so a claim of our own is left over from a request that failed.
            abandoned = station.claimed_by == self._broker_id
            if not abandoned and time.monotonic() - since < self._patience_s:
                await asyncio.sleep(_POLL_S)
                continue
            try:
                claim = await self._claim(found.stored, station)
                await self._finish(claim)
            except ClaimLostError:
                continue
            except Refusal:
                # A creation that cannot succeed was undone: then the name is free, and it was
                # somebody else's request that failed, not this one.
                if (await self._read(name)).station is not None:
                    raise

    async def _recover_one(self, name: StationName) -> None:
        async with self._lock(name):
            try:
                await self._settled(name)
            except Refusal as refusal:
                # One station that cannot be mended must not keep the broker from starting.
                logger.warning("the station %s is left half-made: %s", name, refusal.text)

    async def _make_anew(self, name: StationName) -> None:
        """Make the streams that this station lacks. Those that it has stay as they are."""
        async with self._lock(name):
            station = (await self._read(name)).station
            if station is None or not _is_ready(station):
                return  # somebody removes it: they look after its streams

            async def make(partition: int) -> None:
                spec = model.partition_stream(
                    station, partition, acknowledge_early=self._acknowledge_early
                )
                # A look first: what exists with other options must not be asked for.
                if await self._streams.state(spec.name) is None:
                    await self._streams.create(spec)
                    logger.warning("the stream %s was in memory, and begins anew", spec.name)

            try:
                await for_each(station.partitions, make)
            except (Refusal, StreamExistsError) as error:
                logger.warning("the station %s lacks a partition: %s", name, error)

    async def _finish(self, claim: Claim) -> None:
        logger.info("finishing the station %s: %s", claim.record.name, claim.record.state.value)
        if claim.record.state is StationState.CREATING:
            await self._finish_creating(claim)
        else:
            await self._finish_deleting(claim)

    async def _finish_creating(self, claim: Claim) -> None:
        async def make(partition: int) -> None:
            spec = model.partition_stream(
                claim.record, partition, acknowledge_early=self._acknowledge_early
            )
            await self._make_stream(claim, spec)

        try:
            await for_each(claim.record.partitions, make)
        except Refusal as refusal:
            if refusal.code is not ErrorCode.ENGINE_UNAVAILABLE:
                await claim.advance(StationState.DELETING)
                await self._finish_deleting(claim)
            raise
        await claim.advance(StationState.READY)

    async def _make_stream(self, claim: Claim, spec: StreamSpec) -> None:
        await claim.prove()
        try:
            await self._streams.create(spec)
        except StreamExistsError as error:
            state = await self._streams.state(spec.name)
            owner = state.metadata.get(STATION_ID) if state else ""
            if owner == claim.record.id:
                return
            if owner is None:
                raise Refusal(
                    ErrorCode.ENGINE_REFUSED,
                    f"the engine has a stream {spec.name} that was not made by this broker; "
                    "remove it, or choose another station name",
                ) from error
        else:
            return
        # Left by a life of the station that has ended: no record speaks for it any more.
        await claim.prove()
        await self._streams.delete(spec.name)
        await claim.prove()
        try:
            await self._streams.create(spec)
        except StreamExistsError as error:
            raise ClaimLostError(spec.name) from error

    async def _finish_deleting(self, claim: Claim) -> None:
        """The record says ``deleting``; the record goes last, so that it can be done again."""
        station = claim.record
        await self._news.removed(station)

        async def delete(stream_name: str) -> None:
            await claim.prove()
            state = await self._streams.state(stream_name)
            if state is not None and state.metadata.get(STATION_ID) == station.id:
                await claim.prove()
                await self._streams.delete(stream_name)

        await for_each(station.stream_names, delete)
        # They carry its id, so what is stored late is never taken for a later life's, and ages away.
        of_this_life = subjects.dead_letters_filter(station.id)
        await self._streams.purge(subjects.DEAD_LETTER_STREAM, subject=of_this_life)
        await self._forget_dls_station(claim)
        await claim.prove()
        await claim.erase()

    async def _forget_dls_station(self, claim: Claim) -> None:
        """Clear the station out of the others that name it as their dls_station."""
        name = claim.record.name
        for other in await self.all():
            if other.options.dls_station == name:
                await claim.prove()
                await self._forget_in(other.station, name)

    async def _forget_in(self, other: StationName, name: str) -> None:
        while True:
            # Never waits for the other station: two that name each other may both be going.
            found = await self._read(other)
            station = found.station
            if station is None or not _is_ready(station) or station.options.dls_station != name:
                return
            options = station.options.model_copy(update={"dls_station": ""})
            try:
                await self._rewrite(found, options, ["dls_station"])
            except RecordConflictError:
                continue  # somebody else changed it meanwhile: look again
            logger.warning(
                "the station %s was the dls_station of %s, which has none any more", name, other
            )
            return

    async def _rewrite(
        self, found: Found, options: StationOptions, about: Collection[str]
    ) -> StationRecord:
        """Write other options over the station that was found, and tell its clients."""
        if found.station is None:
            raise RecordConflictError(found.stored.key)
        station = found.station.model_copy(update={"options": options})
        await self._records.write(
            found.stored.key, station.model_dump_json().encode(), found.stored.revision
        )
        await self._news.changed(station, about)
        return station


def _is_ready(station: StationRecord) -> bool:
    return station.state is StationState.READY
