"""Which stations have which schema: what the schemas slice, which is below, needs to know of stations."""

from __future__ import annotations

from collections.abc import Iterable

from memphis.wire.names import SchemaName
from memphis_broker.engine.concurrency import for_each
from memphis_broker.stations.lifecycle import Lifecycle
from memphis_broker.stations.model import StationRecord, StationState
from memphis_broker.stations.news import StationNews


class StationsWithSchemas:
    """Answers from the stations' records, which alone say what is attached."""

    def __init__(self, lifecycle: Lifecycle, news: StationNews) -> None:
        self._lifecycle = lifecycle
        self._news = news

    async def using(self) -> dict[str, list[str]]:
        """For each schema that is attached anywhere, the names of the stations that have it, sorted."""
        return self._by_schema(await self._lifecycle.all())

    async def using_for_certain(self, schema: SchemaName) -> list[str]:
        """The names of the stations that have this schema; none is missed."""
        return self._by_schema(await self._lifecycle.all_for_certain()).get(schema, [])

    @staticmethod
    def _by_schema(stations: Iterable[StationRecord]) -> dict[str, list[str]]:
        users: dict[str, list[str]] = {}
        for station in stations:
            if station.options.schema_name and station.state is not StationState.DELETING:
                users.setdefault(station.options.schema_name, []).append(station.name)
        return {schema: sorted(names) for schema, names in users.items()}

    async def tell(self, schema: SchemaName) -> None:
        """Have the clients of all stations with this schema look again."""
        concerned = [
            s for s in await self._lifecycle.all_for_certain() if s.options.schema_name == schema
        ]
        await for_each(concerned, self._news.changed)
