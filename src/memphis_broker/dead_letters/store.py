"""Finds dead letters in their stream, by properties, from either end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from memphis.wire import subjects
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.headers import is_carried
from memphis.wire.names import GroupName, StationName
from memphis_broker.dead_letters import model
from memphis_broker.dead_letters.model import DeadLetter
from memphis_broker.engine.bulk import Bulk
from memphis_broker.engine.streams import StoredMessage, Streams

_STREAM: Final = subjects.DEAD_LETTER_STREAM
_READ_MAX: Final = 1000
_SPARE: Final = 64
"""So many more than asked for may be read, rather than searching for the exact place."""
_STRIDE: Final = 8


class Filter(NamedTuple):
    """Which dead letters; empty: any."""

    station_id: str = ""
    group: GroupName | None = None
    kind: str = ""

    @property
    def subject(self) -> str:
        """The subjects under which they are stored."""
        return subjects.dead_letters_filter(self.station_id, self.group, self.kind)


class DeadLetterStore:
    """The stream of dead letters. Safe for many tasks and many brokers at once."""

    def __init__(self, streams: Streams, bulk: Bulk) -> None:
        self._streams = streams
        self._bulk = bulk

    async def bounds(self) -> tuple[int, int]:
        """The first and the last id that there is; an empty stream has the first behind the last."""
        state = await self._streams.state(_STREAM)
        return (1, 0) if state is None else (max(1, state.first_sequence), state.last_sequence)

    async def get(self, letter_id: int) -> DeadLetter | None:
        """One dead letter, with its payload also where only the station has it."""
        message = await self._streams.message(_STREAM, letter_id)
        return None if message is None else await self._whole(message)

    async def oldest(self, wanted: Filter, after: int, count: int) -> tuple[list[DeadLetter], bool]:
        """Up to ``count`` of them above an id, oldest first, and whether there are more."""
        page = await self._bulk.page(_STREAM, wanted.subject, after + 1, count)
        return [await self._whole(message) for message in page.messages], page.following > 0

    async def first_since(self, wanted: Filter, since: datetime) -> int | None:
        """The id of the first of them that was stored at this time or later, None if there is none."""
        time_ns = max(0, int(since.timestamp() * 1_000_000)) * 1000
        found = await self._streams.found_at(_STREAM, wanted.subject, time_ns)
        return None if found is None else found.sequence

    async def newest(self, wanted: Filter, before: int, count: int) -> AsyncIterator[DeadLetter]:
        """The newest ``count`` below an id, oldest first.

        A stream can only be read forwards, so the place to begin is searched: from the end in strides that
        grow, then between two strides. Each step is one request, which has the engine count.
        """
        first, last = await self.bounds()
        end = min(before - 1, last) if before else last
        start = await self._start_of_newest(wanted, first, end, count)
        held: list[StoredMessage] = []
        while 0 < start <= end:
            page = await self._bulk.page(_STREAM, wanted.subject, start, _READ_MAX)
            held += [message for message in page.messages if message.sequence <= end]
            held = held[-count:]
            start = page.following
        for message in held:
            yield await self._whole(message)

    async def _start_of_newest(self, wanted: Filter, first: int, end: int, count: int) -> int:
        async def count_from(start: int) -> int:
            return await self._streams.count_from(_STREAM, wanted.subject, start)

        need = count + await count_from(end + 1)
        # Always: from `low` on there are enough, or it is the first; from `high` on there are not.
        low, high, stride = end + 1, end + 1, count
        while low > first:
            low = max(first, high - stride)
            held = await count_from(low)
            if held >= need:
                break
            high, stride = low, stride * _STRIDE
        else:
            return first
        while held > need + _SPARE and high - low > 1:
            middle = (low + high) // 2
            in_rest = await count_from(middle)
            if in_rest >= need:
                low, held = middle, in_rest
            else:
                high = middle
        return low

    async def delete(self, letter_id: int) -> bool:
        """Delete one; False if it is not there."""
        return await self._streams.delete_message(_STREAM, letter_id)

    async def delete_through(self, wanted: Filter, through: int) -> int:
        """Delete all of them up to this id; how many there were."""
        return await self._streams.purge(_STREAM, subject=wanted.subject, below=through + 1)

    async def delete_all(self, ids: Sequence[int]) -> None:
        """Delete these; those that are gone already are as good."""
        await self._bulk.delete_all(_STREAM, ids)

    async def delete_batch(self, wanted: Filter, after: int, ids: Sequence[int]) -> None:
        """Delete these, which are all that match above ``after`` up to the last of them.

        Together, if none matches at or below ``after``: ids only grow, so none can come there any more.
        """
        first = await self._bulk.page(_STREAM, wanted.subject, 1, 1)
        if first.messages and first.messages[0].sequence <= after:
            await self.delete_all(ids)
        elif ids:
            await self.delete_through(wanted, ids[-1])

    async def _whole(self, message: StoredMessage) -> DeadLetter:
        letter = model.read(message)
        label = letter.label
        if not label.payload_is_left:
            return letter
        name = subjects.stream_name(StationName.parse(label.station), label.partition)
        try:
            original = await self._streams.message(name, label.sequence)
        except Refusal as refusal:
            if refusal.code is ErrorCode.ENGINE_UNAVAILABLE and await self._is_there(name):
                raise
            original = None
        # By its time a later life of the station, where the place is another message's, is told apart.
        if original is None or model.time_of(original.stored_at) != label.sent_at:
            gone = label.model_copy(update={"payload_is_gone": True})
            return letter._replace(label=gone)
        carried = {key: value for key, value in original.headers.items() if is_carried(key)}
        return letter._replace(payload=original.payload, headers=carried)

    async def _is_there(self, stream: str) -> bool:
        return await self._streams.state(stream) is not None
