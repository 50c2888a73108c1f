"""JSON messages against JSON Schema: forms, refusals, hostile schemas, the specification's keywords."""

from __future__ import annotations

import enum
import json
import os
import socket
import subprocess
import sys
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from memphis.exceptions import MemphisSchemaError
from memphis.schema import compile_schema
from tests.unit.schema import json_schema_cases as cases
from tests.unit.schema.definitions import compiled, definition, refusal, unusable

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "items": {
            "items": {
                "properties": {
                    "price": {"type": "number", "maximum": 10},
                    "kind": {"enum": ["a", "b"]},
                },
                "additionalProperties": False,
            }
        },
        "note": {"anyOf": [{"type": "null"}, {"properties": {"text": {"type": "string"}}}]},
    },
}
CODEC = compiled("json", SCHEMA)
ANYTHING = compiled("json", "true")


class Colour(enum.Enum):
    RED = "red"


class Order(BaseModel):
    id: str
    weight: float | None = Field(default=None, serialization_alias="kg")


@pytest.mark.parametrize(
    ("message", "stored"),
    [
        ({"id": "a"}, b'{"id":"a"}'),
        (OrderedDict(id="a"), b'{"id":"a"}'),
        ('{ "id": "a" }', b'{ "id": "a" }'),
        (b'{ "id": "a" }', b'{ "id": "a" }'),
        (bytearray(b'{"id":"a"}'), b'{"id":"a"}'),
        (memoryview(b'{"id":"a"}'), b'{"id":"a"}'),
        (Order(id="a"), b'{"id":"a","kg":null}'),
        ({"id": "a", "n": 2**80}, b'{"id":"a","n":1208925819614629174706176}'),
        ({"id": "a", "t": (1, 2)}, b'{"id":"a","t":[1,2]}'),
        ({"id": "a", "t": None}, b'{"id":"a","t":null}'),
    ],
)
def test_every_form_is_stored_as_it_is_or_as_compact_json(message: Any, stored: bytes):
    """Bytes and text stay as they were given, objects are written compactly."""
    payload = CODEC.encode(message)
    assert type(payload) is bytes
    assert payload == stored
    assert CODEC.decode(payload) == json.loads(stored)


@pytest.mark.parametrize("value", [None, True, 0, 1.5, [], [1, "a"], 2**100, -(2**63) - 1, 2**64])
def test_scalars_and_lists_are_messages_too(value: Any):
    """A schema that is no object's takes other values."""
    assert ANYTHING.decode(ANYTHING.encode(value)) == value


@pytest.mark.parametrize("message", [object(), {1, 2}, datetime.now(UTC), 1j, UUID(int=1)])
def test_other_python_types_are_the_callers_mistake(message: Any):
    """What is no message at all is a usage error, not a schema's."""
    with pytest.raises(MemphisSchemaError, match=type(message).__name__):
        ANYTHING.encode(message)


@pytest.mark.parametrize(
    ("message", "path", "expected"),
    [
        ({}, "id", "present"),
        ({"id": 1}, "id", "string"),
        ({"id": ""}, "id", "at least 1 characters long"),
        ([], "", "object"),
        ({"id": "a", "items": [{}, {}, {"price": "ten"}]}, "items[2].price", "number"),
        ({"id": "a", "items": [{"price": 11}]}, "items[0].price", "at most 10"),
        ({"id": "a", "items": [{"kind": "c"}]}, "items[0].kind", "one of a, b"),
        (
            {"id": "a", "items": [{"my kind": "c"}]},
            'items[0]["my kind"]',
            "left out: the schema has no such name",
        ),
        ({"id": "a", "note": {"text": 5}}, "note.text", "string"),
        (b"{", "", "JSON"),
        (b"", "", "JSON"),
        (b"\xff", "", "JSON"),
        ('{"id":"\ud800"}', "", "Unicode text"),
        (b'{"id":"a","n":NaN}', "", "JSON"),
        (b'{"id":"a","n":1e999}', "", "JSON"),
        ({"id": "a", "n": float("nan")}, "n", "a finite number"),
        ({"id": "a", "n": [None, float("-inf")]}, "n[1]", "a finite number"),
        ({"id": "a", "n": "\udfff"}, "n", "Unicode text"),
        ({"id": "a", "n": {1: 2}}, "n", "an object whose names are strings"),
    ],
)
def test_a_refusal_names_place_and_expectation(message: Any, path: str, expected: str):
    """Each fault is found where it is, in the schema's words."""
    assert refusal(CODEC, message) == (path, expected)


