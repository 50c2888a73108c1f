"""The answers of the original's management API, from JSON to the words of :mod:`model`. Pure.

That API was never documented, and its answers differ from version to version. So a field is looked for
under each name it is known by, also inside an object that wraps it; what is not told gets the original's
own default, and is written down as an assumption. Only what nothing can be made of is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from memphis.types import Retention, Storage
from memphis_broker.move_in.model import (
    ACCESS_ALL,
    ExportedSchema,
    ExportedStation,
    ExportedUser,
    ExportedVersion,
    MoveInError,
)

Fields = Mapping[str, Any]

_INTERNAL: Final = "$"
_WINDOW_MS: Final = 120_000
_AGE_S: Final = 3600

_STATION_FIELDS: Final = {
    "retention_type": ("retention_type",),
    "retention_value": ("retention_value",),
    "storage_type": ("storage_type",),
    "replicas": ("replicas",),
    "idempotency_window": ("idempotency_window_in_ms", "idempotency_window_ms"),
    "partitions": ("partitions_number", "partitions_list"),
    "dls_station": ("dls_station",),
    "poison": ("dls_configuration", "dls_configuration_poison"),
    "schema": ("schema_name", "schema"),
}
"""What a station's answer must tell, and the names it may have; the first that is there counts."""


def told(answer: object, what: str, *wrappers: str) -> list[Fields]:
    """The objects of a list, which may be bare, null, or in a member of this name.

    Raises:
        MoveInError: It is something else.
    """
    if isinstance(answer, Mapping):
        found = [answer[name] for name in wrappers if name in answer]
        if not found and answer:
            raise _unknown(what, answer)
        answer = found[0] if found else None
    if answer is None:
        return []
    if not isinstance(answer, Sequence) or isinstance(answer, str | bytes):
        raise _unknown(what, answer)
    if any(not isinstance(entry, Mapping) for entry in answer):
        raise _unknown(what, answer)
    return list(answer)


def member(answer: object, what: str, *names: str) -> Any:
    """The first member of an object that has one of these names; else the error of an unknown shape.

    Raises:
        MoveInError: There is none.
    """
    if isinstance(answer, Mapping):
        for name in names:
            if answer.get(name) is not None:
                return answer[name]
    raise _unknown(what, answer)


def unwrapped(entry: object, what: str, wrapper: str) -> Fields:
    """The members of an object and of the object in it that it is wrapped in.

    Raises:
        MoveInError: It is no object.
    """
    if not isinstance(entry, Mapping):
        raise _unknown(what, entry)
    inner = entry.get(wrapper)
    return {**entry, **inner} if isinstance(inner, Mapping) else entry


def station_name(entry: Fields) -> str:
    """The name in the answer about one station; empty for those that the original keeps for itself."""
    name = member(unwrapped(entry, "a station", "station"), "a station", "name", "station_name")
    return "" if str(name).startswith(_INTERNAL) else str(name)


def lacks(entry: Fields) -> list[str]:
    """What :func:`read_station` would have to assume."""
    return [
        what
        for what, names in _STATION_FIELDS.items()
        if all(entry.get(name) is None for name in names)
    ]


def read_station(entry: Fields) -> tuple[ExportedStation, list[str]]:
    """A station, and what had to be assumed about it.

    Raises:
        MoveInError: A value cannot be understood.
    """
    name = station_name(entry)
    what = f"the station {name}"
    kind = _word(entry, "retention_type", Retention, Retention.MAX_MESSAGE_AGE_SECONDS, what)
    value = _count(entry, what, "retention_value", default=_AGE_S)
    if value < 1 and kind is not Retention.ACK_BASED:
        kind, value = Retention.MAX_MESSAGE_AGE_SECONDS, _AGE_S  # as the original took it
    window_ms = _count(entry, what, *_STATION_FIELDS["idempotency_window"], default=_WINDOW_MS)
    poison, schema_failed = _switches(entry)
    station = ExportedStation(
        name=name,
        retention_type=kind,
        retention_value=value,
        storage_type=_word(entry, "storage_type", Storage, Storage.DISK, what),
        replicas=max(_count(entry, what, "replicas", default=1), 1),
        partitions=_partitions(entry, what),
        idempotency_window_ms=window_ms if window_ms > 0 else _WINDOW_MS,
        schema_name=_name(entry, "schema_name", "schema"),
        poison_to_dls=poison,
        schema_failed_to_dls=schema_failed,
        dls_station=_name(entry, "dls_station"),
        is_native=entry.get("is_native") is not False,
        tags=_tags(entry),
        tiered_storage=entry.get("tiered_storage_enabled") is True,
        functions=bool(entry.get("functions")),
    )
    return station, [
        f"{what}: the original did not tell its {missing.replace('_', ' ')}; its default was taken"
        for missing in lacks(entry)
        # A station without a schema, or without a dls_station, may simply not mention it.
        if missing not in {"schema", "dls_station"}
    ]


