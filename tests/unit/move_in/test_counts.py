"""What counts of two sides say about each other."""

from __future__ import annotations

from typing import Any

import pytest

from memphis_broker.move_in.counts import PartitionCount, StationCount, StreamCount, agree

WHOLE, CUT = True, False


def partition(there: tuple[int, bool] | None, here: int | None, waiting: int = 0) -> PartitionCount:
    told = None if there is None else StreamCount(*there)
    return PartitionCount(1, there=told, here=here, waiting=waiting)


@pytest.mark.parametrize(
    ("one", "more", "words"),
    [
        (partition((5, WHOLE), 5), {}, ""),
        (partition((5, WHOLE), 4), {}, "1 message fewer here than the 5 there"),
        (partition((5, WHOLE), 7), {}, "2 messages more here than the 5 there"),
        (partition((5, CUT), 7), {}, ""),
        (partition((5, CUT), 4), {}, "1 message fewer"),
        (partition((5, WHOLE), 7), {"is_added": True}, ""),
        (partition((5, WHOLE), 4), {"is_added": True}, "1 message fewer"),
        (partition((5, WHOLE), 0), {"goes_by_acks": True}, ""),
        (partition(None, 7), {}, ""),
        (partition((5, WHOLE), 3, waiting=2), {}, "2 messages not brought over yet"),
        (partition((5, WHOLE), 4), {"dead_letters": 1}, "1 of the station are dead letters"),
        (partition((5, WHOLE), None), {"here": 5}, ""),
        (partition((5, WHOLE), None), {"here": 4}, "station s: 1 message fewer"),
        (partition((5, WHOLE), None, waiting=1), {"here": 4}, "1 message not brought over yet"),
    ],
)
def test_a_mismatch_is_named_once(one: PartitionCount, more: dict[str, Any], words: str) -> None:
    """Or there is none."""
    count = StationCount("s", [one], **more)
    mismatches = list(count.mismatches())
    assert len(mismatches) == bool(words)
    assert words in "".join(mismatches)
    assert agree([count]) is not bool(words)


def test_dead_letters_of_this_run_are_named() -> None:
    """They are here, but not in the station."""
    one = PartitionCount(1, refused=2, there=StreamCount(2, WHOLE), here=2)
    assert "2 messages failed its schema" in next(StationCount("s", [one]).mismatches())
