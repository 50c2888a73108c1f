"""The demo's flow: one producer, two groups, one clumsy handler, and the sums at the end.

Invariant: nothing is taken on trust. A flight counts as sent when the broker confirmed it, as read
when a handler acknowledged it, and the two sets are compared by partition and sequence.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from memphis import Memphis
from memphis.exceptions import MemphisError
from memphis.message import Message
from memphis_broker.demo.flights import Flight

STATION = "flights"
PARTITIONS = 3
GROUPS = {"departures-board": 1, "delay-statistics": 2}
"""The groups, each with its number of members."""
CLUMSY_GROUP = "delay-statistics"
"""Whose handler fails on the first few cancelled flights that it meets."""

_FAILURES_MAX = 5
_ACK_TIME_MS = 2_000
_DELIVERIES_MAX = 10
_BATCH_SIZE = 200
_IN_FLIGHT_MAX = 1_000
_POLL_S = 0.05
_FINISH_WITHIN_S = 50.0

Place = tuple[int, int]
"""Partition and sequence: which message of the station."""


@dataclass
class GroupCount:
    """What the handlers of one group saw."""

    name: str
    members: int
    read: set[Place] = field(default_factory=set)
    redelivered: int = 0
    failures: int = 0
    started_at: float = 0.0
    finished_at: float = 0.0

    @property
    def seconds(self) -> float:
        """How long the group took, from the first flight sent; 0 if it never finished."""
        return max(0.0, self.finished_at - self.started_at) if self.finished_at else 0.0

    def lost_of(self, sent: set[Place]) -> int:
        """How many of the flights sent no handler of this group acknowledged."""
        return len(sent - self.read)


@dataclass
class Outcome:
    """The sums of a run; complete only once :func:`run` has returned."""

    flights: int
    groups: list[GroupCount]
    sent: set[Place] = field(default_factory=set)
    started_at: float = 0.0
    sent_at: float = 0.0

    @property
    def amount(self) -> int:
        """How much is done: flights sent, and flights read by each group."""
        return len(self.sent) + sum(len(group.read) for group in self.groups)

    @property
    def agrees(self) -> bool:
        """Whether every flight was sent, and each group read exactly what was sent."""
        return len(self.sent) == self.flights and all(
            group.read == self.sent for group in self.groups
        )


def amount_in_all(flights: Sequence[Flight]) -> int:
    """What :attr:`Outcome.amount` ends with."""
    return len(flights) * (1 + len(GROUPS))


class _ClumsyError(Exception):
    """What the clumsy handler raises; the SDK logs it and the flight comes again."""


async def run(
    connect: Callable[[Memphis], Awaitable[Any]],
    flights: Sequence[Flight],
    on_progress: Callable[[Outcome], None],
) -> Outcome:
    """Send all ``flights``, have every group read them, and count.

    Args:
        connect: Connects the client that it is given.
        flights: In the order in which they are sent.
        on_progress: Called now and then with the counts so far, from the event loop.

    Raises:
        MemphisError: The broker could not be used. That some flights were not read in time is no
            error here; the outcome then does not agree.
    """
    outcome = Outcome(len(flights), [GroupCount(*item) for item in GROUPS.items()])
    async with Memphis() as memphis:
        await connect(memphis)
        await memphis.station(STATION, partitions_number=PARTITIONS)
        for group in outcome.groups:
            await _start_members(memphis, group)
        outcome.started_at = time.monotonic()
        for group in outcome.groups:
            group.started_at = outcome.started_at
        # No task group: it would wrap what _send raises, and callers expect a MemphisError.
        watching = asyncio.create_task(_watch(outcome, on_progress))
        try:
            await _send(memphis, flights, outcome)
            await watching
        finally:
            watching.cancel()
    return outcome


async def _start_members(memphis: Memphis, group: GroupCount) -> None:
    for number in range(1, group.members + 1):
        consumer = await memphis.consumer(
            STATION,
            f"{group.name}-{number}",
            consumer_group=group.name,
            pull_interval_ms=0,
            batch_size=_BATCH_SIZE,
            max_ack_time_ms=_ACK_TIME_MS,
            max_msg_deliveries=_DELIVERIES_MAX,
        )
        consumer.consume(_handler(group))


def _handler(group: GroupCount) -> Callable[..., Awaitable[None]]:
    """A handler that acknowledges flight by flight, and now and then stumbles over one."""
    stumbled: set[Place] = set()

    async def handle(messages: list[Message], error: MemphisError | None, context: object) -> None:
        del context
        if error is not None:
            return  # the station is dry at the moment
        for message in messages:
            place = (message.partition, message.get_sequence_number())
            group.redelivered += message.delivery_count > 1
            if _stumbles(group, message, place, stumbled):
                raise _ClumsyError(f"flight {place} was cancelled and nobody thought of that")
            await message.ack()
            group.read.add(place)

    return handle


def _stumbles(group: GroupCount, message: Message, place: Place, stumbled: set[Place]) -> bool:
    if group.name != CLUMSY_GROUP or group.failures >= _FAILURES_MAX or place in stumbled:
        return False
    if message.get_headers().get("cancelled") != "yes":
        return False
    stumbled.add(place)
    group.failures += 1
    return True


async def _send(memphis: Memphis, flights: Sequence[Flight], outcome: Outcome) -> None:
    producer = await memphis.producer(STATION, "new-york-airports")
    unconfirmed: deque[Awaitable[Any]] = deque()
    for flight in flights:
        unconfirmed.append(
            await producer.produce(
                flight.columns,
                headers={"cancelled": "yes" if flight.was_cancelled else "no"},
                msg_id=str(flight.row),
                producer_partition_key=flight.carrier,
                nonblocking=True,
            )
        )
        if len(unconfirmed) >= _IN_FLIGHT_MAX:
            await _confirm(unconfirmed, outcome)
    while unconfirmed:
        await _confirm(unconfirmed, outcome)
    outcome.sent_at = time.monotonic()


async def _confirm(unconfirmed: deque[Awaitable[Any]], outcome: Outcome) -> None:
    stored = await unconfirmed.popleft()
    outcome.sent.add((stored.partition, stored.sequence))


async def _watch(outcome: Outcome, on_progress: Callable[[Outcome], None]) -> None:
    """Report progress until every group has read every flight, or time is up."""
    end = outcome.started_at + _FINISH_WITHIN_S
    unfinished = list(outcome.groups)
    while unfinished and time.monotonic() < end:
        await asyncio.sleep(_POLL_S)
        for group in list(unfinished):
            if len(group.read) >= outcome.flights:
                group.finished_at = time.monotonic()
                unfinished.remove(group)
        on_progress(outcome)
