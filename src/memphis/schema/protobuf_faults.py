"""Where a message misses its protobuf schema, found by walking message and descriptor together.

The library says that a dict does not fit, but not where in any form but words; this walk is only
run for messages that were refused already, and may find nothing: then the library's words count.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from memphis.schema.faults import Misfit, Step, one_of, shown

_DEPTH_MAX: Final = 100
"""As in protobuf itself."""

_INTEGERS: Final = {
    FieldDescriptor.TYPE_INT32: (32, True),
    FieldDescriptor.TYPE_SINT32: (32, True),
    FieldDescriptor.TYPE_SFIXED32: (32, True),
    FieldDescriptor.TYPE_UINT32: (32, False),
    FieldDescriptor.TYPE_FIXED32: (32, False),
    FieldDescriptor.TYPE_INT64: (64, True),
    FieldDescriptor.TYPE_SINT64: (64, True),
    FieldDescriptor.TYPE_SFIXED64: (64, True),
    FieldDescriptor.TYPE_UINT64: (64, False),
    FieldDescriptor.TYPE_FIXED64: (64, False),
}
_FLOATS: Final = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)
_NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity")
_SPECIAL_PACKAGE: Final = "google.protobuf"
_STEP: Final = re.compile(r"[^.\[\]]+|\[\d+\]")


def find(descriptor: Descriptor, fields: Any) -> Misfit | None:
    """The first place of a dict that the JSON mapping does not take, if this walk finds it."""
    return next(_faults(descriptor, fields, ()), None)


def refuse_raw_bytes(descriptor: Descriptor, fields: Any) -> None:
    """Refuse ``bytes`` in a dict: the JSON mapping has base64 text there.

    Raises:
        Misfit: There are some.
    """
    for field, value, steps in _values(descriptor, fields, ()):
        if field.type == FieldDescriptor.TYPE_BYTES and isinstance(value, bytes | bytearray):
            raise Misfit("base64 text of the bytes", shown(bytes(value)), steps)


def unknown_field(message: Message) -> Misfit:
    """The first field of a parsed message that its schema does not know."""
    found = next(_unknown(message, ()), None)
    if found is None:
        return Misfit("without fields that the schema does not know")
    number, steps = found
    return Misfit("without fields that the schema does not know", f"with field {number}", steps)


def steps_of(path: str) -> list[Step]:
    """The steps of a place as the library writes it: ``items[2].price``."""
    return [int(step[1:-1]) if step.startswith("[") else step for step in _STEP.findall(path)]


def _values(
    descriptor: Descriptor, fields: Any, steps: tuple[Step, ...]
) -> Iterator[tuple[FieldDescriptor, Any, tuple[Step, ...]]]:
    """Every value of a field that is no message, at any depth."""
    if not isinstance(fields, dict) or len(steps) > 2 * _DEPTH_MAX:
        return
    for name, given in fields.items():
        field = _field(descriptor, name)
        if field is None:
            continue
        for value, inner in _parts(field, given, (*steps, str(name))):
            target = _value_field(field)
            if target.message_type is not None:
                yield from _values(target.message_type, value, inner)
            else:
                yield target, value, inner


def _faults(descriptor: Descriptor, fields: Any, steps: tuple[Step, ...]) -> Iterator[Misfit]:
    if descriptor.full_name.startswith(_SPECIAL_PACKAGE):
        # Types with a JSON form of their own (Timestamp, Struct, ...): the library's words count.
        return
    if not isinstance(fields, dict):
        yield Misfit("an object", shown(fields), steps)
        return
    if len(steps) > 2 * _DEPTH_MAX:
        return
    for name, given in fields.items():
        field = _field(descriptor, name)
        inner = (*steps, str(name))
        if field is None:
            yield Misfit("left out: the schema has no such field", "", inner)
        elif given is not None:
            yield from _field_faults(field, given, inner)


def _field_faults(field: FieldDescriptor, given: Any, steps: tuple[Step, ...]) -> Iterator[Misfit]:
    if _is_map(field):
        if not isinstance(given, dict):
            yield Misfit("an object", shown(given), steps)
            return
        key = _entry_field(field, "key")
        for name in given:
            if (expected := _scalar_wanted(key, name, is_key=True)) is not None:
                yield Misfit(f"an object whose names are {expected}", shown(name), steps)
    elif field.is_repeated and not isinstance(given, list | tuple):
        yield Misfit("an array", shown(given), steps)
        return
    target = _value_field(field)
    for value, inner in _parts(field, given, steps):
        if target.message_type is not None:
            yield from _faults(target.message_type, value, inner)
        elif (expected := _scalar_wanted(target, value)) is not None:
            yield Misfit(expected, shown(value), inner)


def _field(descriptor: Descriptor, name: object) -> FieldDescriptor | None:
    if not isinstance(name, str):
        return None
    by_name = descriptor.fields_by_name.get(name)
    return by_name or next((one for one in descriptor.fields if one.json_name == name), None)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _value_field(field: FieldDescriptor) -> FieldDescriptor:
    return _entry_field(field, "value") if _is_map(field) else field


def _entry_field(field: FieldDescriptor, name: str) -> FieldDescriptor:
    """The field of the message that an entry of a map is."""
    assert field.message_type is not None
    return field.message_type.fields_by_name[name]


def _parts(
    field: FieldDescriptor, given: Any, steps: tuple[Step, ...]
) -> Iterator[tuple[Any, tuple[Step, ...]]]:
    if _is_map(field):
        if isinstance(given, dict):
            yield from ((value, (*steps, str(name))) for name, value in given.items())
    elif not field.is_repeated:
        yield given, steps
    elif isinstance(given, list | tuple):
        yield from ((value, (*steps, index)) for index, value in enumerate(given))


def _scalar_wanted(field: FieldDescriptor, value: Any, *, is_key: bool = False) -> str | None:
    """What a field of a scalar type wants instead of this value; None if it takes it."""
    if field.type in _INTEGERS:
        return _integer_wanted(*_INTEGERS[field.type], value)
    if field.type in _FLOATS:
        return None if _is_number(value) else "number"
    if field.type == FieldDescriptor.TYPE_BOOL:
        is_boolean = isinstance(value, bool) or (is_key and value in {"true", "false"})
        return None if is_boolean else "boolean"
    if field.type == FieldDescriptor.TYPE_STRING:
        return None if isinstance(value, str) else "string"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return None if _is_base64(value) else "base64 text of the bytes"
    return _enum_wanted(field, value)


def _integer_wanted(bits: int, signed: bool, value: Any) -> str | None:
    least = -(2 ** (bits - 1)) if signed else 0
    most = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    number = value
    if isinstance(value, str | float):
        try:
            number = int(value)
        except (ValueError, OverflowError):
            return "integer"
        if isinstance(value, float) and number != value:
            return "integer"
    if not isinstance(number, int) or isinstance(number, bool):
        return "integer"
    if number < least:
        return f"at least {least}"
    return f"at most {most}" if number > most else None


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            return value in _NOT_FINITE or math.isfinite(float(value))
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_base64(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        return False
    return True


def _enum_wanted(field: FieldDescriptor, value: Any) -> str | None:
    enum = field.enum_type
    assert enum is not None
    if isinstance(value, str) and value in enum.values_by_name:
        return None
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if is_number and (value in enum.values_by_number or not enum.is_closed):
        return None
    return one_of(one.name for one in enum.values)


def _unknown(message: Message, steps: tuple[Step, ...]) -> Iterator[tuple[int, tuple[Step, ...]]]:
    for unknown in UnknownFieldSet(message):  # type: ignore[attr-defined] # its stub has none
        yield unknown.field_number, steps
    for field, value in message.ListFields():
        if _is_map(field):
            if _value_field(field).message_type is not None:
                for name, inner in value.items():
                    yield from _unknown(inner, (*steps, field.name, str(name)))
        elif field.message_type is None:
            continue
        elif field.is_repeated:
            for index, inner in enumerate(value):
                yield from _unknown(inner, (*steps, field.name, index))
        else:
            yield from _unknown(value, (*steps, field.name))
