"""Avro schemas as functions that check a value, and turn bytes into JSON strings or back.

A :class:`Fitter` makes one function for each type of a schema, once; checking a message is calling
them. They follow ``fastavro.validate``, with three differences that it has no way to express: where a
value does not fit is known, to the item; the bytes in a message are converted on the way; and depth
and work are bounded, for a type may contain itself. A value is copied only where it changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from memphis.schema.avro_decimals import decimal_fit, is_decimal
from memphis.schema.avro_scalars import (
    BINARY_NUMBERS,
    CERTAIN,
    PRIMITIVES,
    Direction,
    Fit,
    Visit,
    bytes_fit,
    enum_fit,
    has_writer,
    logical_fit,
)
from memphis.schema.faults import Misfit, one_of, shown

DEPTH_MAX: Final = 100
"""Records, arrays and maps inside each other."""
ATTEMPTS_MAX: Final = 20_000
"""Branches that did not fit only after unions inside them were tried: about a second's work.

A type that contains itself in several branches may double them at each level of a message.
"""

_MISSING: Final = object()

Field = tuple[str, type | None, Fit, Any]
"""A field's name, its certain type if it has one, its function and its default."""


class TooCostlyError(Exception):
    """Checking went too deep or took too long; unlike a misfit it ends the whole check.

    Attributes:
        expected: What a message must be to be checked.
    """

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


class Fitter:
    """Makes the functions for one schema and direction."""

    def __init__(self, named: dict[str, Any], direction: Direction) -> None:
        self._named = named
        self._direction = direction
        self._made: dict[str, Fit] = {}

    def fit(self, schema: Any) -> Fit:
        """The function for a parsed schema."""
        if isinstance(schema, list):
            return self._union(schema)
        if isinstance(schema, str):
            return self._of_name(schema) if schema in self._named else self._primitive(schema)
        kind = schema["type"]
        if not isinstance(kind, str):
            return self.fit(kind)
        if "name" in schema:
            return self._of_name(schema["name"])
        if self._direction is Direction.BINARY and has_writer(schema):
            return decimal_fit(schema) if is_decimal(schema) else logical_fit(schema)
        return self._nameless(kind, schema)

    def _nameless(self, kind: str, schema: Any) -> Fit:
        if kind == "array":
            return _array(self.fit(schema["items"]))
        if kind == "map":
            return _map(self.fit(schema["values"]))
        return self.fit(kind)

    def _of_name(self, name: str) -> Fit:
        """The function of a named type, which may be in the making: types contain themselves."""
        if name not in self._made:
            made: Fit | None = None

            def later(value: Any, visit: Visit) -> Any:
                assert made is not None
                return made(value, visit)

            self._made[name] = later
            self._made[name] = made = self._named_type(self._named[name])
        return self._made[name]

    def _named_type(self, schema: Any) -> Fit:
        if schema["type"] == "enum":
            return enum_fit(schema["symbols"])
        if schema["type"] == "fixed":
            if self._direction is Direction.BINARY and has_writer(schema):
                return decimal_fit(schema) if is_decimal(schema) else logical_fit(schema)
            return bytes_fit(self._direction, schema["size"])
        return self._record(schema)

    def _primitive(self, name: str) -> Fit:
        if name == "bytes":
            return bytes_fit(self._direction, None)
        if self._direction is Direction.BINARY:
            return BINARY_NUMBERS.get(name) or PRIMITIVES[name]
        return PRIMITIVES[name]

    def _record(self, schema: Any) -> Fit:
        name = schema["name"]
        fields = [
            (
                field["name"],
                self._certain(field["type"]),
                self.fit(field["type"]),
                field.get("default", _MISSING),
            )
            for field in schema["fields"]
        ]
        known = frozenset(field["name"] for field in schema["fields"])
        is_strict = self._direction is Direction.BINARY

        def fit(value: Any, visit: Visit) -> Any:
            if not isinstance(value, dict):
                raise Misfit(f"a record {name}", value=value)
            if "-type" in value and "-type" not in known and value["-type"] != name:
                raise Misfit(name, steps=["-type"], value=value["-type"])
            if is_strict and not known.issuperset(value):
                _refuse_unknown(value, known)
            return _fit_fields(fields, value, visit)

        return fit

    def _certain(self, schema: Any) -> type | None:
        """The Python type whose values always fit and never change; asking it saves a call."""
        return CERTAIN.get(schema) if isinstance(schema, str) else None

    def _union(self, schema: list[Any]) -> Fit:
        # A string is text if it can be: JSON has no bytes, so they come after all else.
        branches = sorted(schema, key=self._is_bytes)
        if len(branches) == 2 and branches.count("null") == 1:  # noqa: PLR2004 - the usual pair
            branches.remove("null")
            return _optional(self.fit(branches[0]))
        fits = [self.fit(branch) for branch in branches]
        if self._direction is not Direction.TO_JSON:
            return lambda value, visit: _first_fit(fits, value, visit)[1]
        back = [Fitter(self._named, Direction.FROM_JSON).fit(branch) for branch in branches]

        def fit(value: Any, visit: Visit) -> Any:
            chosen, fitted = _first_fit(fits, value, visit)
            if fitted is not value and _first_fit(back, fitted, visit)[0] != chosen:
                raise Misfit(
                    "another value, or the schema's encoding binary: in JSON this one reads as "
                    "another type of the union",
                    value=value,
                )
            return fitted

        return fit

    def _is_bytes(self, schema: Any) -> bool:
        kind = schema
        while isinstance(kind, dict):
            kind = kind["type"]
        if isinstance(kind, str) and kind in self._named:
            kind = self._named[kind]["type"]
        return isinstance(kind, str) and kind in {"bytes", "fixed"}


