"""Brings the messages of stations over, and counts both sides.

In the flow: `memphis mirror` > here > one :class:`Copier` for each partition. All of them share one
connection to each side, and take turns, so what is held in memory does not grow with the partitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from memphis._core.session import Session
from memphis.exceptions import MemphisConnectError, MemphisRequestError, MemphisTimeoutError
from memphis.transport import Puller
from memphis.types import Retention
from memphis.wire.models import StationInfo, StationInfoGet
from memphis.wire.names import GroupName, StationName, UserName
from memphis_broker.move_in.copier import Copier, Run
from memphis_broker.move_in.counts import StationCount
from memphis_broker.move_in.endpoint import Endpoint, open_original, open_session
from memphis_broker.move_in.gate import Gate
from memphis_broker.move_in.model import MoveInError
from memphis_broker.move_in.original import OriginalBroker, SourcePartition

Told = Callable[[str], object]
Progress = Callable[[int, int], object]
"""Takes how many messages are brought over, and how many there were in all when it began."""

_TURNS: Final = 4
_LARGE_PAYLOAD: Final = 16 * 1024 * 1024
_TICK_S: Final = 0.1
_FLUSH_S: Final = 10.0
_ACKS_S: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be mirrored.

    Attributes:
        stations: Names; none for all that are on both sides.
        group: The group at the source that keeps the position.
        follow: Go on when nothing is left.
        add: Also into stations that hold messages, though the group is new.
        ack_time_s: How long the source waits for an acknowledgement before it sends a message again.
    """

    stations: Sequence[str]
    group: str
    follow: bool
    add: bool
    ack_time_s: int


@dataclass(frozen=True)
class _Station:
    """One station, ready to be copied."""

    copiers: list[Copier]
    gate: Gate
    count: StationCount
    is_same_width: bool