def test_the_text_says_everything():
    """Schema, version, place, what was wanted and what was found stand in one sentence."""
    with pytest.raises(MemphisSchemaError) as caught:
        CODEC.encode({"id": "a", "items": [{}, {}, {"price": "ten"}]})
    assert str(caught.value) == (
        "memphis: the message does not fit schema orders version 3: "
        "items[2].price must be number, not 'ten'"
    )


def test_an_integer_that_is_not_read_again_is_not_written():
    """What readers of JSON refuse, being beyond a float, is refused in an object as in a text."""
    for number in (10**308, -(10**308), int(sys.float_info.max)):
        assert ANYTHING.decode(ANYTHING.encode({"n": number})) == {"n": number}
    for number in (10**309, -(10**309), 2**1024, 10**5000):
        assert refusal(CODEC, {"id": "a", "n": number}) == (
            "n",
            "an integer of at most 308 digits",
        )
    refusal(ANYTHING, b'{"n":1' + b"0" * 309 + b"}")


def test_a_huge_value_is_shown_short():
    """The text of an error stays short whatever the message is."""
    for value in ({"x": "x" * 10**6}, 10**4000, [[["y" * 1000] * 1000]], {"k" * 9000: {"a": 1}}):
        with pytest.raises(MemphisSchemaError) as caught:
            CODEC.encode({"id": value})
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [datetime.now(UTC), {1}, b"x", object(), 1j])
def test_what_json_does_not_have_is_refused_where_nothing_looks(value: Any):
    """A place that the schema leaves open takes JSON values only, and no unchecked text."""
    path, expected = refusal(ANYTHING, {"a": [value]})
    assert path == "a[0]"
    assert expected.startswith("a JSON value")


def test_what_is_checked_is_what_is_stored():
    """Values that are written as something else are judged by what is written."""
    text = compiled("json", {"additionalProperties": {"type": "string", "maxLength": 36}})
    stored = text.encode({"a": Colour.RED, "b": UUID(int=0)})
    assert text.decode(stored) == {"a": "red", "b": str(UUID(int=0))}
    integers = compiled("json", {"items": {"type": "integer"}, "uniqueItems": True})
    for same in ([1, 1.0], [2**70, 2**70], [Colour.RED, "red"]):
        with pytest.raises(MemphisSchemaError):
            integers.encode(same)


def test_a_model_keeps_no_infinite_number():
    """A model would write NaN as null without a word."""
    assert refusal(ANYTHING, Order(id="a", weight=float("nan"))) == ("weight", "a finite number")


@pytest.mark.parametrize(
    "text", [b'{"n":123456789012345678901234567890}', b"[18446744073709551616]"]
)
def test_large_integers_are_checked_and_read_whole(text: bytes):
    """An integer of more than 64 bits in bytes is no float for anybody."""
    limit = compiled(
        "json", {"additionalProperties": {"type": "integer"}, "items": {"multipleOf": 2}}
    )
    assert limit.decode(limit.encode(text)) == json.loads(text)


def test_each_decoding_is_a_new_object():
    """What one consumer does to a message no other sees."""
    payload = b'{"id":"a","items":[]}'
    first = CODEC.decode(payload)
    first["items"].append(1)
    assert CODEC.decode(payload) == {"id": "a", "items": []}


