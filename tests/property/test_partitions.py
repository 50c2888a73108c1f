"""Properties of partition choice."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memphis.exceptions import MemphisUsageError
from memphis.partition_generator import PartitionGenerator
from memphis.wire.partitions import check_selectors, partition_for_key, round_robin

COUNTS = st.integers(1, 300)

# Seed 31, unsigned, over the UTF-8 bytes; the original's Python and Node clients agree on them.
HASHES = {
    "a": 3387765255,
    "b": 279955767,
    "abc": 339830091,
    "user-42": 660284634,
    "héé": 2252030545,
    "": 1257683291,
}


@pytest.mark.parametrize("key", HASHES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 10, 1000, 10_000])
def test_keys_go_where_the_original_put_them(key: str, count: int) -> None:
    """The hash is an index into the list of partitions, not a partition's number."""
    assert partition_for_key(key, range(1, count + 1)) == HASHES[key] % count + 1


@given(st.text(), COUNTS)
def test_a_key_has_one_partition(key: str, count: int) -> None:
    """Any text has a partition from the list, and always the same."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return
    partitions = list(range(1, count + 1))
    chosen = partition_for_key(key, partitions)
    assert chosen in partitions
    assert partition_for_key(key, partitions) == chosen


@given(st.sets(st.integers(1, 10_000), min_size=1, max_size=20).map(sorted), st.integers(0, 100))
def test_round_robin_is_in_order_and_even(partitions: list[int], rounds: int) -> None:
    """It begins with the first and never favours one by more than a message."""
    turns = round_robin(partitions)
    taken = [next(turns) for _ in range(rounds)]
    assert taken == [partitions[i % len(partitions)] for i in range(rounds)]
    counts = Counter(taken)
    assert max(counts.values(), default=0) - min(counts[p] for p in partitions) <= 1
    again = PartitionGenerator(partitions)
    assert [next(again) for _ in range(rounds)] == taken


@given(st.one_of(st.none(), st.text()), st.integers(-5, 305), COUNTS)
def test_selectors(key: str | None, number: int, count: int) -> None:
    """A key, a number of the list, or neither; everything else is refused."""
    possible = number == -1 or (key is None and 1 <= number <= count)
    sendable = key is None or not any("\ud800" <= c <= "\udfff" for c in key)
    try:
        check_selectors(key, number, range(1, count + 1))
    except MemphisUsageError:
        assert not (possible and sendable)
    else:
        assert possible
        assert sendable


@pytest.mark.parametrize(
    ("key", "number"), [(5, -1), (b"a", -1), (None, "1"), (None, 1.0), (None, True), (None, None)]
)
def test_selectors_of_the_wrong_type(key: object, number: object) -> None:
    """They are refused, not converted."""
    with pytest.raises(MemphisUsageError):
        check_selectors(key, number, [1, 2])
