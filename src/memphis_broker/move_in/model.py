"""What an original installation has, in words of our own; and what becomes of it here. Pure.

An :class:`Export` says what was there, unchanged: it is a file that a person may read, keep and edit. The
conversions to what this broker is asked for are functions beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memphis.exceptions import MemphisError
from memphis.types import Retention, Storage
from memphis.wire.models import SEQUENCE_MAX, StationOptions

FORMAT: Final = 1
ROOT: Final = "root"
APPLICATION: Final = "application"
ACCESS_ALL: Final = "*"


class MoveInError(MemphisError):
    """Something of the original cannot be read, understood or reached; the text says what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExportedStation(_Part):
    """A station of the original.

    Attributes:
        retention_value: Seconds, or messages or bytes **of each partition**; ignored for ``ack_based``.
        partitions: 0 for a station from before there were partitions.
        is_native: False for a stream that a plain NATS client made.
        tags: Not carried, like ``tiered_storage`` and ``functions``.
    """

    name: str
    retention_type: Retention = Retention.MAX_MESSAGE_AGE_SECONDS
    retention_value: int = 3600
    storage_type: Storage = Storage.DISK
    replicas: int = 1
    partitions: int = Field(default=1, ge=0)
    idempotency_window_ms: int = 120_000
    schema_name: str = ""
    poison_to_dls: bool = True
    schema_failed_to_dls: bool = True
    dls_station: str = ""
    is_native: bool = True
    tags: list[str] = []
    tiered_storage: bool = False
    functions: bool = False


class ExportedVersion(_Part):
    """One version of a schema."""

    number: int
    content: str
    message_struct_name: str = ""
    active: bool = False


class ExportedSchema(_Part):
    """A schema of the original; its versions oldest first."""

    name: str
    type: str
    versions: list[ExportedVersion] = Field(min_length=1)
    tags: list[str] = []


class ExportedUser(_Part):
    """A user of the original. Passwords are told to nobody there, so there is none."""

    name: str
    kind: str
    """``root``, ``management`` or ``application``."""
    description: str = ""
    read: list[str] = [ACCESS_ALL]
    """The stations that it may read, as patterns."""
    write: list[str] = [ACCESS_ALL]


class Export(_Part):
    """Everything that was read from one installation.

    Attributes:
        source: Where it was read.
        assumptions: What the original did not tell, and what was taken for it instead.
    """

    format: Literal[1] = FORMAT
    source: str
    stations: list[ExportedStation] = []
    schemas: list[ExportedSchema] = []
    users: list[ExportedUser] = []
    assumptions: list[str] = []


def write_export(export: Export) -> str:
    """The export as JSON for people, with a line end."""
    return export.model_dump_json(indent=2) + "\n"


def read_export(text: str, origin: str) -> Export:
    """What :func:`write_export` wrote, whoever has edited it since.

    Args:
        text: The JSON.
        origin: Where it comes from, for the complaint.

    Raises:
        MoveInError: It is no export; the text says where and why.
    """
    try:
        return Export.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise MoveInError(
            f"{origin} is no export of `memphis import --export`"
            f"{f', at {place}' if place else ''}: {first['msg']}"
        ) from error


def wanted_options(station: ExportedStation, replicas: int | None = None) -> StationOptions:
    """What this broker is asked for, so that no message is kept for less than at the original.

    The original bounds messages and bytes of each partition, this broker those of the whole station.

    Args:
        station: The original's station.
        replicas: Instead of the original's.

    Raises:
        MoveInError: No station can be like that.
    """
    partitions = max(station.partitions, 1)
    kind, value = station.retention_type, station.retention_value
    if kind in (Retention.MESSAGES, Retention.BYTES):
        value = min(value * partitions, SEQUENCE_MAX)
    if kind is Retention.ACK_BASED and value < 1:
        value = 1
    if value < 1:
        raise MoveInError(f"retention_value is {value}: it is at least 1")
    try:
        return StationOptions(
            retention_type=kind,
            retention_value=value,
            storage_type=station.storage_type,
            replicas=station.replicas if replicas is None else replicas,
            idempotency_window_ms=station.idempotency_window_ms,
            schema_name=station.schema_name,
            send_poison_msg_to_dls=station.poison_to_dls,
            send_schema_failed_msg_to_dls=station.schema_failed_to_dls,
            partitions_number=partitions,
            dls_station=station.dls_station,
        ).as_kept()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise MoveInError(f"{first['loc'][0]} is {first['input']!r}: {first['msg']}") from error


