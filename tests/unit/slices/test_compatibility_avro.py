"""Avro's resolution rules, case by case, in both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility import reads


def findings(reader: Any, writer: Any, *, reader_is_newer: bool = True) -> list[tuple[str, str]]:
    read, written = (
        SchemaDefinition(name="s", id="1", version=1, type="avro", content=json.dumps(content))
        for content in (reader, writer)
    )
    return [
        (found.path, found.text)
        for found in reads(read, written, reader_is_newer=reader_is_newer)
        if found.certain
    ]


def record(*fields: Any, name: str = "R", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(kind: Any, name: str = "f", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str, name: str = "E", **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": list(symbols), **more}


def fixed(size: int, name: str = "F") -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}


PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
PROMOTIONS = {
    *(("int", wider) for wider in ("long", "float", "double")),
    *(("long", wider) for wider in ("float", "double")),
    ("float", "double"),
    ("string", "bytes"),
    ("bytes", "string"),
}


@pytest.mark.parametrize("writer", PRIMITIVES)
@pytest.mark.parametrize("reader", PRIMITIVES)
def test_primitives(reader: str, writer: str) -> None:
    """Exactly the promotions of the specification are read."""
    allowed = reader == writer or (writer, reader) in PROMOTIONS
    assert findings(reader, writer) == ([] if allowed else [("", f"{writer} became {reader}")])


LIST = record(field("int"), field(["null", "R"], "next"))
TIME_MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
TIME_MICROS = {"type": "long", "logicalType": "timestamp-micros"}


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        (["null", "long"], "int"),
        ("double", ["int", "float"]),
        (["string", "null", "int"], ["null", "int"]),
        (["bytes"], ["string"]),
        (enum("A", "B"), enum("B")),
        (enum("A", default="A"), enum("A", "C")),
        (record(field("int", "new", aliases=["old"])), record(field("int", "old"))),
        (record(field("int", default=1)), record()),
        (record(), record(field("int"))),
        (record(field("long"), field(["null", "R"], "next")), LIST),
        (record(name="a.R"), record(name="b.R")),
        (record(name="New", aliases=["R"]), record()),
        (record(name="n.New", aliases=["Old"]), record(name="n.Old")),
        ("long", TIME_MILLIS),
        (TIME_MILLIS, "long"),
        ({"type": "long", "logicalType": "made-up"}, TIME_MILLIS),
        ({"type": "array", "items": "long"}, {"type": "array", "items": "int"}),
        ({"type": "error", "name": "R", "fields": []}, record()),
        # Two types of one unqualified name: the full name decides, so the union reads itself.
        (
            [record(field("int"), name="a.X"), record(name="b.X", doc="new")],
            [record(field("int"), name="a.X"), record(name="b.X")],
        ),
    ],
)
def test_readable(reader: Any, writer: Any) -> None:
    """What the rules resolve has no finding."""
    assert findings(reader, writer) == []


@pytest.mark.parametrize(
    ("old", "new", "path", "text"),
    [
        (record(), record(field("int")), "f", "was added and has no default"),
        (record(field("int")), record(field("string")), "f", "int became string"),
        (["null", "int"], "int", "", "null or int became int"),
        (["null", "int"], ["null", "string"], "", "int was removed from the union"),
        (enum("A", "B"), enum("A"), "", "the symbol B was removed, and the enum has no default"),
        (fixed(4), fixed(8), "", "fixed of 4 became fixed of 8"),
        (fixed(4), fixed(4, "G"), "", "fixed F became fixed G"),
        (record(), record(name="S"), "", "record R became record S"),
        (
            record(name="Old"),
            record(name="n.New", aliases=["Old"]),
            "",
            "record Old became record n.New",
        ),
        (TIME_MILLIS, TIME_MICROS, "", "timestamp-millis became timestamp-micros"),
        (decimal(4, 2), decimal(4, 1), "", "decimal(4, 2) became decimal(4, 1)"),
        (
            record(field({"type": "array", "items": record(field("string", "sku"), name="I")})),
            record(field({"type": "array", "items": record(field("int", "sku"), name="I")})),
            "f[].sku",
            "string became int",
        ),
        (
            record(field({"type": "map", "values": "int"})),
            record(field({"type": "map", "values": "string"})),
            "f{}",
            "int became string",
        ),
        (LIST, record(field("string"), field(["null", "R"], "next")), "f", "int became string"),
    ],
)
def test_unreadable(old: Any, new: Any, path: str, text: str) -> None:
    """What the rules do not resolve has one finding, with its place and in words."""
    assert findings(new, old) == [(path, text)]


def test_words_follow_the_versions_when_the_older_reads() -> None:
    """An older reader's findings are worded from the old version to the new one as well."""
    old, new = record(field("int", "a"), field("int", "b")), record(field("string", "b"))
    assert findings(old, new, reader_is_newer=False) == [
        ("a", "was removed and has no default"),
        ("b", "int became string"),
    ]
    found = findings(enum("A"), enum("A", "B"), reader_is_newer=False)
    assert found == [("", "the symbol B was added, and the enum has no default")]


def test_two_fields_that_stand_for_one_are_a_doubt() -> None:
    """The specification does not say which of two fields with one alias gets the value."""
    reader, writer = (
        SchemaDefinition(name="s", id="1", version=1, type="avro", content=json.dumps(content))
        for content in (
            record(field("int", "a", aliases=["x"]), field("int", "b", aliases=["x"])),
            record(field("int", "x")),
        )
    )
    assert [(found.path, found.certain) for found in reads(reader, writer)] == [("b", False)]


def test_a_deep_type_is_a_doubt_and_no_overflow() -> None:
    """A type nested deeper than is looked into cannot be told."""
    reader: Any = "long"
    writer: Any = "int"
    for _ in range(150):
        reader, writer = ({"type": "array", "items": inner} for inner in (reader, writer))
    read, written = (
        SchemaDefinition(name="s", id="1", version=1, type="avro", content=json.dumps(content))
        for content in (reader, writer)
    )
    assert [found.certain for found in reads(read, written)] == [False]