class Mirror:
    """One run. Made with :func:`open_mirror`.

    Args:
        original: The source.
        here: This broker.
        wish: What is to be mirrored.
        tell: Takes a line for the person who waits.
    """

    def __init__(self, original: OriginalBroker, here: Session, wish: Wish, tell: Told) -> None:
        self._original = original
        self._here = here
        self._wish = wish
        self._tell = tell
        is_large = original.connection.max_payload > _LARGE_PAYLOAD
        self._run = Run(
            original=original,
            here=here,
            puller=Puller(original.connection),
            follow=wish.follow,
            halted=asyncio.Event(),
            turns=asyncio.Semaphore(1 if is_large else _TURNS),
            tell=tell,
        )
        self._stations: list[_Station] = []

    @property
    def was_stopped(self) -> bool:
        """Whether it was told to stop before it was done."""
        return self._run.halted.is_set()

    def stop(self) -> None:
        """Have :meth:`run` end soon: what was pulled is stored first. Idempotent."""
        self._run.halted.set()

    async def run(self, progress: Progress) -> list[StationCount]:
        """Bring over what there is, and then count.

        Raises:
            MoveInError: A station that cannot be mirrored, before anything was; or what ended it.
            MemphisError: A connection was refused or closed.
        """
        total = 0
        for name in await self._names():
            station, waiting = await self._prepare(name)
            self._stations.append(station)
            total += waiting
        copiers = [copier for station in self._stations for copier in station.copiers]
        ticking = asyncio.create_task(self._tick(progress, total), name="mirror progress")
        try:
            async with asyncio.TaskGroup() as tasks:
                for copier in copiers:
                    tasks.create_task(copier.run(), name="mirror partition")
        finally:
            ticking.cancel()
            self._run.puller.close()
        if self._run.failure is not None:
            raise self._run.failure
        await self._original.connection.flush(_FLUSH_S)
        return [await self._counted(station) for station in self._stations]

    async def _names(self) -> list[StationName]:
        """The stations to mirror, each of which is there."""
        there = await self._original.stations()
        if self._wish.stations:
            names = [StationName.parse(name) for name in self._wish.stations]
            missing = [name for name in names if name not in there]
            if missing:
                raise MoveInError(f"the source has no station {', '.join(missing)}")
            return list(dict.fromkeys(names))
        names = sorted(name for name, streams in there.items() if "$" in streams[0])
        plain = sorted(name for name, streams in there.items() if "$" not in streams[0])
        # A stream without partitions may be anything: only what was imported counts as a station.
        for name in plain:
            with contextlib.suppress(MemphisRequestError):
                await self._info(name)
                names.append(name)
        if not names:
            raise MoveInError("the source has no stations")
        return names

    async def _prepare(self, name: StationName) -> tuple[_Station, int]:
        """Everything about one station but its messages; and how many there are to come."""
        gate = Gate(self._here, name)
        await gate.open()
        info = await self._info(name)
        goes_by_acks = info.options.retention_type is Retention.ACK_BASED
        if goes_by_acks and not info.groups:
            raise MoveInError(
                f"the station {name} here keeps messages until its groups acknowledge them, and has no "
                "group: what is brought over would be gone at once; make its groups first"
            )
        sources = await self._original.join(name)
        progress = [await self._original.progress(source) for source in sources]
        is_new = all(one.is_fresh for one in progress)
        if is_new and info.messages and not self._wish.add:
            raise MoveInError(
                f"the station {name} here holds {info.messages:,} messages, and the mirror's group at "
                "the source is new: if an earlier mirror brought them, they would come a second time; "
                "give --add if they are others"
            )
        is_same_width = len(sources) == len(info.partitions)
        if not is_same_width:
            self._tell(
                f"station {name} has {len(sources):,} partitions there and {len(info.partitions):,} "
                "here: order is kept within each of there, but keys will go to other partitions"
            )
        copiers = [
            Copier(self._run, source, _target(index, len(info.partitions)), gate)
            for index, source in enumerate(sources)
        ]
        count = StationCount(
            str(name),
            [copier.count for copier in copiers],
            is_added=self._wish.add,
            goes_by_acks=goes_by_acks,
        )
        station = _Station(copiers, gate, count, is_same_width)
        return station, sum(one.waiting for one in progress)

    async def _counted(self, station: _Station) -> StationCount:
        """The count of a station with what both sides hold in the end."""
        count = station.count
        info = await self._info(StationName.parse(count.station))
        count.here = info.messages
        count.dead_letters = info.dead_letters.schema_failed
        here = {partition.number: partition.messages for partition in info.partitions}
        for copier in station.copiers:
            one, source = copier.count, copier.source
            one.waiting = await self._waiting(source)
            one.there = await self._original.count(source)
            if station.is_same_width:
                one.here = here.get(copier.target)
        station.gate.close()
        return count

    async def _waiting(self, source: SourcePartition) -> int:
        """What the group there is still to get; the engine takes a moment for acknowledgements."""
        deadline = time.monotonic() + _ACKS_S
        while True:
            progress = await self._original.progress(source)
            if not progress.unacknowledged or time.monotonic() > deadline:
                return progress.waiting
            await asyncio.sleep(_TICK_S)

    async def _info(self, name: StationName) -> StationInfo:
        return await self._here.rpc.call(StationInfoGet(name=name), StationInfo)

    async def _tick(self, progress: Progress, total: int) -> None:
        """Tell how far it is, again and again."""
        while True:
            counts = [one for station in self._stations for one in station.count.partitions]
            progress(sum(one.copied + one.known + one.refused for one in counts), total)
            await asyncio.sleep(_TICK_S)


@asynccontextmanager
async def open_mirror(
    source: Endpoint, here: Endpoint, wish: Wish, tell: Told
) -> AsyncIterator[Mirror]:
    """A mirror, connected to both sides while the block runs.

    Raises:
        MoveInError: The source cannot be reached, or refuses the login.
        MemphisConnectError: This broker cannot be reached, or refuses the login.
        InvalidNameError: The name of the group or of a user cannot be one.
    """
    group = GroupName.parse(wish.group)
    try:
        connection, connection_id = await open_original(source)
    except MemphisConnectError as error:
        raise MoveInError(f"the source: {error}") from error
    try:
        session = await open_session(here)
        try:
            user = UserName.parse(source.username)
            original = OriginalBroker(
                connection, connection_id, user, group, ack_time_s=wish.ack_time_s
            )
            yield Mirror(original, session, wish, tell)
        finally:
            await session.close()
    finally:
        with contextlib.suppress(MemphisConnectError, MemphisTimeoutError):
            # The last acknowledgements.
            await connection.flush(_FLUSH_S)
        await connection.close()


def _target(index: int, partitions: int) -> int:
    """The partition here for one there, by its place in the list: the same, where there are as many."""
    return index % partitions + 1
