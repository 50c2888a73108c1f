"""Everything that can be asked about dead letters; the edges call nothing else.

No request here stores a message that failed: whoever finds one does that (ADR 12 and 13).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from memphis.exceptions import MemphisHeaderError
from memphis.wire import subjects
from memphis.wire.dead_letters import (
    BATCH_MAX,
    CHUNK_BYTES,
    DeadLetterDrop,
    DeadLetterEdit,
    DeadLetterEdited,
    DeadLetterGet,
    DeadLetterInfo,
    DeadLetterList,
    DeadLetterPage,
    DeadLetterRedrive,
    DeadLetterRefused,
    DeadLettersDropped,
    DeadLettersMoved,
    Selection,
)
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.headers import check_user_header
from memphis.wire.names import GroupName, StationName
from memphis_broker.dead_letters import model
from memphis_broker.dead_letters.model import DeadLetter
from memphis_broker.dead_letters.redrive import (
    Redriver,
    check_payloads,
    unfit_message,
)
from memphis_broker.dead_letters.store import DeadLetterStore, Filter
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.streams import Streams
from memphis_broker.schemas.examination import Examiner
from memphis_broker.schemas.service import SchemaService
from memphis_broker.stations.service import StationService

_REPLY_BYTES_MAX: Final = 512 * 1024
"""Fits into the engine's largest message even where that is the stock megabyte."""
_ALL: Final = Filter()


