"""What a consumer group is in the engine, and where a new one begins to read. Pure.

What a group is beyond its positions is written on the durable of the first partition: by whom it was
made, and whether more than one member ever joined it.

Here "pure" includes :func:`starts_of_newest`, which asks its questions through a function it gets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
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
_DELIVERIES_MAX: Final = "memphis.group.deliveries_max"
"""The group's limit, on its durable in every partition. The engine itself has none: it would forget a
message that it gives up, and members store such a message first. (docs/adr/0013) It has one where a member
cannot do that; then the broker stores what the engine says that it gave up. (docs/adr/0015)"""
UNLIMITED: Final = -1

PointsAt = Callable[[Mapping[int, "Held"], int], Awaitable[Mapping[int, "Point"]]]
"""For each partition asked about, where the first message stored at or after a time is."""


class Point(NamedTuple):
    """A place in a partition, and how many of the station's messages there are from it on.

    Not the same as the difference to the end: there are gaps, and dead letters that were given back.
    """

    sequence: int
    following: int


class Held(NamedTuple):
    """What a partition holds: where its first message is, and the place behind its last."""

    first: Point
    end: Point


class Limits(NamedTuple):
    """What all members of a group have in common."""

    ack_wait_ms: int
    deliveries_max: int


def limits_asked(request: GroupJoin) -> Limits:
    """The limits that a request asks for."""
    return Limits(request.max_ack_time_ms, request.max_msg_deliveries)


def limits_of(durable: DurableState) -> Limits:
    """The limits that the group has in one partition."""
    written = durable.metadata.get(_DELIVERIES_MAX, "")
    limit = int(written) if written.isascii() and written.isdigit() else durable.deliveries_max
    return Limits(durable.ack_wait_ms, limit)


def is_shared(durable: DurableState | None) -> bool:
    """Whether others than the one who made the group may be members.

    Args:
        durable: The group's durable in the first partition; without it there is no telling.
    """
    return durable is None or _MADE_BY not in durable.metadata or _SHARED in durable.metadata


def is_limit_of_engine(durables: Iterable[DurableState]) -> bool:
    """Whether the engine keeps the group's limit, for a member that cannot."""
    return any(durable.deliveries_max > 0 for durable in durables)


def is_as_asked(durable: DurableState, spec: DurableSpec) -> bool:
    """Whether nothing of ``spec`` has to be changed on the durable; positions never are."""
    is_same = (durable.ack_wait_ms, durable.deliveries_max, set(durable.filter_subjects)) == (
        spec.ack_wait_ms,
        spec.deliveries_max,
        set(spec.filter_subjects),
    )
    return is_same and spec.metadata.items() <= durable.metadata.items()


def marks_of_new(join_id: str) -> Mapping[str, str]:
    """What is written on the first partition of a group that this join makes."""
    return {_MADE_BY: join_id}


def life_of(durable: DurableState | None, marks: Mapping[str, str]) -> str:
    """Which life of the group it is, by its durable in the first partition, or by those of a new one."""
    metadata = marks if durable is None else durable.metadata
    return metadata.get(_MADE_BY, "")


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
    *,
    by_engine: bool = False,
) -> DurableSpec:
    """A group's durable in one partition: it reads new messages, and what is given back to it."""
    return DurableSpec(
        name=group.internal,
        filter_subjects=(
            subjects.final_subject(station, partition),
            subjects.group_redrives_filter(station, partition, group),
        ),
        ack_wait_ms=limits.ack_wait_ms,
        deliveries_max=limits.deliveries_max if by_engine else UNLIMITED,
        start_sequence=start_sequence,
        metadata={GROUP_NAME: str(group), _DELIVERIES_MAX: str(limits.deliveries_max), **marks},
    )


async def starts_of_newest(
    held: Mapping[int, Held],
    wanted: int,
    between_ns: tuple[int, int],
    points_at: PointsAt,
) -> dict[int, int]:
    """Where to begin in each partition to read the newest ``wanted`` messages of all together.

    A binary search on time: from some moment on, the partitions together hold as many messages as
    are wanted. Each step halves the time and asks only the partitions whose beginning is not known
    yet. Exact when no two messages have the same time; of those with the same time, any may be
    taken.

    Args:
        held: What each partition holds.
        wanted: How many messages, at least 1.
        between_ns: A time not after the first message, and one after the last.
        points_at: Asks the partitions; the counts must not rise as the time rises.
    """
    low = {p: bounds.first for p, bounds in held.items()}
    high = {p: bounds.end for p, bounds in held.items()}
    # Always: from `low` on there are at least as many as wanted, from `high` on fewer.
    if _count(low) <= wanted:
        return _sequences(low)
    earliest, latest = between_ns
    while latest - earliest > 1:
        open_ones = {
            p: bounds for p, bounds in held.items() if low[p].following > high[p].following
        }
        middle = (earliest + latest) // 2
        found = await points_at(open_ones, middle)
        points = {p: _between(low[p], found.get(p, low[p]), high[p]) for p in held}
        if _count(points) == wanted:
            return _sequences(points)
        if _count(points) > wanted:
            earliest, low = middle, points
        else:
            latest, high = middle, points
    return _take_from(low, high, wanted - _count(high))


def _count(points: Mapping[int, Point]) -> int:
    return sum(point.following for point in points.values())


def _sequences(points: Mapping[int, Point]) -> dict[int, int]:
    return {partition: point.sequence for partition, point in points.items()}


def _between(low: Point, found: Point, high: Point) -> Point:
    """What was found, unless it lies outside because something came or went meanwhile."""
    if found.following > low.following:
        return low
    return high if found.following < high.following else found


def _take_from(low: Mapping[int, Point], high: Mapping[int, Point], missing: int) -> dict[int, int]:
    """``high``, begun earlier where messages have the same time, until none is missing."""
    starts = _sequences(high)
    for partition in starts:
        taken = min(missing, low[partition].following - high[partition].following)
        starts[partition] = max(low[partition].sequence, starts[partition] - taken)
        missing -= taken
    return starts
