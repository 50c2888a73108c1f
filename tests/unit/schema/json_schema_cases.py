"""What each keyword of JSON Schema takes and refuses, written for this project from the specification.

The official JSON-Schema-Test-Suite was run here as well, through this project's
codec: of that suite's required tests, for drafts 4, 6, 7, 2019-09 and 2020-12, every one passed except those
that need a remote schema, which this project never fetches (suite of 2026-08-22). A checkout of it is
run again when the variable ``JSON_SCHEMA_TEST_SUITE`` names its folder; this table is what always runs.
"""

from __future__ import annotations

from typing import Any, Final

DRAFT_7: Final = "http://json-schema.org/draft-07/schema#"
DRAFT_2020: Final = "https://json-schema.org/draft/2020-12/schema"

Case = tuple[dict[str, Any], list[Any], list[Any]]
"""A schema, messages that fit, and messages that do not."""

BOTH: Final[list[Case]] = [
    ({"type": "null"}, [None], [0, "", False, [], {}]),
    ({"type": "boolean"}, [True, False], [0, 1, "true", None]),
    ({"type": "integer"}, [1, -1, 0, 2**70, 1.0], [1.5, "1", True, None]),
    ({"type": "number"}, [1, 1.5, -2e300, 2**70], ["1", True, None, [1]]),
    ({"type": "string"}, ["", "a", "1"], [1, None, ["a"]]),
    ({"type": "array"}, [[], [1, "a"]], [{}, "[]", None]),
    ({"type": "object"}, [{}, {"a": 1}], [[], "{}", None]),
    ({"type": ["string", "null"]}, ["a", None], [1, []]),
    ({"enum": ["a", 1, None, [1], {"b": 2}]}, ["a", 1, 1.0, None, [1], {"b": 2}], ["b", 2, [], {}]),
    ({"const": {"a": [1, True]}}, [{"a": [1, True]}], [{"a": [1, 1]}, {"a": [True, 1]}, {}]),
    ({"const": 2**70}, [2**70], [2**70 + 1, float(2**69)]),
    ({"minimum": 2}, [2, 2.5, 3, "1"], [1, 1.999, -5]),
    ({"maximum": 2}, [2, 1.5, -7, "3"], [3, 2.001]),
    ({"exclusiveMinimum": 2}, [2.001, 3], [2, 2.0, 1]),
    ({"exclusiveMaximum": 2}, [1.999, 1], [2, 2.0, 3]),
    ({"multipleOf": 0.25}, [0, 0.5, 3, -1.75, "x"], [0.3, 1.1]),
    ({"multipleOf": 3}, [9, 0, -3, 6.0], [1, 4.5]),
    ({"minLength": 2}, ["ab", "äö", 1], ["a", "ä", ""]),
    ({"maxLength": 2}, ["", "ab", "😀😀", 123], ["abc", "😀😀😀"]),
    ({"pattern": "^a+$"}, ["a", "aaa", 1], ["b", "ab", ""]),
    ({"pattern": "b"}, ["abc", "b"], ["a", "B"]),
    ({"pattern": r"^\d{3}-(?=x)x$"}, ["123-x"], ["12-x", "123-y"]),
    ({"minItems": 1}, [[1], [1, 2], {}], [[]]),
    ({"maxItems": 1}, [[], [1], "ab"], [[1, 2]]),
    ({"uniqueItems": True}, [[], [1, 2], [1, True], [[1], [2]]], [[1, 1], [1, 1.0], [{}, {}]]),
    ({"contains": {"const": 5}}, [[5], [1, 5], {}], [[], [1], ["5"]]),
    ({"items": {"type": "integer"}}, [[], [1, 2], {}], [["a"], [1, "a"]]),
    ({"minProperties": 1}, [{"a": 1}, []], [{}]),
    ({"maxProperties": 1}, [{}, {"a": 1}], [{"a": 1, "b": 2}]),
    ({"required": ["a", "b"]}, [{"a": 1, "b": None}, []], [{}, {"a": 1}, {"b": 1}]),
    ({"properties": {"a": {"type": "integer"}}}, [{}, {"a": 1}, {"b": "x"}], [{"a": "x"}]),
    ({"patternProperties": {"^n_": {"type": "number"}}}, [{"n_a": 1, "b": "x"}], [{"n_a": "x"}]),
    (
        {"properties": {"a": {}}, "patternProperties": {"^x": {}}, "additionalProperties": False},
        [{}, {"a": 1, "x1": 2}],
        [{"b": 1}, {"a": 1, "y": 1}],
    ),
    ({"additionalProperties": {"type": "string"}}, [{"a": "b"}], [{"a": 1}]),
    ({"propertyNames": {"maxLength": 2}}, [{"ab": 1}, {}], [{"abc": 1}]),
    ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, [1, 3], [0, 4]),
    ({"anyOf": [{"type": "string"}, {"minimum": 5}]}, ["a", 5], [4]),
    ({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, [2, 9], [6, 5]),
    ({"not": {"type": "string"}}, [1, None], ["a"]),
    (
        {"if": {"properties": {"k": {"const": 1}}}, "then": {"required": ["a"]}, "else": False},
        [{"k": 1, "a": 1}, {"a": 1}],
        [{"k": 1}, {"k": 2, "a": 1}],
    ),
    (
        {"definitions": {"n": {"minimum": 1}}, "properties": {"a": {"$ref": "#/definitions/n"}}},
        [{"a": 1}, {}],
        [{"a": 0}],
    ),
    (
        {"properties": {"next": {"$ref": "#"}, "v": {"type": "integer"}}, "required": ["v"]},
        [{"v": 1}, {"v": 1, "next": {"v": 2}}],
        [{"v": 1, "next": {}}, {"v": 1, "next": {"v": 2, "next": {"v": "x"}}}],
    ),
    ({"default": 5, "title": "t", "description": "d", "examples": [1]}, [1, "a"], []),
    ({"format": "email"}, ["no address", "a@example.org"], []),
    ({"format": "date-time"}, ["yesterday"], []),
    ({"unknownKeyword": {"type": "string"}}, [1], []),
]

