"""What of a message type decides which bytes it takes, as a value that can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

Shape = dict[str, Any]


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
