"""The subschemas of a JSON Schema, and which of them lead to which.

Two kinds of edges (JSON Schema 2020-12, sections 10 and 11): a keyword applies a schema to the same
value, like ``allOf`` and ``$ref``, or to the values inside, like ``properties`` and ``items``. What a
schema may cost (:mod:`memphis.schema.json_limits`) is read from this graph alone, before there is any
message. The invariant: a validator never goes from schema to schema along anything that is no edge.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

Node = dict[str, Any]

CONTAINER_WEIGHT: Final = 10
"""How much longer an object or array takes to compare than a schema takes to be looked at."""

_LISTS: Final = ("allOf", "anyOf", "oneOf")
_SINGLE: Final = ("not", "if", "then", "else")
_BY_NAME: Final = ("dependentSchemas", "dependencies")
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_UNEVALUATED: Final = ("unevaluatedProperties", "unevaluatedItems")
_UNEVALUATED_VISITS: Final = 3
"""How often the validator goes through the schemas beside such a keyword, at most."""
_ANCHORS: Final = ("$anchor", "$dynamicAnchor", "$id", "id")
_OF_EACH_PROPERTY: Final = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_OF_EACH_ITEM: Final = ("items", "additionalItems", "unevaluatedItems", "contains")


class Graph:
    """All the objects in a schema: those that are no schemas have no way to them, and do no harm."""

    def __init__(self, schema: Any) -> None:
        self._root = schema
        self.nodes: list[Node] = []
        self._named: dict[str, list[Node]] = {}
        remaining = [schema]
        while remaining:
            value = remaining.pop()
            if isinstance(value, dict):
                self._add(value)
                remaining.extend(value.values())
            elif isinstance(value, list):
                remaining.extend(value)

    def _add(self, node: Node) -> None:
        self.nodes.append(node)
        for keyword in _ANCHORS:
            name = node.get(keyword)
            if isinstance(name, str):
                self._named.setdefault(name, []).append(node)

    def applied(self, node: Node) -> list[Node]:
        """The schemas that a schema applies to the same value, as often as it does."""
        found: list[Any] = [node.get(keyword) for keyword in _SINGLE]
        for keyword in _LISTS:
            branches = node.get(keyword)
            found.extend(branches if isinstance(branches, list) else ())
        for keyword in _BY_NAME:
            found.extend(_by_name(node, keyword).values())
        for keyword in _REFERENCES:
            reference = node.get(keyword)
            if isinstance(reference, str):
                found.extend(self._resolve(reference))
        if any(keyword in node for keyword in _UNEVALUATED):
            found *= _UNEVALUATED_VISITS
        return _schemas(found)

    def _resolve(self, reference: str) -> list[Any]:
        base, _, fragment = reference.partition("#")
        starts = [self._root] if not base else self._named.get(base, [])
        if not fragment:
            return starts
        if not fragment.startswith("/"):
            return self._named.get(fragment, [])
        return [_pointed_at(start, fragment) for start in starts]


def inside(node: Node) -> tuple[list[list[Node]], list[list[Node]]]:
    """The schemas for the values inside an object and inside an array.

    Of each: first those of which a value meets one at most, then those that it may meet together.
    """
    properties = _by_name(node, "properties")
    together = [*_by_name(node, "patternProperties").values()]
    together.extend(node.get(keyword) for keyword in _OF_EACH_PROPERTY)
    prefix = [
        one
        for keyword in ("prefixItems", "items")
        if isinstance(listed := node.get(keyword), list)
        for one in listed
    ]
    items = [node.get(keyword) for keyword in _OF_EACH_ITEM]
    return (
        [_schemas(properties.values()), _schemas(together)],
        [_schemas(prefix), _schemas(items)],
    )


def own_weight(node: Node) -> int:
    """About how many steps a schema takes itself: its keywords, and values to compare with."""
    weight = max(1, len(node))
    if "const" in node:
        weight += _comparing([node["const"]])
    members = node.get("enum")
    # Texts alone are looked up, not compared.
    if isinstance(members, list) and not all(isinstance(one, str) for one in members):
        weight += _comparing(members)
    return weight


def _comparing(members: list[Any]) -> int:
    """What it takes to compare with each: as much as there is in them."""
    weight, remaining = 0, list(members)
    while remaining:
        one = remaining.pop()
        weight += CONTAINER_WEIGHT if isinstance(one, dict | list) else 1
        if isinstance(one, dict):
            remaining.extend(one.values())
        elif isinstance(one, list):
            remaining.extend(one)
    return weight


def _schemas(found: Any) -> list[Node]:
    return [one for one in found if isinstance(one, dict)]


def _by_name(node: Node, keyword: str) -> Node:
    named = node.get(keyword)
    return named if isinstance(named, dict) else {}


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