@pytest.mark.parametrize("payload", [b"", b"{", b"{}", b"\x00\xff", b'{"id":1}'])
def test_a_payload_that_does_not_fit_is_not_handed_out(payload: bytes):
    """Reading refuses as writing does."""
    with pytest.raises(MemphisSchemaError):
        CODEC.decode(payload)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "JSON"),
        ("", "JSON"),
        ("3", "boolean"),
        ("[]", "object"),
        ('{"type":"nothing"}', "type"),
        ('{"pattern":"["}', "pattern"),
        ('{"pattern":"((a{100}){100}){100}"}', "pattern"),
        ('{"$schema":"urn:unknown"}', "urn:unknown"),
        ('{"$ref":"#/nowhere"}', "nowhere"),
        ('{"$ref":"other.json"}', "other.json"),
        ('{"$ref":"file:///etc/hostname"}', "file:///etc/hostname"),
        ('{"minimum":"a"}', "minimum"),
        ('"\ud800"', "Unicode"),
        ('{"items":' * 300 + "{}" + "}" * 300, "nested"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_an_unusable_schema_says_why(content: str, says: str):
    """Whatever is wrong with a schema comes back in words."""
    assert says in unusable("json", content)


def test_boolean_schemas():
    """`true` takes everything, `false` nothing."""
    assert ANYTHING.encode([1]) == b"[1]"
    assert refusal(compiled("json", "false"), 1)[0] == ""


def test_no_reference_is_fetched():
    """Neither $ref nor $schema nor $id makes anybody connect."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        for schema in (
            {"$ref": url},
            {"$schema": url},
            {"$id": url, "$ref": "other.json"},
            {"properties": {"a": {"$dynamicRef": f"{url}#x"}}},
            {"$schema": cases.DRAFT_7, "items": [{"$ref": f"{url}#/a"}]},
        ):
            unusable("json", schema)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_file_is_not_read(tmp_path: Path):
    """A file that is there, and would do, is not looked at."""
    file = tmp_path / "schema.json"
    file.write_text("{}", encoding="utf-8")
    assert "cannot be used" in unusable("json", {"$ref": file.as_uri()})


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^(a+)+$", "a" * 5000 + "b"),
        (r"^(?=((a|a)+)+$)a", "a" * 5000 + "b"),
        (r"^(a|aa)+\1$", "a" * 3000 + "b"),
        (r"(.*)*(.*)*\2x", "y" * 3000),
    ],
)
def test_a_pattern_built_to_hang_is_a_refusal(pattern: str, text: str):
    """An expression that would try for years ends, and the message is refused."""
    assert refusal(compiled("json", {"pattern": pattern}), text_message(text))[0] == ""


def test_a_pattern_that_was_given_up_says_so():
    """That no answer was found is not the same as that the text does not match."""
    codec = compiled("json", {"items": {"pattern": r"^(a|aa)+\1$"}})
    expected = "text for which the schema's pattern takes fewer steps"
    assert refusal(codec, ["a" * 40 + "b"]) == ("[0]", expected)


def text_message(text: str) -> bytes:
    return json.dumps(text).encode()


def nested(depth: int, value: Any = 0) -> Any:
    for _ in range(depth):
        value = {"a": value}
    return value


def test_deep_messages_are_refused():
    """Nesting has one limit for every form of a message."""
    assert ANYTHING.decode(ANYTHING.encode(nested(250))) == nested(250)
    circle: list[Any] = []
    circle.append(circle)
    for message in (nested(251), nested(5000), circle, b"[" * 300 + b"]" * 300, "[" * 10**6):
        path, expected = refusal(ANYTHING, message)
        assert path == ""
        assert expected in {"nested at most 250 deep", "JSON"}
    brackets = {"a": ["]" * 900, "[[{", {"b": "}"}]}
    assert ANYTHING.decode(ANYTHING.encode(brackets)) == brackets


def test_schemas_that_cost_too_much_are_refused():
    """Doubling references and endless chains of them are found before they run."""
    doubling = {f"d{step}": {"allOf": [{"$ref": f"#/$defs/d{step + 1}"}] * 2} for step in range(40)}
    assert "simpler" in unusable("json", {"$ref": "#/$defs/d0", "$defs": {**doubling, "d40": {}}})
    chain = {f"d{step}": {"$ref": f"#/$defs/d{step + 1}"} for step in range(9000)}
    assert "simpler" in unusable("json", {"$ref": "#/$defs/d0", "$defs": {**chain, "d9000": {}}})
    circle = compiled("json", {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#"}]}}})
    assert circle.encode(1) == b"1"


def test_the_interpreter_survives_the_deepest_that_is_allowed():
    """The longest chain of schemas times the deepest message fits into the stack of a process."""
    program = """
from memphis.exceptions import MemphisSchemaError
from tests.unit.schema.definitions import compiled
for keyword in ("allOf", "anyOf", "oneOf"):
    steps = {f"d{step}": {keyword: [{"$ref": f"#/$defs/d{step + 1}"}]} for step in range(97)}
    steps["d97"] = {"properties": {"a": {"$ref": "#/$defs/d0"}}}
    codec = compiled("json", {"$ref": "#/$defs/d0", "$defs": steps})
    refused = 0
    for depth in range(10, 251, 10):
        try:
            codec.encode('{"a":' * depth + "1" + "}" * depth)
        except MemphisSchemaError:
            refused += 1
    assert 0 < refused < 25, refused
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])