def read_schema(entry: Fields) -> tuple[ExportedSchema, list[str]]:
    """A schema with its versions, and what had to be assumed about it.

    Raises:
        MoveInError: It has no name, no type, or a version without number or content.
    """
    entry = unwrapped(entry, "a schema", "schema")
    name = str(member(entry, "a schema", "schema_name", "name"))
    what = f"the schema {name}"
    versions = [
        _version(version, what)
        for version in told(member(entry, what, "versions"), f"the versions of {what}")
    ]
    if not versions:
        raise MoveInError(f"{what} has no versions in the original's answer; look at it there")
    versions.sort(key=lambda version: version.number)
    assumptions = []
    active = entry.get("active_version_number")
    if not any(version.active for version in versions):
        chosen = active if active in {v.number for v in versions} else versions[-1].number
        if chosen != active:
            assumptions.append(
                f"{what}: the original did not tell which version is active; {chosen} was taken"
            )
        versions = [v.model_copy(update={"active": v.number == chosen}) for v in versions]
    schema = ExportedSchema(
        name=name,
        type=str(member(entry, what, "type", "schema_type")).lower(),
        versions=versions,
        tags=_tags(entry),
    )
    return schema, assumptions


def read_users(answer: object) -> list[ExportedUser]:
    """All users, of both lists or of one.

    Raises:
        MoveInError: There is no list, or a user without a name.
    """
    what = "the list of users"
    if not isinstance(answer, Mapping):
        return [_user(entry, "application") for entry in told(answer, what)]
    if not {"management_users", "application_users"} & answer.keys():
        raise _unknown(what, answer)
    return [
        _user(entry, kind)
        for kind in ("management", "application")
        for entry in told(answer.get(f"{kind}_users"), what)
    ]


def _version(entry: Fields, what: str) -> ExportedVersion:
    number = member(entry, f"a version of {what}", "version_number", "version")
    content = member(entry, f"a version of {what}", "schema_content", "content")
    if not isinstance(number, int) or not isinstance(content, str):
        raise _unknown(f"a version of {what}", entry)
    return ExportedVersion(
        number=number,
        content=content,
        message_struct_name=str(entry.get("message_struct_name") or ""),
        active=entry.get("active") is True,
    )


def _user(entry: Fields, kind: str) -> ExportedUser:
    name = str(member(entry, "a user", "username", "name")).lower()
    return ExportedUser(
        name=name,
        kind=str(entry.get("user_type") or entry.get("type") or kind).lower(),
        description=str(entry.get("description") or ""),
        read=_patterns(entry, "allow_read_permissions"),
        write=_patterns(entry, "allow_write_permissions"),
    )


def _patterns(entry: Fields, name: str) -> list[str]:
    given = entry.get(name) or (entry.get("permissions") or {}).get(name)
    return [str(pattern) for pattern in given] if given else [ACCESS_ALL]


def _word(entry: Fields, name: str, kind: type[Any], default: Any, what: str) -> Any:
    """A member of an enumeration, by its value; missing: the default."""
    given = str(entry.get(name) or default.value).lower()
    for choice in kind:
        if choice.value == given:
            return choice
    words = ", ".join(choice.value for choice in kind)
    raise MoveInError(f"{what} has the {name} {given!r}, which is unknown; known are {words}")


def _count(entry: Fields, what: str, *names: str, default: int) -> int:
    for name in names:
        value = entry.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise MoveInError(f"{what} has {value!r} as its {name}, which is no whole number")
        return value
    return default


def _partitions(entry: Fields, what: str) -> int:
    numbers = entry.get("partitions_list")
    if isinstance(numbers, Sequence) and not isinstance(numbers, str):
        # Empty for a station from before there were partitions.
        return len(numbers)
    return max(_count(entry, what, "partitions_number", default=1), 0)


def _switches(entry: Fields) -> tuple[bool, bool]:
    both = entry.get("dls_configuration")
    given: Fields = both if isinstance(both, Mapping) else {}
    by_name = {key.lower(): value for key, value in given.items()}
    poison = by_name.get("poison", entry.get("dls_configuration_poison", True))
    schema = by_name.get("schemaverse", entry.get("dls_configuration_schemaverse", True))
    return poison is not False, schema is not False


def _name(entry: Fields, *names: str) -> str:
    """A name that is given as text, or inside an object."""
    for name in names:
        value = entry.get(name)
        if isinstance(value, Mapping):
            value = value.get("name") or value.get("schema_name")
        if value:
            return str(value).lower()
    return ""


def _tags(entry: Fields) -> list[str]:
    given = entry.get("tags")
    listed: Iterable[Any] = given if isinstance(given, list) else []
    return [str(tag.get("name", "") if isinstance(tag, Mapping) else tag) for tag in listed]


def _unknown(what: str, answer: object) -> MoveInError:
    if isinstance(answer, Mapping):
        shape = f"an object with the members {', '.join(sorted(map(str, answer))) or 'none'}"
    else:
        shape = f"a {type(answer).__name__}"
    return MoveInError(
        f"the original's answer for {what} has an unknown shape: {shape}; write the export by hand, and "
        "give it with --file"
    )
