"""A set of sequences that grows mostly at its end, as ranges. Pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

RANGES_MAX: Final = 1000
"""More are not kept: the lowest are forgotten, because only the newest come again."""


class Sequences:
    """Which sequences of a stream were seen. Takes space for gaps, not for sequences."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        """One behind the last of each range."""

    def __contains__(self, sequence: int) -> bool:
        at = bisect_right(self._starts, sequence) - 1
        return at >= 0 and sequence < self._ends[at]

    def add(self, sequence: int) -> None:
        """Put one in; one that is in it changes nothing."""
        if self._ends and sequence == self._ends[-1]:  # nearly always
            self._ends[-1] += 1
            return
        at = bisect_right(self._starts, sequence)
        if at and sequence < self._ends[at - 1]:
            return
        joins_next = at < len(self._starts) and sequence + 1 == self._starts[at]
        if at and sequence == self._ends[at - 1]:
            self._ends[at - 1] = self._ends.pop(at) if joins_next else sequence + 1
            if joins_next:
                del self._starts[at]
        elif joins_next:
            self._starts[at] = sequence
        else:
            self._starts.insert(at, sequence)
            self._ends.insert(at, sequence + 1)
            if len(self._starts) > RANGES_MAX:
                del self._starts[0], self._ends[0]
