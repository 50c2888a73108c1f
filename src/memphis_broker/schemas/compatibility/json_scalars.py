"""JSON Schema's keywords for numbers and strings, and whether one value fits.

Pure functions over parts (:mod:`.json_nodes`); only :func:`admits` looks into references.
"""

from __future__ import annotations

import math
from typing import Any, Final

from memphis_broker.schemas.compatibility.findings import Comparison, shown
from memphis_broker.schemas.compatibility.json_nodes import (
    Document,
    Part,
    Schema,
    Union,
    atom_of,
    equal,
    listed_values,
    part_kinds,
)

NUMBERS: Final = frozenset({"integer", "fraction"})

_Bound = tuple[float, bool]
"""The outermost number, and whether it is itself excluded."""

_UNJUDGED: Final = {
    "any": {"not", "if", "$ref", "$dynamicRef", "$recursiveRef"},
    "string": {"pattern", "format", "contentEncoding", "contentMediaType"},
}
"""Keywords that may refuse a value of a kind for a reason that is not looked into here."""

_CONTAINER_KEYWORDS: Final = {
    "array": {
        *("items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"),
        *("contains", "unevaluatedItems"),
    },
    "object": {
        *("properties", "required", "additionalProperties", "patternProperties"),
        *("minProperties", "maxProperties", "propertyNames", "unevaluatedProperties"),
        *("dependencies", "dependentRequired", "dependentSchemas"),
    },
}


def compare_numbers(
    reader: dict[str, Any],
    writer: dict[str, Any],
    atoms: frozenset[str],
    path: str,
    comparison: Comparison,
) -> None:
    """Leave why a number that fits one part may not fit the other."""
    whole = "fraction" not in atoms
    for name, sign in (("minimum", 1), ("maximum", -1)):
        read, written = (
            _bound(reader, name, sign, whole=whole),
            _bound(writer, name, sign, whole=whole),
        )
        if read is not None and (written is None or written < read):
            comparison.became(
                path, reader=_bound_words(reader, name), writer=_bound_words(writer, name)
            )
    step = reader.get("multipleOf")
    if step is None or (whole and step == 1):
        return
    before = writer.get("multipleOf")
    if before == step:
        return
    change = comparison.change(
        reader=f"multiple of {step}", writer=f"multiple of {before}" if before else "any number"
    )
    if before is None or (isinstance(before, int) and isinstance(step, int)):
        if before is None or before % step:
            comparison.refuse(path, change)
    else:
        # Fractions are not exact: what is a multiple in decimals may not be one in binary.
        comparison.doubt(path, change)


def _bound(part: dict[str, Any], name: str, sign: int, *, whole: bool) -> _Bound | None:
    """The tightest bound of this side, as if it were a lower one."""
    exclusive = f"exclusive{name.capitalize()}"
    found = [
        (sign * part[keyword], keyword == exclusive)
        for keyword in (name, exclusive)
        if keyword in part
    ]
    if not found:
        return None
    value, excluded = max(found)
    if whole and math.isfinite(value):
        # Between integers there is nothing, so that 0 excluded is 1 included.
        return (math.floor(value) + 1 if excluded else math.ceil(value)), False
    return value, excluded


def _bound_words(part: dict[str, Any], name: str) -> str:
    exclusive = f"exclusive{name.capitalize()}"
    words = [f"{keyword} {part[keyword]}" for keyword in (name, exclusive) if keyword in part]
    return " and ".join(words) or f"no {name}"


def compare_counts(
    noun: str,
    *,
    reader: tuple[float, float],
    writer: tuple[float, float],
    path: str,
    comparison: Comparison,
) -> None:
    """Leave why something counted from ... to ... may not be within the reader's limits."""
    if writer[0] < reader[0]:
        comparison.became(
            path, reader=f"at least {reader[0]} {noun}", writer=f"at least {writer[0]} {noun}"
        )
    if writer[1] > reader[1]:
        before = (
            f"at most {writer[1]} {noun}" if math.isfinite(writer[1]) else f"any number of {noun}"
        )
        comparison.became(path, reader=f"at most {reader[1]} {noun}", writer=before)


def compare_strings(
    reader: dict[str, Any], writer: dict[str, Any], path: str, comparison: Comparison
) -> None:
    """Leave why a string that fits one part may not fit the other."""
    compare_counts(
        "characters",
        reader=(reader.get("minLength", 0), reader.get("maxLength", math.inf)),
        writer=(writer.get("minLength", 0), writer.get("maxLength", math.inf)),
        path=path,
        comparison=comparison,
    )
    for keyword in sorted(_UNJUDGED["string"] & reader.keys()):
        if writer.get(keyword) == reader[keyword]:
            continue
        read, written = (
            f"{keyword} {shown(part[keyword])}" if keyword in part else f"no {keyword}"
            for part in (reader, writer)
        )
        comparison.doubt(path, comparison.change(reader=read, writer=written))


def admits(document: Document, node: Schema, value: Any) -> bool | None:
    """Whether a value fits; None where that is not looked into."""
    return _all(part_admits(document, part, value) for part in document.parts(node))


def part_admits(document: Document, part: Part, value: Any) -> bool | None:
    """Whether a value fits one part; None where that is not looked into."""
    if isinstance(part, bool):
        return part
    if isinstance(part, Union):
        verdicts = [admits(document, branch, value) for branch in part.branches]
        if part.exactly:
            return None if None in verdicts else verdicts.count(True) == 1
        return True if True in verdicts else (None if None in verdicts else False)
    return _all(
        (_is_of_kind_and_listed(part, value), _is_in_bounds(part, value), _unjudged(part, value))
    )


def _all(verdicts: Any) -> bool | None:
    known = list(verdicts)
    return False if False in known else (None if None in known else True)


def _is_of_kind_and_listed(part: dict[str, Any], value: Any) -> bool:
    values = listed_values(part)
    listed = values is None or any(equal(value, known) for known in values)
    return listed and atom_of(value) in part_kinds(part)


def _is_in_bounds(part: dict[str, Any], value: Any) -> bool | None:
    if isinstance(value, str):
        return bool(part.get("minLength", 0) <= len(value) <= part.get("maxLength", math.inf))
    if atom_of(value) not in NUMBERS:
        return True
    for name, sign in (("minimum", 1), ("maximum", -1)):
        bound = _bound(part, name, sign, whole=False)
        if bound is not None and (sign * value, False) < bound:
            return False
    step = part.get("multipleOf")
    if step is None:
        return True
    return value % step == 0 if isinstance(value, int) and isinstance(step, int) else None


def _unjudged(part: dict[str, Any], value: Any) -> bool | None:
    kind = atom_of(value)
    if kind in _CONTAINER_KEYWORDS:
        keywords = _UNJUDGED["any"] | _CONTAINER_KEYWORDS[kind]
    else:
        keywords = _UNJUDGED["any"] | _UNJUDGED.get(kind, set())
    return True if keywords.isdisjoint(part) else None
