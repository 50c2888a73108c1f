"""What checking a JSON message may cost: schemas and messages that are harmless only one at a time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memphis.exceptions import MemphisSchemaError
from memphis.schema.json_limits import STEPS_MAX
from tests.unit.schema.definitions import compiled, refusal, unusable

STEPS = f"smaller or nested less: with this schema it takes more than {STEPS_MAX} steps"


def chain(depth: int) -> Any:
    return {"x": chain(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    ("schema", "fitting", "costly"),
    [
        (
            {"items": {"enum": [{"a": number} for number in range(2000)]}},
            [{"a": 1999}] * 200,
            [{"a": 1999}] * 100_000,
        ),
        (
            {"items": {"enum": list(range(20_000))}},
            [19_999] * 500,
            [19_999] * 100_000,
        ),
        (
            {"items": {"anyOf": [{"required": [f"r{at}"], "minItems": 9} for at in range(1500)]}},
            [{"r1499": 1}] * 500,
            [{"r1499": 1}] * 10_000,
        ),
        (
            {"allOf": [{"properties": {"x": {"$ref": "#"}}}, {"properties": {"x": {"$ref": "#"}}}]},
            chain(10),
            chain(40),
        ),
        (
            {"anyOf": [{"items": {"$ref": "#"}, "minItems": 9}, {"items": {"$ref": "#"}}]},
            [[[]]],
            json.loads("[" * 40 + "]" * 40),
        ),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {
                    "a": {
                        "allOf": [{"$ref": "#/$defs/b"}],
                        "properties": {"x": {"$ref": "#/$defs/b"}},
                    },
                    "b": {
                        "allOf": [{"$ref": "#/$defs/a"}],
                        "properties": {"x": {"$ref": "#/$defs/b"}},
                    },
                },
            },
            chain(5),
            chain(40),
        ),
    ],
    ids=["objects", "numbers", "alternatives", "allOf twice", "anyOf twice", "circle"],
)
def test_many_schemas_on_many_values_are_too_much(schema: Any, fitting: Any, costly: Any):
    """What is bounded is the work for a whole message, in each form and when it is read."""
    codec = compiled("json", schema)
    assert codec.decode(codec.encode(fitting)) == fitting
    text = json.dumps(costly).encode()
    for message in (costly, text):
        assert refusal(codec, message) == ("", STEPS)
    with pytest.raises(MemphisSchemaError):
        codec.decode(text)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"items": {"enum": [f"v{at}" for at in range(1000)]}}, ["v999"] * 100_000),
        (
            {"items": {"anyOf": [{"properties": {"k": {"const": at}}} for at in range(50)]}},
            [{"k": 49}] * 20_000,
        ),
        ({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}, chain(200)),
        ({"items": {"$ref": "#"}, "additionalProperties": {"$ref": "#"}}, [[{}]] * 100_000),
    ],
    ids=["names", "alternatives", "tree", "anything"],
)
def test_usual_schemas_take_large_messages(schema: Any, message: Any):
    """Long lists of names, some alternatives and types that contain themselves have no limit to meet."""
    codec = compiled("json", schema)
    assert codec.decode(codec.encode(message)) == message


@pytest.mark.parametrize("keyword", ["unevaluatedProperties", "unevaluatedItems"])
def test_unevaluated_inside_each_other(keyword: str):
    """The validator goes through all that is beside such a keyword again, which multiplies."""
    steps: dict[str, Any] = {
        f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}], keyword: {}} for at in range(30)
    }
    assert "simpler" in unusable("json", {"$ref": "#/$defs/d0", "$defs": {**steps, "d30": {}}})
    last = {name: steps[name] for name in ("d27", "d28", "d29")}
    few = compiled("json", {"$ref": "#/$defs/d27", "$defs": {**last, "d30": {}}})
    assert few.encode({"a": 1}) == b'{"a":1}'


def test_many_long_integers_that_must_differ():
    """Those are compared each with each; there may be some."""
    codec = compiled("json", {"properties": {"n": {"uniqueItems": True}}})
    for count in (10, 500):
        assert codec.encode({"n": [2**70 + at for at in range(count)]})
    for message in (
        {"n": [2**70 + at for at in range(501)]},
        {"n": [[2**70 + at] for at in range(20_000)]},
    ):
        for form in (message, json.dumps(message)):
            assert "500 integers" in refusal(codec, form)[1]


def test_an_enum_of_very_many_objects_is_too_much_for_one_value():
    """Members that have to be compared count as schemas do; texts, which are looked up, do not."""
    objects = [{"a": at} for at in range(20_000)]
    assert "simpler" in unusable("json", {"enum": objects})
    assert compiled("json", {"enum": [f"v{at}" for at in range(20_000)]}).encode('"v1"') == b'"v1"'
