"""One piece of work at one point of growth, in a process of its own; prints one line of JSON.

benchmarks/growth.py starts it for every measurement. It imports the SDK and what is measured, no
more: nothing else belongs into its peak of memory.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Final, NamedTuple

from benchmarks.clients import BATCH
from benchmarks.connecting import connected
from benchmarks.process_memory import own_peak_mib
from memphis import Memphis, Producer

_LOOKS_MAX: Final = 50
_LISTS: Final = 5
_SILENCE_SECONDS: Final = 30.0


class Point(NamedTuple):
    """One place on the x axis."""

    x: int
    messages: int = 0
    size: int = 256
    partitions: int = 1
    producers: int = 1
    stations: int = 0
    """How many there are at the end; 0 where messages are measured."""
    stations_before: int = 0


async def produce(memphis: Memphis, station: str, point: Point) -> dict[str, float]:
    """All messages, from as many tasks as there are producers."""
    # A day, not the default hour: what the first slice stored must still be there at the last.
    await memphis.station(station, retention_value=86_400, partitions_number=point.partitions)
    producers = [
        await memphis.producer(station, f"producer-{number}") for number in range(point.producers)
    ]
    payload, share = b"0" * point.size, point.messages // point.producers

    async def one(producer: Producer) -> None:
        for _ in range(share):
            await producer.produce(payload, nonblocking=True)
        await producer.flush()

    before = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for producer in producers:
            group.create_task(one(producer))
    return _rate(share * point.producers, before)


async def fetch(memphis: Memphis, station: str, point: Point) -> dict[str, float]:
    """As many messages as were produced, each acknowledged."""
    consumer = await memphis.consumer(station, "reader", batch_size=BATCH, pull_interval_ms=0)
    done = 0
    before = last = time.perf_counter()
    while done < point.messages:
        # Never more than there is: a batch that cannot fill waits for its time to pass.
        for message in await consumer.fetch(min(BATCH, point.messages - done)):
            message.get_data()
            await message.ack()
            done += 1
            last = time.perf_counter()
        if time.perf_counter() - last > _SILENCE_SECONDS:
            raise TimeoutError(f"{station}: only {done} of {point.messages} messages came")
    return _rate(done, before)


async def manage(memphis: Memphis, station: str, point: Point) -> dict[str, float]:
    """Create stations, one after another, up to the point's number; list all, look at some."""
    before = time.perf_counter()
    for number in range(point.stations_before, point.stations):
        await memphis.station(f"{station}-{number}")
    created = time.perf_counter() - before

    lists = []
    for _ in range(_LISTS):
        before = time.perf_counter()
        found = len(await memphis.stations())
        lists.append(time.perf_counter() - before)

    looked = range(0, point.stations, max(1, point.stations // _LOOKS_MAX))
    handles = [await memphis.existing_station(f"{station}-{number}") for number in looked]
    before = time.perf_counter()
    for handle in handles:
        await handle.info()
    return {
        "stations": found,
        "created": point.stations - point.stations_before,
        "create_seconds": created / (point.stations - point.stations_before),
        "list_seconds": statistics.median(lists),
        "info_seconds": (time.perf_counter() - before) / len(handles),
    }


WORK: Final = {"produce": produce, "fetch": fetch, "manage": manage}


def _rate(messages: int, before: float) -> dict[str, float]:
    seconds = time.perf_counter() - before
    return {"messages": messages, "seconds": seconds, "rate": messages / seconds}


async def work(kind: str, port: int, station: str, point: Point) -> dict[str, float]:
    """Connect, do one piece of work, and say what it took; connecting is not part of it."""
    async with await connected(port) as memphis:
        found = await WORK[kind](memphis, station, point)
        if point.messages:
            info = await (await memphis.existing_station(station)).info()
            found["station_messages"] = info.messages
    return {**found, "memory_mib": own_peak_mib()}


def main(kind: str, port: str, station: str, point: str) -> None:
    """Do the work that the arguments name."""
    print(json.dumps(asyncio.run(work(kind, int(port), station, Point(**json.loads(point))))))


if __name__ == "__main__":
    main(*sys.argv[1:])
