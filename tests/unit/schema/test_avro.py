"""Avro messages in both encodings: forms, refusals with their places, hostile schemas and bytes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest
from pydantic import BaseModel

from memphis.exceptions import MemphisSchemaError
from tests.unit.schema.definitions import compiled, refusal, unusable

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "count", "type": ["null", "int"], "default": None},
        {
            "name": "items",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Item",
                    "fields": [
                        {"name": "price", "type": "double"},
                        {
                            "name": "kind",
                            "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]},
                            "default": "A",
                        },
                    ],
                },
            },
            "default": [],
        },
        {"name": "totals", "type": {"type": "map", "values": "long"}, "default": {}},
        {"name": "raw", "type": ["null", "bytes"], "default": None},
        {
            "name": "key",
            "type": ["null", {"type": "fixed", "name": "Key", "size": 2}],
            "default": None,
        },
        {"name": "paid", "type": "boolean", "default": False},
        {"name": "share", "type": "float", "default": 0},
        {"name": "best", "type": ["null", "Item", "string"], "default": None},
    ],
}
JSON = compiled("avro", SCHEMA, encoding="json")
BINARY = compiled("avro", SCHEMA, encoding="binary")
BOTH = pytest.mark.parametrize("codec", [JSON, BINARY], ids=["json", "binary"])
TREE: dict[str, Any] = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "next", "type": ["null", "Node"]}],
}
FULL = {
    "id": "a",
    "count": 5,
    "items": [{"price": 1.5, "kind": "B"}],
    "totals": {"x": 2**40},
    "raw": b"\x00\xff",
    "key": b"ab",
    "paid": True,
    "share": 0.5,
    "best": {"price": 2.0, "kind": "A"},
}


class Order(BaseModel):
    id: str
    raw: bytes | None = None


@BOTH
def test_what_is_encoded_is_decoded(codec: Any):
    """Every type comes back as it was, from a dict and from the bytes of another."""
    payload = codec.encode(FULL)
    assert codec.decode(payload) == FULL
    for form in (bytes, bytearray, memoryview):
        assert codec.encode(form(payload)) == payload
    assert codec.decode(codec.encode(Order(id="a", raw=b"\xfe")))["raw"] == b"\xfe"


def test_the_json_form_is_plain_json():
    """Unions carry no tags, missing fields stay missing, bytes are strings of their code points."""
    assert JSON.encode({"id": "a", "raw": b"\x00\xff"}) == b'{"id":"a","raw":"\\u0000\xc3\xbf"}'
    assert JSON.encode({"id": "a", "raw": "\xff"}) == '{"id":"a","raw":"\xff"}'.encode()
    assert JSON.decode(b'{"id":"a","count":1,"key":"ab","x":[]}') == {
        "id": "a",
        "count": 1,
        "key": b"ab",
        "x": [],
    }


def test_the_binary_form_is_avros_own():
    """Another implementation's bytes are these bytes."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMA, FULL)
    assert BINARY.encode(FULL) == out.getvalue()
    assert BINARY.decode(out.getvalue()) == FULL


@pytest.mark.parametrize(
    ("message", "path", "expected"),
    [
        ({"id": 1}, "id", "string"),
        ({}, "id", "present"),
        ({"id": "a", "count": "x"}, "count", "int or null"),
        ({"id": "a", "count": True}, "count", "int or null"),
        ({"id": "a", "count": 2**31}, "count", "int (32 bits) or null"),
        ({"id": "a", "items": {}}, "items", "an array"),
        ({"id": "a", "items": [{"price": 1}, {"price": "ten"}]}, "items[1].price", "number"),
        ({"id": "a", "items": [{}]}, "items[0].price", "present"),
        ({"id": "a", "items": [{"price": 1, "kind": "C"}]}, "items[0].kind", "one of A, B"),
        ({"id": "a", "items": [7]}, "items[0]", "a record shop.Item"),
        ({"id": "a", "totals": {"b": 2**63}}, "totals.b", "long (64 bits)"),
        ({"id": "a", "totals": {1: 1}}, "totals", "a map whose names are strings"),
        ({"id": "a", "paid": 1}, "paid", "boolean"),
        ({"id": "a", "best": {"price": "x"}}, "best.price", "number"),
        ({"id": "a", "best": 5}, "best", "one of null, a record shop.Item, string"),
        ({"id": "a", "items": [{"-type": "Other", "price": 1}]}, 'items[0]["-type"]', "shop.Item"),
        ([], "", "a record shop.Order"),
        ("text", "", "a record shop.Order"),
    ],
)
@BOTH
def test_a_refusal_names_place_and_expectation(codec: Any, message: Any, path: str, expected: str):
    """Each fault is found where it is, in either encoding."""
    assert refusal(codec, message) == (path, expected)


