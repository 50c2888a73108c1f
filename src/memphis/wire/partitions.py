"""Which partition a message goes to: one pure function per rule.

The key rule is a compatibility promise: MurmurHash3 x86 32 bit, seed 31, over the UTF-8 bytes of
the key, unsigned, modulo the number of partitions, as an index into the partition list. The
original's Python and Go clients place keys the same way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import mmh3

from memphis.exceptions import MemphisUsageError

PARTITIONS_MAX = 10_000
_SEED = 31


def partition_for_key(key: str, partitions: Sequence[int]) -> int:
    """The partition that every message with this key goes to."""
    if len(partitions) == 1:
        return partitions[0]
    return partitions[mmh3.hash(key.encode(), _SEED, signed=False) % len(partitions)]


def check_selectors(key: object, number: object, partitions: Sequence[int]) -> None:
    """Check what a caller gave to choose a partition.

    Args:
        key: A string that UTF-8 can hold, or None for none.
        number: A number from the partition list, or -1 for none.
        partitions: The station's partitions.

    Raises:
        MemphisUsageError: Both were given, or one of them cannot select anything.
    """
    if key is not None and not isinstance(key, str):
        raise MemphisUsageError(f"a partition key must be a string, not {type(key).__name__}")
    if key is not None:
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise MemphisUsageError(
                f"the partition key {key!r} is no text that UTF-8 can hold"
            ) from error
    if not isinstance(number, int) or isinstance(number, bool):
        raise MemphisUsageError(f"a partition number must be an int, not {type(number).__name__}")
    if number == -1:
        return
    if key is not None:
        raise MemphisUsageError("give a partition key or a partition number, not both")
    if number not in partitions:
        raise MemphisUsageError(
            f"there is no partition {number}; the station has {partitions[0]} to {partitions[-1]}"
        )


def round_robin(partitions: Sequence[int]) -> Iterator[int]:
    """The partitions in turn, for ever, starting with the first. Not thread-safe."""
    return itertools.cycle(partitions)
