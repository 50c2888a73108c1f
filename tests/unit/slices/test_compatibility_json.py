"""JSON Schema's rules, each certain finding with a value that proves it; pydantic's schemas too."""

from __future__ import annotations

import json
from datetime import datetime
from enum import Enum
from typing import Any, Literal

import jsonschema_rs
import pytest
from pydantic import BaseModel, ConfigDict, Field

from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility import Finding, reads


def findings(reader: Any, writer: Any, *, reader_is_newer: bool = True) -> list[Finding]:
    read, written = (
        SchemaDefinition(name="s", id="1", version=1, type="json", content=json.dumps(content))
        for content in (reader, writer)
    )
    return reads(read, written, reader_is_newer=reader_is_newer)


def fields(*, required: tuple[str, ...] = (), closed: bool = False, **schemas: Any) -> Any:
    return fields_of(schemas, required=required, closed=closed)


def fields_of(
    schemas: dict[str, Any], *, required: tuple[str, ...] = (), closed: bool = False
) -> Any:
    found = {"type": "object", "properties": schemas, "required": list(required)}
    return {**found, "additionalProperties": False} if closed else found


INTEGER, NUMBER, STRING = ({"type": name} for name in ("integer", "number", "string"))
ARRAY = {"type": "array"}
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize(
    ("old", "new", "value", "path", "text"),
    [
        (fields(price=NUMBER), fields(price=STRING), {"price": 1}, "price", "number became string"),
        (NUMBER, INTEGER, 0.5, "", "number became integer"),
        (fields(a=INTEGER), fields(a=INTEGER, required=("a",)), {}, "a", "is required now"),
        (fields(), fields(required=("a",)), {}, "a", "was added and is required"),
        (
            fields(a=INTEGER, closed=True),
            fields(closed=True),
            {"a": 1},
            "a",
            "was removed, and additional fields are not allowed",
        ),
        (
            fields(),
            fields(a=INTEGER),
            {"a": "x"},
            "a",
            "was added, but the older version allows additional fields, so that it may hold anything",
        ),
        (fields(), fields(closed=True), {"x": 1}, "", "allows no additional fields any more"),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, "b", "", 'the value "b" was removed'),
        (STRING, {"const": "a"}, "b", "", 'string became "a"'),
        ({"type": "boolean"}, {"enum": [True, 1]}, False, "", "the value false was removed"),
        ({"enum": [1, True]}, {"enum": [1.0, False]}, True, "", "the value true was removed"),
        (
            {"type": ["integer", "string"]},
            {"anyOf": [INTEGER, STRING | {"maxLength": 1}]},
            "ab",
            "",
            "any number of characters became at most 1 characters",
        ),
        ({"enum": [1, True]}, {"enum": [1.0]}, True, "", "one of 1, true became 1.0"),
        (INTEGER | {"minimum": 0}, INTEGER | {"minimum": 5}, 0, "", "minimum 0 became minimum 5"),
        (NUMBER, NUMBER | {"exclusiveMaximum": 5}, 5, "", "no maximum became exclusiveMaximum 5"),
        (
            INTEGER | {"multipleOf": 2},
            INTEGER | {"multipleOf": 4},
            2,
            "",
            "multiple of 2 became multiple of 4",
        ),
        (
            STRING | {"maxLength": 4},
            STRING | {"maxLength": 3},
            "abcd",
            "",
            "at most 4 characters became at most 3 characters",
        ),
        (ARRAY, ARRAY | {"minItems": 1}, [], "", "at least 0 items became at least 1 items"),
        (ARRAY, ARRAY | {"uniqueItems": True}, [1, 1], "", "its items must differ now"),
        (ARRAY | {"items": INTEGER}, ARRAY | {"items": STRING}, [1], "[]", "integer became string"),
        (
            ARRAY | {"prefixItems": [INTEGER]},
            ARRAY | {"prefixItems": [STRING]},
            [1],
            "[0]",
            "integer became string",
        ),
        ({"anyOf": [STRING, {"type": "null"}]}, STRING, None, "", "string or null became string"),
        (
            {"anyOf": [fields(a=INTEGER), {"type": "null"}]},
            {"anyOf": [fields(a=STRING), {"type": "null"}]},
            {"a": 1},
            "a",
            "integer became string",
        ),
        (True, False, 1, "", "anything became nothing"),
        (
            {"type": "object", "minProperties": 1},
            {"type": "object", "minProperties": 2},
            {"a": 1},
            "",
            "at least 1 fields became at least 2 fields",
        ),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": fields(a=INTEGER)}},
            {"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": fields(a=STRING)}},
            {"a": 1},
            "a",
            "integer became string",
        ),
        (
            {
                "type": "object",
                "patternProperties": {"^x": STRING},
                "additionalProperties": INTEGER,
            },
            {"type": "object", "additionalProperties": INTEGER},
            {"xa": "text"},
            "*",
            "string became integer",
        ),
        (
            {"$schema": DRAFT_7, "$ref": "#/$defs/A", "type": "string", "$defs": {"A": INTEGER}},
            {"$schema": DRAFT_7, "type": "string"},
            1,
            "",
            "integer became string",
        ),
        (fields(a={"not": STRING}), fields(a=False), {"a": 1}, "a", "anything became nothing"),
    ],
)
def test_unreadable(old: Any, new: Any, value: Any, path: str, text: str) -> None:
    """A value that fitted does not any more, and the finding says where and why."""
    assert jsonschema_rs.is_valid(old, value)
    assert not jsonschema_rs.is_valid(new, value)
    assert findings(new, old) == [Finding(path, text)]


