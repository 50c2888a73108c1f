"""Which stations have which schema: what the schemas slice, which is below, needs to know of stations."""

from __future__ import annotations

from memphis.wire.names import SchemaName
from memphis_broker.engine.concurrency import for_each
from memphis_broker.stations.lifecycle import Lifecycle
from memphis_broker.stations.model import StationState


class StationsWithSchemas:
    """Answers from the stations' records, which alone say what is attached."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    async def using(self) -> dict[str, list[str]]:
        """For each schema that is attached anywhere, the names of the stations that have it, sorted."""
        users: dict[str, list[str]] = {}
        for station in await self._lifecycle.all():
            if station.options.schema_name and station.state is not StationState.DELETING:
                users.setdefault(station.options.schema_name, []).append(station.name)
        return {schema: sorted(stations) for schema, stations in users.items()}

    async def tell(self, schema: SchemaName) -> None:
        """Have the clients of all stations with this schema look again."""
        concerned = [s for s in await self._lifecycle.all() if s.options.schema_name == schema]
        await for_each(concerned, self._lifecycle.tell_changed)