class Difference(NamedTuple):
    """An option that a station has otherwise than it was asked for."""

    option: str
    here: object
    wanted: object


COMPARED: Final = (
    "retention_type",
    "retention_value",
    "storage_type",
    "replicas",
    "idempotency_window_ms",
    "schema_name",
    "send_poison_msg_to_dls",
    "send_schema_failed_msg_to_dls",
    "partitions_number",
    "dls_station",
)
"""What an original's station has a word on; what it does not know may be as it is."""


def differences(here: StationOptions, wanted: StationOptions) -> list[Difference]:
    """The options of a station here that are not those of the original's."""
    found = [
        Difference(option, getattr(here, option), getattr(wanted, option)) for option in COMPARED
    ]
    return [
        one
        for one in found
        if one.here != one.wanted
        # Without meaning, so it cannot differ.
        and not (one.option == "retention_value" and wanted.retention_type is Retention.ACK_BASED)
    ]


def not_carried(station: ExportedStation) -> list[str]:
    """What a station of the original has that this broker does not, in words."""
    words = []
    if station.tags:
        words.append(f"its tags ({', '.join(station.tags)})")
    if station.tiered_storage:
        words.append("its tiered storage")
    if station.functions:
        words.append("its functions")
    return words


def in_order(stations: Iterable[ExportedStation]) -> Iterator[ExportedStation]:
    """The stations, each after the one that gets its dead letters, else in their order.

    A ``dls_station`` that is not there would be created with options of nobody's choosing. Where two
    have each other, one of them has to come first nevertheless.
    """
    waiting = {station.name.lower(): station for station in stations}
    while waiting:
        name = next(iter(waiting))
        chain = [name]
        while (target := waiting[chain[-1]].dls_station.lower()) in waiting and target not in chain:
            chain.append(target)
        for one in reversed(chain):
            yield waiting.pop(one)


def distinct_versions(schema: ExportedSchema) -> list[ExportedVersion]:
    """The versions in their order, without those whose content an earlier one has.

    The original takes a content again if it is not that of the newest version; here it is the earlier
    version. Of equal versions the one that stays is active if any of them is.
    """
    kept: dict[tuple[str, str], ExportedVersion] = {}
    for version in sorted(schema.versions, key=lambda version: version.number):
        key = (version.content, version.message_struct_name)
        earlier = kept.setdefault(key, version)
        if version.active and not earlier.active:
            kept[key] = earlier.model_copy(update={"active": True})
    return list(kept.values())


def application_users(users: Sequence[ExportedUser]) -> list[ExportedUser]:
    """The users that applications log in as, and that can be created here."""
    return [user for user in users if user.kind == APPLICATION and user.name.lower() != ROOT]


def left_users(
    users: Sequence[ExportedUser], *, without_applications: bool = False
) -> list[ExportedUser]:
    """The users that are not created here: never root, whom every broker has.

    Args:
        users: All of them.
        without_applications: Whether those of applications are created.
    """
    others = [user for user in users if user.name.lower() != ROOT]
    return [user for user in others if not (without_applications and user.kind == APPLICATION)]


def not_carried_of_user(user: ExportedUser) -> list[str]:
    """What a user of the original has that a user here does not, in words."""
    words = []
    if user.description:
        words.append("its description")
    limited = [name for name in ("read", "write") if getattr(user, name) != [ACCESS_ALL]]
    if limited:
        words.append(f"that it may {' and '.join(limited)} certain stations only")
    return words
