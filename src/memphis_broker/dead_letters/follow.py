"""What follows from a new dead letter: a copy for the dls_station, word to whoever is notified.

Reads the stream of dead letters from a position that all brokers share, without payloads. What is
done twice after a kill does no harm: a copy carries an id, and a notification may come again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from memphis.wire import headers, subjects
from memphis.wire.dead_letters import Label, read_label
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.names import InvalidNameError, StationName
from memphis_broker.dead_letters import model
from memphis_broker.dead_letters.model import DeadLetter
from memphis_broker.dead_letters.notify import Notifier
from memphis_broker.dead_letters.store import DeadLetterStore
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.streams import Streams
from memphis_broker.engine.work import Work, WorkQueue
from memphis_broker.stations.model import StationRecord
from memphis_broker.stations.service import StationService

logger = logging.getLogger(__name__)

_BATCH: Final = 256
_WAIT_S: Final = 5.0
_AGAIN_S: Final = 2.0


class Follower:
    """Sees to what follows from dead letters. :meth:`step` is one round of work."""

    def __init__(
        self,
        work: WorkQueue,
        store: DeadLetterStore,
        stations: StationService,
        streams: Streams,
        notifier: Notifier,
    ) -> None:
        self._work = work
        self._store = store
        self._stations = stations
        self._streams = streams
        self._notifier = notifier

    async def step(self) -> None:
        """Take what is new, up to some, and see to it."""
        batch = await self._work.take(_BATCH, _WAIT_S)
        if not batch:
            return
        labels = [read_label(work.headers.get(headers.DEAD_LETTER)) for work in batch]
        stations = await self._stations_of(label for label in labels if label is not None)

        async def see_to(pair: tuple[Work, Label | None]) -> None:
            await self._see_to(*pair, stations)

        await for_each(zip(batch, labels, strict=True), see_to)

    async def _stations_of(self, labels: Iterable[Label]) -> dict[str, StationRecord]:
        """The stations that these are from, by their ids, without those that are gone."""
        found: dict[str, StationRecord] = {}
        for name in {label.station for label in labels}:
            try:
                station = await self._stations.ready(StationName.parse(name))
            except InvalidNameError:
                continue
            except Refusal as refusal:
                if refusal.code is ErrorCode.STATION_NOT_FOUND:
                    continue
                raise
            found[station.id] = station
        return found

    async def _see_to(
        self, work: Work, label: Label | None, stations: dict[str, StationRecord]
    ) -> None:
        place = subjects.parse_dead_letter_subject(work.subject)
        try:
            if label is not None and label.replaces and not await self._replaced(work, label):
                await work.again(_AGAIN_S)
                return
            station = stations.get(place.station_id) if place else None
            if station is not None and station.options.dls_station:
                await self._copy(work.sequence, station)
        except Refusal as refusal:
            if refusal.code is ErrorCode.ENGINE_UNAVAILABLE:
                await work.again(_AGAIN_S)
                return
            logger.warning("the dead letter %d was not copied: %s", work.sequence, refusal.text)
        if label is not None and not label.replaces:
            self._notifier.note(label)
        await work.done()

    async def _replaced(self, work: Work, label: Label) -> bool:
        """See to it that an edited dead letter is the only form; False: look again in a moment.

        Whoever edits deletes the old form itself, and is only helped where it was killed in between.
        """
        old, letter = await self._store.get(label.replaces), await self._store.get(work.sequence)
        if old is None or letter is None or not model.is_edited_form(letter, old):
            return True
        if work.attempts == 1:
            return False
        await self._store.delete(old.id)
        return True

    async def _copy(self, letter_id: int, station: StationRecord) -> None:
        letter = await self._store.get(letter_id)
        if letter is None or letter.label.kind == subjects.KIND_MALFORMED or letter.label.edits:
            return  # given back or dropped already; or no news
        try:
            name = StationName.parse(station.options.dls_station)
        except InvalidNameError:
            return
        target, _ = await self._stations.open(name)
        await self._streams.append(
            subjects.ingest_subject(target.station, _partition(letter, target)),
            letter.payload,
            model.copied(letter),
        )


def _partition(letter: DeadLetter, target: StationRecord) -> int:
    """Spread over the partitions, and the same each time, so that a copy made twice meets itself."""
    return letter.id % len(target.partitions) + 1
