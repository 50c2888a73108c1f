"""For each schema type: versions that exclude each other, and messages that fit exactly one of them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """A version's content, a message that fits it and no other, and what that reads back as."""

    content: str
    message: Any
    reads_as: Any


def _json(field: str) -> Sample:
    schema = {
        "type": "object",
        "properties": {field: {"type": "integer"}},
        "required": [field],
        "additionalProperties": False,
    }
    return Sample(json.dumps(schema), {field: 1}, {field: 1})


def _avro(field: str) -> Sample:
    schema = {
        "type": "record",
        "name": "Order",
        "fields": [{"name": field, "type": "long"}],
    }
    # A field that the schema does not have is no fault in Avro; one that it lacks is.
    return Sample(json.dumps(schema), {field: 1}, {field: 1})


def _protobuf(field: str) -> Sample:
    content = (
        f'syntax = "proto2";\npackage shop;\nmessage Order {{ required int64 {field} = 1; }}\n'
    )
    return Sample(content, {field: 1}, {field: 1})


def _graphql(field: str) -> Sample:
    content = f"type Query {{ {field}(id: Int!): String }}\n"
    query = f"query {{ {field}(id: 1) }}"
    return Sample(content, query, query)


_MAKERS = {"json": _json, "avro": _avro, "protobuf": _protobuf, "graphql": _graphql}
KINDS = list(_MAKERS)
FIELDS = ["first", "second", "third", "fourth"]


def samples(kind: str) -> list[Sample]:
    """Four versions of a schema of this type."""
    return [_MAKERS[kind](field) for field in FIELDS]


def as_read(kind: str, value: Any) -> Any:
    """What ``get_data_deserialized`` returned, to be compared with ``Sample.reads_as``."""
    if kind != "protobuf":
        return value
    return {field.name: found for field, found in value.ListFields()}
