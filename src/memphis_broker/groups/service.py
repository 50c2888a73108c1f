"""Makes consumer groups and ends them. A group's position is its durables, and nothing else.

A group that is there on some partitions only, because a broker was killed in between, is completed
by the next member that joins; what exists keeps its position.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from memphis.wire import subjects
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import GroupJoin, GroupJoined, GroupLeave, GroupLeft
from memphis.wire.names import GroupName, StationName
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.durables import Durables
from memphis_broker.engine.messaging import ClientMessaging
from memphis_broker.engine.streams import Streams
from memphis_broker.groups import model
from memphis_broker.groups.model import Bounds
from memphis_broker.stations.model import StationRecord
from memphis_broker.stations.service import StationService

_MEMBERS_DEADLINE_S: Final = 1.0
_MARGIN_NS: Final = 60 * 1_000_000_000
"""How far the engine's clock may be from ours before the search for a start becomes inexact."""


class GroupService:
    """Consumer groups by station and name. Safe for many tasks and many brokers at once."""

    def __init__(
        self,
        stations: StationService,
        streams: Streams,
        durables: Durables,
        messaging: ClientMessaging,
    ) -> None:
        self._stations = stations
        self._streams = streams
        self._durables = durables
        self._messaging = messaging

    async def join(self, request: GroupJoin) -> GroupJoined:
        """Make sure that a group exists on every partition of a station, which is made if missing.

        A group that exists keeps its position; its ack time and delivery limit are set anew. Where
        it begins is looked at only on partitions that it does not have yet.

        Raises:
            InvalidNameError: A name breaks the grammar.
            Refusal: ``INVALID_OPTION`` if both kinds of start are given; whatever creating the
                station may refuse; ``STATION_CHANGING`` if it is removed meanwhile.
        """
        group = GroupName.parse(request.group)
        name = StationName.parse(request.station)
        model.check_start(request)
        station, _ = await self._stations.open(name)
        known = await self._known(station, group)
        missing = [partition for partition in station.partitions if partition not in known]
        starts = await self._starts(station, request) if missing else {}

        async def make(partition: int) -> None:
            stream_name = subjects.stream_name(name, partition)
            spec = model.durable(name, partition, group, request, starts.get(partition))
            if partition not in known:
                await self._durables.create(stream_name, spec)
            elif known[partition] != (spec.ack_wait_ms, spec.deliveries_max):
                await self._durables.set_limits(stream_name, spec)

        await for_each(station.partitions, make)
        return GroupJoined(station=station.describe(), created=not known)

    async def leave(self, request: GroupLeave) -> GroupLeft:
        """A member has gone: end the group, with its position, if no live member is left.

        A group that is not there is left already.

        Raises:
            InvalidNameError: A name breaks the grammar.
            Refusal: ``STATION_NOT_FOUND``.
        """
        group = GroupName.parse(request.group)
        station = await self._stations.ready(StationName.parse(request.station))
        members = subjects.members_subject(station.station, group)
        if await self._messaging.anyone_listens(members, _MEMBERS_DEADLINE_S):
            return GroupLeft(removed=False)

        async def end(stream_name: str) -> bool:
            return await self._durables.delete(stream_name, group.internal)

        return GroupLeft(removed=any(await for_each(station.stream_names, end)))

    async def check_exists(self, station: StationRecord, partition: int, group: GroupName) -> None:
        """Raise ``GROUP_NOT_FOUND`` unless the station has this group."""
        stream_name = subjects.stream_name(station.station, partition)
        if await self._durables.state(stream_name, group.internal) is None:
            raise Refusal(
                ErrorCode.GROUP_NOT_FOUND,
                f"the station {station.name} has no consumer group {group}",
            )

    async def _known(self, station: StationRecord, group: GroupName) -> dict[int, tuple[int, int]]:
        """The partitions on which the group exists, with its ack time and delivery limit there."""

        async def look(partition: int) -> tuple[int, tuple[int, int]] | None:
            stream_name = subjects.stream_name(station.station, partition)
            state = await self._durables.state(stream_name, group.internal)
            if state is None:
                return None
            return partition, (state.ack_wait_ms, state.deliveries_max)

        return dict(filter(None, await for_each(station.partitions, look)))

    async def _starts(self, station: StationRecord, request: GroupJoin) -> Mapping[int, int]:
        """Where to begin on each partition; one that is not in the answer begins behind the end."""
        if request.last_messages == 0:
            return {}
        if request.last_messages < 0:
            return dict.fromkeys(station.partitions, request.start_consume_from_sequence)
        held = dict(await for_each(station.partitions, lambda p: self._bounds(station, p)))
        now = time.time_ns()
        created = int(station.created_at.timestamp() * 1_000_000_000)

        async def sequences_at(open_ones: Mapping[int, Bounds], time_ns: int) -> dict[int, int]:
            async def ask(partition: int) -> tuple[int, int]:
                stream_name = subjects.stream_name(station.station, partition)
                found = await self._streams.sequence_at(stream_name, time_ns)
                return partition, open_ones[partition].last + 1 if found is None else found

            return dict(await for_each(open_ones, ask))

        between = (created - _MARGIN_NS, now + _MARGIN_NS)
        return await model.starts_of_newest(held, request.last_messages, between, sequences_at)

    async def _bounds(self, station: StationRecord, partition: int) -> tuple[int, Bounds]:
        state = await self._streams.state(subjects.stream_name(station.station, partition))
        if state is None:
            raise Refusal(
                ErrorCode.STATION_CHANGING,
                f"the station {station.name} is being removed; try again",
            )
        return partition, Bounds(max(state.first_sequence, 1), state.last_sequence)
