"""From an error of the JSON Schema validator to the place and what was wanted there, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jsonschema_rs import ValidationError, ValidationErrorKind

from memphis.schema.faults import Misfit, Step, one_of, shortened

_PATTERN_GIVEN_UP: Final = (
    ValidationErrorKind.BacktrackLimitExceeded,
    ValidationErrorKind.RegexEngineFailure,
)


def explain(error: ValidationError) -> Misfit:
    """The misfit that an error stands for.

    Where alternatives were tried (``anyOf``, ``oneOf``), the one that got farthest into the message
    is the one that was meant, if one got farther than the others' first look.
    """
    error = _farthest(error)
    keyword = error.kind.name
    if isinstance(error.kind, _PATTERN_GIVEN_UP):
        keyword = "pattern given up"
    place: list[Step] = list(error.instance_path)
    if keyword == "required":
        return Misfit("present", "missing", [*place, error.kind.value])
    if keyword in {"additionalProperties", "unevaluatedProperties"}:
        return Misfit("left out: the schema has no such name", "", [*place, error.kind.value[0]])
    if keyword == "unevaluatedItems":
        return Misfit("left out: the schema has no such item", "", place)
    if keyword == "propertyNames":
        inner = explain(error.kind.value)
        name = error.kind.value.instance
        return Misfit(f"an object whose names are {inner.expected}", steps=place, value=name)
    say = _EXPECTED.get(keyword)
    expected = say(error.kind.value) if say else f"as the schema's {keyword} says"
    return Misfit(expected, steps=place, value=error.instance)


def _farthest(error: ValidationError) -> ValidationError:
    """The error inside the alternatives that is nearest to the cause."""
    while error.kind.name in {"anyOf", "oneOf"}:
        branches = getattr(error.kind, "context", [])
        inside = [found for branch in branches for found in branch]
        farthest = max(inside, key=lambda one: len(one.instance_path), default=None)
        if farthest is None or len(farthest.instance_path) <= len(error.instance_path):
            break
        error = farthest
    return error


def _alternatives(_branches: Any) -> str:
    return "what one of the schema's alternatives describes"


_EXPECTED: Final[dict[str, Callable[[Any], str]]] = {
    "type": one_of,
    "enum": one_of,
    "const": lambda value: one_of([value]),
    "minimum": lambda limit: f"at least {limit}",
    "maximum": lambda limit: f"at most {limit}",
    "exclusiveMinimum": lambda limit: f"greater than {limit}",
    "exclusiveMaximum": lambda limit: f"less than {limit}",
    "multipleOf": lambda unit: f"a multiple of {unit}",
    "minLength": lambda limit: f"at least {limit} characters long",
    "maxLength": lambda limit: f"at most {limit} characters long",
    "pattern": lambda pattern: f"text that matches {shortened(str(pattern))}",
    "pattern given up": lambda _: "text for which the schema's pattern takes fewer steps",
    "minItems": lambda limit: f"an array of at least {limit} items",
    "maxItems": lambda limit: f"an array of at most {limit} items",
    "additionalItems": lambda limit: f"an array of at most {limit} items",
    "uniqueItems": lambda _: "an array of different items",
    "contains": lambda _: "an array with the item that the schema asks for",
    "minProperties": lambda limit: f"an object of at least {limit} names",
    "maxProperties": lambda limit: f"an object of at most {limit} names",
    "not": lambda _: "other than what the schema excludes",
    "anyOf": _alternatives,
    "oneOf": lambda _: "what exactly one of the schema's alternatives describes",
    "false schema": lambda _: "left out: the schema allows no value here",
}
