"""Gives dead letters back: each is stored anew first, and only then deleted.

A batch is written down before it begins (an :class:`_Intent`), so that a broker that is killed between
the two leaves something which the next start, or another broker, finishes. Done twice, it does no harm:
what is stored again carries the id of the first time, and what is deleted already is skipped. The
engine remembers those ids for the station's idempotency window.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from memphis.wire import subjects
from memphis.wire.dead_letters import DeadLetterRefused
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.headers import MESSAGE_ID
from memphis.wire.names import GroupName, SchemaName, StationName
from memphis.wire.partitions import partition_for_key
from memphis.wire.schemas import SchemaVersionGet, write_mark
from memphis_broker.dead_letters import model
from memphis_broker.dead_letters.model import DeadLetter
from memphis_broker.dead_letters.store import DeadLetterStore
from memphis_broker.engine.bulk import Bulk, NewMessage
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.records import Record, RecordConflictError, RecordStore
from memphis_broker.groups.service import GroupService
from memphis_broker.schemas.examination import Examiner
from memphis_broker.schemas.service import SchemaService
from memphis_broker.stations.model import StationRecord
from memphis_broker.stations.service import StationService

logger = logging.getLogger(__name__)

_LEFT_BEHIND_S: Final = 60.0
"""A batch takes less; one that is older has lost its broker."""


Delete = Callable[[Sequence[int]], Awaitable[None]]
"""Deletes these dead letters."""


class _Intent(BaseModel):
    """A batch that was begun."""

    model_config = ConfigDict(frozen=True)

    ids: list[int]
    target: str
    begun_at: datetime


class _Destination(NamedTuple):
    """Where a dead letter goes."""

    station: StationRecord
    partition: int
    message: NewMessage


class Redriver:
    """Gives batches back. Safe for many tasks and many brokers at once."""

    def __init__(
        self,
        store: DeadLetterStore,
        intents: RecordStore,
        stations: StationService,
        groups: GroupService,
        schemas: SchemaService,
        examiner: Examiner,
        bulk: Bulk,
        now: Callable[[], datetime],
        given_back: Callable[[StationRecord, int], None],
    ) -> None:
        """Args: ``given_back`` is told of a partition whose groups were given something."""
        self._store = store
        self._intents = intents
        self._stations = stations
        self._groups = groups
        self._schemas = schemas
        self._examiner = examiner
        self._bulk = bulk
        self._now = now
        self._given_back = given_back

    async def move(
        self, letters: Sequence[DeadLetter], target: str, delete: Delete | None = None
    ) -> list[DeadLetterRefused]:
        """Give these back, to their groups or as new messages into the station ``target``.

        ``delete`` gets the ids of those that are stored anew; None: each is deleted by itself.

        Returns:
            Those that could not be, and why; they stay as they are.

        Raises:
            Refusal: The target is not there, or the engine does not answer; then it is finished later.
        """
        place = await self._target(target)
        async with self._groups_stay(letters):
            plans, refused = await self._plan(letters, place)
            if not plans:
                return refused
            intent = _Intent(ids=list(plans), target=target, begun_at=self._now())
            key = uuid.uuid4().hex
            revision = await self._intents.write(key, intent.model_dump_json().encode(), 0)
            refused += await self._carry_out(plans, delete or self._store.delete_all)
        with contextlib.suppress(RecordConflictError):  # then another broker has finished it
            await self._intents.erase(key, revision)
        return refused

    @contextlib.asynccontextmanager
    async def _groups_stay(self, letters: Iterable[DeadLetter]) -> AsyncIterator[None]:
        """Have this broker end none of the groups meanwhile: what it is given would go with it."""
        groups = {(letter.label.station_id, letter.label.group) for letter in letters}
        async with contextlib.AsyncExitStack() as held:
            # In one order, or two batches could wait for each other.
            for station_id, group in sorted(groups):
                await held.enter_async_context(self._groups.undisturbed(station_id, group))
            yield

    async def finish_left_behind(self, *, at_start: bool) -> None:
        """Finish batches whose broker is gone.

        Args:
            at_start: This broker has only just begun; on an engine of its own all there are were left.
        """
        for record in await self._intents.scan():
            intent = _Intent.model_validate_json(record.value or b"")
            age = self._now() - intent.begun_at
            if at_start or age > timedelta(seconds=_LEFT_BEHIND_S):
                await self._finish(record, intent)

    async def _finish(self, record: Record, intent: _Intent) -> None:
        found = await for_each(intent.ids, self._store.get)
        letters = [letter for letter in found if letter is not None]
        logger.info("finishing to give back %d dead letters", len(letters))
        try:
            place = await self._target(intent.target)
            async with self._groups_stay(letters):
                plans, refused = await self._plan(letters, place)
                refused += await self._carry_out(plans, self._store.delete_all)
        except Refusal as refusal:
            if refusal.code is ErrorCode.ENGINE_UNAVAILABLE:
                raise
            logger.warning("dead letters stay as they are: %s", refusal.text)
        with contextlib.suppress(RecordConflictError):  # then another broker has finished it
            await self._intents.erase(record.key, record.revision)

    async def _target(self, name: str) -> StationRecord | None:
        return await self._stations.ready(StationName.parse(name)) if name else None

    async def _plan(
        self, letters: Iterable[DeadLetter], target: StationRecord | None
    ) -> tuple[dict[int, _Destination], list[DeadLetterRefused]]:
        """Where each goes, by its id, and which cannot go anywhere."""
        planner = _Planner(self._stations, self._groups, self._schemas, self._examiner)
        plans: dict[int, _Destination] = {}
        refused: list[DeadLetterRefused] = []
        for_stations: list[tuple[DeadLetter, StationRecord]] = []
        for letter in letters:
            try:
                if target is not None or letter.label.kind == subjects.KIND_SCHEMA:
                    for_stations.append((letter, target or await planner.origin(letter)))
                else:
                    plans[letter.id] = await planner.to_group(letter)
            except Refusal as refusal:
                refused.append(_refused(letter, refusal))
        async for letter, outcome in planner.to_stations(for_stations):
            if isinstance(outcome, Refusal):
                refused.append(_refused(letter, outcome))
            else:
                plans[letter.id] = outcome
        return dict(sorted(plans.items())), refused

    async def _carry_out(
        self, plans: dict[int, _Destination], delete: Delete
    ) -> list[DeadLetterRefused]:
        try:
            outcomes = await self._bulk.append_all([plan.message for plan in plans.values()])
        finally:
            # Also where nobody knows whether it is there.
            for destination in plans.values():
                self._given_back(destination.station, destination.partition)
        refused, done = [], []
        for letter_id, refusal in zip(plans, outcomes, strict=True):
            if refusal is None:
                done.append(letter_id)
            else:
                refused.append(
                    DeadLetterRefused(id=letter_id, code=int(refusal.code), reason=refusal.text)
                )
        await delete(done)
        return refused


class _Planner:
    """Decides where dead letters of one batch go; each question is asked once."""

    def __init__(
        self,
        stations: StationService,
        groups: GroupService,
        schemas: SchemaService,
        examiner: Examiner,
    ) -> None:
        self._stations = stations
        self._groups = groups
        self._schemas = schemas
        self._examiner = examiner
        self._found: dict[str, StationRecord | Refusal] = {}
        self._groups_found: dict[tuple[str, int, str], GroupName | None] = {}
        """By station, partition and name; None: it is not there."""

    async def origin(self, letter: DeadLetter) -> StationRecord:
        """The station that a dead letter is from, in the life that it is from.

        Raises:
            Refusal: ``DEAD_LETTER_STUCK`` or ``STATION_NOT_FOUND``.
        """
        label = letter.label
        if label.kind == subjects.KIND_MALFORMED:
            raise Refusal(
                ErrorCode.DEAD_LETTER_STUCK,
                f"the dead letter {letter.id} is malformed, so nobody knows where it is from; name "
                "a station to put it into",
            )
        if label.station not in self._found:
            try:
                found = await self._stations.ready(StationName.parse(label.station))
                self._found[label.station] = found
            except Refusal as refusal:
                if refusal.code is ErrorCode.ENGINE_UNAVAILABLE:
                    raise
                self._found[label.station] = refusal
        station = self._found[label.station]
        if isinstance(station, Refusal):
            raise station
        if station.id != label.station_id:
            raise Refusal(
                ErrorCode.STATION_NOT_FOUND,
                f"the station {label.station} that the dead letter {letter.id} is from was removed; "
                "the one of this name is another; name it to put the dead letter there",
            )
        return station

    async def to_group(self, letter: DeadLetter) -> _Destination:
        """Back to its group.

        Raises:
            Refusal: ``DEAD_LETTER_STUCK``, ``STATION_NOT_FOUND`` or ``GROUP_NOT_FOUND``.
        """
        _check_payload(letter)
        station = await self.origin(letter)
        label = letter.label
        place = (station.id, label.partition, label.group)
        if place not in self._groups_found:
            group = GroupName.parse(label.group)
            is_there = await self._groups.exists(station, label.partition, group)
            self._groups_found[place] = group if is_there else None
        found = self._groups_found[place]
        if found is None:
            raise Refusal(
                ErrorCode.GROUP_NOT_FOUND,
                f"the dead letter {letter.id} cannot be given back: the station {label.station} has "
                f"no consumer group {label.group} any more; start a consumer of it, or name a "
                "station to put it into",
            )
        subject = subjects.redrive_subject(station.station, label.partition, found, letter.id)
        message = NewMessage(subject, letter.payload, model.given_back(letter))
        return _Destination(station, label.partition, message)

    async def to_stations(
        self, letters: Sequence[tuple[DeadLetter, StationRecord]]
    ) -> AsyncIterator[tuple[DeadLetter, _Destination | Refusal]]:
        """As new messages into these stations, if they fit their schemas now."""
        by_station: dict[str, tuple[StationRecord, list[DeadLetter]]] = {}
        for letter, station in letters:
            by_station.setdefault(station.id, (station, []))[1].append(letter)
        for station, group in by_station.values():
            unfit, mark = await check_payloads(
                self._schemas, self._examiner, station, [letter.payload for letter in group]
            )
            for index, letter in enumerate(group):
                try:
                    _check_payload(letter)
                except Refusal as refusal:
                    yield letter, refusal
                    continue
                if index in unfit:
                    yield letter, unfit_message(letter.id, station, unfit[index])
                else:
                    yield letter, _into(station, letter, mark)


async def check_payloads(
    schemas: SchemaService, examiner: Examiner, station: StationRecord, payloads: Sequence[bytes]
) -> tuple[dict[int, str], str]:
    """Which payloads do not fit the station's schema now and why, and the mark of those that do.

    Raises:
        Refusal: ``SCHEMA_NOT_FOUND``, or they could not be checked in time.
    """
    if not station.options.schema_name:
        return {}, ""
    name = SchemaName.parse(station.options.schema_name)
    attached = await schemas.attached(name)
    if attached is None:
        raise Refusal(
            ErrorCode.SCHEMA_NOT_FOUND,
            f"the schema {name} of station {station.name} was removed; attach another, or detach it",
        )
    definition = await schemas.definition(
        SchemaVersionGet(name=attached.name, version=attached.version, id=attached.id)
    )

    async def each() -> AsyncIterator[bytes]:
        for payload in payloads:
            yield payload

    verdict = await examiner.try_on(definition, each())
    unfit = dict(verdict.refused)
    for index in range(verdict.tried, len(payloads)):
        unfit[index] = "it could not be checked in time"
    return unfit, write_mark(attached)


def unfit_message(letter_id: int, station: StationRecord, reason: str) -> Refusal:
    """The refusal for a dead letter, as it is or edited, that does not fit a station's schema."""
    return Refusal(
        ErrorCode.MESSAGE_UNFIT,
        f"this form of the dead letter {letter_id} does not fit the schema of station "
        f"{station.name}: {reason}; it stays as it is",
    )


def _check_payload(letter: DeadLetter) -> None:
    if letter.label.payload_is_gone:
        raise Refusal(
            ErrorCode.DEAD_LETTER_STUCK,
            f"the dead letter {letter.id} has no payload: the retention of its station took the "
            "message first; edit it to give it one, or drop it",
        )


def _into(station: StationRecord, letter: DeadLetter, mark: str) -> _Destination:
    headers = model.anew(letter, mark)
    partitions = list(station.partitions)
    if letter.label.partition in partitions and letter.label.station_id == station.id:
        partition = letter.label.partition
    else:
        # By the id, as a producer of ours does, so that a repetition meets the first.
        partition = partition_for_key(headers[MESSAGE_ID], partitions)
    subject = subjects.ingest_subject(station.station, partition)
    return _Destination(station, partition, NewMessage(subject, letter.payload, headers))


def _refused(letter: DeadLetter, refusal: Refusal) -> DeadLetterRefused:
    if refusal.code is ErrorCode.ENGINE_UNAVAILABLE:
        raise refusal
    return DeadLetterRefused(id=letter.id, code=int(refusal.code), reason=refusal.text)
