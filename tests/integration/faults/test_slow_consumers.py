"""Consumers slower than their producer: a bounded lead is held for them, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from memphis import Memphis, Message, Producer
from tests.integration.sdk.helpers import SOON_S, group_info, until_settled
from tests.waiting import eventually

COUNT = 30_000
BATCH = 200
HELD_MAX = 5 * BATCH
"""What a consumer may have taken from its group and not acknowledged: a few batches, not a station."""
LEAD = 2
"""While messages are produced, so many times as many are there as were handled."""


class SlowReader:
    """Handles messages more slowly than they are produced, and notes how many are held for it."""

    def __init__(self, client: Memphis, station: str, group: str) -> None:
        self._client = client
        self._station = station
        self._group = group
        self.produced = 0
        self.numbers: list[int] = []
        self.held: list[int] = []

    async def handle(
        self, messages: list[Message], _error: object = None, _: object = None
    ) -> None:
        """Take a batch when the producer is far enough ahead."""
        for message in messages:
            self.numbers.append(int(message.get_data()))
        await eventually(self._is_far_behind, SOON_S, "the producer is faster")
        if self.is_sampling:
            group = await group_info(self._client, self._station, self._group)
            assert group is not None
            self.held.append(group.unacknowledged)
        for message in messages:
            await message.ack()

    @property
    def is_sampling(self) -> bool:
        """Whether it is time to ask the engine: for every fifth batch or so."""
        return len(self.numbers) >= 5 * BATCH * (len(self.held) + 1)

    def _is_far_behind(self) -> bool:
        return self.produced == COUNT or self.produced > LEAD * len(self.numbers)


async def _produce(producer: Producer, reader: SlowReader) -> None:
    for number in range(COUNT):
        await producer.produce(str(number), nonblocking=True, ack_wait_sec=60)
        reader.produced += 1
        if number % 100 == 0:
            await asyncio.sleep(0)
    await producer.flush()


@pytest.mark.parametrize("partitions", [1, 3])
async def test_a_slow_handler(memphis, name, partitions):
    """A few batches are held ahead of a slow handler; all messages reach it, once, in order."""
    await memphis.station(name, partitions_number=partitions)
    reader = SlowReader(memphis, name, "g")
    consumer = await memphis.consumer(name, "c", "g", pull_interval_ms=0, batch_size=BATCH)
    consumer.consume(reader.handle)
    await _produce(await memphis.producer(name, "p"), reader)
    await eventually(lambda: len(reader.numbers) >= COUNT, SOON_S, "all were handled")
    await until_settled(memphis, name, "g")
    await consumer.stop()
    assert sorted(reader.numbers) == list(range(COUNT))
    for first in range(partitions):
        of_partition = [n for n in reader.numbers if n % partitions == first]
        assert of_partition == sorted(of_partition)
    assert 0 < max(reader.held) <= HELD_MAX


async def test_a_slow_iteration(memphis, name):
    """A few batches are held ahead of a slow ``async for``; all messages come, once, in order."""
    reader = SlowReader(memphis, name, "g")
    producing = asyncio.create_task(_produce(await memphis.producer(name, "p"), reader))
    consumer = await memphis.consumer(name, "c", "g", batch_size=BATCH)
    async for message in consumer:
        await reader.handle([message])
        if len(reader.numbers) == COUNT:
            break
    await producing
    await until_settled(memphis, name, "g")
    assert reader.numbers == list(range(COUNT))
    assert 0 < max(reader.held) <= HELD_MAX


async def test_slow_fetches_ahead(memphis, name):
    """A slow caller that fetches ahead holds the batch in its hands and one more."""
    reader = SlowReader(memphis, name, "g")
    producing = asyncio.create_task(_produce(await memphis.producer(name, "p"), reader))
    consumer = await memphis.consumer(name, "c", "g")
    while len(reader.numbers) < COUNT:
        await reader.handle(await consumer.fetch(BATCH, prefetch=True))
    await producing
    await until_settled(memphis, name, "g")
    assert reader.numbers == list(range(COUNT))
    assert 0 < max(reader.held) <= 2 * BATCH
