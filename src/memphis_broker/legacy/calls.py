"""What the original's SDKs ask for, granted by the services that the native edge uses as well.

No rule is made here but those of the original that its SDKs rely on: what a missing value means, and that a
consumer without a group is a group of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import StationCreate, StationRemove
from memphis.wire.names import ConsumerName, GroupName, ProducerName, StationName
from memphis.wire.schemas import SchemaAttach, SchemaCreate, SchemaDetach, SchemaVersionGet
from memphis_broker.groups.service import GroupService
from memphis_broker.legacy import translate
from memphis_broker.legacy.leaving import Leaving
from memphis_broker.legacy.members import MemberKey, Members, checked_connection
from memphis_broker.legacy.requests import (
    ConsumerCreation,
    ConsumerDestruction,
    ProducerCreation,
    ProducerDestruction,
    SchemaAttachment,
    SchemaCreation,
    SchemaDetachment,
    StationCreation,
    StationDestruction,
)
from memphis_broker.schemas.service import SchemaService
from memphis_broker.stations.model import StationRecord
from memphis_broker.stations.service import StationService


class AlreadyExistsError(Exception):
    """Nothing was changed: what was to be made is there. Its SDKs take it for success."""


class NotThereError(Exception):
    """Nothing was changed: what was to be removed is not there. Its SDKs take it for success."""


class LegacyCalls:
    """One method for each request. Safe for many tasks and many brokers at once.

    Each raises ``InvalidNameError`` for a name that breaks the grammar, and ``Refusal``.
    """

    def __init__(
        self,
        stations: StationService,
        groups: GroupService,
        schemas: SchemaService,
        members: Members,
        leaving: Leaving,
    ) -> None:
        self._stations = stations
        self._groups = groups
        self._schemas = schemas
        self._members = members
        self._leaving = leaving

    async def create_station(self, request: StationCreation) -> None:
        """Create a station; one that exists stays as it is."""
        options = translate.station_options(request)
        await self._stations.create(StationCreate(name=request.name, options=options))

    async def remove_station(self, request: StationDestruction) -> None:
        """Remove a station and all it holds.

        Raises:
            NotThereError: There is none.
        """
        try:
            await self._stations.remove(StationRemove(name=request.station_name))
        except Refusal as refusal:
            if refusal.code is ErrorCode.STATION_NOT_FOUND:
                raise NotThereError(f"the station {request.station_name}") from refusal
            raise

    async def create_producer(self, request: ProducerCreation) -> bytes:
        """The reply to a producer, whose station is made where it is missing."""
        ProducerName.parse(request.name)
        station, _ = await self._stations.open(StationName.parse(request.station_name))
        return translate.producer_reply(station, await self.schema_of(station))

    async def remove_producer(self, request: ProducerDestruction) -> None:
        """Nothing is kept of producers, so nothing has to be removed."""
        ProducerName.parse(request.name)
        StationName.parse(request.station_name)

    async def create_consumer(self, request: ConsumerCreation) -> bytes:
        """The reply to a consumer, whose group reads every partition by now."""
        consumer = ConsumerName.parse(request.name)
        group = GroupName.parse(request.consumers_group or request.name)
        name = StationName.parse(request.station_name)
        join = translate.group_join(request, group)
        key = MemberKey(name, checked_connection(request.connection_id), consumer)
        station, _ = await self._stations.open(name)
        schema = await self.schema_of(station)
        await self._leaving.wait_until_ended(name, group)
        # Before: who leaves the group at this moment must see that somebody comes.
        entered = await self._members.enter(key, station, group)
        try:
            await self._groups.join(join, engine_keeps_limit=True)
        except Refusal:
            if entered is not None:
                await self._members.erase(entered)
            raise
        return translate.consumer_reply(station, schema)

    async def remove_consumer(self, request: ConsumerDestruction) -> None:
        """End a consumer, and its group with it if no other member is left.

        Raises:
            NotThereError: There is none of this name on this connection.
        """
        consumer = ConsumerName.parse(request.name)
        name = StationName.parse(request.station_name)
        key = MemberKey(name, checked_connection(request.connection_id), consumer)
        if not await self._leaving.leave(key):
            raise NotThereError(f"the consumer {consumer} of the station {name}")

    async def create_schema(self, request: SchemaCreation) -> None:
        """Store a schema, or a new version of one, which is not activated.

        Raises:
            AlreadyExistsError: A version has this content.
        """
        stored = await self._schemas.create(
            SchemaCreate(
                name=request.name,
                type=request.type[:32],
                content=_content(request.schema_content),
                imports={},
                message_struct_name=request.message_struct_name[:512],
            )
        )
        if not stored.created:
            raise AlreadyExistsError(f"version {stored.version} of the schema {stored.name}")

    async def attach_schema(self, request: SchemaAttachment) -> None:
        """Attach a schema to a station."""
        await self._stations.attach_schema(
            SchemaAttach(name=request.name, station=request.station_name)
        )

    async def detach_schema(self, request: SchemaDetachment) -> None:
        """Detach whatever schema a station has."""
        await self._stations.detach_schema(SchemaDetach(station=request.station_name))

    async def schema_of(self, station: StationRecord) -> Mapping[str, Any]:
        """What SDKs are told of a station's schema; that it has none, where it is gone.

        Raises:
            Refusal: ``INVALID_OPTION`` for a schema that they cannot have.
        """
        attached = (await self._stations.describe(station)).attached_schema
        if attached is None:
            return translate.NO_SCHEMA
        wanted = SchemaVersionGet(name=attached.name, version=attached.version, id=attached.id)
        try:
            return translate.schema_update(await self._schemas.definition(wanted))
        except Refusal as refusal:
            if refusal.code is ErrorCode.SCHEMA_NOT_FOUND:
                return translate.NO_SCHEMA
            raise


def _content(text: str) -> str:
    if not text:
        raise Refusal(ErrorCode.SCHEMA_INVALID, "schema_content is empty")
    return text
