"""What a JSON Schema may cost: bounds found by looking at it, before any message is checked.

The validator calls itself for each schema that applies to a value and for each value inside. Two
shapes of a hostile schema make that too much: a long chain of schemas on one value (``$ref`` to
``$ref`` to ...), whose calls use up the stack once for every level of a message; and schemas that
double at each step, which take exponential time. Both are bounded here, by a walk over the graph
whose edges are the keywords that apply a schema to the same value (JSON Schema 2020-12, section
10.2, and ``$ref``).
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

from memphis.schema.faults import Misfit
from memphis.schema.json_values import DEPTH_MAX

CHAIN_MAX: Final = 200
"""Schemas that one after the other lead to each other for the same value."""
WAYS_MAX: Final = 100_000
"""Schemas that apply to the same value, each as often as there are ways to it."""

# Calls inside each other that fit into a stack of 8 MiB, with a factor of three to spare.
_CALLS_MAX: Final = 20_000
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_SINGLE: Final = ("not", "if", "then", "else")
_BY_NAME: Final = ("dependentSchemas", "dependencies")
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor", "$id", "id")


def message_depth_max(schema: Any) -> int:
    """How deep a message may nest so that checking it stays within the stack.

    Raises:
        Misfit: The schema itself costs too much.
    """
    graph = _Graph(schema)
    chain = 1
    for node in graph.nodes:
        length, ways = graph.measure(node)
        chain = max(chain, length)
        if ways > WAYS_MAX:
            raise Misfit(f"simpler: more than {WAYS_MAX} schemas apply to one value")
    return min(DEPTH_MAX, _CALLS_MAX // chain)


class _Graph:
    """The subschemas, and which of them apply to the same value."""

    def __init__(self, schema: Any) -> None:
        self._root = schema
        self.nodes: list[dict[str, Any]] = []
        self._named: dict[str, list[dict[str, Any]]] = {}
        self._measured: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()
        remaining = [schema]
        while remaining:
            value = remaining.pop()
            if isinstance(value, dict):
                self._add(value)
                remaining.extend(value.values())
            elif isinstance(value, list):
                remaining.extend(value)

    def _add(self, node: dict[str, Any]) -> None:
        self.nodes.append(node)
        for keyword in _ANCHORS:
            name = node.get(keyword)
            if isinstance(name, str):
                self._named.setdefault(name, []).append(node)

    def measure(self, node: dict[str, Any], depth: int = 0) -> tuple[int, int]:
        """The longest chain from here, and the number of ways along such chains."""
        known = self._measured.get(id(node))
        if known is not None:
            return known
        if depth > CHAIN_MAX:
            raise Misfit(f"simpler: more than {CHAIN_MAX} schemas apply to one value in a row")
        if id(node) in self._open:
            # The validator leaves such a circle by itself.
            return 1, 1
        self._open.add(id(node))
        length, ways = 0, 1
        for target in self._applied(node):
            of_target = self.measure(target, depth + 1)
            length = max(length, of_target[0])
            ways += of_target[1]
        self._open.discard(id(node))
        self._measured[id(node)] = length + 1, min(ways, WAYS_MAX + 1)
        return self._measured[id(node)]

    def _applied(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[Any] = [node.get(keyword) for keyword in _SINGLE]
        for keyword in _LISTS:
            branches = node.get(keyword)
            found.extend(branches if isinstance(branches, list) else ())
        for keyword in _BY_NAME:
            branches = node.get(keyword)
            found.extend(branches.values() if isinstance(branches, dict) else ())
        for keyword in _REFERENCES:
            reference = node.get(keyword)
            if isinstance(reference, str):
                found.extend(self._resolve(reference))
        return [one for one in found if isinstance(one, dict)]

    def _resolve(self, reference: str) -> list[Any]:
        base, _, fragment = reference.partition("#")
        starts = [self._root] if not base else self._named.get(base, [])
        if not fragment:
            return starts
        if not fragment.startswith("/"):
            return self._named.get(fragment, [])
        return [self._pointed_at(start, fragment) for start in starts]

    @staticmethod
    def _pointed_at(start: Any, pointer: str) -> Any:
        """RFC 6901; None if it leads nowhere, which the validator will say."""
        place = start
        for step in pointer[1:].split("/"):
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(place, dict):
                place = place.get(name)
            elif isinstance(place, list) and name.isdecimal() and int(name) < len(place):
                place = place[int(name)]
            else:
                return None
        return place
