"""What an Avro schema may cost: bounds found by looking at it, before any message is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from memphis.schema.avro_decimals import check_precision, is_decimal
from memphis.schema.faults import Misfit

DEPTH_MAX: Final = 100
"""Types inside each other that the compiled reader may follow: it uses the stack for each."""

_NO_BYTES: Final = "null"


def is_deep(schema: Any, named: dict[str, Any]) -> bool:
    """Whether values may nest deeper than :data:`DEPTH_MAX`, as in a type that contains itself."""
    level = [schema]
    for _ in range(DEPTH_MAX):
        inner = {id(one): one for part in level for one in _parts(part, named)}
        if not inner:
            return False
        level = list(inner.values())
    return True


def check_sizes(schema: Any, named: dict[str, Any], *, binary: bool) -> None:
    """Refuse a schema whose sizes make no sense, or let a few bytes stand for endlessly many items.

    Raises:
        Misfit: A size of a ``fixed`` is no number, or an array's items take no bytes, so that
            nothing bounds how many there are, or a decimal has very many digits.
    """
    for one in everywhere(schema, named):
        if not isinstance(one, dict):
            continue
        if one["type"] == "fixed" and (not isinstance(one["size"], int) or one["size"] < 0):
            raise Misfit("a size in bytes", value=one["size"], steps=[one["name"], "size"])
        if binary and is_decimal(one):
            check_precision(one)
        if binary and one["type"] == "array" and _is_empty(one["items"], named):
            raise Misfit("without arrays whose items take no bytes, like null")


def everywhere(schema: Any, named: dict[str, Any]) -> Iterator[Any]:
    """Each type of a parsed schema, once."""
    seen: set[int] = set()
    remaining = [schema, *named.values()]
    while remaining:
        one = remaining.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            remaining.extend(_parts(one, named))


def _parts(schema: Any, named: dict[str, Any]) -> list[Any]:
    """The types directly inside, names resolved."""
    if isinstance(schema, list):
        return schema
    if isinstance(schema, str):
        return [named[schema]] if schema in named else []
    if "fields" in schema:
        return [field["type"] for field in schema["fields"]]
    inside = [schema[word] for word in ("items", "values") if word in schema]
    return inside or _parts(schema["type"], named)


def _is_empty(schema: Any, named: dict[str, Any], depth: int = 0) -> bool:
    """Whether every value of the type is encoded in no bytes."""
    if depth > DEPTH_MAX:
        # A record that contains itself with no union in between has no values at all.
        return True
    if not isinstance(schema, dict):
        return schema == _NO_BYTES or (
            isinstance(schema, str)
            and schema in named
            and _is_empty(named[schema], named, depth + 1)
        )
    if "fields" in schema:
        return all(_is_empty(field["type"], named, depth + 1) for field in schema["fields"])
    return schema["type"] == _NO_BYTES or schema.get("size") == 0
