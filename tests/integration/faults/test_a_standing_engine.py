"""An engine that stands still: producers wait within their window, consumers go on afterwards."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator

import pytest

from memphis import (
    Consumer,
    Memphis,
    MemphisError,
    MemphisNotConfirmedError,
    MemphisProduceError,
    Message,
    PendingProduce,
    Producer,
    ProduceResult,
)
from tests.fixtures.faults import standing_still
from tests.integration.sdk.helpers import SOON_S, group_info, numbers_of, read, until_settled
from tests.waiting import eventually

PAUSE_S = 10.0
WINDOW = 5000
"""What a producer has in flight where it set no limit."""
PAYLOAD_BYTES = 4096
PEAK_MAX = 2 * WINDOW * PAYLOAD_BYTES + 16 * 1024 * 1024
"""A window of frames, once more what of them lies in the socket's buffer, and what keeps account."""


@pytest.fixture
def traced() -> Iterator[None]:
    """Count the memory of this process's objects from here on."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


async def stored(client: Memphis, name: str) -> int:
    """How many messages the station holds."""
    return (await (await client.existing_station(name)).info()).messages


async def in_order(client: Memphis, name: str, count: int) -> list[int]:
    """The numbers of all messages of the station."""
    return numbers_of(await read(await client.consumer(name, "reader", batch_size=1000), count))


@pytest.mark.usefixtures("traced")
async def test_a_producer_waits_ten_seconds(own_broker, client, name):
    """A producer faster than an engine that stands still waits at its window, and nothing is lost."""
    count = 4 * WINDOW
    failures: list[MemphisError] = []
    producer = await client.producer(name, "p", on_error=failures.append)
    await producer.produce(b"the first")
    sent = 0

    async def produce() -> None:
        nonlocal sent
        for number in range(count):
            await producer.produce(b"%*d" % (PAYLOAD_BYTES, number), nonblocking=True)
            sent += 1

    before = tracemalloc.get_traced_memory()[0]
    async with standing_still(own_broker) as engine:
        producing = asyncio.create_task(produce())
        await eventually(lambda: producer.in_flight == WINDOW, SOON_S, "the window is full")
        tracemalloc.reset_peak()
        await engine.has_stood(PAUSE_S)
        peak = tracemalloc.get_traced_memory()[1]
        assert (sent, producer.in_flight) == (WINDOW, WINDOW)
        assert not producing.done()
    await producing
    await producer.flush()
    assert failures == []
    assert await stored(client, name) == count + 1
    assert peak - before < PEAK_MAX


async def test_deadlines_within_the_pause(own_broker, client, name):
    """Each message ends as not confirmed at its deadline; repeated with its id, it is there once."""
    count = 300
    await client.station(name)
    producer = await client.producer(name, "p")
    async with standing_still(own_broker):
        pending = [
            await producer.produce(str(n), nonblocking=True, ack_wait_sec=0.5, msg_id=f"id-{n}")
            for n in range(count)
        ]
        results = await asyncio.gather(*pending, return_exceptions=True)
        assert {type(result) for result in results} == {MemphisNotConfirmedError}
        assert producer.in_flight == 0
    # The engine has read what was sent, and stores it now or has stored it already.
    again = [
        await producer.produce(str(n), nonblocking=True, ack_wait_sec=60, msg_id=f"id-{n}")
        for n in range(count)
    ]
    repeated = await asyncio.gather(*again)
    assert [result.sequence for result in repeated] == list(range(1, count + 1))
    assert await in_order(client, name, count) == list(range(count))
    assert await stored(client, name) == count
    await producer.flush()


async def test_what_is_reported_is_what_is_stored(own_broker, client, name):
    """More than the sockets hold, cut off by deadlines: confirmed is stored, not sent is not."""
    producer = await client.producer(name, "p")
    pending: list[PendingProduce] = []

    async def produce(numbers: range) -> None:
        for number in numbers:
            payload = b"%d".ljust(8 * PAYLOAD_BYTES) % number
            pending.append(await producer.produce(payload, nonblocking=True, ack_wait_sec=1))

    await produce(range(100))
    await producer.flush()
    async with standing_still(own_broker):
        await produce(range(100, 1000))
        results = await asyncio.gather(*pending, return_exceptions=True)
        assert producer.in_flight == 0
    await produce(range(1000, 1100))
    results += await asyncio.gather(*pending[1000:], return_exceptions=True)
    kinds = {type(result) for result in results}
    assert kinds <= {ProduceResult, MemphisNotConfirmedError, MemphisProduceError}
    assert MemphisNotConfirmedError in kinds
    found = await in_order(client, name, await stored(client, name))
    by_kind = {
        kind: {n for n, result in enumerate(results) if type(result) is kind} for kind in kinds
    }
    assert len(found) == len(set(found))
    assert by_kind[ProduceResult] <= set(found) <= set(range(len(results)))
    assert not set(found) & by_kind.get(MemphisProduceError, set()), "said not to be stored"


async def test_memory_over_many_deadlines(own_broker, client, name):
    """Messages that ended at their deadline take no memory, however many there were."""
    window, count, payload_bytes = 100, 3000, 32 * 1024
    producer = await client.producer(name, "p", on_error=lambda _error: None)
    await producer.produce(b"the first")
    tracemalloc.start()
    try:
        async with standing_still(own_broker):
            for number in range(count):
                await producer.produce(
                    b"%*d" % (payload_bytes, number),
                    nonblocking=True,
                    ack_wait_sec=0.05,
                    concurrent_task_limit=window,
                )
            await producer.flush()
            held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # A window, and what the socket's buffer holds: far less than the 94 MiB of all of them.
    assert held < 4 * window * payload_bytes


class Seen:
    """The numbers that one way of consuming has acknowledged."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    async def take(self, message: Message) -> None:
        self.numbers.append(int(message.get_data()))
        await message.ack()

    async def handle(self, messages: list[Message], _error: object, _context: object) -> None:
        for message in messages:
            await self.take(message)

    async def iterate(self, consumer: Consumer) -> None:
        async for message in consumer:
            await self.take(message)

    async def fetch(self, consumer: Consumer, count: int) -> None:
        while len(set(self.numbers)) < count:
            for message in await consumer.fetch(100):
                await self.take(message)


