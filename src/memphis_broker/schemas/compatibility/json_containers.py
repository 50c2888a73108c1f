"""JSON Schema's keywords for arrays and objects."""

from __future__ import annotations

import math
from typing import Any, Final, Protocol

from memphis_broker.schemas.compatibility.findings import Comparison, joined
from memphis_broker.schemas.compatibility.json_nodes import Document, Schema
from memphis_broker.schemas.compatibility.json_scalars import compare_counts

_PREFIX_ITEMS_SINCE: Final = 2020

_Dict = dict[str, Any]


class Walk(Protocol):
    """What compares the schemas inside."""

    reader: Document
    writer: Document
    comparison: Comparison

    def compare(self, reader: Schema, writer: Schema, path: str) -> None:
        """Leave why what fits ``writer`` may not fit ``reader``."""
        ...

    def same(self, reader: Any, writer: Any) -> bool:
        """Whether two pieces of the schemas are written alike and name alike things."""
        ...


def compare_arrays(reader: _Dict, writer: _Dict, path: str, walk: Walk) -> None:
    """Leave why an array that fits one part may not fit the other."""
    read_prefix, read_rest = _items(reader, walk.reader.draft)
    prefix, rest = _items(writer, walk.writer.draft)
    longest = writer.get("maxItems", math.inf)
    if rest is False:
        longest = min(longest, len(prefix))
    compare_counts(
        "items",
        reader=(reader.get("minItems", 0), reader.get("maxItems", math.inf)),
        writer=(writer.get("minItems", 0), longest),
        path=path,
        comparison=walk.comparison,
    )
    one_at_most = longest <= 1
    if reader.get("uniqueItems") and not writer.get("uniqueItems") and not one_at_most:
        text = walk.comparison.by_age(
            reader_newer="its items must differ now",
            reader_older="its items need not differ any more",
        )
        walk.comparison.refuse(path, text)
    known = max(len(prefix), len(read_prefix))
    for at in range(min(known, math.ceil(longest) if math.isfinite(longest) else known)):
        read = read_prefix[at] if at < len(read_prefix) else read_rest
        written = prefix[at] if at < len(prefix) else rest
        walk.compare(read, written, f"{path}[{at}]")
    if longest > known:
        walk.compare(read_rest, rest, path + "[]")


def _items(part: _Dict, draft: int) -> tuple[list[Schema], Schema]:
    """The schemas of the first items, and that of all others."""
    items = part.get("items", True)
    if draft >= _PREFIX_ITEMS_SINCE:
        return part.get("prefixItems", []), items
    if isinstance(items, list):
        return items, part.get("additionalItems", True)
    return [], items


def compare_objects(reader: _Dict, writer: _Dict, path: str, walk: Walk) -> None:
    """Leave why an object that fits one part may not fit the other."""
    _compare_field_counts(reader, writer, path, walk)
    _compare_required(reader, writer, path, walk)
    patterns: _Dict = reader.get("patternProperties", {})
    written_patterns: _Dict = writer.get("patternProperties", {})
    if patterns and not walk.same(patterns, written_patterns):
        walk.comparison.doubt(path, "patternProperties differ")
        return
    read_rest: Schema = reader.get("additionalProperties", True)
    rest: Schema = writer.get("additionalProperties", True)
    read_fields: _Dict = reader.get("properties", {})
    fields: _Dict = writer.get("properties", {})
    for name, read in read_fields.items():
        if name in fields:
            walk.compare(read, fields[name], joined(path, name))
        else:
            for unnamed in (rest, *written_patterns.values()):
                _compare_unnamed(read, unnamed, joined(path, name), walk)
    for name, written in fields.items():
        if name not in read_fields:
            _compare_dropped(read_rest, written, joined(path, name), walk, doubtful=bool(patterns))
    # With patterns in the reader, the same ones in the writer see to the names that they match.
    unnamed_kinds = [rest] if patterns else [rest, *written_patterns.values()]
    for unnamed in unnamed_kinds:
        if read_rest is False and unnamed is not False:
            text = walk.comparison.by_age(
                reader_newer="allows no additional fields any more",
                reader_older="allows additional fields now, which the older version does not",
            )
            walk.comparison.refuse(path, text)
        else:
            walk.compare(read_rest, unnamed, joined(path, "*"))


def _compare_unnamed(read: Schema, unnamed: Schema, path: str, walk: Walk) -> None:
    """A field that only the reader names: the writer may have put it among the additional ones."""
    if unnamed is not True and unnamed != {}:
        walk.compare(read, unnamed, path)
        return
    found = walk.comparison.attempt(
        (id(read), "unnamed"), path, lambda: walk.compare(read, True, path)
    )
    if not found:
        return
    text = walk.comparison.by_age(
        reader_newer="was added, but the older version allows additional fields, "
        "so that it may hold anything",
        reader_older="was removed, but additional fields are allowed, so that it may hold anything",
    )
    certain = any(finding.certain for finding in found)
    (walk.comparison.refuse if certain else walk.comparison.doubt)(path, text)


def _compare_dropped(
    read_rest: Schema, written: Schema, path: str, walk: Walk, *, doubtful: bool
) -> None:
    """A field that only the writer names: the reader must take it as an additional one."""
    if written is False:
        return
    if doubtful:
        # It may match a pattern, and then is no additional one.
        if walk.comparison.attempt(
            (id(read_rest), id(written), "dropped"),
            path,
            lambda: walk.compare(read_rest, written, path),
        ):
            walk.comparison.doubt(path, "stands in one version only, beside patternProperties")
    elif read_rest is False:
        text = walk.comparison.by_age(
            reader_newer="was removed, and additional fields are not allowed",
            reader_older="was added, but the older version allows no additional fields",
        )
        walk.comparison.refuse(path, text)
    else:
        walk.compare(read_rest, written, path)


def _compare_field_counts(reader: _Dict, writer: _Dict, path: str, walk: Walk) -> None:
    most = writer.get("maxProperties", math.inf)
    if writer.get("additionalProperties") is False and not writer.get("patternProperties"):
        most = min(most, len(writer.get("properties", ())))
    compare_counts(
        "fields",
        reader=(reader.get("minProperties", 0), reader.get("maxProperties", math.inf)),
        writer=(max(writer.get("minProperties", 0), len(set(writer.get("required", ())))), most),
        path=path,
        comparison=walk.comparison,
    )


def _compare_required(reader: _Dict, writer: _Dict, path: str, walk: Walk) -> None:
    always_there = set(writer.get("required", ()))
    for name in reader.get("required", ()):
        if name in always_there:
            continue
        if name in writer.get("properties", ()):
            text = walk.comparison.by_age(
                reader_newer="is required now",
                reader_older="is not required any more, but the older version requires it",
            )
        else:
            text = walk.comparison.by_age(
                reader_newer="was added and is required",
                reader_older="was removed, but the older version requires it",
            )
        walk.comparison.refuse(joined(path, name), text)