TAGGED = {
    "oneOf": [
        fields(kind={"const": "a"}, x=INTEGER, required=("kind",)),
        fields(kind={"const": "b"}, y=INTEGER, required=("kind",)),
    ]
}
WIDER_TAGGED = {
    "oneOf": [
        fields(kind={"const": "a"}, x=NUMBER, required=("kind",)),
        fields(kind={"enum": ["b", "c"]}, y=INTEGER, required=("kind",)),
    ]
}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (INTEGER, NUMBER),
        ({"type": ["integer", "string"]}, {"anyOf": [STRING, NUMBER]}),
        ({"enum": ["a", 1]}, {"type": ["string", "integer"]}),
        ({"const": 1.0}, INTEGER),
        (INTEGER | {"exclusiveMinimum": 0}, INTEGER | {"minimum": 1}),
        (INTEGER | {"multipleOf": 6}, NUMBER | {"multipleOf": 3}),
        (fields(a=INTEGER), fields()),
        (fields(required=("a",)), fields()),
        (fields(closed=True), fields(a=INTEGER, closed=True)),
        (ARRAY | {"items": INTEGER, "minItems": 2}, ARRAY | {"items": NUMBER, "minItems": 1}),
        (
            ARRAY | {"prefixItems": [INTEGER], "items": False},
            ARRAY | {"items": INTEGER, "maxItems": 1},
        ),
        (STRING | {"pattern": "^a"}, STRING | {"pattern": "^a", "title": "x"}),
        (STRING | {"format": "date"}, STRING),
        (TAGGED, WIDER_TAGGED),
        (INTEGER | {"not": {"const": 1}}, NUMBER),
        (False, INTEGER),
        (fields(a=INTEGER) | {"$schema": "https://json-schema.org/draft/2020-12/schema"}, fields()),
        (
            fields(a=INTEGER) | {"patternProperties": {"^x": STRING}},
            fields() | {"patternProperties": {"^x": STRING}},
        ),
    ],
)
def test_readable(old: Any, new: Any) -> None:
    """What takes the same and more has no finding."""
    assert findings(new, old) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (STRING | {"pattern": "^a"}, STRING | {"pattern": "^b"}),
        (STRING, STRING | {"format": "date"}),
        (fields(), fields() | {"dependentRequired": {"a": ["b"]}}),
        ({"not": INTEGER}, {"not": STRING}),
        (INTEGER, {"oneOf": [INTEGER, NUMBER]}),
        (STRING, {"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"}),
        (
            {"$schema": "http://json-schema.org/draft-04/schema#"},
            {"$schema": "http://json-schema.org/draft-04/schema#", "type": "string"},
        ),
        (NUMBER | {"multipleOf": 0.3}, NUMBER | {"multipleOf": 0.1}),
        (
            {"$defs": {"A": {"$anchor": "a"}}, "$ref": "#a"},
            {"$defs": {"A": {"$anchor": "a", "type": "string"}}, "$ref": "#a"},
        ),
        ({"$ref": "#"}, {"$ref": "#", "title": "x"}),
        ({"allOf": [INTEGER, {"minimum": 0}]}, INTEGER | {"minimum": 5}),
        (fields(), fields() | {"unevaluatedProperties": False}),
        (
            {"not": {"$ref": "#/$defs/A"}, "$defs": {"A": INTEGER}},
            {"not": {"$ref": "#/$defs/A"}, "$defs": {"A": NUMBER}},
        ),
    ],
)
def test_what_is_not_judged_is_a_doubt(old: Any, new: Any) -> None:
    """Outside of the subset there is neither a yes nor a no."""
    found = findings(new, old)
    assert found
    assert not any(finding.certain for finding in found)


