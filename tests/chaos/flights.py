"""Stream flights while broker and engine are killed, then count and compare every one.

One producer sends flights to a station of four partitions, keyed by carrier, each with its row as
message id; a group of two members reads them. Meanwhile the broker is killed twice and the engine
once, at moments that the seed chooses. Afterwards:

- every flight that the broker acknowledged was consumed by the group, at least once;
- a second group of one member finds every acknowledged flight where the acknowledgement said, and
  each carrier's flights in the order in which they were produced, redeliveries aside.

``python -m tests.chaos.flights --help`` runs it by hand; test_flights.py runs it in the tests.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import sys
import time
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memphis import Memphis
from memphis.exceptions import MemphisError
from memphis_broker.demo.flights import Flight, read_flights, week_of_flights
from memphis_broker.testing import BrokerProcess
from tests.waiting import NeverHappenedError, eventually

WHOLE_FILE = Path(__file__).parents[3] / "shared" / "data" / "flights.csv.zip"

PARTITIONS = 4
MEMBERS = 2
KILLS = ("broker", "broker", "engine")

_STATION = "flights"
_BATCH_SIZE = 500
_IN_FLIGHT_MAX = 1_000
_ACK_TIME_MS = 5_000
# Far more than kills can cause: a dead letter here would be a message lost to the group.
_DELIVERIES_MAX = 1_000

Place = tuple[int, int]
"""Partition and sequence."""


class ChaosError(AssertionError):
    """The run did not end as it must; the text says what is missing or out of order."""


@dataclass
class Record:
    """What happened, flight by flight; rows are counted from 1."""

    seed: int
    flights: Sequence[Flight]
    acknowledged: dict[int, Place] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    consumed: set[int] = field(default_factory=set)
    redelivered: int = 0
    kills: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def missing(self) -> set[int]:
        """Rows that were acknowledged to the producer and not consumed by the group."""
        return self.acknowledged.keys() - self.consumed

    def lines(self) -> Iterator[str]:
        """The run in a few lines, for people."""
        yield f"seed           {self.seed}"
        yield f"flights        {len(self.flights):,}"
        yield f"acknowledged   {len(self.acknowledged):,}"
        yield f"not confirmed  {len(self.refused):,}"
        yield f"consumed       {len(self.consumed):,}"
        yield f"redelivered    {self.redelivered:,}"
        yield f"lost           {len(self.missing()):,}"
        yield f"killed         {', '.join(self.kills)}"
        for what, seconds in self.seconds.items():
            yield f"{what:<14} {seconds:.1f} s, {len(self.flights) / seconds:,.0f} flights/s"


class _Murder:
    """Kills at chosen rows, and makes sure that flights are on their way when it happens."""

    def __init__(self, broker: BrokerProcess, record: Record) -> None:
        self._broker = broker
        self._record = record
        dice = random.Random(record.seed)
        victims = list(KILLS)
        dice.shuffle(victims)
        share = len(record.flights) // (len(victims) + 1)
        self._plan = deque(
            (dice.randint(number * share - share // 3, number * share + share // 3), victim)
            for number, victim in enumerate(victims, start=1)
        )
        self._running: asyncio.Task[None] | None = None

    async def row_sent(self, row: int) -> None:
        """Begin the next kill if its row has come; the one before has then ended."""
        if self._plan and row >= self._plan[0][0]:
            await self.finish()
            _, victim = self._plan.popleft()
            self._running = asyncio.create_task(self._kill(victim))

    async def finish(self) -> None:
        """Wait until the latest victim lives again."""
        if self._running is not None:
            await self._running

    async def _kill(self, victim: str) -> None:
        self._record.kills.append(f"{victim} after {len(self._record.acknowledged):,}")
        if victim == "broker":
            await asyncio.to_thread(self._broker.kill)
            await asyncio.to_thread(self._broker.start)
        else:
            await asyncio.to_thread(self._broker.kill_engine)


async def run(flights: Sequence[Flight], seed: int, deadline_s: float = 120.0) -> Record:
    """Do the whole run; returns the record if everything is as it must be.

    Args:
        flights: What to send, in this order.
        seed: Chooses when is killed, and whom.
        deadline_s: For reading what is left once all is sent, and for the last reading.

    Raises:
        ChaosError: A flight was lost, or a carrier's flights are out of order.
    """
    record = Record(seed, flights)
    async with BrokerProcess() as broker, Memphis() as memphis:
        await memphis.connect(
            broker.host, "root", password="memphis", port=broker.port, reconnect_interval_ms=100
        )
        station = await memphis.station(_STATION, partitions_number=PARTITIONS)
        await _start_group(memphis, record)
        started = time.monotonic()
        await _send(memphis, record, _Murder(broker, record))
        record.seconds["sent in"] = time.monotonic() - started
        await _wait_until_consumed(record, deadline_s)
        record.seconds["consumed in"] = time.monotonic() - started
        stored = (await station.info()).messages
        async with asyncio.timeout(deadline_s):
            await _check_order(memphis, record, stored)
    return record


async def _send(memphis: Memphis, record: Record, murder: _Murder) -> None:
    producer = await memphis.producer(_STATION, "airports")
    unconfirmed: deque[tuple[int, Any]] = deque()
    for flight in record.flights:
        pending = await producer.produce(
            flight.line.encode(),
            headers={"row": str(flight.row)},
            msg_id=str(flight.row),
            producer_partition_key=flight.carrier,
            nonblocking=True,
            ack_wait_sec=60,
        )
        unconfirmed.append((flight.row, pending))
        await murder.row_sent(flight.row)
        if len(unconfirmed) >= _IN_FLIGHT_MAX:
            await _confirm(*unconfirmed.popleft(), record)
    while unconfirmed:
        await _confirm(*unconfirmed.popleft(), record)
    await murder.finish()


async def _confirm(row: int, pending: Any, record: Record) -> None:
    try:
        result = await pending
    except MemphisError as error:
        record.refused[row] = str(error)
    else:
        record.acknowledged[row] = (result.partition, result.sequence)


async def _start_group(memphis: Memphis, record: Record) -> None:
    async def handle(messages: list[Any], error: MemphisError | None, _context: object) -> None:
        del error  # nothing to read just now
        for message in messages:
            await message.ack()
            record.consumed.add(int(message.get_headers()["row"]))
            record.redelivered += message.delivery_count > 1

    for number in range(MEMBERS):
        consumer = await memphis.consumer(
            _STATION, f"reader-{number}", consumer_group="readers", pull_interval_ms=0,
            batch_size=_BATCH_SIZE, max_ack_time_ms=_ACK_TIME_MS,
            max_msg_deliveries=_DELIVERIES_MAX,
        )  # fmt: skip
        consumer.consume(handle)


async def _wait_until_consumed(record: Record, deadline_s: float) -> None:
    try:
        await eventually(
            lambda: len(record.consumed) >= len(record.acknowledged) and not record.missing(),
            deadline_s,
            "everything acknowledged is consumed",
        )
    except NeverHappenedError as error:
        missing = sorted(record.missing())
        raise ChaosError(f"{len(missing)} flights were lost, rows {missing[:10]}...") from error


async def _check_order(memphis: Memphis, record: Record, stored: int) -> None:
    """Read all that is stored with a group of one, and compare it with what was sent."""
    consumer = await memphis.consumer(
        _STATION, "auditor", consumer_group="audit", max_msg_deliveries=_DELIVERIES_MAX
    )
    found: dict[int, Place] = {}
    latest: dict[str, int] = {}
    while len(found) < stored:
        for message in await consumer.fetch(_BATCH_SIZE):
            await message.ack()
            row = int(message.get_headers()["row"])
            place = (message.partition, message.get_sequence_number())
            if found.setdefault(row, place) != place:
                raise ChaosError(f"row {row} is stored twice, at {found[row]} and {place}")
            if message.delivery_count > 1:
                continue
            flight = record.flights[row - 1]
            if message.get_data() != flight.line.encode():
                raise ChaosError(f"row {row} at {place} is not what was sent")
            if latest.get(flight.carrier, 0) > row:
                raise ChaosError(
                    f"row {row} of carrier {flight.carrier} came after row {latest[flight.carrier]}"
                )
            latest[flight.carrier] = row
    wrong = [row for row, place in record.acknowledged.items() if found.get(row) != place]
    if wrong:
        raise ChaosError(
            f"{len(wrong)} flights are not where their acknowledgement said: {wrong[:10]}"
        )


def whole_file() -> list[Flight] | None:
    """All flights of 2013, or None where the file is not at hand."""
    if not WHOLE_FILE.is_file():
        return None
    with zipfile.ZipFile(WHOLE_FILE) as archive, archive.open("flights.csv") as packed:
        return list(read_flights(io.TextIOWrapper(packed, encoding="utf-8")))


def main() -> int:
    """Run by hand; the exit status is 0 only if nothing was lost and all was in order."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.flights", description=__doc__)
    parser.add_argument("--week", action="store_true", help="send the packaged week only")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="when to kill")
    arguments = parser.parse_args()
    flights = None if arguments.week else whole_file()
    if flights is None:
        flights = week_of_flights()
        sys.stdout.write("sending the packaged week of flights\n")
    try:
        record = asyncio.run(run(flights, arguments.seed))
    except ChaosError as error:
        sys.stderr.write(f"seed {arguments.seed}: {error}\n")
        return 1
    sys.stdout.write("\n".join(record.lines()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
