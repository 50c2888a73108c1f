"""The original's name for handing out partitions in turn; kept as an import path."""

from __future__ import annotations

from collections.abc import Sequence

from memphis.wire.partitions import round_robin

__all__ = ["PartitionGenerator"]


class PartitionGenerator:
    """Hands out the partitions of a list in turn, for ever, starting with the first."""

    def __init__(self, partitions_list: Sequence[int]) -> None:
        self._turns = round_robin(partitions_list)

    def __iter__(self) -> PartitionGenerator:
        """Itself: the order goes on where it is."""
        return self

    def __next__(self) -> int:
        """The next partition in turn."""
        return next(self._turns)