@pytest.mark.parametrize(
    ("message", "path", "expected"),
    [
        (b"{", "", "JSON"),
        (b'{"id":1}', "id", "string"),
        (b'{"id":"a","share":NaN}', "", "JSON"),
        ({"id": "a", "share": float("nan")}, "share", "a finite number"),
        ({"id": "\ud800"}, "id", "Unicode text"),
        (
            {"id": "a", "raw": "\u0100"},
            "raw",
            "bytes, or a string of characters up to U+00FF or null",
        ),
        (
            {"id": "a", "key": b"abc"},
            "key",
            "2 bytes, or a string of characters up to U+00FF or null",
        ),
    ],
)
def test_what_json_cannot_hold_is_refused(message: Any, path: str, expected: str):
    """The JSON form takes what JSON has, and no more."""
    assert refusal(JSON, message) == (path, expected)


@pytest.mark.parametrize(
    ("message", "path", "expected"),
    [
        ({"id": "a", "x": 1}, "x", "left out: the record has no such field"),
        ({"id": "a", "share": 1e39}, "share", "float (32 bits)"),
        ({"id": "a", "share": 2**24 + 1}, "share", "float, which holds integers up to 16777216"),
        ({"id": "a", "raw": "text"}, "raw", "bytes or null"),
        ({"id": "a", "key": b"abc"}, "key", "2 bytes or null"),
    ],
)
def test_nothing_is_lost_in_binary(message: Any, path: str, expected: str):
    """What Avro's writer would drop or round is refused instead."""
    assert refusal(BINARY, message) == (path, expected)


@pytest.mark.parametrize("payload", [b"", b"\x02", b"\x01", b"\x02a", b"\xff" * 20])
def test_bytes_that_are_no_message(payload: bytes):
    """Too short, negative lengths, nonsense: refused when written and when read."""
    assert refusal(BINARY, payload) == ("", "Avro binary")
    with pytest.raises(MemphisSchemaError):
        BINARY.decode(payload)


def test_bytes_that_are_left_over():
    """A message followed by something else is no message."""
    payload = BINARY.encode(FULL)
    assert refusal(BINARY, payload + b"\x00") == ("", f"{len(payload)} bytes long")


@pytest.mark.parametrize("message", [object(), {1}, 1j])
@BOTH
def test_other_python_types_are_the_callers_mistake(codec: Any, message: Any):
    """What is no message at all is a usage error, not a schema's."""
    with pytest.raises(MemphisSchemaError, match=type(message).__name__):
        codec.encode(message)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("null", None),
        ("boolean", True),
        ("long", -(2**63)),
        ("string", "ä"),
        ({"type": "array", "items": "string"}, ["a"]),
        ({"type": "map", "values": "int"}, {"a": 1}),
        (["int", "string"], "a"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "A"),
    ],
)
@pytest.mark.parametrize("encoding", ["json", "binary"])
def test_a_schema_need_be_no_record(schema: Any, value: Any, encoding: str):
    """Any type can be the top one."""
    codec = compiled("avro", json.dumps(schema), encoding=encoding)
    assert codec.decode(codec.encode(value)) == value


