"""What can be asked about stations."""

from __future__ import annotations

from typing import Any

from memphis.wire.models import (
    StationConfigure,
    StationCreate,
    StationGet,
    StationInfoGet,
    StationList,
    StationPurge,
    StationRemove,
)
from memphis.wire.schemas import SchemaAttach, SchemaCheck, SchemaDetach
from memphis_broker.operations import Operation
from memphis_broker.stations.schema_trial import SchemaTrial
from memphis_broker.stations.service import StationService


def operations(service: StationService, trial: SchemaTrial) -> list[Operation[Any]]:
    """The operations of this slice."""
    return [
        Operation(StationCreate, service.create),
        Operation(StationGet, service.get),
        Operation(StationInfoGet, service.info),
        Operation(StationList, service.page),
        Operation(StationPurge, service.purge),
        Operation(StationRemove, service.remove),
        Operation(StationConfigure, service.configure),
        Operation(SchemaAttach, service.attach_schema),
        Operation(SchemaDetach, service.detach_schema),
        Operation(SchemaCheck, trial.check),
    ]
