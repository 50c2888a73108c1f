"""What the descriptor of a message type tells of all its messages, found out once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

LEVELS_DISCARDED: Final = 63
"""Levels of messages in which the library discards unknown fields; it leaves those below."""
LEVELS_FLAT: Final = LEVELS_DISCARDED // 3
"""Levels on the way to a message that may be two to the library, those of maps, and one below."""


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
