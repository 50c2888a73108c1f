"""Avro: the rules of the specification 1.12, section "Schema Resolution".

Binary and JSON form are judged alike. Where the specification leaves a choice, or where following
it leads to wrong values, this is what is done here:

- Named types match by their unqualified name, or by an alias of the reader that is the writer's
  full name. Of several branches of a union that match, the one with the same full name is taken,
  else the first.
- A changed logical type is refused where both are known and differ: the specification compares the
  scale and precision of decimals only, but milliseconds read as microseconds are as wrong.
  One that came or went is no difference.
- A change between binary and JSON form is refused: neither can be read as the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastavro.schema import parse_schema

from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility.findings import Comparison, joined, shown

Node = dict[str, Any] | list[Any]
"""A type: a union is a list, everything else a dict with its ``type``."""

_PROMOTIONS: Final = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
"""What each primitive type that a writer used may be read as, beside itself."""

_NAMED: Final = {"record", "enum", "fixed"}

_LOGICAL_TYPES: Final = {
    "decimal",
    "big-decimal",
    "uuid",
    "date",
    "time-millis",
    "time-micros",
    "timestamp-millis",
    "timestamp-micros",
    "timestamp-nanos",
    "local-timestamp-millis",
    "local-timestamp-micros",
    "local-timestamp-nanos",
    "duration",
}
"""Those of the specification; it wants any other to be ignored."""


def compare(reader: SchemaDefinition, writer: SchemaDefinition, comparison: Comparison) -> None:
    """Leave in ``comparison`` why what ``writer`` wrote may not be resolved to ``reader``."""
    if reader.encoding != writer.encoding:
        comparison.became(
            "", reader=f"the encoding {reader.encoding}", writer=f"the encoding {writer.encoding}"
        )
    pair = _Pair(_Document(reader.content), _Document(writer.content), comparison)
    pair.compare(pair.reader.root, pair.writer.root, "")


class _Document:
    """A parsed schema, whose every type can be had as one object."""

    def __init__(self, content: str) -> None:
        self._named: dict[str, Any] = {}
        self._primitives: dict[str, Node] = {}
        parsed = parse_schema(json.loads(content), named_schemas=self._named, _force=True)
        self.root = self.node(parsed)

    def node(self, written: Any) -> Node:
        """The type that stands here: itself, a named one, or a primitive."""
        if isinstance(written, list):
            return written
        if isinstance(written, dict):
            kind = written["type"]
            # `{"type": "a.b.Name"}` is only another way to write a reference.
            return self.node(kind) if kind in self._named else written
        named = self._named.get(written)
        if named is not None:
            assert isinstance(named, dict)
            return named
        return self._primitives.setdefault(written, {"type": written})


class _Pair:
    """A walk over the types of two documents."""

    def __init__(self, reader: _Document, writer: _Document, comparison: Comparison) -> None:
        self.reader = reader
        self.writer = writer
        self._comparison = comparison
        self._kinds: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any], str], None]] = {
            "record": self._compare_fields,
            "enum": self._compare_symbols,
            "fixed": self._compare_sizes,
            "array": self._compare_items,
            "map": self._compare_values,
        }

    def compare(self, reader: Node, writer: Node, path: str) -> None:
        """Leave why a value of the type ``writer`` may not be resolved to ``reader``."""
        with self._comparison.deeper():
            if not self._comparison.assume((id(reader), id(writer))):
                return
            if isinstance(writer, list):
                self._compare_branches(reader, writer, path)
            elif isinstance(reader, list):
                self._choose_branch(reader, writer, path)
            elif not _matches(reader, writer):
                self._comparison.became(path, reader=_words(reader), writer=_words(writer))
            else:
                self._compare_logical_types(reader, writer, path)
                compare_kind = self._kinds.get(_kind(reader))
                if compare_kind is not None:
                    compare_kind(reader, writer, path)

    def _compare_branches(self, reader: Node, branches: list[Any], path: str) -> None:
        """Whatever a union holds must be readable, so each of its branches."""
        missing = []
        choices = reader if isinstance(reader, list) else [reader]
        for written in branches:
            branch = self.writer.node(written)
            assert isinstance(branch, dict)
            if self._branch_for(choices, branch) is None:
                missing.append(_words(branch))
            else:
                self.compare(reader, branch, path)
        if missing:
            self._leave_missing(reader, branches, missing, path)

    def _leave_missing(
        self, reader: Node, branches: list[Any], missing: list[str], path: str
    ) -> None:
        if isinstance(reader, dict):
            written = " or ".join(_words(self.writer.node(branch)) for branch in branches)
            self._comparison.became(path, reader=_words(reader), writer=written)
            return
        verb = self._comparison.by_age(reader_newer="removed from", reader_older="added to")
        for name in missing:
            self._comparison.refuse(path, f"{name} was {verb} the union")

    def _choose_branch(self, branches: list[Any], writer: dict[str, Any], path: str) -> None:
        branch = self._branch_for(branches, writer)
        if branch is not None:
            self.compare(branch, writer, path)
            return
        read = " or ".join(_words(self.reader.node(branch)) for branch in branches)
        self._comparison.became(path, reader=read, writer=_words(writer))

    def _branch_for(self, branches: list[Any], writer: dict[str, Any]) -> dict[str, Any] | None:
        """The branch of the reader's union that a value of the type ``writer`` is read as."""
        nodes = [self.reader.node(written) for written in branches]
        matching = [node for node in nodes if isinstance(node, dict) and _matches(node, writer)]
        same = [node for node in matching if _identity(node) == _identity(writer)]
        return next(iter(same or matching), None)

    def _compare_logical_types(
        self, reader: Mapping[str, Any], writer: Mapping[str, Any], path: str
    ) -> None:
        read, written = _logical_type(reader), _logical_type(writer)
        if read and written and read != written:
            self._comparison.became(path, reader=read, writer=written)

    def _compare_fields(
        self, reader: Mapping[str, Any], writer: Mapping[str, Any], path: str
    ) -> None:
        written = {field["name"]: field for field in writer["fields"]}
        readers: dict[str, str] = {}
        for field in reader["fields"]:
            name = field["name"]
            inside = joined(path, name)
            source = next(
                (known for known in (name, *field.get("aliases", ())) if known in written), None
            )
            if source is None:
                if "default" not in field:
                    verb = self._comparison.by_age(reader_newer="added", reader_older="removed")
                    self._comparison.refuse(inside, f"was {verb} and has no default")
                continue
            rival = readers.setdefault(source, name)
            if rival != name:
                text = f"stands for the earlier field {source}, and so does {rival}"
                self._comparison.doubt(inside, text)
            self.compare(
                self.reader.node(field["type"]), self.writer.node(written[source]["type"]), inside
            )

    def _compare_symbols(
        self, reader: Mapping[str, Any], writer: Mapping[str, Any], path: str
    ) -> None:
        if reader.get("default") in reader["symbols"]:
            return
        known = set(reader["symbols"])
        verb = self._comparison.by_age(reader_newer="removed", reader_older="added")
        for symbol in writer["symbols"]:
            if symbol not in known:
                text = f"the symbol {symbol} was {verb}, and the enum has no default"
                self._comparison.refuse(path, text)

    def _compare_sizes(
        self, reader: Mapping[str, Any], writer: Mapping[str, Any], path: str
    ) -> None:
        if reader["size"] != writer["size"]:
            self._comparison.became(
                path, reader=f"fixed of {reader['size']}", writer=f"fixed of {writer['size']}"
            )

    def _compare_items(
        self, reader: Mapping[str, Any], writer: Mapping[str, Any], path: str
    ) -> None:
        self.compare(
            self.reader.node(reader["items"]), self.writer.node(writer["items"]), path + "[]"
        )

    def _compare_values(
        self, reader: Mapping[str, Any], writer: Mapping[str, Any], path: str
    ) -> None:
        self.compare(
            self.reader.node(reader["values"]), self.writer.node(writer["values"]), path + "{}"
        )


