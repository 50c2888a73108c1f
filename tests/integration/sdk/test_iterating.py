"""``async for message in consumer``."""

from __future__ import annotations

import asyncio
import time

import pytest

from memphis import MemphisClosedError, MemphisNotFoundError
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import SOON_S, fill, group_info, numbers_of, read
from tests.waiting import eventually


async def take(consumer, count: int) -> list[int]:
    """So many messages, one by one, acknowledged."""
    found: list[int] = []
    async for message in consumer:
        found += numbers_of([message])
        await message.ack()
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("partitions", [1, 3])
async def test_messages_one_by_one(memphis, name, partitions):
    """All come, those that are there and those that are produced later."""
    await memphis.station(name, partitions_number=partitions)
    producer = await memphis.producer(name, "p")
    await fill(producer, range(50))
    consumer = await memphis.consumer(name, "c")
    iterating = asyncio.create_task(take(consumer, 100))
    await fill(producer, range(50, 100))
    assert sorted(await asyncio.wait_for(iterating, SOON_S)) == list(range(100))


async def test_breaking_out_loses_nothing(memphis, name):
    """What had arrived beyond the break comes with the next loop or fetch, first and once."""
    await fill(await memphis.producer(name, "p"), range(30))
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=60_000)
    found = await take(consumer, 3)
    found += await take(consumer, 4)
    found += numbers_of(await read(consumer, 5))
    found += await take(consumer, 18)
    assert found == list(range(30))


async def test_never_more_than_a_batch_is_held(memphis, name):
    """A slow loop takes a batch from the group at most."""
    await fill(await memphis.producer(name, "p"), range(100))
    consumer = await memphis.consumer(name, "c", batch_size=10)
    async for message in consumer:
        await message.ack()
        if message.get_sequence_number() == 25:
            break
    group = await group_info(memphis, name, "c")
    assert group.unacknowledged <= 10
    assert group.pending >= 100 - 35


@pytest.mark.parametrize("how", ["stop", "destroy"])
async def test_ending_from_outside(memphis, name, how):
    """A waiting loop ends without an error when the consumer is stopped or destroyed."""
    consumer = await memphis.consumer(name, "c")
    iterating = asyncio.create_task(take(consumer, 1))
    partition = consumer._reader._partitions[1]
    await eventually(lambda: partition.outstanding and partition.until > time.monotonic() + 1)
    await getattr(consumer, how)()
    assert await iterating == []
    assert partition.until > time.monotonic(), "the loop did not wait for the end of the pull"


async def test_ending_from_inside(memphis, name):
    """Stop inside the loop ends it before the next message, which stays for later."""
    await fill(await memphis.producer(name, "p"), range(5))
    consumer = await memphis.consumer(name, "c")
    found: list[int] = []
    async for message in consumer:
        found += numbers_of([message])
        await message.ack()
        await consumer.stop()
    assert found == [0]
    assert await take(consumer, 4) == [1, 2, 3, 4]


async def test_pausing(memphis, name):
    """A paused loop gets nothing; stop ends it without giving it one more."""
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c")
    consumer.pause()
    iterating = asyncio.create_task(take(consumer, 3))
    await fill(producer, range(5))
    assert (await group_info(memphis, name, "c")).pending == 5
    consumer.resume()
    assert await asyncio.wait_for(iterating, SOON_S) == [0, 1, 2]
    consumer.pause()
    again = asyncio.create_task(take(consumer, 1))
    await asyncio.sleep(0)
    await consumer.stop()
    assert await again == []


async def test_cancelling_loses_nothing(memphis, name):
    """A loop that is cancelled while it waits leaves what arrives to the next."""
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=60_000)
    found: list[int] = []

    async def take_all() -> None:
        async for message in consumer:
            found.extend(numbers_of([message]))
            await message.ack()

    for number in range(20):
        iterating = asyncio.create_task(take_all())
        await asyncio.sleep(0)
        producing = asyncio.create_task(producer.produce(str(number)))
        for _ in range(number):
            await asyncio.sleep(0)
        iterating.cancel()
        await asyncio.wait({iterating})
        await producing
    found += numbers_of(await read(consumer, 20 - len(found))) if len(found) < 20 else []
    assert found == list(range(20))


async def test_the_station_is_removed(broker, memphis, name):
    """The loop raises that the station is gone."""
    consumer = await memphis.consumer(name, "c")
    iterating = asyncio.create_task(take(consumer, 1))
    await eventually(lambda: consumer._reader._partitions[1].outstanding)
    async with await connect(broker) as other:
        await (await other.existing_station(name)).destroy()
    with pytest.raises(MemphisNotFoundError):
        await asyncio.wait_for(iterating, SOON_S)


async def test_after_destroy(memphis, name):
    """A destroyed consumer cannot be iterated."""
    consumer = await memphis.consumer(name, "c")
    await consumer.destroy()
    with pytest.raises(MemphisClosedError):
        await take(consumer, 1)


async def test_taking_one_and_leaving_uses_up_nothing(broker, memphis, name):
    """A program that handles one message and ends, again and again, gets them one after another."""
    await fill(await memphis.producer(name, "p"), range(12))
    found: list[int] = []
    for _ in range(4):
        async with await connect(broker) as connection:
            found += await take(await connection.consumer(name, "c"), 1)
    assert found == [0, 1, 2, 3]


async def test_what_waits_for_its_turn_stays_ours(memphis, name):
    """A slow step lasts several ack times; what was fetched ahead is neither lost nor redelivered."""
    await fill(await memphis.producer(name, "p"), range(40))
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=500, max_msg_deliveries=1)
    found = await take(consumer, 20)
    assert consumer._reader.buffered > 0
    slow_until = time.monotonic() + 1.6
    await eventually(lambda: time.monotonic() > slow_until)
    found += await take(consumer, 20)
    assert found == list(range(40))
