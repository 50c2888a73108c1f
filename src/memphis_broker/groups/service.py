"""Makes consumer groups and ends them. A group's position is its durables, and nothing else.

A group that is there on some partitions only, because a broker was killed in between, is completed
by the next member that joins; what exists keeps its position.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol
from weakref import WeakValueDictionary

from memphis.wire import subjects
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import GroupJoin, GroupJoined, GroupLeave, GroupLeft
from memphis.wire.names import GroupName, StationName
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.durables import Durables, DurableState
from memphis_broker.engine.messaging import ClientMessaging
from memphis_broker.engine.streams import Streams
from memphis_broker.groups import model
from memphis_broker.groups.model import Held, Limits, Point
from memphis_broker.stations.model import StationRecord
from memphis_broker.stations.service import StationService

logger = logging.getLogger(__name__)

GRACE_S: Final = 3.0
"""How long nobody may listen before a shared group ends: twice what an SDK's reconnect takes, which
waits up to 1.5 s between attempts unless it was told otherwise."""
_ASK_AGAIN_S: Final = 0.25
_MEMBERS_DEADLINE_S: Final = 1.0
_MARGIN_NS: Final = 60 * 1_000_000_000
"""How far the engine's clock may be from ours before the search for a start becomes inexact."""


BeforeEnd = Callable[[StationRecord, GroupName], Awaitable[None]]


class OtherMembers(Protocol):
    """Members of groups that do not answer where the SDK's members listen."""

    async def is_any_there(self, station: StationRecord, group: GroupName) -> bool:
        """Whether the group has a live member of this kind, or may have one."""


class NoOtherMembers:
    """The answer of a broker that serves no others."""

    async def is_any_there(self, station: StationRecord, group: GroupName) -> bool:  # noqa: ARG002
        """See :class:`OtherMembers`."""
        return False


