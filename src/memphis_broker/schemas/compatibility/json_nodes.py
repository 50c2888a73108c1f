"""The parts of a JSON Schema as the comparison sees them: references followed, unions laid open.

A schema is a conjunction: of its keywords, of what ``$ref`` names and of the members of ``allOf``.
:meth:`Document.parts` takes it apart into pieces of three kinds, which are all that the comparison
knows: ``True`` and ``False``, a union (:class:`Union`), and a dict of the remaining keywords.
Invariant: a value fits a schema if and only if it fits each of its parts.
"""

from __future__ import annotations

import json
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from memphis_broker.schemas.compatibility.findings import Comparison, shown

Schema = bool | dict[str, Any]

ATOMS: Final = frozenset({"null", "boolean", "integer", "fraction", "string", "array", "object"})
"""The kinds of values; a number is an integer or has a fraction."""

DRAFTS: Final = {
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}
DRAFT_DEFAULT: Final = 2020
_REFERENCE_ALONE_MAX: Final = 7
"""The last draft that ignores what stands beside a ``$ref``."""

NEVER_SPLIT: Final = frozenset({"unevaluatedProperties", "unevaluatedItems"})
"""Keywords that look at what the other parts did."""
_BASE_CHANGER: Final = "$id"
_VALUES_SHOWN_MAX: Final = 5


@dataclass(frozen=True, eq=False)
class Union:
    """A part that wants one of several schemas to fit; ``exactly`` says not more than one."""

    branches: tuple[Schema, ...]
    exactly: bool
    written: dict[str, Any]


Part = bool | Union | dict[str, Any]


class Document:
    """A schema as it was given, and what is known about its parts, each found out once."""

    def __init__(self, content: str, comparison: Comparison) -> None:
        self.root: Schema = json.loads(content)
        self.draft = _draft(self.root)
        self._comparison = comparison
        self._follows_references = not _has_inner_base(self.root)
        # By identity: the document keeps all its nodes, and these keep what is made from them.
        self._parts: dict[int, list[Part]] = {}
        self._atoms: dict[int, frozenset[str]] = {}

    def target(self, reference: str) -> Schema | None:
        """What a reference within this document names; None for any other reference."""
        if not self._follows_references or not reference.startswith("#"):
            return None
        pointer = unquote(reference[1:])
        if pointer and not pointer.startswith("/"):
            return None
        node: Any = self.root
        for raw in pointer.split("/")[1:]:
            token = raw.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and token in node:
                node = node[token]
            elif isinstance(node, list) and token.isdecimal() and int(token) < len(node):
                node = node[int(token)]
            else:
                return None
        return node if isinstance(node, bool | dict) else None

    def parts(self, node: Schema) -> list[Part]:
        """The parts that a value must all fit."""
        known = self._parts.get(id(node))
        if known is None:
            with self._deeper():
                known = self._parts[id(node)] = self._take_apart(node)
        return known

    def _take_apart(self, node: Schema) -> list[Part]:
        if isinstance(node, bool) or not NEVER_SPLIT.isdisjoint(node):
            return [node]
        rest = dict(node)
        found: list[Part] = []
        reference = node.get("$ref")
        if isinstance(reference, str):
            target = self.target(reference)
            if target is None:
                return [node]
            found += self.parts(target)
            if self.draft <= _REFERENCE_ALONE_MAX:
                return found
            del rest["$ref"]
        for member in rest.pop("allOf", ()):
            found += self.parts(member)
        for keyword in ("anyOf", "oneOf"):
            if keyword in rest:
                branches = tuple(rest.pop(keyword))
                found.append(Union(branches, keyword == "oneOf", {keyword: list(branches)}))
        if found and not _asserts(rest):
            return found
        return [*found, rest if len(rest) < len(node) else node]

    def atoms(self, node: Schema) -> frozenset[str]:
        """The kinds of values that may fit, as far as types and listed values say."""
        known = self._atoms.get(id(node))
        if known is None:
            with self._deeper():
                known = frozenset(ATOMS)
                for part in self.parts(node):
                    known &= self.part_atoms(part)
                self._atoms[id(node)] = known
        return known

    def part_atoms(self, part: Part) -> frozenset[str]:
        """The kinds of values that may fit one part."""
        if isinstance(part, bool):
            return ATOMS if part else frozenset()
        if isinstance(part, Union):
            return frozenset().union(*(self.atoms(branch) for branch in part.branches))
        kinds = part_kinds(part)
        values = listed_values(part)
        return kinds if values is None else kinds & {atom_of(value) for value in values}

    def words(self, node: Schema) -> str:
        """What fits, for a reason."""
        parts = self.parts(node)
        only = parts[0] if len(parts) == 1 else None
        values = listed_values(only) if isinstance(only, dict) else None
        if values:
            listed = ", ".join(shown(json.dumps(value)) for value in values[:_VALUES_SHOWN_MAX])
            more = ", …" if len(values) > _VALUES_SHOWN_MAX else ""
            return f"one of {listed}{more}" if len(values) > 1 else listed
        return _kinds_in_words(self.atoms(node))

    def _deeper(self) -> AbstractContextManager[None]:
        return self._comparison.deeper()


def listed_values(part: dict[str, Any]) -> list[Any] | None:
    """The values of ``enum`` and ``const``; None where neither stands."""
    if "const" in part:
        constant = part["const"]
        listed = part.get("enum", [constant])
        return [constant] if any(equal(constant, value) for value in listed) else []
    values = part.get("enum")
    return list(values) if isinstance(values, list) else None


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def atom_of(value: Any) -> str:
    """The kind of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
    whole = isinstance(value, int) or (math.isfinite(value) and value.is_integer())
    return "integer" if whole else "fraction"


def part_kinds(part: dict[str, Any]) -> frozenset[str]:
    """The kinds that ``type`` allows."""
    names = part.get("type")
    if names is None:
        return ATOMS
    if isinstance(names, str):
        names = [names]
    kinds = {name for name in names if name != "number"}
    return frozenset(kinds | {"integer", "fraction"} if "number" in names else kinds)


def _kinds_in_words(kinds: frozenset[str]) -> str:
    if kinds == ATOMS:
        return "anything"
    words = sorted(kinds - {"null", "integer", "fraction"})
    if "fraction" in kinds:
        words.append("number")
    elif "integer" in kinds:
        words.append("integer")
    if "null" in kinds:
        words.append("null")
    return " or ".join(words) or "nothing"


def _asserts(keywords: dict[str, Any]) -> bool:
    """Whether anything is left that could refuse a value; unknown keywords are kept, to be safe."""
    return not keywords.keys() <= {
        "$comment",
        "$defs",
        "$schema",
        "default",
        "definitions",
        "deprecated",
        "description",
        "discriminator",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }


def _draft(root: Schema) -> int:
    """The draft that a schema is written for; 0: one that has no rules here."""
    uri = root.get("$schema") if isinstance(root, dict) else None
    return DRAFT_DEFAULT if uri is None else DRAFTS.get(str(uri).removesuffix("#"), 0)


def _has_inner_base(root: Schema) -> bool:
    """Whether an ``$id`` below the root may change what references mean."""
    waiting: list[Any] = list(root.values()) if isinstance(root, dict) else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(node.get(_BASE_CHANGER), str):
                return True
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return False
