"""Fields of a protobuf message that its schema does not know, which the library keeps without a word.

It can discard them and cannot say whether there are any; but with them a message is longer. What this
module adds is where they are, those that are too deep for the library, and giving back what was
discarded from an object that is not ours.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from memphis.schema.faults import Misfit, Step
from memphis.schema.protobuf_shape import (
    DEPTH_MAX,
    LEVELS_DISCARDED,
    LEVELS_FLAT,
    is_map,
    value_field,
)


def unknown_field(message: Message) -> Misfit:
    """The first field of a parsed message that its schema does not know."""
    found = next(_unknown(message, ()), None)
    if found is None:
        return Misfit("without fields that the schema does not know")
    number, steps = found
    return Misfit("without fields that the schema does not know", f"with field {number}", steps)


def discard_deep(message: Message, size: int, deep_types: frozenset[str]) -> None:
    """Discard the unknown fields that the library has left in a message because they are too deep.

    Args:
        message: The message, its upper levels done.
        size: How many bytes it was parsed from.
        deep_types: What :func:`memphis.schema.protobuf_shape.deep_types` says of its type.
    """
    if size < 2 * LEVELS_DISCARDED:
        # Each level takes a tag and a length.
        return
    level = [message]
    for depth in range(1, DEPTH_MAX + 1):
        level = [inner for one in level for inner in _deep_parts(one, deep_types)]
        if not level:
            return
        if depth % LEVELS_FLAT == 0:
            for one in level:
                one.DiscardUnknownFields()


def put_back(message: Message, whole: Message) -> None:
    """Give a message the unknown fields again that were discarded from it.

    They are merged into each part by itself, so that an application's references to parts stay valid.

    Args:
        message: The message, otherwise unchanged.
        whole: What it was before: parsed from its bytes, of the same class.
    """
    rest = type(whole)()
    rest.CopyFrom(whole)
    for field, _ in whole.ListFields():
        if field.is_extension:
            rest.ClearExtension(field)  # type: ignore[arg-type] # the stub knows generated ones
        else:
            rest.ClearField(field.name)
    unknown = rest.SerializePartialToString()
    if unknown:
        message.MergeFromString(unknown)
    for mine, theirs in zip(_parts(message), _parts(whole), strict=True):
        put_back(mine[0], theirs[0])


def _parts(message: Message) -> Iterator[tuple[Message, FieldDescriptor, Step | None]]:
    """The messages directly inside, each with its field and its index or key, maps by their keys."""
    for field, value in message.ListFields():
        if value_field(field).message_type is None:
            continue
        if is_map(field):
            yield from ((value[key], field, str(key)) for key in sorted(value))
        elif field.is_repeated:
            yield from ((inner, field, index) for index, inner in enumerate(value))
        else:
            yield value, field, None


def _deep_parts(message: Message, deep_types: frozenset[str]) -> Iterator[Message]:
    """The messages directly inside that are of deep types, and so may have others inside."""
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.full_name not in deep_types:
            continue
        if not is_map(field):
            yield from value if field.is_repeated else (value,)
        elif value_field(field).message_type is not None:
            yield from value.values()


def _unknown(message: Message, steps: tuple[Step, ...]) -> Iterator[tuple[int, tuple[Step, ...]]]:
    for unknown in UnknownFieldSet(message):  # type: ignore[attr-defined] # its stub has none
        yield unknown.field_number, steps
    for inner, field, step in _parts(message):
        place = (*steps, field.name) if step is None else (*steps, field.name, step)
        yield from _unknown(inner, place)
