"""Everything that can be asked about stations; the edges call nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from memphis.wire import subjects
from memphis.wire.errors import Refusal
from memphis.wire.models import (
    Done,
    GroupInfo,
    PartitionInfo,
    Purged,
    StationConfigure,
    StationCreate,
    StationDescription,
    StationGet,
    StationInfo,
    StationInfoGet,
    StationList,
    StationOpened,
    StationOptions,
    StationPage,
    StationPurge,
    StationRemove,
    StationSummary,
)
from memphis.wire.names import SchemaName, StationName
from memphis.wire.schemas import SchemaAttach, SchemaDetach
from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.durables import Durables, DurableState
from memphis_broker.engine.streams import Streams, StreamState
from memphis_broker.schemas.service import SchemaService
from memphis_broker.stations import model
from memphis_broker.stations.lifecycle import Lifecycle
from memphis_broker.stations.model import GROUP_NAME, StationRecord, StationState

logger = logging.getLogger(__name__)

_SINGLE_LOOKS_MAX: Final = 64
"""Up to this many streams are always looked at one by one: the engine may have many of others."""
_LISTED_FOR_A_LOOK: Final = 4
"""The engine lists about this many streams at the cost of one that is looked at by itself."""


class StationService:
    """Stations by name. Safe for many tasks and many brokers at once.

    Every method that takes a request raises ``InvalidNameError`` for a name that breaks the
    grammar, and refuses with ``STATION_NOT_FOUND`` for a station that is not there.
    """

    def __init__(
        self, lifecycle: Lifecycle, streams: Streams, durables: Durables, schemas: SchemaService
    ) -> None:
        self._lifecycle = lifecycle
        self._streams = streams
        self._durables = durables
        self._schemas = schemas

    async def create(self, request: StationCreate) -> StationOpened:
        """Create a station; one that exists is returned unchanged, whatever the options.

        Its dls_station is created with the defaults where it does not exist.

        Raises:
            Refusal: ``INVALID_OPTION``, ``INVALID_DLS_STATION``, ``SCHEMA_NOT_FOUND``,
                ``TOO_FEW_SERVERS`` or another refusal of the engine; nothing is left of the
                station then.
        """
        station, created = await self.open(StationName.parse(request.name), request.options)
        return StationOpened(station=await self.describe(station), created=created)

    async def open(
        self, name: StationName, wanted: StationOptions | None = None
    ) -> tuple[StationRecord, bool]:
        """Like :meth:`create`, with the default options where none are given."""
        options = model.check_options(name, wanted or StationOptions())
        found = await self._lifecycle.find(name)
        station, created = found.station, False
        if station is not None:
            await self._lifecycle.ensure_streams(station)
        else:
            if options.schema_name:
                await self._schemas.ready(SchemaName.parse(options.schema_name))
            if options.dls_station:
                await self.open(StationName.parse(options.dls_station))
            station, created = await self._lifecycle.create(name, options, found)
            if created and options.schema_name:
                await self._keep_if_schema_stays(station)
        if wanted is not None and not created and station.options != options:
            logger.debug("the station %s exists with other options, which stay as they are", name)
        return station, created

    async def get(self, request: StationGet) -> StationDescription:
        """Describe a station."""
        station = await self.ready(StationName.parse(request.name))
        await self._lifecycle.ensure_streams(station)
        return await self.describe(station)

    async def describe(self, station: StationRecord) -> StationDescription:
        """The station as clients need to know it.

        Where its schema is gone, the description has the schema's name and no version: such a station
        takes no messages until another schema is attached, or none.
        """
        schema = station.options.schema_name
        if not schema:
            return station.describe(None)
        return station.describe(await self._schemas.attached(SchemaName.parse(schema)))

    async def ready(self, name: StationName) -> StationRecord:
        """The station, which is ready.

        Raises:
            Refusal: ``STATION_NOT_FOUND``.
        """
        station = (await self._lifecycle.find(name)).station
        if station is None:
            raise model.not_found(name)
        return station

    async def info(self, request: StationInfoGet) -> StationInfo:
        """What a station holds, and how far its groups are; counted one partition at a time."""
        station = await self.ready(StationName.parse(request.name))
        await self._lifecycle.ensure_streams(station)
        groups: list[DurableState] = []

        async def look(partition: int) -> PartitionInfo:
            stream_name = subjects.stream_name(station.station, partition)
            state = await self._streams.state(stream_name)
            if state is None:
                raise model.not_found(station.station)
            groups.extend(await self._durables.states(stream_name, state.consumers))
            given_back = subjects.redrives_filter(station.station, partition)
            count = await self._streams.count_from(stream_name, given_back, 1)
            return _partition_info(partition, state, count)

        partitions = await for_each(station.partitions, look)
        dead = await self._streams.counts(
            subjects.DEAD_LETTER_STREAM, subjects.dead_letters_filter(station.id)
        )
        return StationInfo(
            name=station.name,
            options=station.options,
            created_at=station.created_at,
            messages=sum(partition.messages for partition in partitions),
            bytes=sum(partition.bytes for partition in partitions),
            partitions=partitions,
            groups=_merge_groups(groups, model.dead_letters_by_group(dead)),
            dead_letters=model.dead_letter_counts(dead),
        )

    async def page(self, request: StationList) -> StationPage:
        """A page of the stations that are ready, in the order of their names."""
        after = request.after.lower()
        stations = await self._lifecycle.all()
        following = sorted(
            (
                station
                for station in stations
                if station.state is StationState.READY and station.name > after
            ),
            key=lambda station: station.name,
        )
        chosen = following[: request.limit]
        states = await self._states_of(chosen, of_all=stations)
        return StationPage(
            stations=[_summary(station, states) for station in chosen],
            more=len(following) > len(chosen),
        )

    async def purge(self, request: StationPurge) -> Purged:
        """Delete the messages of every partition. Dead letters stay, also those given back to a group."""
        station = await self.ready(StationName.parse(request.name))

        async def purge(partition: int) -> int:
            name = subjects.stream_name(station.station, partition)
            given_back = subjects.redrives_filter(station.station, partition)
            if not await self._streams.count_from(name, given_back, 1):
                return await self._streams.purge(name)
            # Slower, because the engine looks at each message.
            final = subjects.final_subject(station.station, partition)
            return await self._streams.purge(name, subject=final)

        return Purged(messages=sum(await for_each(station.partitions, purge)))

    async def configure(self, request: StationConfigure) -> StationDescription:
        """Change what becomes of a station's dead letters, and tell its clients.

        A dls_station that does not exist is created with the defaults.

        Raises:
            Refusal: ``INVALID_DLS_STATION`` as well.
        """
        name = StationName.parse(request.name)
        wanted = request.model_dump(exclude_none=True, exclude={"name"})
        if dls_station := wanted.get("dls_station"):
            model.check_dls_station(name, dls_station)
            await self.ready(name)  # before anything is made for a station that is not there
            wanted["dls_station"] = str(StationName.parse(dls_station))
            await self.open(StationName.parse(dls_station))
        station = await self._lifecycle.change(name, lambda o: o.model_copy(update=wanted), wanted)
        if station is None:
            raise model.not_found(name)
        return await self.describe(station)

    async def all_ready(self) -> list[StationRecord]:
        """Every station that is ready, in no order."""
        stations = await self._lifecycle.all()
        return [station for station in stations if station.state is StationState.READY]

    async def remove(self, request: StationRemove) -> Done:
        """Delete a station, its messages and its groups, and tell its clients.

        Stations that name it as their dls_station no longer do. With an id in the request, another
        life of the station than that one is left alone and counts as not there.
        """
        name = StationName.parse(request.name)
        if not await self._lifecycle.remove(name, request.id):
            raise model.not_found(name)
        return Done()

    async def attach_schema(self, request: SchemaAttach) -> Done:
        """Attach a schema to a station, instead of the one it may have.

        Raises:
            Refusal: ``SCHEMA_NOT_FOUND`` as well.
        """
        schema = SchemaName.parse(request.name)
        name = StationName.parse(request.station)
        await self._schemas.ready(schema)
        await self._set_schema(name, schema)
        try:
            await self._schemas.hold(schema)
        except Refusal:
            await self._set_schema(name, "", instead_of=schema)
            raise
        return Done()

    async def detach_schema(self, request: SchemaDetach) -> Done:
        """Detach whatever schema a station has; none is as good."""
        await self._set_schema(StationName.parse(request.station), "")
        return Done()

    async def _keep_if_schema_stays(self, station: StationRecord) -> None:
        """Take a new station back whose schema was removed while it was made."""
        try:
            await self._schemas.hold(SchemaName.parse(station.options.schema_name))
        except Refusal:
            await self._lifecycle.remove(station.station, station.id)
            raise

    async def _set_schema(
        self, name: StationName, schema: str, instead_of: str | None = None
    ) -> None:
        """Write the station's schema; with ``instead_of`` only over that one."""

        def alter(options: StationOptions) -> StationOptions:
            if instead_of is not None and options.schema_name != instead_of:
                return options
            return options.model_copy(update={"schema_name": str(schema)})

        if await self._lifecycle.change(name, alter, ["schema_name"]) is None:
            raise model.not_found(name)

    async def _states_of(
        self, stations: list[StationRecord], *, of_all: list[StationRecord]
    ) -> dict[str, StreamState]:
        names = [name for station in stations for name in station.stream_names]
        # Listing all for every page would cost the square of what there is.
        total = sum(station.options.partitions_number for station in of_all)
        if len(names) > max(_SINGLE_LOOKS_MAX, total // _LISTED_FOR_A_LOOK):
            return await self._streams.states()
        states = await for_each(names, self._streams.state)
        return {state.name: state for state in states if state is not None}


def _partition_info(partition: int, state: StreamState, given_back: int) -> PartitionInfo:
    """Dead letters that were given back to a group are no messages of the station."""
    return PartitionInfo(
        number=partition,
        messages=max(0, state.messages - given_back),
        bytes=state.bytes,
        first_sequence=state.first_sequence,
        last_sequence=state.last_sequence,
    )


def _merge_groups(
    durables: Iterable[DurableState], dead_letters: Mapping[str, int]
) -> list[GroupInfo]:
    """Groups summed over the partitions, in the order of their names; other durables left out."""
    members: dict[str, list[DurableState]] = {}
    for durable in durables:
        if GROUP_NAME in durable.metadata:
            members.setdefault(durable.metadata[GROUP_NAME], []).append(durable)
    return [
        GroupInfo(
            name=name,
            pending=sum(durable.pending for durable in members[name]),
            unacknowledged=sum(durable.unacknowledged for durable in members[name]),
            redelivered=sum(durable.redelivered for durable in members[name]),
            dead_letters=dead_letters.get(name, 0),
        )
        for name in sorted(members)
    ]


def _summary(station: StationRecord, states: dict[str, StreamState]) -> StationSummary:
    own = [states[name] for name in station.stream_names if name in states]
    options = station.options
    return StationSummary(
        name=station.name,
        partitions=options.partitions_number,
        retention_type=options.retention_type,
        retention_value=options.retention_value,
        storage_type=options.storage_type,
        replicas=options.replicas,
        schema_name=options.schema_name,
        messages=sum(state.messages for state in own),
        bytes=sum(state.bytes for state in own),
        created_at=station.created_at,
    )