def test_text_and_bytes_of_one_union():
    """JSON tells them apart by nothing, so that only text is taken; binary has no such trouble."""
    for branches in (["bytes", "string"], ["string", "bytes"]):
        codec = compiled("avro", {"type": "array", "items": branches})
        assert codec.decode(codec.encode(["a"])) == ["a"]
        assert refusal(codec, [b"a"])[0] == "[0]"
        binary = compiled("avro", {"type": "array", "items": branches}, encoding="binary")
        assert binary.decode(binary.encode(["a", b"a"])) == ["a", b"a"]
    branches = [{"type": "enum", "name": "E", "symbols": ["A"]}, "bytes"]
    mixed = compiled("avro", {"type": "map", "values": branches})
    assert mixed.decode(mixed.encode({"a": b"B", "b": "A"})) == {"a": b"B", "b": "A"}
    assert refusal(mixed, {"a": b"A"})[0] == "a"


@pytest.mark.parametrize(
    ("schema", "value", "plain"),
    [
        (
            {"type": "long", "logicalType": "timestamp-millis"},
            datetime(2024, 5, 17, tzinfo=UTC),
            1715904000000,
        ),
        ({"type": "string", "logicalType": "uuid"}, UUID(int=5), str(UUID(int=5))),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
            Decimal("12.34"),
            b"\x04\xd2",
        ),
    ],
)
def test_logical_types(schema: Any, value: Any, plain: Any):
    """Binary takes what they stand for, JSON the type beneath."""
    binary = compiled("avro", {"type": "array", "items": schema}, encoding="binary")
    assert binary.decode(binary.encode([value])) == [value]
    assert refusal(binary, [[]])[0] == "[0]"
    text = compiled("avro", {"type": "array", "items": schema})
    assert text.decode(text.encode([plain])) == [plain]
    assert refusal(text, [value])[0] == "[0]"


def test_names_of_one_schema_are_not_known_to_another():
    """Two schemas with a type of the same name do not meet, and none borrows from another."""
    first = compiled("avro", {"type": "enum", "name": "Same", "symbols": ["A"]})
    second = compiled("avro", {"type": "enum", "name": "Same", "symbols": ["B"]})
    assert first.encode("A") == b'"A"'
    assert refusal(first, "B") == ("", "A")
    assert second.encode("B") == b'"B"'
    assert "Same" in unusable("avro", '"Same"')


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "JSON"),
        ("3", "an object, an array or a string"),
        ("null", "an object, an array or a string"),
        ('"nothing"', "nothing"),
        ('{"type":"record"}', "name"),
        ('{"type":"record","name":"R","fields":3}', ""),
        ('{"type":"record","name":"R","fields":[{"name":"a","type":"Missing"}]}', "Missing"),
        ('{"type":"map","__fastavro_parsed__":true,"values":"Missing"}', "Missing"),
        ('{"type":"enum","name":"E","symbols":[1]}', ""),
        ('{"type":"enum","name":"E"}', "symbols"),
        ('{"type":"fixed","name":"F","size":"x"}', "F.size"),
        ('{"type":"fixed","name":"F","size":-1}', "F.size"),
        ('{"type":"array"}', "items"),
        ('{"type":{}}', ""),
        ('{"items":' * 300 + "{}" + "}" * 300, "nested"),
    ],
)
@pytest.mark.parametrize("encoding", ["json", "binary"])
def test_an_unusable_schema_says_why(content: str, says: str, encoding: str):
    """Whatever is wrong with a schema comes back in words."""
    assert says in unusable("avro", content, encoding=encoding)


@pytest.mark.parametrize(
    "items",
    [
        "null",
        {"type": "record", "name": "E", "fields": []},
        {"type": "fixed", "name": "F", "size": 0},
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "null"}]},
    ],
)
def test_a_few_bytes_never_stand_for_endless_items(items: Any):
    """An array of items without bytes would be as long as a number says."""
    schema = {"type": "array", "items": items}
    assert "take no bytes" in unusable("avro", schema, encoding="binary")
    assert compiled("avro", schema).encode([]) == b"[]"


def chain(depth: int) -> Any:
    message = None
    for _ in range(depth):
        message = {"next": message}
    return {"next": message}


