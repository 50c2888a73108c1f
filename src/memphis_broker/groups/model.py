"""What a consumer group is in the engine, and where a new one begins to read. Pure.

What a group is beyond its positions is written on the durable of the first partition: by whom it was
made, and whether more than one member ever joined it.

Here "pure" includes :func:`starts_of_newest`, which asks its questions through a function it gets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from memphis.wire import subjects
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import GroupJoin
from memphis.wire.names import GroupName, StationName
from memphis_broker.engine.durables import DurableSpec, DurableState
from memphis_broker.stations.model import GROUP_NAME

_MADE_BY: Final = "memphis.group.made_by"
"""Different for every join, so that of two that make the group at once the second is told."""
_SHARED: Final = "memphis.group.shared"
"""There from the second join on. It is never taken back, so nothing is lost if several write it."""
_YES: Final = "yes"

SequencesAt = Callable[[Mapping[int, "Bounds"], int], Awaitable[Mapping[int, int]]]
"""For each partition asked about, the first sequence stored at or after a time."""


class Bounds(NamedTuple):
    """The sequences that a partition holds; an empty one has ``last == first - 1``."""

    first: int
    last: int


class Limits(NamedTuple):
    """What all members of a group have in common."""

    ack_wait_ms: int
    deliveries_max: int


def limits_asked(request: GroupJoin) -> Limits:
    """The limits that a request asks for."""
    return Limits(request.max_ack_time_ms, request.max_msg_deliveries)


def limits_of(durable: DurableState) -> Limits:
    """The limits that the group has in one partition."""
    return Limits(durable.ack_wait_ms, durable.deliveries_max)


def is_shared(durable: DurableState | None) -> bool:
    """Whether others than the one who made the group may be members.

    Args:
        durable: The group's durable in the first partition; without it there is no telling.
    """
    return durable is None or _MADE_BY not in durable.metadata or _SHARED in durable.metadata


def is_as_asked(durable: DurableState, spec: DurableSpec) -> bool:
    """Whether nothing of ``spec`` has to be changed on the durable; positions never are."""
    same_limits = limits_of(durable) == Limits(spec.ack_wait_ms, spec.deliveries_max)
    return same_limits and spec.metadata.items() <= durable.metadata.items()


def marks_of_new(join_id: str) -> Mapping[str, str]:
    """What is written on the first partition of a group that this join makes."""
    return {_MADE_BY: join_id}


def marks_of_joined() -> Mapping[str, str]:
    """What is written on the first partition of a group that was there already."""
    return {_SHARED: _YES}


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
    limits: Limits,
    start_sequence: int | None,
    marks: Mapping[str, str],
) -> DurableSpec:
    """A group's durable in one partition: it reads new messages, and what is given back to it."""
    return DurableSpec(
        name=group.internal,
        filter_subjects=(
            subjects.final_subject(station, partition),
            subjects.redrive_subject(station, partition, group),
        ),
        ack_wait_ms=limits.ack_wait_ms,
        deliveries_max=limits.deliveries_max,
        start_sequence=start_sequence,
        metadata={GROUP_NAME: str(group), **marks},
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
