"""Avro schemas as functions that check a value, and turn bytes into JSON strings or back.

A :class:`Fitter` makes one function for each type of a schema, once; checking a message is calling
them. They follow ``fastavro.validate``, with three differences that it has no way to express: where a
value does not fit is known, to the item; the bytes in a message are converted on the way; and depth
and work are bounded, for a type may contain itself. A value is copied only where it changes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any, Final

import fastavro
from fastavro.const import INT_MAX_VALUE, INT_MIN_VALUE, LONG_MAX_VALUE, LONG_MIN_VALUE
from fastavro.logical_writers import LOGICAL_WRITERS
from fastavro.validation import ValidationError

from memphis.schema.faults import Misfit, one_of, shown

DEPTH_MAX: Final = 100
"""Records, arrays and maps inside each other."""
ATTEMPTS_MAX: Final = 20_000
"""Branches that did not fit only after unions inside them were tried: about a second's work.

A type that contains itself in several branches may double them at each level of a message.
"""

_FLOAT_MAX: Final = 3.4028235677973366e38
"""From here on no ``float`` of Avro, which has 32 bits, is nearer than infinity."""
_DOUBLE_EXACT_MAX: Final = 2**53
_FLOAT_EXACT_MAX: Final = 2**24
_MISSING: Final = object()


class Direction(enum.Enum):
    """What becomes of the values."""

    TO_JSON = enum.auto()
    """Bytes become strings."""
    FROM_JSON = enum.auto()
    """Strings become bytes where the schema has bytes."""
    BINARY = enum.auto()
    """Nothing changes; values are those that fastavro's writer takes."""


class Visit:
    """What checking one message has used up so far."""

    __slots__ = ("attempts", "depth", "unions")

    def __init__(self) -> None:
        self.depth = 0
        self.attempts = 0
        self.unions = 0


class TooCostlyError(Exception):
    """Checking went too deep or took too long; unlike a misfit it ends the whole check.

    Attributes:
        expected: What a message must be to be checked.
    """

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


Fit = Callable[[Any, Visit], Any]
"""The value to write or to hand out for one that fits; raises :class:`Misfit` for another."""


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
        if self._direction is Direction.BINARY and _has_writer(schema):
            return _logical(schema)
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
            return _enum(schema["symbols"])
        if schema["type"] == "fixed":
            if self._direction is Direction.BINARY and _has_writer(schema):
                return _logical(schema)
            return _bytes(self._direction, schema["size"])
        return self._record(schema)

    def _primitive(self, name: str) -> Fit:
        if name == "bytes":
            return _bytes(self._direction, None)
        if self._direction is Direction.BINARY:
            return _BINARY_NUMBERS.get(name) or _PRIMITIVES[name]
        return _PRIMITIVES[name]

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
            _enter(visit)
            result = value
            for field, certain, fit_field, default in fields:
                given = value.get(field, _MISSING)
                if type(given) is certain:
                    continue
                try:
                    if given is _MISSING:
                        _fit_default(fit_field, default, visit)
                        continue
                    fitted = fit_field(given, visit)
                except Misfit as fault:
                    fault.steps.insert(0, field)
                    raise
                if fitted is not given:
                    if result is value:
                        result = dict(value)
                    result[field] = fitted
            visit.depth -= 1
            return result

        return fit

    def _certain(self, schema: Any) -> type | None:
        """The Python type whose values always fit and never change; asking it saves a call."""
        return _CERTAIN.get(schema) if isinstance(schema, str) else None

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


def _enum(symbols: list[str]) -> Fit:
    known = frozenset(symbols)
    expected = one_of(symbols)

    def fit(value: Any, _visit: Visit) -> Any:
        if not isinstance(value, str) or value not in known:
            raise Misfit(expected, value=value)
        return value

    return fit


def _bytes(direction: Direction, size: int | None) -> Fit:
    expected = "bytes" if size is None else f"{size} bytes"
    if direction is not Direction.BINARY:
        expected += ", or a string of characters up to U+00FF"

    def fit(value: Any, _visit: Visit) -> Any:
        raw = value
        if isinstance(value, str) and direction is not Direction.BINARY:
            try:
                raw = value.encode("latin-1")
            except UnicodeEncodeError as error:
                raise Misfit(expected, value=value) from error
        elif not isinstance(value, bytes | bytearray) or direction is Direction.FROM_JSON:
            raise Misfit(expected, value=value)
        if size is not None and len(raw) != size:
            raise Misfit(expected, f"{len(raw)} bytes")
        if direction is Direction.FROM_JSON:
            return raw
        if direction is Direction.TO_JSON and not isinstance(value, str):
            return raw.decode("latin-1")
        return value

    return fit


def _has_writer(schema: Any) -> bool:
    """Whether fastavro knows how to write a logical type, as values of other Python types."""
    return f"{schema['type']}-{schema.get('logicalType')}" in LOGICAL_WRITERS


def _logical(schema: Any) -> Fit:
    expected = f"a value for {schema['logicalType']}"

    def fit(value: Any, _visit: Visit) -> Any:
        try:
            fastavro.validate(value, schema)
        except (ValidationError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
            raise Misfit(expected, value=value) from error
        return value

    return fit


def _null(value: Any, _visit: Visit) -> Any:
    if value is not None:
        raise Misfit("null", value=value)
    return value


def _boolean(value: Any, _visit: Visit) -> Any:
    if not isinstance(value, bool):
        raise Misfit("boolean", value=value)
    return value


def _string(value: Any, _visit: Visit) -> Any:
    if not isinstance(value, str):
        raise Misfit("string", value=value)
    return value


def _int(value: Any, _visit: Visit) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Misfit("int", value=value)
    if not INT_MIN_VALUE <= value <= INT_MAX_VALUE:
        raise Misfit("int (32 bits)", value=value)
    return value


def _long(value: Any, _visit: Visit) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Misfit("long", value=value)
    if not LONG_MIN_VALUE <= value <= LONG_MAX_VALUE:
        raise Misfit("long (64 bits)", value=value)
    return value


def _number(value: Any, _visit: Visit) -> Any:
    if not isinstance(value, float | int) or isinstance(value, bool):
        raise Misfit("number", value=value)
    return value


def _binary_number(exact_max: int, limit: float, name: str) -> Fit:
    def fit(value: Any, visit: Visit) -> Any:
        _number(value, visit)
        if isinstance(value, int):
            if abs(value) > exact_max:
                raise Misfit(f"{name}, which holds integers up to {exact_max}", value=value)
        elif limit <= abs(value) < float("inf"):
            raise Misfit(f"{name} (32 bits)", value=value)
        return value

    return fit


_PRIMITIVES: Final[dict[str, Fit]] = {
    "null": _null,
    "boolean": _boolean,
    "string": _string,
    "int": _int,
    "long": _long,
    "float": _number,
    "double": _number,
}
_CERTAIN: Final[dict[str, type]] = {"boolean": bool, "string": str, "double": float}
_BINARY_NUMBERS: Final[dict[str, Fit]] = {
    "float": _binary_number(_FLOAT_EXACT_MAX, _FLOAT_MAX, "float"),
    "double": _binary_number(_DOUBLE_EXACT_MAX, float("inf"), "double"),
}