class GroupService:
    """Consumer groups by station and name. Safe for many tasks and many brokers at once."""

    def __init__(
        self,
        stations: StationService,
        streams: Streams,
        durables: Durables,
        messaging: ClientMessaging,
        before_end: BeforeEnd,
        others: OtherMembers,
    ) -> None:
        """Args: ``before_end`` is called with a group that is about to end."""
        self._stations = stations
        self._streams = streams
        self._durables = durables
        self._messaging = messaging
        self._before_end = before_end
        self._others = others
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def join(self, request: GroupJoin, *, engine_keeps_limit: bool = False) -> GroupJoined:
        """Make sure that a group exists on every partition of a station, which is made if missing.

        A group that exists keeps its position. It keeps its ack time and delivery limit, too, while
        another member of it lives; the reply says which hold. Where it begins is looked at only on
        partitions that it does not have yet.

        With ``engine_keeps_limit`` the engine itself keeps the delivery limit from now on, as long as
        the group lives: for members that cannot do it.

        Raises:
            InvalidNameError: A name breaks the grammar.
            Refusal: ``INVALID_OPTION`` if both kinds of start are given; whatever creating the
                station may refuse; ``STATION_CHANGING`` if it is removed meanwhile.
        """
        group = GroupName.parse(request.group)
        name = StationName.parse(request.station)
        model.check_start(request)
        station, _ = await self._stations.open(name)
        async with self.undisturbed(station.id, group):
            return await self._join(station, group, request, engine_keeps_limit)

    async def leave(self, request: GroupLeave, *, station_id: str = "") -> GroupLeft:
        """A member has gone: end the group, with its position, if no live member is left.

        A group that more than one member ever joined ends only after nobody listened for a while,
        :data:`GRACE_S`: others may be about to come back. A group that is not there is left already, and
        so is one of another life of the station than ``station_id``, if that is given.

        Raises:
            InvalidNameError: A name breaks the grammar.
            Refusal: ``STATION_NOT_FOUND``.
        """
        group = GroupName.parse(request.group)
        station = await self._stations.ready(StationName.parse(request.station))
        known = await self._known(station, group)
        if not known or station_id not in ("", station.id):
            return GroupLeft(removed=False)
        shared = model.is_shared(known.get(station.partitions[0]))
        if shared and not await self._stays_silent(station, group):
            return GroupLeft(removed=False)
        # A member listens before it joins. So who joins before this lock answers now, and who joins
        # after it makes a new group.
        async with self.undisturbed(station.id, group):
            if await self._anyone_listens(station, group):
                return GroupLeft(removed=False)

            # First: what it was given back and has not handled would go with it.
            await self._before_end(station, group)

            async def end(stream_name: str) -> bool:
                return await self._durables.delete(stream_name, group.internal)

            first, *others = station.stream_names
            removed = any(await for_each(others, end))
            # Last: it says what the group is, to whoever goes on from here after a kill.
            return GroupLeft(removed=await end(first) or removed)

    async def exists(self, station: StationRecord, partition: int, group: GroupName) -> bool:
        """Whether the station has this group."""
        return await self._state(station, partition, group) is not None

    def undisturbed(self, station_id: str, group: str) -> asyncio.Lock:
        """Of this broker's requests, only one at a time makes or ends a group, or gives it anything back."""
        return self._locks.setdefault((station_id, group), asyncio.Lock())

    async def _join(
        self, station: StationRecord, group: GroupName, request: GroupJoin, engine_keeps_limit: bool
    ) -> GroupJoined:
        made = True
        while True:
            known = await self._known(station, group)
            limits = await self._limits(station, group, known, request, engine_keeps_limit)
            by_engine = engine_keeps_limit or model.is_limit_of_engine(known.values())
            marks = model.marks_of_joined() if known else model.marks_of_new(uuid.uuid4().hex)
            if await self._make(station, group, known, limits, request, marks, by_engine):
                first = known.get(station.partitions[0])
                return GroupJoined(
                    station=await self._stations.describe(station),
                    created=made and not known,
                    max_ack_time_ms=limits.ack_wait_ms,
                    max_msg_deliveries=limits.deliveries_max,
                    life=model.life_of(first, marks),
                )
            # Another broker made the group a moment ago, in another way: this one joins it.
            made = False

    async def _make(
        self,
        station: StationRecord,
        group: GroupName,
        known: Mapping[int, DurableState],
        limits: Limits,
        request: GroupJoin,
        marks: Mapping[str, str],
        by_engine: bool,
    ) -> bool:
        """Make or change whatever is not as it shall be. Returns False if somebody else did."""
        missing = [partition for partition in station.partitions if partition not in known]
        starts = await self._starts(station, request) if missing else {}

        async def make(partition: int) -> bool:
            first = partition == station.partitions[0]
            stream_name = subjects.stream_name(station.station, partition)
            spec = model.durable(
                station.station,
                partition,
                group,
                limits,
                starts.get(partition),
                marks if first else {},
                by_engine=by_engine,
            )
            if partition not in known:
                return await self._durables.create(stream_name, spec)
            if not model.is_as_asked(known[partition], spec):
                await self._durables.change(stream_name, spec)
            return True

        return all(await for_each(station.partitions, make))

    async def _limits(
        self,
        station: StationRecord,
        group: GroupName,
        known: Mapping[int, DurableState],
        request: GroupJoin,
        engine_keeps_limit: bool,
    ) -> Limits:
        """The limits that hold once this member has joined.

        Of members that need the engine to keep the limit, the last to join decides among themselves.
        """
        asked = model.limits_asked(request)
        held = [model.limits_of(known[partition]) for partition in sorted(known)]
        if all(limits == asked for limits in held):
            return asked
        own = 1 if request.listening else 0
        answers = await self._messaging.count_answers(
            subjects.members_subject(station.station, group), _MEMBERS_DEADLINE_S, own + 1
        )
        # Without an answer of its own, whoever joins would be taken for nobody: then one is silent.
        nobody = answers is None or bool(own and answers == own)
        if nobody and (engine_keeps_limit or not await self._others.is_any_there(station, group)):
            return asked
        logger.info(
            "the group %s of station %s has other members and keeps its limits: "
            "an ack time of %d ms and %d deliveries",
            group, station.name, *held[0],
        )  # fmt: skip
        return held[0]

    async def _anyone_listens(self, station: StationRecord, group: GroupName) -> bool:
        members = subjects.members_subject(station.station, group)
        if await self._messaging.anyone_listens(members, _MEMBERS_DEADLINE_S):
            return True
        return await self._others.is_any_there(station, group)

    async def _stays_silent(self, station: StationRecord, group: GroupName) -> bool:
        """Ask again and again whether anyone listens, until somebody does or the grace is over."""
        end = time.monotonic() + GRACE_S
        while not await self._anyone_listens(station, group):
            rest_s = end - time.monotonic()
            if rest_s <= 0:
                return True
            await asyncio.sleep(min(_ASK_AGAIN_S, rest_s))
        return False

    async def _state(
        self, station: StationRecord, partition: int, group: GroupName
    ) -> DurableState | None:
        stream_name = subjects.stream_name(station.station, partition)
        return await self._durables.state(stream_name, group.internal)

    async def _known(self, station: StationRecord, group: GroupName) -> dict[int, DurableState]:
        """The partitions on which the group exists, and how it is there."""
        states = await for_each(station.partitions, lambda p: self._state(station, p, group))
        return {
            partition: state
            for partition, state in zip(station.partitions, states, strict=True)
            if state is not None
        }

    async def _starts(self, station: StationRecord, request: GroupJoin) -> Mapping[int, int]:
        """Where to begin on each partition; one that is not in the answer begins behind the end."""
        if request.last_messages == 0:
            return {}
        if request.last_messages < 0:
            return dict.fromkeys(station.partitions, request.start_consume_from_sequence)
        held = dict(await for_each(station.partitions, lambda p: self._held(station, p)))
        now = time.time_ns()
        created = int(station.created_at.timestamp() * 1_000_000_000)

        async def points_at(open_ones: Mapping[int, Held], time_ns: int) -> dict[int, Point]:
            async def ask(partition: int) -> tuple[int, Point]:
                found = await self._found_at(station, partition, time_ns)
                return partition, found or open_ones[partition].end

            return dict(await for_each(open_ones, ask))

        between = (created - _MARGIN_NS, now + _MARGIN_NS)
        return await model.starts_of_newest(held, request.last_messages, between, points_at)

    async def _held(self, station: StationRecord, partition: int) -> tuple[int, Held]:
        state = await self._streams.state(subjects.stream_name(station.station, partition))
        if state is None:
            raise Refusal(
                ErrorCode.STATION_CHANGING,
                f"the station {station.name} is being removed; try again",
            )
        end = Point(state.last_sequence + 1, 0)
        return partition, Held(await self._found_at(station, partition, 0) or end, end)

    async def _found_at(self, station: StationRecord, partition: int, time_ns: int) -> Point | None:
        found = await self._streams.found_at(
            subjects.stream_name(station.station, partition),
            subjects.final_subject(station.station, partition),
            time_ns,
        )
        return None if found is None else Point(found.sequence, found.following)
