"""GraphQL: a message is a document, and every document valid for the writer must be for the reader.

graphql-core knows which changes of a schema break documents, for one that goes from the writer to
the reader. What it leaves out is added here:

- a default that goes away makes an argument or an input field required;
- an operation or its root type may change though all types stay;
- an input type may become one that takes exactly one field;
- an output type that becomes non-null breaks documents that ask for fields of several types under
  one name (specification, "Field Selection Merging"), which needs an interface or a union.

A type that no document could name counts as well when it goes away.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    OperationType,
    build_schema,
    find_breaking_changes,
    is_abstract_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
)

from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility.findings import Comparison, shown

_FieldsOwner = GraphQLObjectType | GraphQLInterfaceType
_REASON_LENGTH_MAX: Final = 400
_INHERITED: Final = "__"
"""What the names of introspection begin with."""


def compare(reader: SchemaDefinition, writer: SchemaDefinition, comparison: Comparison) -> None:
    """Leave in ``comparison`` why a document valid for ``writer`` may not be for ``reader``."""
    read, written = _built(reader.content), _built(writer.content)
    for change in find_breaking_changes(written, read):
        _refuse(comparison, change.description.rstrip("."))
    for reason in (*_operations(read, written), *_now_required(read, written)):
        _refuse(comparison, reason)
    if any(is_abstract_type(known) for known in written.type_map.values()):
        for path, text in _tightened(read, written):
            comparison.doubt(path, text)


@lru_cache(maxsize=2)
def _built(content: str) -> GraphQLSchema:
    """The schema; a new version is compared with many, in both directions, and slow to build."""
    return build_schema(content, assume_valid=True)


def _refuse(comparison: Comparison, text: str) -> None:
    """Leave a reason that is worded for a change from the writer to the reader."""
    prefix = comparison.by_age(reader_newer="", reader_older="going back to the older version, ")
    comparison.refuse("", prefix + shown(text, _REASON_LENGTH_MAX))


def _operations(reader: GraphQLSchema, writer: GraphQLSchema) -> Iterator[str]:
    for operation in OperationType:
        read, written = reader.get_root_type(operation), writer.get_root_type(operation)
        if written is None:
            continue
        if read is None:
            yield f"{operation.value} operations were removed"
        elif read.name != written.name:
            yield f"{operation.value} operations start at {read.name} instead of {written.name}"


def _now_required(reader: GraphQLSchema, writer: GraphQLSchema) -> Iterator[str]:
    """What documents could leave out because it had a default."""
    for name, read in reader.type_map.items():
        written = writer.type_map.get(name)
        if isinstance(read, GraphQLInputObjectType):
            if isinstance(written, GraphQLInputObjectType):
                yield from _required_input(read, written)
        elif isinstance(read, _FieldsOwner) and isinstance(written, _FieldsOwner):
            for field_name, field in read.fields.items():
                before = written.fields.get(field_name)
                if before is not None:
                    yield from _required_arguments(f"{name}.{field_name}", field.args, before.args)
    directives = {directive.name: directive for directive in writer.directives}
    for directive in reader.directives:
        before_directive = directives.get(directive.name)
        if before_directive is not None:
            yield from _required_arguments(
                f"@{directive.name}", directive.args, before_directive.args
            )


def _required_input(read: GraphQLInputObjectType, written: GraphQLInputObjectType) -> Iterator[str]:
    # Older releases of the library know no such types, and so find none.
    if getattr(read, "is_one_of", False) and not getattr(written, "is_one_of", False):
        yield f"{read.name} takes exactly one field now"
    for name, field in read.fields.items():
        before: GraphQLInputField | None = written.fields.get(name)
        if before is None or not is_required_input_field(field):
            continue
        # A nullable one that became non-null has been found as a change of its type.
        if is_non_null_type(before.type) and not is_required_input_field(before):
            yield f"{read.name}.{name} lost its default, and is required now"


def _required_arguments(
    owner: str, read: dict[str, GraphQLArgument], written: dict[str, GraphQLArgument]
) -> Iterator[str]:
    for name, argument in read.items():
        before = written.get(name)
        if before is None or not is_required_argument(argument):
            continue
        if is_non_null_type(before.type) and not is_required_argument(before):
            yield f"Argument {owner}({name}:) lost its default, and is required now"


def _tightened(reader: GraphQLSchema, writer: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """Fields whose type changed in a way that breaks no document but by merging."""
    for name, read in reader.type_map.items():
        written = writer.type_map.get(name)
        if name.startswith(_INHERITED) or not isinstance(read, _FieldsOwner):
            continue
        if not isinstance(written, _FieldsOwner):
            continue
        for field_name, field in read.fields.items():
            before = written.fields.get(field_name)
            if before is not None and str(before.type) != str(field.type):
                text = f"{before.type} is {field.type} now, which other types' fields may not merge"
                yield f"{name}.{field_name}", text