def _matches(reader: Mapping[str, Any], writer: Mapping[str, Any]) -> bool:
    """Whether two types that are no unions go together at all, whatever is inside them."""
    read, written = _kind(reader), _kind(writer)
    if read != written:
        return read in _PROMOTIONS.get(written, ())
    if read not in _NAMED:
        return True
    name = reader["name"]
    return _unqualified(name) == _unqualified(writer["name"]) or writer["name"] in {
        _qualified(alias, name) for alias in reader.get("aliases", ())
    }


def _kind(node: Mapping[str, Any]) -> str:
    kind = str(node["type"])
    return "record" if kind == "error" else kind


def _identity(node: Mapping[str, Any]) -> tuple[str, str]:
    return _kind(node), str(node.get("name", ""))


def _unqualified(name: str) -> str:
    return name.rpartition(".")[2]


def _qualified(alias: str, name: str) -> str:
    """An alias's full name: without a namespace of its own it has that of the type."""
    namespace = name.rpartition(".")[0]
    return alias if "." in alias or not namespace else f"{namespace}.{alias}"


def _logical_type(node: Mapping[str, Any]) -> str:
    name = node.get("logicalType")
    if name not in _LOGICAL_TYPES:
        return ""
    if name == "decimal":
        return f"decimal({node.get('precision')}, {node.get('scale', 0)})"
    return str(name)


def _words(node: Node) -> str:
    """The type in a reason."""
    if isinstance(node, list):
        return "a union"
    name = node.get("name")
    return f"{_kind(node)} {shown(name)}" if name else _kind(node)
