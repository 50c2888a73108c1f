"""JSON Schema, drafts 6 to 2020-12: whether everything that fits the writer fits the reader.

Judged are: boolean schemas; ``type`` (lists, and integer within number), ``enum``, ``const``;
``minimum``, ``maximum``, ``exclusiveMinimum``, ``exclusiveMaximum``, ``multipleOf``; ``minLength``,
``maxLength``; ``items``, ``prefixItems``, ``additionalItems``, ``minItems``, ``maxItems``,
``uniqueItems``; ``properties``, ``required``, ``additionalProperties``, ``minProperties``,
``maxProperties``; ``anyOf``, ``allOf``, ``oneOf`` of branches that exclude each other; ``$ref``
within the schema. ``pattern``, ``format``, ``patternProperties`` and every other keyword that can
refuse a value must be the same in both, or missing in the reader; otherwise this cannot tell, as
about two different drafts. Keywords that refuse nothing are ignored.

Validators put no default in place of a missing field, and allow fields that a schema does not name
unless it says otherwise; so a field that is new in an open object may have been there, holding
anything, and reading it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import combinations
from typing import Any, Final

from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility.findings import Comparison, Finding, shown
from memphis_broker.schemas.compatibility.json_containers import compare_arrays, compare_objects
from memphis_broker.schemas.compatibility.json_nodes import (
    ATOMS,
    NEVER_SPLIT,
    Document,
    Part,
    Schema,
    Union,
    atom_of,
    equal,
    listed_values,
)
from memphis_broker.schemas.compatibility.json_scalars import (
    NUMBERS,
    admits,
    compare_numbers,
    compare_strings,
    part_admits,
)

_Atoms = frozenset[str]

_FINITE: Final[dict[str, list[Any]]] = {"null": [None], "boolean": [False, True]}
"""Kinds with so few values that they can be tried one by one."""

_ANYTHING: Final[dict[str, Any]] = {}
"""What ``true`` is with keywords. One object, for what is known of a part is kept by identity."""

_GROUPS: Final[tuple[tuple[str, _Atoms, tuple[str, ...]], ...]] = (
    ("not", ATOMS, ()),
    ("$ref", ATOMS, ()),
    ("$dynamicRef", ATOMS, ()),
    ("$recursiveRef", ATOMS, ()),
    ("if", ATOMS, ("then", "else")),
    ("contains", frozenset({"array"}), ("minContains", "maxContains")),
    ("propertyNames", frozenset({"object"}), ()),
    ("dependencies", frozenset({"object"}), ()),
    ("dependentRequired", frozenset({"object"}), ()),
    ("dependentSchemas", frozenset({"object"}), ()),
)
"""Keywords that must be the same, the kinds they are about, and those that mean nothing alone."""


def compare(reader: SchemaDefinition, writer: SchemaDefinition, comparison: Comparison) -> None:
    """Leave in ``comparison`` why a value that fits ``writer`` may not fit ``reader``."""
    read, written = Document(reader.content, comparison), Document(writer.content, comparison)
    if equal(read.root, written.root):
        return
    if read.draft != written.draft:
        comparison.doubt("", "the draft that $schema names is another one")
    elif not read.draft:
        comparison.doubt("", "it is of a draft before 6 or an unknown one, which is not judged")
    else:
        _Pair(read, written, comparison).compare(read.root, written.root, "")


class _Pair:
    """A walk over the schemas of two documents."""

    def __init__(self, reader: Document, writer: Document, comparison: Comparison) -> None:
        self.reader = reader
        self.writer = writer
        self.comparison = comparison

    def compare(self, reader: Schema, writer: Schema, path: str, allowed: _Atoms = ATOMS) -> None:
        """Leave why a value that fits ``writer`` and is of an allowed kind may not fit ``reader``."""
        with self.comparison.deeper():
            written = self.writer.atoms(writer) & allowed
            if not self.comparison.assume((id(reader), id(writer), written)):
                return
            readable = written & self.reader.atoms(reader)
            if readable != written:
                self._leave_change(reader, writer, path)
            if not readable:
                return
            # The schemas as a whole are at hand for their words; the parts are what is compared.
            parts = self.writer.parts(writer)
            for part in self.reader.parts(reader):
                if len(parts) == 1:
                    self._compare_part(part, parts[0], path, readable)
                else:
                    self._compare_with_any(part, parts, path, readable)

    def _leave_change(self, reader: Schema, writer: Schema, path: str) -> None:
        read, written = self.reader.words(reader), self.writer.words(writer)
        if read == written:
            self.comparison.doubt(path, f"not every {read} fits any more")
        else:
            self.comparison.became(path, reader=read, writer=written)

    def _compare_with_any(self, reader: Part, parts: list[Part], path: str, atoms: _Atoms) -> None:
        """A value fits all parts of the writer, so it is enough that one of them is readable."""
        least: list[Finding] | None = None
        for part in parts:

            def attempt(part: Part = part) -> None:
                self._compare_part(reader, part, path, atoms)

            found = self.comparison.attempt((id(reader), id(part), atoms), path, attempt)
            if not found:
                return
            least = found if least is None or len(found) < len(least) else least
        for finding in least or ():
            self.comparison.doubt(finding.path, finding.text)

    def _compare_part(self, reader: Part, writer: Part, path: str, atoms: _Atoms) -> None:
        if reader is True or writer is False:
            return
        if (
            isinstance(reader, Union)
            and isinstance(writer, Union)
            and self.same(reader.written, writer.written)
        ):
            return
        if isinstance(writer, Union):
            for branch in writer.branches:
                self._compare_branch(reader, branch, path, atoms)
        elif isinstance(reader, Union):
            self._compare_with_union(reader, writer, path, atoms)
        elif isinstance(reader, dict):
            self._compare_keywords(reader, _ANYTHING if writer is True else writer, path, atoms)

    def _compare_branch(self, reader: Part, branch: Schema, path: str, atoms: _Atoms) -> None:
        with self.comparison.deeper():
            inside = atoms & self.writer.atoms(branch)
            parts = self.writer.parts(branch)
            if not inside:
                return
            if len(parts) == 1:
                self._compare_part(reader, parts[0], path, inside)
            else:
                self._compare_with_any(reader, parts, path, inside)

    def _compare_with_union(self, reader: Union, writer: Part, path: str, atoms: _Atoms) -> None:
        if reader.exactly and not self._exclude_each_other(reader.branches):
            self.comparison.doubt(path, "the alternatives of oneOf may not exclude each other")
            return
        values = listed_values(writer) if isinstance(writer, dict) else None
        if values is not None:
            assert isinstance(writer, dict)
            self._compare_values(reader, writer, values, path, atoms)
            return
        for atom in sorted(atoms):
            self._choose_branch(reader, writer, path, frozenset({atom}))

    def _choose_branch(self, reader: Union, writer: Part, path: str, atom: _Atoms) -> None:
        """One branch must take all values of one kind; whether two share them, nobody asks."""
        candidates = [branch for branch in reader.branches if atom & self.reader.atoms(branch)]
        least: list[Finding] | None = None
        for branch in candidates:

            def attempt(branch: Schema = branch) -> None:
                with self.comparison.deeper():
                    for part in self.reader.parts(branch):
                        self._compare_part(part, writer, path, atom)

            found = self.comparison.attempt((id(branch), id(writer), atom), path, attempt)
            if not found:
                return
            least = found if least is None or len(found) < len(least) else least
        for finding in least or ():
            if len(candidates) == 1:
                self.comparison.found.append(finding)
            else:
                self.comparison.doubt(finding.path, f"of several alternatives, {finding.text}")

    def _exclude_each_other(self, branches: Iterable[Schema]) -> bool:
        return all(self._exclude(one, other) for one, other in combinations(list(branches), 2))

    def _exclude(self, one: Schema, other: Schema) -> bool:
        """Whether no value fits both: of different kinds, or told apart by a required field."""
        shared = self.reader.atoms(one) & self.reader.atoms(other)
        if not shared:
            return True
        if shared != {"object"}:
            return False
        tags, other_tags = self._tags(one), self._tags(other)
        return any(
            not any(equal(value, known) for value in tags[name] for known in other_tags[name])
            for name in tags.keys() & other_tags.keys()
        )

    def _tags(self, node: Schema) -> dict[str, list[Any]]:
        """The values that required fields are limited to."""
        found: dict[str, list[Any]] = {}
        for part in self.reader.parts(node):
            if not isinstance(part, dict):
                continue
            fields = part.get("properties", {})
            for name in part.get("required", ()):
                for field in self.reader.parts(fields.get(name, True)):
                    values = listed_values(field) if isinstance(field, dict) else None
                    if values is not None:
                        found[name] = values
        return found

    def _compare_keywords(
        self, reader: dict[str, Any], writer: dict[str, Any], path: str, atoms: _Atoms
    ) -> None:
        values = listed_values(writer)
        if values is None and listed_values(reader) is not None:
            if not atoms <= _FINITE.keys():
                self._leave_change(reader, writer, path)
                return
            values = [value for atom in sorted(atoms) for value in _FINITE[atom]]
        if values is not None:
            self._compare_values(reader, writer, values, path, atoms)
            return
        if not NEVER_SPLIT.isdisjoint(reader):
            if not self.same(reader, writer):
                self.comparison.doubt(path, "unevaluated fields or items are not judged")
            return
        self._compare_unjudged(reader, writer, path, atoms)
        if atoms & NUMBERS:
            compare_numbers(reader, writer, atoms, path, self.comparison)
        if "string" in atoms:
            compare_strings(reader, writer, path, self.comparison)
        if "array" in atoms:
            compare_arrays(reader, writer, path, self)
        if "object" in atoms:
            compare_objects(reader, writer, path, self)

    def _compare_values(
        self,
        reader: Union | dict[str, Any],
        writer: dict[str, Any],
        values: list[Any],
        path: str,
        atoms: _Atoms,
    ) -> None:
        """Each of the values that the writer lists must fit."""
        missing: list[str] = []
        unknown: list[str] = []
        for value in values:
            if atom_of(value) not in atoms or part_admits(self.writer, writer, value) is False:
                continue
            if isinstance(reader, Union):
                verdicts = [admits(self.reader, branch, value) for branch in reader.branches]
                verdict = True if True in verdicts else (None if None in verdicts else False)
            else:
                verdict = part_admits(self.reader, reader, value)
            if verdict is not True:
                (missing if verdict is False else unknown).append(shown(json.dumps(value)))
        verb = self.comparison.by_age(reader_newer="removed", reader_older="added")
        for value in missing:
            self.comparison.refuse(path, f"the value {value} was {verb}")
        if unknown and not (isinstance(reader, dict) and self.same(reader, writer)):
            self.comparison.doubt(path, f"the value {unknown[0]} may not fit")

    def _compare_unjudged(
        self, reader: dict[str, Any], writer: dict[str, Any], path: str, atoms: _Atoms
    ) -> None:
        for keyword, about, helpers in _GROUPS:
            if keyword not in reader or not atoms & about:
                continue
            group = (keyword, *helpers)
            read, written = (
                {word: part[word] for word in group if word in part} for part in (reader, writer)
            )
            if not self.same(read, written):
                self.comparison.doubt(path, f"the keyword {keyword} differs")

    def same(self, reader: Any, writer: Any) -> bool:
        """Whether two pieces are written alike, and so is whatever they refer to."""
        return self._same(reader, writer, set())

    def _same(self, reader: Any, writer: Any, seen: set[tuple[int, int]]) -> bool:
        if not isinstance(reader, dict | list):
            return equal(reader, writer)
        if (id(reader), id(writer)) in seen:
            return True
        seen.add((id(reader), id(writer)))
        with self.comparison.deeper():
            if isinstance(reader, list):
                return (
                    isinstance(writer, list)
                    and len(reader) == len(writer)
                    and all(self._same(*pair, seen) for pair in zip(reader, writer, strict=True))
                )
            if not isinstance(writer, dict) or reader.keys() != writer.keys():
                return False
            if not all(self._same(reader[key], writer[key], seen) for key in reader):
                return False
            return self._same_targets(reader, writer, seen)

    def _same_targets(
        self, reader: dict[str, Any], writer: dict[str, Any], seen: set[tuple[int, int]]
    ) -> bool:
        if not reader.keys().isdisjoint({"$dynamicRef", "$recursiveRef"}):
            return False
        reference = reader.get("$ref")
        if not isinstance(reference, str):
            return True
        read, written = self.reader.target(reference), self.writer.target(writer["$ref"])
        # What cannot be followed may have changed; the whole documents are known to differ.
        return read is not None and written is not None and self._same(read, written, seen)
