"""What the descriptor of a message type tells of all its messages, found out once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

Shape = dict[str, Any]

DEPTH_MAX: Final = 100
"""Messages inside each other that protobuf reads; it writes any number."""
LEVELS_DISCARDED: Final = 63
"""Levels of messages in which the library discards unknown fields; it leaves those below."""
LEVELS_FLAT: Final = LEVELS_DISCARDED // 3
"""Levels on the way to a message that may be two to the library, those of maps, and one below."""


def shape_of(descriptor: Descriptor) -> Shape:
    """Each message type that can be inside, by its name, with what its fields are.

    Equal shapes take the same bytes. Extensions are not part of the schema, so a type that has any
    is equal to no type without them.
    """
    return {
        one.full_name: (
            sorted(_field_shape(field) for field in one.fields),
            sorted(one.number for one in one.file.pool.FindAllExtensions(one)),
        )
        for one in _reachable(descriptor)
    }


def has_bytes(descriptor: Descriptor) -> bool:
    """Whether a field of bytes can be anywhere inside."""
    return any(
        field.type == FieldDescriptor.TYPE_BYTES
        for one in _reachable(descriptor)
        for field in one.fields
    )


def has_required(descriptor: Descriptor) -> bool:
    """Whether a field that must be there can be anywhere inside."""
    return any(field.is_required for one in _reachable(descriptor) for field in one.fields)


def deep_types(descriptor: Descriptor) -> frozenset[str]:
    """The names of the types inside whose messages may have :data:`LEVELS_FLAT` levels or more.

    They are mostly those that contain themselves; entries of maps are types as well.
    """
    reachable = list(_reachable(descriptor))
    deep = frozenset(one.full_name for one in reachable)
    for _ in range(LEVELS_FLAT):
        deep = frozenset(
            one.full_name
            for one in reachable
            if any(
                field.message_type and field.message_type.full_name in deep for field in one.fields
            )
        )
    return deep


def _reachable(descriptor: Descriptor) -> Iterator[Descriptor]:
    seen = {descriptor.full_name}
    remaining = [descriptor]
    while remaining:
        one = remaining.pop()
        yield one
        for field in one.fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                seen.add(inner.full_name)
                remaining.append(inner)


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map, which is to protobuf a list of messages with key and value."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def value_field(field: FieldDescriptor) -> FieldDescriptor:
    """The field that says what the values are: of a map its entries' value."""
    return entry_field(field, "value") if is_map(field) else field


def entry_field(field: FieldDescriptor, name: str) -> FieldDescriptor:
    """The field of the message that an entry of a map is."""
    assert field.message_type is not None
    return field.message_type.fields_by_name[name]


def _field_shape(field: FieldDescriptor) -> tuple[Any, ...]:
    enum = field.enum_type
    return (
        field.number,
        field.name,
        field.type,
        field.is_repeated,
        field.is_required,
        field.has_presence,
        field.is_packed,
        field.containing_oneof.full_name if field.containing_oneof else "",
        field.message_type.full_name if field.message_type else "",
        (enum.is_closed, tuple(sorted(value.number for value in enum.values))) if enum else (),
    )
