"""Avro's ``decimal`` in the binary encoding: no number has more digits than its schema says.

The library takes any number of bytes for one, and the time to make digits of them grows with their
square; it also multiplies a written ``Decimal`` out, whatever its exponent. So what is written is
looked at first, and what is read is converted here. The library offers a place for that: logical types
of one's own. A schema to read by is a copy in which each decimal is such a type, marked by an object
that no JSON can hold, so that no stranger's schema has it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Any, Final, NamedTuple

from fastavro.read import LOGICAL_READERS

from memphis.schema.avro_scalars import Fit, Visit
from memphis.schema.faults import Misfit

PRECISION_MAX: Final = 4000
"""Digits of a decimal, at which the time for all of a message is still bounded by its length."""

_LOGICAL_TYPE: Final = "memphis-decimal"
_MARK: Final = "memphis-digits"
_USABLE: Final = "a value for decimal"


class _Digits(NamedTuple):
    """How many digits there are, and how many of them after the point."""

    precision: int
    scale: int


def is_decimal(schema: Any) -> bool:
    """Whether a parsed type is one that the library reads and writes as ``Decimal``."""
    return (
        isinstance(schema, dict)
        and schema.get("logicalType") == "decimal"
        and schema["type"] in {"bytes", "fixed"}
    )


def check_precision(schema: Any) -> None:
    """Refuse a decimal of very many digits.

    Raises:
        Misfit: It is one.
    """
    if schema["precision"] > PRECISION_MAX:
        raise Misfit(f"a decimal of at most {PRECISION_MAX} digits", value=schema["precision"])


def decimal_fit(schema: Any) -> Fit:
    """A ``Decimal`` that the schema's digits hold, or its bytes."""
    digits = _digits(schema)
    size = schema.get("size")
    expected = f"{_USABLE} of {digits.precision} digits, {digits.scale} of them after the point"

    def fit(value: Any, _visit: Visit) -> Any:
        if isinstance(value, bytes | bytearray):
            unscaled = _unscaled(value, digits)
            if unscaled is None or (size is not None and len(value) != size):
                raise Misfit(expected, value=value)
            return value
        if not isinstance(value, Decimal):
            raise Misfit(_USABLE, value=value)
        exponent = value.as_tuple().exponent
        # Compared as exponents: multiplying a large one out is what takes for ever.
        if (
            not isinstance(exponent, int)
            or exponent + digits.scale < 0
            or value.adjusted() + digits.scale >= digits.precision
        ):
            raise Misfit(expected, value=value)
        if size is not None and not _fits_size(value, digits, size):
            raise Misfit(f"{expected}, in {size} bytes", value=value)
        return value

    return fit


def _fits_size(value: Decimal, digits: _Digits, size: int) -> bool:
    context = Context(prec=digits.precision)
    unscaled = int(context.scaleb(value, digits.scale))
    return -(1 << 8 * size - 1) <= unscaled < 1 << 8 * size - 1 if size else False


def reading_schema(schema: Any, everywhere: Iterable[Any]) -> Any:
    """The schema to read by: itself, or a copy if there is a decimal in it.

    Args:
        schema: A parsed schema.
        everywhere: All types in it.
    """
    decimals = [one for one in everywhere if is_decimal(one)]
    if not decimals:
        return schema
    copies: dict[int, Any] = {}
    copied = copy.deepcopy(schema, copies)
    for one in decimals:
        # A copy of this type is in the copied schema wherever the type was.
        marked = copies.get(id(one))
        if marked is not None:
            marked["logicalType"] = _LOGICAL_TYPE
            marked[_MARK] = _digits(one)
    return copied


def _digits(schema: Any) -> _Digits:
    return _Digits(schema["precision"], schema.get("scale", 0))


def _unscaled(data: bytes | bytearray, digits: _Digits) -> int | None:
    number = int.from_bytes(data, "big", signed=True)
    return number if abs(number) < 10**digits.precision else None


def _read(data: Any, schema: Any, _reader_schema: Any) -> Any:
    """The number for the bytes, called by the library."""
    digits = schema.get(_MARK)
    if not isinstance(digits, _Digits):
        return data
    unscaled = _unscaled(data, digits)
    if unscaled is None:
        raise ValueError(f"a decimal of more than {digits.precision} digits")
    return Context(prec=digits.precision).scaleb(Decimal(unscaled), -digits.scale)


LOGICAL_READERS[f"bytes-{_LOGICAL_TYPE}"] = _read
LOGICAL_READERS[f"fixed-{_LOGICAL_TYPE}"] = _read
