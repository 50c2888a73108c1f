"""The seven modes of :class:`memphis.types.Compatibility`: which pairs of versions must get along."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from memphis.types import Compatibility
from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility.findings import STEPS_MAX, Budget, Finding
from memphis_broker.schemas.compatibility.registry import reads

REASONS_MAX: Final = 10
CHECK_STEPS_MAX: Final = 2 * STEPS_MAX
"""For all versions of a transitive mode together."""

_BACKWARD: Final = frozenset(
    {
        Compatibility.BACKWARD,
        Compatibility.BACKWARD_TRANSITIVE,
        Compatibility.FULL,
        Compatibility.FULL_TRANSITIVE,
    }
)
_FORWARD: Final = frozenset(
    {
        Compatibility.FORWARD,
        Compatibility.FORWARD_TRANSITIVE,
        Compatibility.FULL,
        Compatibility.FULL_TRANSITIVE,
    }
)


def check(
    mode: Compatibility, new: SchemaDefinition, earlier: Sequence[SchemaDefinition]
) -> list[str]:
    """Why a new version may not be stored in this mode; empty: it may.

    Pure, and bounded in time, but may take seconds for many large versions: not for an event loop.

    Args:
        mode: What the new version must be able to do.
        new: The version to judge.
        earlier: All versions before it, oldest first.

    Returns:
        At most :data:`REASONS_MAX` reasons, each naming the earlier version and the direction, and
        a line that says how many more were found. What the rules cannot judge is a reason too.
    """
    if mode is Compatibility.NONE or not earlier:
        return []
    reasons = list(dict.fromkeys(_reasons(mode, new, earlier)))
    if len(reasons) <= REASONS_MAX:
        return reasons
    return [*reasons[:REASONS_MAX], f"and {len(reasons) - REASONS_MAX} more"]


def _reasons(
    mode: Compatibility, new: SchemaDefinition, earlier: Sequence[SchemaDefinition]
) -> Iterator[str]:
    compared = earlier if mode.is_transitive else earlier[-1:]
    budget = Budget(CHECK_STEPS_MAX)
    for old in reversed(compared):
        if mode in _BACKWARD:
            for finding in reads(new, old, budget=budget):
                yield _sentence("backward", old.version, finding)
        if mode in _FORWARD:
            for finding in reads(old, new, reader_is_newer=False, budget=budget):
                yield _sentence("forward", old.version, finding)
        if budget.exhausted:
            # One reason is enough, and every further pair would only repeat it.
            return


def _sentence(direction: str, version: int, finding: Finding) -> str:
    place = f"field {finding.path}" if finding.path else "the message"
    if finding.certain:
        return f"not {direction} compatible with version {version}: {place}: {finding.text}"
    return (
        f"cannot tell whether it is {direction} compatible with version {version}: {place}: "
        f"{finding.text}; leave that part as it was, or set the mode NONE"
    )