def test_equal_parts_are_compatible_whatever_their_keywords() -> None:
    """Keywords that are not judged are no hindrance where they stay as they are."""
    odd = {
        "not": {"$ref": "#/$defs/A"},
        "if": {"required": ["x"]},
        "then": {"required": ["y"]},
        "dependentSchemas": {"a": {"minProperties": 2}},
        "propertyNames": {"pattern": "^[a-z]"},
        "contains": {"type": "integer"},
        "minContains": 2,
        "oneOf": [INTEGER, NUMBER, {"minimum": 3}, True],
        "unevaluatedProperties": False,
    }
    definitions = {"A": {"const": 1, "title": "one"}}
    old = {"properties": {"odd": odd, "a": INTEGER}, "$defs": definitions}
    assert findings({"properties": {"odd": odd, "a": NUMBER}, "$defs": definitions}, old) == []
    del odd["unevaluatedProperties"]
    assert findings({"properties": {"odd": odd, "a": NUMBER}, "$defs": definitions}, old) == []


def test_words_follow_the_versions_when_the_older_reads() -> None:
    """An older reader's findings are worded from the old version to the new one as well."""
    old = fields(a=INTEGER, b=INTEGER, required=("a", "b"), closed=True)
    new = fields(b=INTEGER | {"enum": [1]}, c=STRING, closed=True)
    found = findings(old, new, reader_is_newer=False)
    assert [(finding.path, finding.text) for finding in found] == [
        ("a", "was removed, but the older version requires it"),
        ("b", "is not required any more, but the older version requires it"),
        ("c", "was added, but the older version allows no additional fields"),
    ]


def test_a_schema_within_itself_comes_to_an_end() -> None:
    """A tree is compared once for each of its parts, and a change in it is found."""
    old, new = (
        {
            "$ref": "#/$defs/T",
            "$defs": {"T": fields(v=kind, kids=ARRAY | {"items": {"$ref": "#/$defs/T"}})},
        }
        for kind in (INTEGER, STRING)
    )
    assert findings(new, old) == [Finding("v", "integer became string")]
    assert findings(old | {"title": "x"}, old) == []


def test_what_a_failed_alternative_took_for_granted_is_forgotten() -> None:
    """A part that one alternative stumbled over is still judged where it stands alone."""
    refer = {"$ref": "#/$defs/S"}
    body = fields(p=fields(x=refer), q=refer)
    old = body | {"$defs": {"S": fields(v=STRING)}}
    new = fields(p={"anyOf": [fields(x=refer), True]}, q=refer)
    new |= {"$defs": {"S": fields(v=INTEGER)}}
    value = {"q": {"v": "text"}}
    assert jsonschema_rs.is_valid(old, value)
    assert not jsonschema_rs.is_valid(new, value)
    assert findings(new, old) == [Finding("q.v", "string became integer")]


