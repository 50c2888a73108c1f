"""What a consumer group is in the engine, and where a new one begins to read. Pure.

Here "pure" includes :func:`starts_of_newest`, which asks its questions through a function it gets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from memphis.wire import subjects
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import GroupJoin
from memphis.wire.names import GroupName, StationName
from memphis_broker.engine.durables import DurableSpec
from memphis_broker.stations.model import GROUP_NAME

SequencesAt = Callable[[Mapping[int, "Bounds"], int], Awaitable[Mapping[int, int]]]
"""For each partition asked about, the first sequence stored at or after a time."""


class Bounds(NamedTuple):
    """The sequences that a partition holds; an empty one has ``last == first - 1``."""

    first: int
    last: int


def check_start(request: GroupJoin) -> None:
    """Raise ``INVALID_OPTION`` where a request names two places to begin at."""
    if request.start_consume_from_sequence > 1 and request.last_messages > -1:
        raise Refusal(
            ErrorCode.INVALID_OPTION,
            "give start_consume_from_sequence or last_messages, not both",
        )


def durable(
    station: StationName,
    partition: int,
    group: GroupName,
    request: GroupJoin,
    start_sequence: int | None,
) -> DurableSpec:
    """A group's durable in one partition: it reads new messages, and what is given back to it."""
    return DurableSpec(
        name=group.internal,
        filter_subjects=(
            subjects.final_subject(station, partition),
            subjects.redrive_subject(station, partition, group),
        ),
        ack_wait_ms=request.max_ack_time_ms,
        deliveries_max=request.max_msg_deliveries,
        start_sequence=start_sequence,
        metadata={GROUP_NAME: str(group)},
    )


async def starts_of_newest(
    held: Mapping[int, Bounds],
    wanted: int,
    between_ns: tuple[int, int],
    sequences_at: SequencesAt,
) -> dict[int, int]:
    """Where to begin in each partition to read the newest ``wanted`` messages of all together.

    A binary search on time: from some moment on, the partitions together hold as many messages as
    are wanted. Each step halves the time and asks only the partitions whose beginning is not known
    yet. Exact when no two messages have the same time; of those with the same time, any may be
    taken. Deleted messages between a partition's first and last count as if they were there.

    Args:
        held: What each partition holds.
        wanted: How many messages, at least 1.
        between_ns: A time not after the first message, and one after the last.
        sequences_at: Asks the partitions; each answer must not fall as the time rises.
    """
    # No partition can contribute more than `wanted`, which keeps the search short for a few.
    low = {p: max(bounds.first, bounds.last - wanted + 1) for p, bounds in held.items()}
    high = {p: bounds.last + 1 for p, bounds in held.items()}

    def count(starts: Mapping[int, int]) -> int:
        return sum(bounds.last + 1 - starts[p] for p, bounds in held.items())

    # Always: from `low` on there are at least as many as wanted, from `high` on fewer.
    if count(low) <= wanted:
        return low
    earliest, latest = between_ns
    while latest - earliest > 1:
        open_ones = {p: bounds for p, bounds in held.items() if low[p] < high[p]}
        middle = (earliest + latest) // 2
        found = await sequences_at(open_ones, middle)
        starts = {p: min(max(found.get(p, low[p]), low[p]), high[p]) for p in held}
        if count(starts) == wanted:
            return starts
        if count(starts) > wanted:
            earliest, low = middle, starts
        else:
            latest, high = middle, starts
    return _take_from(low, high, wanted - count(high))


def _take_from(low: Mapping[int, int], high: Mapping[int, int], missing: int) -> dict[int, int]:
    """``high``, begun earlier where messages have the same time, until none is missing."""
    starts = dict(high)
    for partition in starts:
        taken = min(missing, high[partition] - low[partition])
        starts[partition] -= taken
        missing -= taken
    return starts
