"""The requests of the original's SDKs, as the newest of them write them. Pure.

Read leniently: names of members in any case, unknown ones ignored, null like missing. A value of the
wrong type is refused, as the original refused it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from memphis.wire.legacy import lower_keys
from memphis.wire.models import SEQUENCE_MAX

_TEXT_LENGTH_MAX: Final = 1024

Text = Annotated[str, Field(max_length=_TEXT_LENGTH_MAX)]
Number = Annotated[int, Field(ge=-SEQUENCE_MAX - 1, le=SEQUENCE_MAX)]


def _lowered(value: Any) -> Any:
    return lower_keys(value) if isinstance(value, dict) else value


class LegacyRequest(BaseModel):
    """The base of all of them."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class DlsSwitches(LegacyRequest):
    """What a station keeps as dead letters."""

    poison: bool = True
    schemaverse: bool = True


class StationCreation(LegacyRequest):
    """Create a station."""

    name: Text = ""
    retention_type: Text = ""
    retention_value: Number = 0
    storage_type: Text = ""
    replicas: Number = 0
    idempotency_window_in_ms: Number = 0
    schema_name: Text = ""
    dls_configuration: Annotated[DlsSwitches, BeforeValidator(_lowered)] = DlsSwitches()
    tiered_storage_enabled: bool = False
    partitions_number: Number = 1
    dls_station: Text = ""


class StationDestruction(LegacyRequest):
    """Remove a station."""

    station_name: Text = ""


class ClientRequest(LegacyRequest):
    """What concerns one producer or consumer of one connection."""

    name: Text = ""
    station_name: Text = ""
    connection_id: Text = ""


class ProducerCreation(ClientRequest):
    """Make a producer, and its station where it is missing."""


class ProducerDestruction(ClientRequest):
    """End a producer."""


class ConsumerCreation(ClientRequest):
    """Make a consumer, a member of a group, and its station where it is missing."""

    consumers_group: Text = ""
    max_ack_time_ms: Number = 0
    max_msg_deliveries: Number = 0
    start_consume_from_sequence: Number = 0
    last_messages: Number = -1


class ConsumerDestruction(ClientRequest):
    """End a consumer."""


class SchemaCreation(LegacyRequest):
    """Store a schema, or a new version of one."""

    name: Text = ""
    type: Text = ""
    schema_content: str = ""
    message_struct_name: Text = ""


class SchemaAttachment(LegacyRequest):
    """Attach a schema to a station."""

    name: Text = ""
    station_name: Text = ""


class SchemaDetachment(LegacyRequest):
    """Detach a station's schema."""

    station_name: Text = ""