@pytest.mark.parametrize("uri", ["", cases.DRAFT_7, cases.DRAFT_2020])
def test_keywords(uri: str):
    """Each keyword takes and refuses what the specification says, in each form of a message."""
    only = cases.ONLY_7 if uri == cases.DRAFT_7 else cases.ONLY_2020
    for schema, fitting, others in [*cases.BOTH, *only]:
        codec = compiled("json", {"$schema": uri, **schema} if uri else schema)
        for message in fitting:
            assert codec.decode(codec.encode(json.dumps(message))) == message, (schema, message)
            if not isinstance(message, str):
                assert json.loads(codec.encode(message)) == message, (schema, message)
        for message in others:
            assert any(refusal(codec, json.dumps(message).encode())), (schema, message)


@pytest.mark.skipif("JSON_SCHEMA_TEST_SUITE" not in os.environ, reason="names no checkout of it")
@pytest.mark.parametrize("draft", ["draft4", "draft6", "draft7", "draft2019-09", "draft2020-12"])
def test_official_suite(draft: str):
    """The required tests of the official suite hold, but for those with a remote schema."""
    folder = Path(os.environ["JSON_SCHEMA_TEST_SUITE"], "tests", draft)
    uris = {
        "draft4": "http://json-schema.org/draft-04/schema#",
        "draft6": "http://json-schema.org/draft-06/schema#",
        "draft7": cases.DRAFT_7,
        "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
        "draft2020-12": cases.DRAFT_2020,
    }
    judged = 0
    for file in sorted(folder.glob("*.json")):
        for group in json.loads(file.read_text(encoding="utf-8")):
            schema = group["schema"]
            if isinstance(schema, dict):
                schema = {"$schema": uris[draft], **schema}
            if "localhost:1234" in json.dumps(schema) and _is_unusable(schema):
                continue
            codec = compiled("json", schema)
            for test in group["tests"]:
                judged += 1
                assert _fits(codec, json.dumps(test["data"])) == test["valid"], (file.name, test)
    assert judged > 500


def _is_unusable(schema: Any) -> bool:
    try:
        compile_schema(definition("json", schema))
    except MemphisSchemaError:
        return True
    return False


def _fits(codec: Any, message: Any) -> bool:
    try:
        codec.encode(message)
    except MemphisSchemaError:
        return False
    return True
