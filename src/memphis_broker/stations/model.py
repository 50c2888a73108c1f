"""What a station is, what may be asked of one, and the streams that it consists of. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Final

from pydantic import BaseModel, ConfigDict

from memphis.types import Retention, Storage
from memphis.wire import subjects
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import (
    AttachedSchema,
    DeadLetterCounts,
    StationDescription,
    StationOptions,
)
from memphis.wire.names import InvalidNameError, SchemaName, StationName
from memphis_broker.engine.streams import StreamSpec

STATION_ID: Final = "memphis.station.id"
"""The metadata of a partition's stream that names the life of the station it belongs to."""

GROUP_NAME: Final = "memphis.group"
"""The metadata of a durable that says it is a consumer group, and which: the name with dots."""

AGE_MAX_S: Final = 9_000_000_000
"""The engine counts nanoseconds in 63 bits; this is 285 years."""


class StationState(Enum):
    """How far a station's life has come. It only ever goes on, never back."""

    CREATING = "creating"
    """Some of its streams may be missing; nobody was told yet that the station is there."""
    READY = "ready"
    DELETING = "deleting"
    """Some of its streams may be gone; nobody may use it any more."""


class StationRecord(BaseModel):
    """The one durable fact about a station.

    Attributes:
        id: Unique to one life: a station that is removed and created again gets another.
        claimed_by: The broker that is creating or deleting it; empty when ready.
    """

    model_config = ConfigDict(frozen=True)

    format: int = 1
    name: str
    id: str
    state: StationState
    options: StationOptions
    created_at: datetime
    claimed_by: str = ""

    @property
    def station(self) -> StationName:
        """The typed name."""
        return StationName.parse(self.name)

    @property
    def partitions(self) -> range:
        """The numbers of the partitions."""
        return range(1, self.options.partitions_number + 1)

    @property
    def stream_names(self) -> list[str]:
        """The streams of the partitions, in their order."""
        return [subjects.stream_name(self.station, partition) for partition in self.partitions]

    def describe(self, attached_schema: AttachedSchema | None) -> StationDescription:
        """The station, with what its schema is now, as clients need to know it."""
        return StationDescription(
            name=self.name,
            id=self.id,
            options=self.options,
            partitions=list(self.partitions),
            created_at=self.created_at,
            attached_schema=attached_schema,
        )


def key_of(name: StationName) -> str:
    """The key of a station's record. A dot would split the key, and ``#`` is not allowed in one."""
    return name.replace(".", "/")


def check_options(name: StationName, options: StationOptions) -> StationOptions:
    """The options as they take effect: names lowered, the idempotency window cut to the age.

    Raises:
        Refusal: ``INVALID_OPTION`` or ``INVALID_DLS_STATION``.
        InvalidNameError: The schema's name breaks the grammar.
    """
    value = options.retention_value
    kind = options.retention_type
    if kind is not Retention.ACK_BASED and value < 1:
        raise Refusal(
            ErrorCode.INVALID_OPTION,
            f"retention_value is {value}; with {kind.value} retention it must be at least 1",
        )
    if kind is Retention.MAX_MESSAGE_AGE_SECONDS and value > AGE_MAX_S:
        raise Refusal(
            ErrorCode.INVALID_OPTION,
            f"retention_value is {value} seconds; at most {AGE_MAX_S} are possible",
        )
    if options.schema_name:
        SchemaName.parse(options.schema_name)
    if options.dls_station:
        check_dls_station(name, options.dls_station)
    return options.as_kept()


def check_dls_station(name: StationName, dls_station: str) -> None:
    """Raise ``INVALID_DLS_STATION`` unless a station may have this one as its dls_station."""
    try:
        target = StationName.parse(dls_station)
    except InvalidNameError as error:
        raise Refusal(
            ErrorCode.INVALID_DLS_STATION, f"the dls_station of {name} cannot be used: {error}"
        ) from error
    if target == name:
        raise Refusal(
            ErrorCode.INVALID_DLS_STATION,
            f"the station {name} cannot be its own dls_station; name another one",
        )


def partition_stream(
    record: StationRecord, partition: int, *, acknowledge_early: bool = False
) -> StreamSpec:
    """The stream of one partition.

    ``messages`` and ``bytes`` bound the whole station: each partition gets its share, rounded up. The
    limit of messages is the engine's limit for one subject, so that dead letters which were given back
    push out nothing.

    Args:
        record: The station.
        partition: Which of its partitions.
        acknowledge_early: Acknowledge before writing, where the engine can: on disk, one replica.
    """
    options = record.options
    kind = options.retention_type
    share = -(-options.retention_value // options.partitions_number)
    station = record.station
    return StreamSpec(
        name=subjects.stream_name(station, partition),
        subjects=(subjects.stream_subjects(station, partition),),
        transform=(
            subjects.ingest_subject(station, partition),
            subjects.final_subject(station, partition),
        ),
        in_memory=options.storage_type is Storage.MEMORY,
        replicas=options.replicas,
        until_acknowledged=kind is Retention.ACK_BASED,
        age_max_s=options.retention_value if kind is Retention.MAX_MESSAGE_AGE_SECONDS else None,
        messages_per_subject_max=share if kind is Retention.MESSAGES else None,
        bytes_max=share if kind is Retention.BYTES else None,
        duplicate_window_ms=options.idempotency_window_ms,
        acknowledge_before_write=(
            acknowledge_early and options.storage_type is Storage.DISK and options.replicas == 1
        ),
        metadata={STATION_ID: record.id},
    )


def not_found(name: StationName) -> Refusal:
    """The refusal for a station that is not there."""
    return Refusal(
        ErrorCode.STATION_NOT_FOUND, f"there is no station {name}; create it, or check its name"
    )


def dead_letter_counts(by_subject: Mapping[str, int]) -> DeadLetterCounts:
    """How many dead letters of each kind these counts by subject add up to."""
    kinds: Counter[str] = Counter()
    for subject, count in by_subject.items():
        if place := subjects.parse_dead_letter_subject(subject):
            kinds[place.kind] += count
    return DeadLetterCounts(
        poison=kinds[subjects.KIND_POISON], schema_failed=kinds[subjects.KIND_SCHEMA]
    )


def dead_letters_by_group(by_subject: Mapping[str, int]) -> Mapping[str, int]:
    """How many dead letters each group has, by the same counts."""
    groups: Counter[str] = Counter()
    for subject, count in by_subject.items():
        if place := subjects.parse_dead_letter_subject(subject):
            groups[place.group] += count
    return groups
