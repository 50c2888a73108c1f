"""From the original's words to ours, and from ours to its. Pure.

The replies have exactly the members that its SDKs index without a look; what these SDKs do with each is in
docs/compat.md.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from pydantic import ValidationError

from memphis.types import Retention, Storage
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import (
    IDEMPOTENCY_WINDOW_MS_MAX,
    IDEMPOTENCY_WINDOW_MS_MIN,
    GroupJoin,
    StationOptions,
)
from memphis.wire.names import GroupName
from memphis.wire.partitions import PARTITIONS_MAX
from memphis.wire.schemas import ENCODING_BINARY, SchemaDefinition
from memphis_broker.legacy.requests import ConsumerCreation, StationCreation
from memphis_broker.stations.model import StationRecord

_RETENTION_VALUE: Final = 3600
_WINDOW_MS: Final = 120_000
_REPLICAS: Final = {2: 3, 4: 3}
_REPLICAS_MAX: Final = 5
_ACK_TIME_MS: Final = 30_000
_DELIVERIES_MAX: Final = 10
_STATION_VERSION: Final = 2
"""With partitions; its SDKs take what is lower for a station without."""
_ATTACHED: Final = 1
_DETACHED: Final = 2

NO_SCHEMA: Final[Mapping[str, Any]] = {
    "schema_name": "",
    "active_version": {
        "version_number": 0,
        "descriptor": "",
        "schema_content": "",
        "message_struct_name": "",
    },
    "type": "",
}


def station_options(request: StationCreation) -> StationOptions:
    """The options that a request asks for, by the original's rules for what is missing or too small.

    Raises:
        Refusal: ``INVALID_OPTION``.
    """
    kind = _choice(Retention, request.retention_type or "message_age_sec", "retention_type")
    value = request.retention_value
    if not request.retention_type or (value <= 0 and kind is not Retention.ACK_BASED):
        kind, value = Retention.MAX_MESSAGE_AGE_SECONDS, _RETENTION_VALUE
    window_ms = request.idempotency_window_in_ms
    if window_ms > IDEMPOTENCY_WINDOW_MS_MAX:
        raise _invalid(f"idempotency_window_in_ms is at most {IDEMPOTENCY_WINDOW_MS_MAX}")
    partitions = request.partitions_number or 1
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise _invalid(f"partitions_number is 1 to {PARTITIONS_MAX}")
    replicas = min(max(request.replicas, 1), _REPLICAS_MAX)
    return StationOptions(
        retention_type=kind,
        retention_value=max(value, 0),
        storage_type=_choice(Storage, request.storage_type or "file", "storage_type"),
        replicas=_REPLICAS.get(replicas, replicas),
        idempotency_window_ms=(
            max(window_ms, IDEMPOTENCY_WINDOW_MS_MIN) if window_ms > 0 else _WINDOW_MS
        ),
        schema_name=request.schema_name,
        send_poison_msg_to_dls=request.dls_configuration.poison,
        send_schema_failed_msg_to_dls=request.dls_configuration.schemaverse,
        tiered_storage_enabled=request.tiered_storage_enabled,
        partitions_number=partitions,
        dls_station=request.dls_station,
    )


def _choice(kind: Any, value: str, name: str) -> Any:
    for member in kind:
        if member.value == value.lower():
            return member
    known = ", ".join(member.value for member in kind)
    raise _invalid(f"{name} is one of {known}")


def group_join(request: ConsumerCreation, group: GroupName) -> GroupJoin:
    """What a request to make a consumer asks of its group.

    Raises:
        Refusal: ``INVALID_OPTION``.
    """
    deliveries = request.max_msg_deliveries
    try:
        return GroupJoin(
            station=request.station_name,
            group=group,
            max_ack_time_ms=request.max_ack_time_ms
            if request.max_ack_time_ms > 0
            else _ACK_TIME_MS,
            max_msg_deliveries=deliveries if 0 < deliveries <= _DELIVERIES_MAX else _DELIVERIES_MAX,
            start_consume_from_sequence=request.start_consume_from_sequence,
            last_messages=request.last_messages,
        )
    except ValidationError as error:
        raise _invalid(
            "start_consume_from_sequence is at least 1, last_messages at least -1 (for all), and "
            "max_ack_time_ms at most a day"
        ) from error


def producer_reply(station: StationRecord, schema: Mapping[str, Any]) -> bytes:
    """The reply to a producer; ``station_version`` and the empty object have to be there."""
    return _json(
        {
            "error": "",
            "schema_update": schema,
            "partitions_update": _partitions(station),
            "schemaverse_to_dls": station.options.send_schema_failed_msg_to_dls,
            "send_notification": False,
            "station_version": _STATION_VERSION,
            "station_partitions_first_functions": {},
        }
    )


def producer_refused(text: str) -> bytes:
    """The same for a producer that is refused."""
    return _json(
        {
            "error": text,
            "schema_update": NO_SCHEMA,
            "partitions_update": {"partitions_list": None},
            "schemaverse_to_dls": False,
            "send_notification": False,
            "station_version": 0,
            "station_partitions_first_functions": {},
        }
    )


def consumer_reply(station: StationRecord, schema: Mapping[str, Any]) -> bytes:
    """The reply to a consumer; one that is refused gets plain text."""
    return _json({"schema_update": schema, "partitions_update": _partitions(station), "error": ""})


def schema_reply(text: str) -> bytes:
    """The reply to whoever stores a schema; empty: it is stored."""
    return _json({"error": text})


def schema_changed(schema: Mapping[str, Any]) -> bytes:
    """The push that tells SDKs of a station's schema, also that it has none any more."""
    kind = _ATTACHED if schema["schema_name"] else _DETACHED
    return _json({"UpdateType": kind, "init": schema})


