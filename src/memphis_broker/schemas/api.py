"""What can be asked about schemas. Attaching one changes a station, and is asked there."""

from __future__ import annotations

from typing import Any

from memphis.wire.schemas import (
    SchemaActivate,
    SchemaConfigure,
    SchemaCreate,
    SchemaGet,
    SchemaList,
    SchemaRemove,
    SchemaVersionGet,
)
from memphis_broker.operations import Operation
from memphis_broker.schemas.service import SchemaService


def operations(service: SchemaService) -> list[Operation[Any]]:
    """The operations of this slice."""
    return [
        Operation(SchemaCreate, service.create),
        Operation(SchemaGet, service.get),
        Operation(SchemaList, service.page),
        Operation(SchemaVersionGet, service.definition),
        Operation(SchemaActivate, service.activate),
        Operation(SchemaConfigure, service.configure),
        Operation(SchemaRemove, service.remove),
    ]
