"""What checking a message against a JSON Schema may cost: bounds known before the validator runs.

The validator calls itself for each schema that applies to a value and for each value inside. Three
shapes of a hostile schema make that too much, and each has a bound here, all found by a walk over the
:class:`memphis.schema.json_graph.Graph`:

- a long chain of schemas on one value (``$ref`` to ``$ref`` to ...), whose calls use up the stack once
  for every level of a message: the chain is bounded, and by it the depth of messages;
- very many schemas on one value, or values to compare it with: their number is bounded;
- as many as that on each of many values, or more at each level, as where two schemas of an ``allOf``
  lead to the same property and back: no schema is refused for that, but a message is whose values, each
  times the schemas that may meet it at its depth, are more than :data:`STEPS_MAX`.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Final, NamedTuple

from memphis.schema.faults import Misfit
from memphis.schema.json_graph import Graph, Node, inside, own_weight
from memphis.schema.json_values import DEPTH_MAX

CHAIN_MAX: Final = 200
"""Schemas that one after the other lead to each other for the same value."""
WAYS_MAX: Final = 100_000
"""Steps for one value: the schemas that apply to it, each as often as there are ways to it."""
STEPS_MAX: Final = 20_000_000
"""Steps for a whole message: about a second's work."""
LONG_INTEGERS_MAX: Final = 500
"""Integers of more than 64 bits in a message whose items have to differ: each is compared with each."""

_ORDINARY: Final = 100
"""Steps per value that need no counting: what is left grows as the message does."""
_COUNTED_MAX: Final = 10**12
_LEVELS_WORK_MAX: Final = 1_000_000
"""Schemas times levels that are looked at; about a second's work."""
# Calls inside each other that fit into a stack of 8 MiB, with a factor of three to spare.
_CALLS_MAX: Final = 20_000
_LONG_INTEGER: Final = re.compile(rb"[0-9]{19,}")
_LONG_INTEGER_LENGTH: Final = 20


class MessageLimits(NamedTuple):
    """How large and deep a message may be."""

    depth_max: int
    """How deep it may nest so that checking it stays within the stack."""
    length_free: int
    """Up to this many bytes nothing more is asked."""
    steps: tuple[int, ...]
    """How many steps one value may take, by its depth; values below all these take too many."""
    compares_items: bool
    """Whether items must differ somewhere."""

    def check(self, text: bytes, value: Any) -> None:
        """Refuse a message that takes too long; ``text`` is the JSON of ``value``.

        Raises:
            Misfit: It does.
        """
        if self.compares_items and len(_LONG_INTEGER.findall(text)) > LONG_INTEGERS_MAX:
            raise Misfit(
                f"without more than {LONG_INTEGERS_MAX} integers of more than 64 bits where items "
                "must differ"
            )
        if max(self.steps) <= _ORDINARY:
            return
        level, taken, depth = [value], 0, 0
        while level:
            taken += len(level) * (self.steps[depth] if depth < len(self.steps) else _COUNTED_MAX)
            if taken > STEPS_MAX:
                raise Misfit(
                    f"smaller or nested less: with this schema it takes more than {STEPS_MAX} steps"
                )
            level = [inner for one in level for inner in _parts(one)]
            depth += 1


def _parts(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def message_limits(schema: Any) -> MessageLimits:
    """The limits of messages for a schema.

    Raises:
        Misfit: The schema itself costs too much.
    """
    costs = _Costs(Graph(schema))
    chain = 1
    for node in costs.graph.nodes:
        length, ways = costs.measure(node)
        chain = max(chain, length)
        if ways > WAYS_MAX:
            raise Misfit(f"simpler: it takes more than {WAYS_MAX} steps for one value")
    steps = costs.steps_by_depth(schema)
    most = max(steps)
    length_free = sys.maxsize if most <= _ORDINARY else 2 * (STEPS_MAX // most)
    compares_items = any(node.get("uniqueItems") is True for node in costs.graph.nodes)
    if compares_items:
        length_free = min(length_free, _LONG_INTEGER_LENGTH * LONG_INTEGERS_MAX)
    return MessageLimits(min(DEPTH_MAX, _CALLS_MAX // chain), length_free, steps, compares_items)


class _Costs:
    """What each schema costs, by itself and with all that it leads to."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._measured: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()
        self._has_circle = False
        # In this order each comes after those that it applies to the same value.
        self._order: list[tuple[Node, list[int]]] = []

    def measure(self, node: Node, depth: int = 0) -> tuple[int, int]:
        """The longest chain from here on the same value, and the steps of all ways along such."""
        known = self._measured.get(id(node))
        if known is not None:
            return known
        if depth > CHAIN_MAX:
            raise Misfit(f"simpler: more than {CHAIN_MAX} schemas apply to one value in a row")
        if id(node) in self._open:
            # The validator leaves such a circle by itself.
            self._has_circle = True
            return 1, 1
        self._open.add(id(node))
        length, ways = 0, own_weight(node)
        applied = self.graph.applied(node)
        for target in applied:
            of_target = self.measure(target, depth + 1)
            length = max(length, of_target[0])
            ways += of_target[1]
        self._open.discard(id(node))
        self._measured[id(node)] = length + 1, min(ways, WAYS_MAX + 1)
        self._order.append((node, [id(target) for target in applied]))
        return self._measured[id(node)]

    def steps_by_depth(self, root: Any) -> tuple[int, ...]:
        """The most steps that a value may take at each depth, a scalar message being at depth 0.

        Each schema is taken to lead to the one property that costs most, even if another schema of
        the same value leads to another: more than the truth, but never less.
        """
        if not isinstance(root, dict):
            return (1,)
        level = {key: ways for key, (_, ways) in self._measured.items()}
        found = [level[id(root)]]
        parts = [(id(node), applied, inside(node)) for node, applied in self._order]
        for _ in range(min(DEPTH_MAX, 1 + _LEVELS_WORK_MAX // len(parts))):
            above: dict[int, int] = {}
            # The second time, a circle's schemas meet what comes after them in this order.
            for key, applied, (of_object, of_array) in parts * (1 + self._has_circle):
                steps = max(_worst(of_object, level), _worst(of_array, level))
                steps += sum(above.get(target, 0) for target in applied)
                above[key] = min(steps, _COUNTED_MAX)
            found.append(above[id(root)])
            if above == level:
                # So it goes on at every depth.
                return tuple(found + found[-1:] * (DEPTH_MAX + 1 - len(found)))
            if found[-1] > STEPS_MAX:
                break
            level = above
        if len(found) <= DEPTH_MAX:
            found.append(_COUNTED_MAX)
        return tuple(found)


def _worst(schemas: list[list[Node]], level: dict[int, int]) -> int:
    alternatives, together = schemas
    return max((level[id(one)] for one in alternatives), default=0) + sum(
        level[id(one)] for one in together
    )