class DeadLetterService:
    """Dead letters of all stations. Safe for many tasks and many brokers at once.

    Every method that takes a selection raises ``InvalidNameError`` for a name that breaks the grammar,
    and refuses with ``STATION_NOT_FOUND`` for a station that is not there, and with
    ``INVALID_OPTION`` for a kind that there is none of, or for ids with other properties.
    """

    def __init__(
        self,
        store: DeadLetterStore,
        redriver: Redriver,
        stations: StationService,
        schemas: SchemaService,
        examiner: Examiner,
        streams: Streams,
    ) -> None:
        self._store = store
        self._redriver = redriver
        self._stations = stations
        self._schemas = schemas
        self._examiner = examiner
        self._streams = streams

    async def page(self, request: DeadLetterList) -> DeadLetterPage:
        """A page of dead letters. A page of large ones is cut short, and says that there are more."""
        _, newest = await self._store.bounds()
        if request.after is None:
            letters, more = await self._newest(request)
        elif request.ids:
            ids = sorted({i for i in request.ids if i > request.after})
            letters, more = await self._by_ids(request, ids, request.limit)
        else:
            wanted = await self._filter(request)
            letters, more = await self._oldest(
                wanted, request.since, request.after, newest, request.limit
            )
        shown: list[DeadLetterInfo] = []
        size = 0
        for letter in letters:
            info = model.describe(letter, 0, request.preview_bytes)
            size += len(info.model_dump_json())
            if shown and size > _REPLY_BYTES_MAX:
                more = True
                break
            shown.append(info)
        return DeadLetterPage(letters=shown, more=more, newest=newest)

    async def get(self, request: DeadLetterGet) -> DeadLetterInfo:
        """A dead letter with a part of its payload.

        Raises:
            Refusal: ``DEAD_LETTER_NOT_FOUND``.
        """
        letter = await self._letter(request.id)
        return model.describe(letter, request.offset, CHUNK_BYTES)

    async def redrive(self, request: DeadLetterRedrive) -> DeadLettersMoved:
        """Give back the oldest of the selected dead letters, each stored anew before it is deleted.

        What cannot be given back stays, and the reply says why.

        Raises:
            Refusal: ``STATION_NOT_FOUND`` for the target, too.
        """
        if request.ids:
            return await self._redrive_ids(request)
        wanted = await self._filter(request)
        _, newest = await self._store.bounds()
        through = min(request.through or newest, newest)
        letters, more = await self._oldest(
            wanted, request.since, request.after, through, request.limit
        )

        async def delete(ids: Sequence[int]) -> None:
            # With a time, others that match but for it may be before the batch.
            if len(ids) == len(letters) and request.since is None:
                await self._store.delete_batch(wanted, request.after, ids)
            else:
                await self._store.delete_all(ids)

        refused = await self._redriver.move(letters, request.target, delete)
        return DeadLettersMoved(
            moved=len(letters) - len(refused),
            refused=refused,
            reached=letters[-1].id if letters else through,
            more=more,
        )

    async def _redrive_ids(self, request: DeadLetterRedrive) -> DeadLettersMoved:
        ids = sorted({i for i in request.ids if i > request.after})
        letters, more = await self._by_ids(request, ids, request.limit)
        refused = await self._redriver.move(letters, request.target)
        there = {letter.id for letter in letters}
        asked = ids[: request.limit]
        missing = [_missing(letter_id) for letter_id in asked if letter_id not in there]
        return DeadLettersMoved(
            moved=len(letters) - len(refused),
            refused=[*refused, *missing],
            reached=asked[-1] if asked else request.after,
            more=more,
        )

    async def drop(self, request: DeadLetterDrop) -> DeadLettersDropped:
        """Delete the selected dead letters. Those that are gone already count for nothing."""
        if request.ids:
            _check_selection(request)
            return DeadLettersDropped(dropped=sum(await for_each(request.ids, self._store.delete)))
        wanted = await self._filter(request)
        _, newest = await self._store.bounds()
        through = min(request.through or newest, newest)
        if request.since is None:
            return DeadLettersDropped(dropped=await self._store.delete_through(wanted, through))
        dropped, after, more = 0, 0, True
        while more:
            letters, more = await self._oldest(wanted, request.since, after, through, BATCH_MAX)
            dropped += sum(await for_each([letter.id for letter in letters], self._store.delete))
            after = letters[-1].id if letters else through
        return DeadLettersDropped(dropped=dropped)

    async def edit(self, request: DeadLetterEdit) -> DeadLetterEdited:
        """Store a dead letter in another form, which must fit its station's schema; the old one goes.

        Raises:
            Refusal: ``DEAD_LETTER_NOT_FOUND``, ``DEAD_LETTER_STUCK`` for a malformed one,
                ``MESSAGE_UNFIT``, ``INVALID_OPTION`` for headers that cannot be sent or no base64.
        """
        letter = await self._letter(request.id)
        if letter.label.kind == subjects.KIND_MALFORMED:
            raise Refusal(
                ErrorCode.DEAD_LETTER_STUCK,
                f"the dead letter {letter.id} is malformed and cannot be edited",
            )
        payload = letter.payload if request.payload is None else _decode(request.payload)
        if request.headers is not None:
            _check_headers(request.headers)
        station = await self._stations.ready(StationName.parse(letter.label.station))
        if station.id == letter.label.station_id:
            unfit, _ = await check_payloads(self._schemas, self._examiner, station, [payload])
            if unfit:
                raise unfit_message(letter.id, station, unfit[0])
        label, carried = model.edited(letter, request.headers)
        own = model.headers_of(label, carried, f"edit/{letter.id}/{label.edits}")
        stored = await self._streams.append(letter.subject, payload, own)
        if stored.duplicate:
            raise _not_found(letter.id)  # somebody else was quicker to edit it
        # If this broker is killed here, the follower of the new one deletes the old one.
        if not await self._store.delete(letter.id):
            await self._store.delete(stored.sequence)  # it was given back, or dropped, meanwhile
            raise _not_found(letter.id)
        return DeadLetterEdited(id=stored.sequence)

    async def _newest(self, request: DeadLetterList) -> tuple[list[DeadLetter], bool]:
        if request.ids:
            below = {i for i in request.ids if not request.before or i < request.before}
            ids, more, letters = sorted(below, reverse=True), True, list[DeadLetter]()
            # Whoever pages on asks below the last one, so a page has at least one, if any is left.
            while more and not letters:
                letters, more = await self._by_ids(request, ids, request.limit)
                ids = ids[request.limit :]
            return letters, more
        wanted = await self._filter(request)
        found = [
            letter async for letter in self._store.newest(wanted, request.before, request.limit + 1)
        ]
        found.reverse()
        if request.since is not None:
            found = [letter for letter in found if model.time_of(letter.stored_at) >= request.since]
        return found[: request.limit], len(found) > request.limit

    async def _by_ids(
        self, request: Selection, ids: Sequence[int], count: int
    ) -> tuple[list[DeadLetter], bool]:
        """The first ``count`` of these that are there still, and whether others follow."""
        _check_selection(request)
        found = await for_each(ids[:count], self._store.get)
        return [letter for letter in found if letter is not None], len(ids) > count

    async def _oldest(
        self, wanted: Filter, since: datetime | None, after: int, through: int, count: int
    ) -> tuple[list[DeadLetter], bool]:
        """Up to ``count`` between two ids, oldest first, and whether there are more."""
        if since is not None:
            first = await self._store.first_since(wanted, since)
            if first is None:
                return [], False
            after = max(after, first - 1)
        letters, more = await self._store.oldest(wanted, after, count)
        inside = [letter for letter in letters if letter.id <= through]
        return inside, more and len(inside) == len(letters)

    async def _filter(self, request: Selection) -> Filter:
        _check_selection(request)
        if request.kind and request.kind not in subjects.KINDS:
            raise Refusal(
                ErrorCode.INVALID_OPTION,
                f"there are no dead letters of kind {request.kind!r}; the kinds are "
                f"{', '.join(subjects.KINDS)}",
            )
        group = GroupName.parse(request.group) if request.group else None
        if not request.station:
            return _ALL._replace(group=group, kind=request.kind)
        station = await self._stations.ready(StationName.parse(request.station))
        return Filter(station.id, group, request.kind)

    async def _letter(self, letter_id: int) -> DeadLetter:
        letter = await self._store.get(letter_id)
        if letter is None:
            raise _not_found(letter_id)
        return letter


def _not_found(letter_id: int) -> Refusal:
    return Refusal(
        ErrorCode.DEAD_LETTER_NOT_FOUND,
        f"there is no dead letter {letter_id}; it may have been given back, dropped, or edited, "
        "which gives it another id",
    )


def _missing(letter_id: int) -> DeadLetterRefused:
    refusal = _not_found(letter_id)
    return DeadLetterRefused(id=letter_id, code=int(refusal.code), reason=refusal.text)


def _check_selection(request: Selection) -> None:
    if request.ids and (request.station or request.group or request.kind or request.since):
        raise Refusal(
            ErrorCode.INVALID_OPTION, "select dead letters by their ids or by properties, not both"
        )
    if request.since is not None and request.since.tzinfo is None:
        raise Refusal(ErrorCode.INVALID_OPTION, "since needs a time zone")


def _decode(payload: str) -> bytes:
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error as error:
        raise Refusal(ErrorCode.INVALID_OPTION, "the payload is not valid base64") from error


def _check_headers(headers: dict[str, str]) -> None:
    for key, value in headers.items():
        try:
            check_user_header(key, value)
        except MemphisHeaderError as error:
            raise Refusal(ErrorCode.INVALID_OPTION, str(error)) from error