async def test_consumers_through_ten_seconds(own_broker, client, name):
    """Three ways of consuming go on after the pause: all acknowledged, none lost."""
    count = 3000
    await client.station(name, partitions_number=2)
    producer = await client.producer(name, "p")
    options = {"pull_interval_ms": 0, "batch_size": 100, "max_msg_deliveries": 10}
    fetched, handled, iterated = Seen(), Seen(), Seen()
    fetching = await client.consumer(name, "fetch", **options)
    handling = await client.consumer(name, "handle", **options)
    # Its messages run out of their time during the pause, and come again after it.
    iterating = await client.consumer(name, "iterate", max_ack_time_ms=2000, **options)
    handling.consume(handled.handle)
    tasks = [
        asyncio.create_task(fetched.fetch(fetching, count)),
        asyncio.create_task(iterated.iterate(iterating)),
    ]
    await _produce(producer, range(1000))
    await eventually(lambda: all(s.numbers for s in (fetched, handled, iterated)), SOON_S)
    async with standing_still(own_broker) as engine:
        producing = asyncio.create_task(_produce(producer, range(1000, 2000)))
        await engine.has_stood(PAUSE_S)
    await producing
    await _produce(producer, range(2000, count))
    for seen in (fetched, handled, iterated):
        await eventually(lambda s=seen: len(set(s.numbers)) == count, SOON_S, "all have come")
    for group in ("fetch", "handle", "iterate"):
        await until_settled(client, name, group)
        assert await group_info(client, name, group)
    await iterating.stop()
    await handling.stop()
    await asyncio.gather(*tasks)


async def _produce(producer: Producer, numbers: range) -> None:
    for number in numbers:
        await producer.produce(str(number), nonblocking=True, ack_wait_sec=60)
    await producer.flush()
