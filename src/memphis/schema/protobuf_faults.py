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

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from memphis.schema.faults import Misfit, Step, one_of
from memphis.schema.protobuf_shape import DEPTH_MAX, entry_field, is_map, value_field

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
_FLOAT_MAX: Final = 3.4028234663852886e38
_BASE64: Final = "base64 text of the bytes"
_NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity")
_SPECIAL_PACKAGE: Final = "google.protobuf"
_STEP: Final = re.compile(r"[^.\[\]]+|\[\d+\]")


def find(descriptor: Descriptor, fields: Any) -> Misfit | None:
    """The first place of a dict that the JSON mapping does not take, if this walk finds it."""
    return next(_faults(descriptor, fields, (), 1), None)


def check_base64(descriptor: Descriptor, fields: Any) -> None:
    """Refuse what is not base64 where the schema has bytes.

    Raises:
        Misfit: There is some.
    """
    for field, value, steps in _values(descriptor, fields, ()):
        is_bytes = field.type == FieldDescriptor.TYPE_BYTES
        if is_bytes and value is not None and not _is_base64(value):
            raise Misfit(_BASE64, steps=steps, value=value)


def steps_of(path: str) -> list[Step]:
    """The steps of a place as the library writes it: ``items[2].price``."""
    return [int(step[1:-1]) if step.startswith("[") else step for step in _STEP.findall(path)]


def _values(
    descriptor: Descriptor, fields: Any, steps: tuple[Step, ...]
) -> Iterator[tuple[FieldDescriptor, Any, tuple[Step, ...]]]:
    """Every value of a field that is no message, at any depth."""
    if not isinstance(fields, dict) or len(steps) > 2 * DEPTH_MAX:
        return
    for name, given in fields.items():
        field = _field(descriptor, name)
        if field is None:
            continue
        for value, inner in _parts(field, given, (*steps, str(name))):
            target = value_field(field)
            if target.message_type is not None:
                yield from _values(target.message_type, value, inner)
            else:
                yield target, value, inner


def _faults(
    descriptor: Descriptor, fields: Any, steps: tuple[Step, ...], depth: int
) -> Iterator[Misfit]:
    if descriptor.full_name.startswith(_SPECIAL_PACKAGE):
        yield from _special_faults(descriptor, fields, steps)
        return
    if depth > DEPTH_MAX:
        yield Misfit(f"nested at most {DEPTH_MAX} deep")
        return
    if not isinstance(fields, dict):
        yield Misfit("an object", steps=steps, value=fields)
        return
    given_in: dict[str, str] = {}
    for name, given in fields.items():
        field = _field(descriptor, name)
        inner = (*steps, str(name))
        if field is None:
            yield Misfit("left out: the schema has no such field", steps=inner)
        elif given is not None:
            if field.containing_oneof is not None:
                other = given_in.setdefault(field.containing_oneof.name, field.name)
                if other != field.name:
                    yield Misfit(f"left out: of {other} and {field.name} only one", steps=inner)
            yield from _field_faults(field, given, inner, depth)


def _special_faults(
    descriptor: Descriptor, value: Any, steps: tuple[Step, ...]
) -> Iterator[Misfit]:
    """Of the types with a JSON form of their own: Timestamp, Struct, wrappers and so on."""
    try:
        json_format.ParseDict(value, message_factory.GetMessageClass(descriptor)())
    except (ValueError, TypeError, AttributeError, RecursionError, json_format.Error):
        yield Misfit(f"the JSON form of a {descriptor.full_name}", steps=steps, value=value)


def _field_faults(
    field: FieldDescriptor, given: Any, steps: tuple[Step, ...], depth: int
) -> Iterator[Misfit]:
    if is_map(field):
        if not isinstance(given, dict):
            yield Misfit("an object", steps=steps, value=given)
            return
        key = entry_field(field, "key")
        for name in given:
            if (expected := _scalar_wanted(key, name, is_key=True)) is not None:
                yield Misfit(f"an object whose names are {expected}", steps=steps, value=name)
    elif field.is_repeated and not isinstance(given, list | tuple):
        yield Misfit("an array", steps=steps, value=given)
        return
    target = value_field(field)
    for value, inner in _parts(field, given, steps):
        if target.message_type is not None:
            yield from _faults(target.message_type, value, inner, depth + 1)
        elif (expected := _scalar_wanted(target, value)) is not None:
            yield Misfit(expected, steps=inner, value=value)


def _field(descriptor: Descriptor, name: object) -> FieldDescriptor | None:
    if not isinstance(name, str):
        return None
    by_name = descriptor.fields_by_name.get(name)
    return by_name or next((one for one in descriptor.fields if one.json_name == name), None)


def _parts(
    field: FieldDescriptor, given: Any, steps: tuple[Step, ...]
) -> Iterator[tuple[Any, tuple[Step, ...]]]:
    if is_map(field):
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
        return _number_wanted(field, value)
    if field.type == FieldDescriptor.TYPE_BOOL:
        is_boolean = isinstance(value, bool) or (is_key and value in {"true", "false"})
        return None if is_boolean else "boolean"
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text_wanted(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return None if _is_base64(value) else _BASE64
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


def _number_wanted(field: FieldDescriptor, value: Any) -> str | None:
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        return "number"
    if isinstance(value, bool):
        return "number"
    if not math.isfinite(number):
        return None if value in _NOT_FINITE else f"a finite number, or one of {_NOT_FINITE}"
    is_too_large = field.type == FieldDescriptor.TYPE_FLOAT and abs(number) > _FLOAT_MAX
    return "float (32 bits)" if is_too_large else None


def _text_wanted(value: Any) -> str | None:
    if not isinstance(value, str):
        return "string"
    return "Unicode text" if any("\ud800" <= character <= "\udfff" for character in value) else None


def _is_base64(value: Any) -> bool:
    """RFC 4648, in either alphabet, padded or not, as the JSON mapping has it."""
    if not isinstance(value, str) or not value.isascii():
        return False
    text = value.replace("-", "+").replace("_", "/")
    try:
        base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
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
