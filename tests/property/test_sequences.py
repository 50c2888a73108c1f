"""The set of sequences that a mirror keeps, beside Python's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memphis_broker.move_in.sequences import RANGES_MAX, Sequences


@given(st.lists(st.integers(1, 60)))
def test_it_holds_what_was_put_in(sequences: list[int]) -> None:
    """Whatever the order; and keeps as few ranges as there are."""
    ours, reference = Sequences(), set[int]()
    for sequence in sequences:
        ours.add(sequence)
        reference.add(sequence)
        assert {n for n in range(62) if n in ours} == reference
    ranges = [n for n in reference if n - 1 not in reference]
    assert len(ours._starts) == len(ours._ends) == len(ranges)


def test_it_forgets_the_lowest_first() -> None:
    """What has more gaps than it keeps ranges."""
    ours = Sequences()
    for sequence in range(1, 4 * RANGES_MAX, 2):
        ours.add(sequence)
    assert 1 not in ours
    assert 4 * RANGES_MAX - 1 in ours
    assert len(ours._starts) == RANGES_MAX