@pytest.mark.parametrize("encoding", ["json", "binary"])
def test_a_type_that_contains_itself(encoding: str):
    """It works to a depth, and beyond it is refused, a circle included."""
    codec = compiled("avro", TREE, encoding=encoding)
    assert codec.decode(codec.encode(chain(90))) == chain(90)
    circle: dict[str, Any] = {}
    circle["next"] = circle
    for message in (chain(101), chain(20_000), circle):
        assert refusal(codec, message) == ("", "nested at most 100 deep")


def test_the_interpreter_survives_deep_bytes():
    """A byte for each level does not use up the stack of the process."""
    program = """
from memphis.exceptions import MemphisSchemaError
from tests.unit.schema.definitions import compiled
from tests.unit.schema.test_avro import TREE
records = [{"type": "record", "name": "R0", "fields": [{"name": "a", "type": "int"}]}]
for step in range(1, 5000):
    field = {"name": "a", "type": f"R{step - 1}"}
    records.append({"type": "record", "name": f"R{step}", "fields": [field]})
for schema, payload in (TREE, b"\\x02" * 10**6 + b"\\0"), (records[::1], b"\\x9e\\x4e\\x02"):
    try:
        compiled("avro", schema, encoding="binary").decode(payload)
    except MemphisSchemaError:
        continue
    raise SystemExit("it was taken")
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])


def test_unions_that_double_at_each_level():
    """A type with itself in two branches is given up instead of tried for years."""
    branches = [
        {
            "type": "record",
            "name": name,
            "fields": [{"name": "inner", "type": ["null", "Top"]}, {"name": "k", "type": kind}],
        }
        for name, kind in (("A", "int"), ("B", "string"))
    ]
    top = {"type": "record", "name": "Top", "fields": [{"name": "x", "type": branches}]}
    codec = compiled("avro", top)
    message: Any = None
    for _ in range(40):
        message = {"x": {"inner": message, "k": 1.5}}
    assert "simpler" in refusal(codec, message)[1]


def test_defaults_of_bytes():
    """In a schema they are strings of code points; a message that leaves a field out has the bytes."""
    fields = [
        {"name": "raw", "type": "bytes", "default": "\u00ff\u0000"},
        {"name": "key", "type": {"type": "fixed", "name": "F", "size": 2}, "default": "\u00feA"},
        {"name": "either", "type": ["bytes", "string"], "default": "\u00fd"},
        {"name": "text", "type": ["string", "bytes"], "default": "\u00fc"},
        {"name": "many", "type": {"type": "array", "items": "bytes"}, "default": ["\u00fb"]},
        {
            "name": "inner",
            "type": {"type": "record", "name": "I", "fields": [{"name": "b", "type": "bytes"}]},
            "default": {"b": "\u00fa"},
        },
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
            "default": "\u0004\u00d2",
        },
    ]
    codec: Any = compiled(
        "avro", {"type": "record", "name": "R", "fields": fields}, encoding="binary"
    )
    assert codec.decode(codec.encode({})) == {
        "raw": b"\xff\x00",
        "key": b"\xfeA",
        "either": b"\xfd",
        "text": "\u00fc",
        "many": [b"\xfb"],
        "inner": {"b": b"\xfa"},
        "price": Decimal("12.34"),
    }
    wrong = [{"name": "raw", "type": "bytes", "default": "\u0100"}]
    codec = compiled("avro", {"type": "record", "name": "R", "fields": wrong}, encoding="binary")
    assert codec.decode(codec.encode({"raw": b"a"})) == {"raw": b"a"}
    assert refusal(codec, {}) == ("raw", "bytes")


def test_a_number_that_json_readers_do_not_take():
    """An integer beyond a float is not written where the schema has any number."""
    codec: Any = compiled("avro", {"type": "map", "values": "double"})
    assert codec.decode(codec.encode({"n": 10**308})) == {"n": 10**308}
    assert refusal(codec, {"n": 10**309}) == ("n", "an integer of at most 308 digits")
