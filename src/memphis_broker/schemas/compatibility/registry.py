"""The rules of each schema type, by its name. A new type is one module here and one line below.

Each module offers ``compare(reader, writer, comparison)`` for two definitions of its type that have
been compiled before, and so are valid.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final, cast

from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility.findings import (
    Budget,
    Comparison,
    Finding,
    TooMuchError,
)

_HERE: Final = "memphis_broker.schemas.compatibility."
_MODULES: Final = {
    "protobuf": _HERE + "protobuf",
    "json": _HERE + "json_schema",
    "graphql": _HERE + "graphql",
    "avro": _HERE + "avro",
}
"""Imported when first used: what they parse with is large."""

_CHARACTERS_PER_STEP: Final = {"graphql": 4}
_CHARACTERS_PER_STEP_DEFAULT: Final = 32
"""Parsing costs time as well; so many characters as one step, and GraphQL's parser is slow."""


def reads(
    reader: SchemaDefinition,
    writer: SchemaDefinition,
    *,
    reader_is_newer: bool = True,
    budget: Budget | None = None,
) -> list[Finding]:
    """Why data that fits ``writer`` may not be understood with ``reader``; empty: it always is.

    Pure, and bounded in time, but may take a second for a large schema: not for an event loop.

    Args:
        reader: What the data is to be understood with.
        writer: What the data fits.
        reader_is_newer: Which of the two came later; the words of the findings go from the older
            to the newer one.
        budget: What is left of a limit that several comparisons share; None: a limit of its own.
    """
    if reader.type != writer.type:
        comparison = Comparison(reader_is_newer=reader_is_newer, budget=Budget())
        comparison.became("", reader=f"the type {reader.type}", writer=f"the type {writer.type}")
        return comparison.found
    if _is_same(reader, writer):
        return []
    shared = budget or Budget()
    comparison = Comparison(reader_is_newer=reader_is_newer, budget=shared)
    return _found(reader, writer, comparison, shared)


def _found(
    reader: SchemaDefinition, writer: SchemaDefinition, comparison: Comparison, budget: Budget
) -> list[Finding]:
    compare = _comparer(reader.type)
    if compare is None:
        return [Finding("", f"the type {reader.type} has no rules here", certain=False)]
    try:
        per_step = _CHARACTERS_PER_STEP.get(reader.type, _CHARACTERS_PER_STEP_DEFAULT)
        budget.spend((_size(reader) + _size(writer)) // per_step)
        compare(reader, writer, comparison)
    except (TooMuchError, RecursionError):
        comparison.doubt("", "the schemas are too large or too deeply nested to be compared")
    return list(dict.fromkeys(comparison.found))


def _comparer(
    schema_type: str,
) -> Callable[[SchemaDefinition, SchemaDefinition, Comparison], None] | None:
    module = _MODULES.get(schema_type)
    if module is None:
        return None
    return cast(
        "Callable[[SchemaDefinition, SchemaDefinition, Comparison], None]",
        import_module(module).compare,
    )


def _size(definition: SchemaDefinition) -> int:
    return len(definition.descriptor or definition.content)


def _is_same(reader: SchemaDefinition, writer: SchemaDefinition) -> bool:
    """Whether the two are one schema, which always understands itself."""
    return (
        reader.content == writer.content
        and reader.imports == writer.imports
        and reader.encoding == writer.encoding
        and reader.message_struct_name == writer.message_struct_name
        and reader.descriptor == writer.descriptor
    )
