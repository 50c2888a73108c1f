"""JSON text to Python values and back, without any value changing on the way.

Used by the codecs whose messages travel as JSON. orjson does the work; around it stands what it
would let pass or change: it writes NaN as null, and reads an integer of more than 64 bits as a
float. The invariant: what :func:`write` returns reads back as the value that it returns beside it,
and nothing nests deeper than :data:`DEPTH_MAX`. An ``orjson.Fragment`` is the one exception: whoever
puts one into a message vouches for the JSON in it, unless it stands where the schema looks.
"""

from __future__ import annotations

import json
import math
from enum import Enum
from typing import Any, Final
from uuid import UUID

import orjson
from pydantic import BaseModel

from memphis.schema.faults import SHOWN_LENGTH_MAX, Misfit, shortened, shown

DEPTH_MAX: Final = 250
"""Objects and arrays inside each other; more is refused, in a message as in a schema."""

_PASSED_BY: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_DIGITS_AS_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")
_STRIDE: Final = 3
_DIGITS: Final = b"0" * 6
_NULL: Final = b"null"
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_JSON: Final = "JSON"
_FINITE: Final = "a finite number"
_UNICODE: Final = "Unicode text"


def read(text: bytes, depth_max: int = DEPTH_MAX) -> Any:
    """The value of a JSON text, RFC 8259; of equal names in an object the last counts.

    Raises:
        Misfit: It is no JSON, or nested too deep.
    """
    try:
        value = orjson.loads(text)
        # Nineteen digits in a row are at least six in a row of every third byte.
        if text[::_STRIDE].translate(_DIGITS_AS_ZERO).find(_DIGITS) >= 0:
            # Integers of fewer fit into 64 bits; of others orjson may have made floats.
            value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Misfit(
            _JSON, f"{shown(text[:SHOWN_LENGTH_MAX])} ({shortened(str(error))})"
        ) from error
    if len(text) > 2 * depth_max:
        check_depth(text, value, depth_max)
    return value


def write(value: Any, depth_max: int = DEPTH_MAX) -> tuple[bytes, Any]:
    """The JSON text of a value, and the value as it will be read from there.

    Tuples are arrays; an enum stands for its value, a UUID for its text, and a subclass of a JSON
    type for its base.

    Raises:
        Misfit: Something in it is no JSON value, is not finite, or is nested too deep.
    """
    text = write_as_is(value)
    if text is None:
        return write_plain(value, depth_max)
    if len(text) > 2 * depth_max:
        check_depth(text, value, depth_max)
    return text, value


def write_as_is(value: Any) -> bytes | None:
    """The JSON text of a value that can be written at once and as it is; None for all others."""
    try:
        text = orjson.dumps(value, option=_PASSED_BY)
    except (TypeError, ValueError):
        return None
    # NaN and Infinity have become null; the comparison tells them from a None.
    if text.find(_NULL) >= 0 and orjson.loads(text) != value:
        return None
    return text


def encode_text(text: str) -> bytes:
    """The bytes of a text.

    Raises:
        Misfit: It holds half of a surrogate pair, which has none.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Misfit(_UNICODE, f"{shown(text)} with half of a surrogate pair") from error


def write_model(model: BaseModel, *, is_exact: bool = False) -> bytes:
    """The JSON text that a pydantic model writes of itself.

    Args:
        model: The object.
        is_exact: Whether a field that was set to something of another type is a fault; else pydantic
            warns of it.

    Raises:
        Misfit: A number in it is not finite, or something in it has no JSON.
    """
    try:
        # As its schema has it: by alias, and without what is computed.
        text = model.model_dump_json(
            by_alias=True, round_trip=True, warnings="error" if is_exact else True
        ).encode()
        if text.find(_NULL) >= 0:
            # pydantic as well has made null of NaN and Infinity.
            check_finite(model.model_dump())
    except (ValueError, RecursionError) as error:
        raise Misfit("a model that can be written as JSON", shortened(str(error))) from error
    return text


def check_finite(value: Any) -> None:
    """Refuse NaN and Infinity; everything else has been written already.

    Raises:
        Misfit: There is one; with its place.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise Misfit(_FINITE, value=value)
    if isinstance(value, dict):
        parts: Any = value.items()
    elif isinstance(value, list | tuple | set | frozenset):
        parts = enumerate(value)
    else:
        return
    for step, part in parts:
        try:
            check_finite(part)
        except Misfit as fault:
            fault.steps.insert(0, step if isinstance(step, int) else str(step))
            raise


def check_depth(text: bytes, value: Any, depth_max: int) -> None:
    """Refuse what nests too deep; ``text`` is the JSON of ``value``.

    A level takes two characters at least, so that a text of up to ``2 * depth_max`` never does.

    Raises:
        Misfit: It does.
    """
    brackets = text.translate(None, _NOT_BRACKETS)
    for _ in range(depth_max // 2):
        if not brackets:
            return
        # Each turn takes away the innermost level, and sometimes the next as well.
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    # Too deep, or there are brackets in strings.
    level = [value]
    for _ in range(depth_max + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise Misfit(f"nested at most {depth_max} deep")


def _children(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def write_plain(value: Any, depth_max: int = DEPTH_MAX) -> tuple[bytes, Any]:
    """As :func:`write`, by way of a copy made of JSON types alone; slower, and says what is in the way."""
    try:
        plain = _plain(value, depth_max)
    except RecursionError as error:
        raise Misfit(f"nested at most {depth_max} deep") from error
    try:
        return orjson.dumps(plain), plain
    except TypeError:
        # An integer of more than 64 bits: all else has been looked at.
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode(), plain


def _plain(value: Any, depth_left: int) -> Any:
    """A copy made of JSON types alone, or the reason why there is none."""
    if isinstance(value, dict | list) or type(value) is tuple:
        if depth_left <= 0:
            raise RecursionError
        return _plain_container(value, depth_left - 1)
    return _plain_scalar(value.value if isinstance(value, Enum) else value)


def _plain_scalar(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | UUID):
        return _plain_text(str(value))
    if isinstance(value, int):
        return _plain_integer(value)
    if not isinstance(value, float):
        raise Misfit(
            "a JSON value (dict, list, str, int, float, bool or None)",
            f"{shown(value)} of type {type(value).__name__}",
        )
    if not math.isfinite(value):
        raise Misfit(_FINITE, value=value)
    return float(value)


def _plain_container(value: Any, depth_left: int) -> Any:
    if isinstance(value, dict):
        return {
            _plain_name(name): _plain_part(item, name, depth_left) for name, item in value.items()
        }
    return [_plain_part(item, index, depth_left) for index, item in enumerate(value)]


def _plain_name(name: object) -> str:
    if not isinstance(name, str):
        raise Misfit("an object whose names are strings", f"the name {shown(name)}")
    return _plain_text(name)


def _plain_part(item: Any, step: str | int, depth_left: int) -> Any:
    try:
        return _plain(item, depth_left)
    except Misfit as fault:
        fault.steps.insert(0, step)
        raise


def _plain_text(value: str) -> str:
    encode_text(value)
    return value


def _plain_integer(value: int) -> int:
    number = int(value)
    try:
        # What no float can stand for not every reader of JSON takes, ours among them.
        float(number)
    except OverflowError as error:
        raise Misfit("an integer of at most 308 digits", value=number) from error
    return number