def client_update(station: StationRecord, kind: str, update: object) -> bytes:
    """The push that tells all SDKs something about a station."""
    return _json({"station_name": station.station.internal, "type": kind, "update": update})


def schema_update(definition: SchemaDefinition) -> Mapping[str, Any]:
    """The version of a schema that a station enforces.

    Raises:
        Refusal: ``INVALID_OPTION`` for a schema that those SDKs cannot have: they know no imports, and
            no binary Avro.
    """
    if definition.imports:
        raise _invalid(
            f"the schema {definition.name} imports other files, which the original's SDKs cannot read; "
            "use this broker's SDK for its stations"
        )
    if definition.type == "avro" and definition.encoding == ENCODING_BINARY:
        raise _invalid(
            f"messages of the schema {definition.name} are binary, which the original's SDKs cannot "
            "write; use this broker's SDK for its stations"
        )
    descriptor, message = definition.descriptor, definition.message_struct_name
    if descriptor:
        descriptor, package = _single_file(definition)
        message = message.removeprefix(f"{package}.") if package else message
    return {
        "schema_name": definition.name,
        "active_version": {
            "version_number": definition.version,
            "descriptor": descriptor,
            "schema_content": definition.content,
            "message_struct_name": message,
        },
        "type": definition.type,
    }


def _single_file(definition: SchemaDefinition) -> tuple[str, str]:
    """The descriptor of one file, named as the original's SDK for Go looks for it; and its package."""
    files = FileDescriptorSet.FromString(base64.b64decode(definition.descriptor))
    file = files.file[-1]
    if file.dependency:
        raise _invalid(
            f"the schema {definition.name} imports {', '.join(file.dependency)}, which the original's "
            "SDKs cannot read; use this broker's SDK for its stations"
        )
    file.name = f"{definition.name}_{definition.version}.proto"
    alone = FileDescriptorSet(file=[file])
    return base64.b64encode(alone.SerializeToString()).decode(), file.package


def _partitions(station: StationRecord) -> dict[str, Any]:
    return {"partitions_list": list(station.partitions)}


def _invalid(text: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_OPTION, text)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()