ONLY_7: Final[list[Case]] = [
    ({"items": [{"type": "integer"}, {"type": "string"}]}, [[1, "a"], [1], []], [["a"], [1, 2]]),
    (
        {"items": [{"type": "integer"}], "additionalItems": {"type": "string"}},
        [[1, "a"], [1]],
        [[1, 2], ["a", "a"]],
    ),
    ({"items": [{}], "additionalItems": False}, [[1], []], [[1, 2]]),
    ({"dependencies": {"a": ["b"]}}, [{"a": 1, "b": 2}, {"b": 1}], [{"a": 1}]),
    ({"dependencies": {"a": {"required": ["c"]}}}, [{"a": 1, "c": 2}], [{"a": 1}]),
    ({"$ref": "#/definitions/n", "minimum": 5, "definitions": {"n": {}}}, [1], []),
    (
        {"$defs": {"n": {"minimum": 1}}, "properties": {"a": {"$ref": "#/$defs/n"}}},
        [{}],
        [{"a": 0}],
    ),
]

ONLY_2020: Final[list[Case]] = [
    (
        {"prefixItems": [{"type": "integer"}, {"type": "string"}]},
        [[1, "a", 0], [1]],
        [["a"], [1, 2]],
    ),
    ({"prefixItems": [{}], "items": {"type": "string"}}, [[1, "a"], [1]], [[1, 2]]),
    ({"prefixItems": [{}], "items": False}, [[1], []], [[1, 2]]),
    ({"contains": {"const": 1}, "minContains": 2}, [[1, 1], [1, 2, 1]], [[1], []]),
    ({"contains": {"const": 1}, "maxContains": 1}, [[1], [1, 2]], [[1, 1]]),
    ({"contains": {"const": 1}, "minContains": 0}, [[], [2]], []),
    ({"dependentRequired": {"a": ["b"]}}, [{"a": 1, "b": 2}, {"b": 1}], [{"a": 1}]),
    ({"dependentSchemas": {"a": {"required": ["c"]}}}, [{"a": 1, "c": 2}], [{"a": 1}]),
    (
        {"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False},
        [{"a": 1}, {}],
        [{"b": 1}],
    ),
    ({"allOf": [{"prefixItems": [{}]}], "unevaluatedItems": False}, [[1], []], [[1, 2]]),
    ({"$ref": "#/$defs/n", "minimum": 5, "$defs": {"n": {"maximum": 9}}}, [5, 9], [4, 10]),
    ({"$ref": "#n", "$defs": {"x": {"$anchor": "n", "type": "integer"}}}, [1], ["a"]),
    (
        {
            "$id": "https://example.org/root",
            "$ref": "item",
            "$defs": {"x": {"$id": "item", "type": "integer"}},
        },
        [1],
        ["a"],
    ),
    (
        {
            "$dynamicAnchor": "node",
            "properties": {"child": {"$dynamicRef": "#node"}, "v": {"type": "integer"}},
        },
        [{"child": {"child": {"v": 1}}}],
        [{"child": {"child": {"v": "x"}}}],
    ),
]