def _enter(visit: Visit) -> None:
    visit.depth += 1
    if visit.depth > DEPTH_MAX:
        raise TooCostlyError(f"nested at most {DEPTH_MAX} deep")


def _fit_fields(fields: list[Field], value: dict[Any, Any], visit: Visit) -> Any:
    _enter(visit)
    result = value
    for name, certain, fit, default in fields:
        given = value.get(name, _MISSING)
        if type(given) is certain:
            continue
        try:
            if given is _MISSING:
                _fit_default(fit, default, visit)
                continue
            fitted = fit(given, visit)
        except Misfit as fault:
            fault.steps.insert(0, name)
            raise
        if fitted is not given:
            if result is value:
                result = dict(value)
            result[name] = fitted
    visit.depth -= 1
    return result


def _fit_default(fit_field: Fit, default: Any, visit: Visit) -> None:
    """A missing field is its default, or null where the schema takes that."""
    try:
        fit_field(None if default is _MISSING else default, visit)
    except Misfit as fault:
        if default is _MISSING:
            raise Misfit("present", "missing") from fault
        raise


def _refuse_unknown(value: dict[Any, Any], known: frozenset[str]) -> None:
    for name in value:
        if name not in known:
            raise Misfit("left out: the record has no such field", "", [str(name)])


def _first_fit(fits: list[Fit], value: Any, visit: Visit) -> tuple[int, Any]:
    """The index of the first branch that the value fits, and what the branch makes of it."""
    depth = visit.depth
    visit.unions += 1
    unions = visit.unions
    faults: list[Misfit] = []
    for index, fit in enumerate(fits):
        try:
            return index, fit(value, visit)
        except Misfit as fault:
            faults.append(fault)
        visit.depth = depth
        visit.attempts += visit.unions > unions
        if visit.attempts > ATTEMPTS_MAX:
            raise TooCostlyError("simpler: too many branches of unions were tried")
    # The branch that got farthest into the value is the one that was meant.
    farthest = max(faults, key=lambda fault: len(fault.steps), default=None)
    if farthest is not None and farthest.steps:
        raise farthest
    raise Misfit(one_of(dict.fromkeys(fault.expected for fault in faults)), value=value)


def _optional(fit_value: Fit) -> Fit:
    def fit(value: Any, visit: Visit) -> Any:
        if value is None:
            return None
        try:
            return fit_value(value, visit)
        except Misfit as fault:
            if not fault.steps:
                fault.expected += " or null"
            raise

    return fit


def _array(fit_item: Fit) -> Fit:
    def fit(value: Any, visit: Visit) -> Any:
        if not isinstance(value, list | tuple):
            raise Misfit("an array", value=value)
        return _fit_parts(enumerate(value), fit_item, value, visit)

    return fit


def _map(fit_value: Fit) -> Fit:
    def fit(value: Any, visit: Visit) -> Any:
        if not isinstance(value, dict):
            raise Misfit("a map", value=value)
        for name in value:
            if not isinstance(name, str):
                raise Misfit("a map whose names are strings", f"the name {shown(name)}")
        return _fit_parts(iter(value.items()), fit_value, value, visit)

    return fit


def _fit_parts(parts: Iterator[tuple[Any, Any]], fit_part: Fit, value: Any, visit: Visit) -> Any:
    _enter(visit)
    result = value
    for step, part in parts:
        try:
            fitted = fit_part(part, visit)
        except Misfit as fault:
            fault.steps.insert(0, step)
            raise
        if fitted is not part:
            if result is value:
                result = dict(value) if isinstance(value, dict) else list(value)
            result[step] = fitted
    visit.depth -= 1
    return result