def nested(depth: int, inner: Any) -> Any:
    for _ in range(depth):
        inner = ARRAY | {"items": inner}
    return inner


def fanned_out(levels: int, leaf: Any) -> Any:
    """Unions of unions: as a tree it has three to the power of its levels many leaves."""
    definitions: dict[str, Any] = {"d0": leaf}
    for level in range(1, levels):
        reference = {"$ref": f"#/$defs/d{level - 1}"}
        names = [fields_of({name: reference}, required=(name,)) for name in "abc"]
        definitions[f"d{level}"] = {"anyOf": names}
    return {"$ref": f"#/$defs/d{levels - 1}", "$defs": definitions}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (nested(150, INTEGER), nested(150, NUMBER)),
        (nested(400, INTEGER), nested(400, NUMBER)),
        ({"anyOf": [{"$ref": "#"}]}, {"anyOf": [{"$ref": "#"}], "title": "x"}),
    ],
    ids=["deep", "deeper", "endless"],
)
def test_what_is_too_large_is_a_doubt(old: Any, new: Any) -> None:
    """A limit that is met ends the comparison with a doubt, not with an overflow."""
    assert [finding.certain for finding in findings(new, old)][-1] is False


def test_shared_definitions_are_not_compared_again_and_again() -> None:
    """Definitions that refer to each other take as many steps as they are, not as their tree has."""
    assert findings(fanned_out(14, NUMBER), fanned_out(14, INTEGER)) == []
    assert findings(fanned_out(14, STRING), fanned_out(14, INTEGER))


class Color(Enum):
    """A value of a fixed set."""

    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    """A model within a model."""

    model_config = ConfigDict(extra="forbid")
    sku: str
    count: int = Field(default=1, ge=1)


class Order(BaseModel):
    """What pydantic makes schemas of, in all the usual forms."""

    model_config = ConfigDict(extra="forbid")
    id: int
    items: list[Item]
    first: Item | None = None
    color: Color = Color.RED
    kind: Literal["new", "old"] = "new"
    at: datetime
    prices: dict[str, float] = {}


class OrderWithNote(Order):
    """One optional field more."""

    note: str | None = None


class WiderItem(Item):
    """An item whose number may be missing."""

    count: int | None = Field(default=1, ge=1)  # type: ignore[assignment]


class WiderOrder(Order):
    """Takes whatever an order is, and more."""

    items: list[WiderItem]  # type: ignore[assignment]
    kind: Literal["new", "old", "other"] = "new"  # type: ignore[assignment]


class OtherOrder(Order):
    """A field of another type."""

    id: str  # type: ignore[assignment]


def test_models_of_pydantic_are_decided() -> None:
    """Adding an optional field, removing one and changing a type all get a yes or a no."""
    order, noted, wider, other = (
        model.model_json_schema() for model in (Order, OrderWithNote, WiderOrder, OtherOrder)
    )
    assert findings(noted, order) == []
    assert findings(order, noted) == [
        Finding("note", "was removed, and additional fields are not allowed")
    ]
    assert findings(wider, order) == []
    assert [found.path for found in findings(order, wider)] == ["items[].count", "kind"]
    assert findings(other, order) == [Finding("id", "integer became string")]


def test_models_of_pydantic_that_are_open_are_decided() -> None:
    """Without extra="forbid" a field may be removed, and not be added: it may have been there."""
    order, noted = (model.model_json_schema() for model in (Order, OrderWithNote))
    for schema in (order, noted):
        del schema["additionalProperties"]
    assert findings(order, noted) == []
    (finding,) = findings(noted, order)
    assert (finding.path, finding.certain) == ("note", True)
