"""Single values of Avro messages: whether they fit, and what bytes become on the way.

The lowest part of checking a message; :mod:`memphis.schema.avro_fits` puts these functions together.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final

import fastavro
from fastavro.const import INT_MAX_VALUE, INT_MIN_VALUE, LONG_MAX_VALUE, LONG_MIN_VALUE
from fastavro.logical_writers import LOGICAL_WRITERS
from fastavro.validation import ValidationError

from memphis.schema.faults import Misfit, one_of

_FLOAT_MAX: Final = 3.4028235677973366e38
"""From here on no ``float`` of Avro, which has 32 bits, is nearer than infinity."""
_DOUBLE_EXACT_MAX: Final = 2**53
_FLOAT_EXACT_MAX: Final = 2**24


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


Fit = Callable[[Any, Visit], Any]
"""The value to write or to hand out for one that fits; raises :class:`Misfit` for another."""


def enum_fit(symbols: list[str]) -> Fit:
    """One of the symbols."""
    known = frozenset(symbols)
    expected = one_of(symbols)

    def fit(value: Any, _visit: Visit) -> Any:
        if not isinstance(value, str) or value not in known:
            raise Misfit(expected, value=value)
        return value

    return fit


def bytes_fit(direction: Direction, size: int | None) -> Fit:
    """Bytes, of a size if there is one; in JSON the string that stands for them."""
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


def has_writer(schema: Any) -> bool:
    """Whether fastavro knows how to write a logical type, as values of other Python types."""
    return f"{schema['type']}-{schema.get('logicalType')}" in LOGICAL_WRITERS


def logical_fit(schema: Any) -> Fit:
    """A value of the Python type that fastavro writes for a logical type."""
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


PRIMITIVES: Final[dict[str, Fit]] = {
    "null": _null,
    "boolean": _boolean,
    "string": _string,
    "int": _int,
    "long": _long,
    "float": _number,
    "double": _number,
}
CERTAIN: Final[dict[str, type]] = {"boolean": bool, "string": str, "double": float}
"""Types all whose values fit and never change, so that asking for the type saves a call."""
BINARY_NUMBERS: Final[dict[str, Fit]] = {
    "float": _binary_number(_FLOAT_EXACT_MAX, _FLOAT_MAX, "float"),
    "double": _binary_number(_DOUBLE_EXACT_MAX, float("inf"), "double"),
}
