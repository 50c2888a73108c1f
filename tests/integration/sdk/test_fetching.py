"""Fetching: full batches, fair partitions, bounded prefetch, and nothing lost by cancelling."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memphis import MemphisClosedError, MemphisNotFoundError, MemphisUsageError, Storage
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import (
    SOON_S,
    ack_all,
    fill,
    group_info,
    numbers_of,
    own_tasks,
    read,
)
from tests.waiting import eventually

LONG_MS = 60_000
"""A batch time or ack time that no test waits for."""


async def test_a_full_batch_does_not_wait(memphis, name):
    """The batch comes as soon as it is full, however long it might wait."""
    await fill(await memphis.producer(name, "p"), range(10))
    consumer = await memphis.consumer(name, "c", batch_max_time_to_wait_ms=LONG_MS)
    assert numbers_of(await consumer.fetch(6)) == [0, 1, 2, 3, 4, 5]
    assert numbers_of(await consumer.fetch(4)) == [6, 7, 8, 9]


async def test_a_batch_fills_while_it_waits(memphis, name):
    """Messages that are produced during the wait are part of the batch."""
    consumer = await memphis.consumer(name, "c", batch_max_time_to_wait_ms=LONG_MS)
    producer = await memphis.producer(name, "p")
    fetching = asyncio.create_task(consumer.fetch(3))
    for number in range(3):
        assert not fetching.done()
        await producer.produce(str(number))
    assert numbers_of(await fetching) == [0, 1, 2]


@pytest.mark.parametrize("partitions", [1, 3])
async def test_a_part_of_a_batch_after_the_wait(memphis, name, partitions):
    """When the time has passed, what is there comes."""
    await memphis.station(name, partitions_number=partitions)
    await fill(await memphis.producer(name, "p"), range(2))
    consumer = await memphis.consumer(name, "c", batch_max_time_to_wait_ms=100)
    assert sorted(numbers_of(await consumer.fetch(10))) == [0, 1]
    assert await consumer.fetch(10) == []


async def test_no_time_to_wait(memphis, name):
    """With 0 ms a fetch takes what is there and returns."""
    await memphis.station(name, partitions_number=2)
    consumer = await memphis.consumer(name, "c", batch_max_time_to_wait_ms=0)
    assert await consumer.fetch(10) == []
    await fill(await memphis.producer(name, "p"), range(4))
    assert sorted(numbers_of(await consumer.fetch(10))) == [0, 1, 2, 3]


@pytest.mark.parametrize("batch_size", [0, -1, 5001, 1.5, "10", True, None], ids=repr)
async def test_bad_batch_sizes(memphis, name, batch_size):
    """A batch has 1 to 5000 messages, in every call that takes its size."""
    consumer = await memphis.consumer(name, "c")
    for call in (
        consumer.fetch(batch_size),
        memphis.fetch_messages(name, "c", batch_size=batch_size),
        memphis.consumer(name, "d", batch_size=batch_size),
    ):
        with pytest.raises(MemphisUsageError):
            await call
    assert await group_info(memphis, name, "d") is None


async def test_the_largest_batch(memphis, name):
    """5000 messages come in one batch."""
    await memphis.station(name, storage_type=Storage.MEMORY, partitions_number=2)
    await fill(await memphis.producer(name, "p"), range(5001))
    consumer = await memphis.consumer(name, "c", batch_size=5000, batch_max_time_to_wait_ms=LONG_MS)
    assert len(await consumer.fetch(5000)) == 5000
    assert len(await consumer.fetch(1)) == 1


@pytest.mark.parametrize(
    "choice",
    [
        {"consumer_partition_key": "a", "consumer_partition_number": 1},
        {"consumer_partition_number": 0},
        {"consumer_partition_number": 3},
        {"consumer_partition_number": "1"},
        {"consumer_partition_key": 5},
    ],
    ids=repr,
)
async def test_bad_partition_choices(memphis, name, choice):
    """Both selectors, or one that selects nothing, are refused."""
    await memphis.station(name, partitions_number=2)
    consumer = await memphis.consumer(name, "c")
    with pytest.raises(MemphisUsageError):
        await consumer.fetch(1, **choice)
    with pytest.raises(MemphisUsageError):
        consumer.consume(print, **choice)
    with pytest.raises(MemphisUsageError):
        await memphis.fetch_messages(name, "c", **choice)


async def test_by_number_and_by_key(memphis, name):
    """A chosen partition is read alone; a key leads to where its messages are."""
    await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "p")
    for number in (1, 2, 3):
        await fill(producer, range(number * 10, number * 10 + 5), number)
    stored = await producer.produce("99", producer_partition_key="the key")
    consumer = await memphis.consumer(name, "c")
    by_number = await read(consumer, 5, consumer_partition_number=2)
    assert numbers_of(by_number) == [20, 21, 22, 23, 24]
    assert {message.partition for message in by_number} == {2}
    expected = 1 if stored.partition == 2 else 6
    by_key = await read(consumer, expected, consumer_partition_key="the key")
    assert numbers_of(by_key)[-1] == 99
    assert {message.partition for message in by_key} == {stored.partition}
    assert len(await read(consumer, 11 - expected)) == 11 - expected


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    placements=st.integers(1, 40).flatmap(
        lambda count: st.lists(st.integers(1, count), max_size=60).map(lambda p: (count, p))
    ),
    batches=st.lists(st.integers(1, 50), min_size=1, max_size=5),
    wait_ms=st.sampled_from([0, 1, 30]),
)
def test_never_empty_while_a_partition_has_a_message(broker, placements, batches, wait_ms):
    """Whatever lies where: a fetch is empty only if nothing is left, never too long, never doubled.

    Nor does the consumer hold more than it was asked for: a group's other members could starve.
    """
    count, partitions = placements

    async def run() -> None:
        async with await connect(broker) as memphis:
            station = await memphis.station(
                "placements", storage_type=Storage.MEMORY, partitions_number=count
            )
            producer = await memphis.producer("placements", "p")
            for number, partition in enumerate(partitions):
                await producer.produce(
                    str(number), nonblocking=True, producer_partition_number=partition
                )
            await producer.flush()
            consumer = await memphis.consumer(
                "placements", "c", batch_max_time_to_wait_ms=wait_ms, max_ack_time_ms=LONG_MS
            )
            found: list[int] = []
            turn = 0
            while len(found) < len(partitions):
                size = batches[turn % len(batches)]
                turn += 1
                messages = await consumer.fetch(size)
                assert 1 <= len(messages) <= size
                found += numbers_of(messages)
                [group] = (await station.info()).groups
                assert group.unacknowledged == len(found)
            assert sorted(found) == list(range(len(partitions)))
            assert await consumer.fetch(10) == []
            await station.destroy()

    asyncio.run(run())


async def test_a_batch_is_never_overdrawn(memphis, name):
    """One partition with much and one with little: what is taken from the group is the batch."""
    await memphis.station(name, partitions_number=2)
    producer = await memphis.producer(name, "p")
    await fill(producer, range(20), 1)
    await fill(producer, range(3), 2)
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=LONG_MS)
    assert len(await consumer.fetch(10)) == 10
    assert (await group_info(memphis, name, "c")).unacknowledged == 10


async def test_partitions_take_turns(memphis, name):
    """No partition starves behind a full one."""
    await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "p")
    for partition, count in ((1, 100), (2, 10), (3, 10)):
        await fill(producer, range(count), partition)
    consumer = await memphis.consumer(name, "c")
    seen: Counter[int] = Counter()
    for _ in range(6):
        messages = await consumer.fetch(9)
        await ack_all(messages)
        seen.update(message.partition for message in messages)
    assert seen[2] == seen[3] == 10


# Prefetch.


async def test_prefetch_is_bounded(memphis, name):
    """Never is more than one batch ahead, however often it is asked for."""
    await memphis.station(name, partitions_number=2)
    await fill(await memphis.producer(name, "p"), range(100))
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=LONG_MS)
    taken = 0
    for _ in range(4):
        taken += len(await consumer.fetch(10, prefetch=True))

        async def is_one_ahead(taken: int = taken) -> bool:
            group = await group_info(memphis, name, "c")
            assert group.unacknowledged <= taken + 10
            return group.unacknowledged == taken + 10

        await eventually(is_one_ahead)
    assert taken == 40
    for number in (1, 2):
        taken += len(await consumer.fetch(5, consumer_partition_number=number, prefetch=True))
        group = await group_info(memphis, name, "c")
        assert group.unacknowledged <= taken + 10


async def test_prefetched_messages_are_all_given(memphis, name):
    """What was fetched ahead comes with the next fetches, each message once, in order."""
    await fill(await memphis.producer(name, "p"), range(57))
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=LONG_MS)
    found: list[int] = []
    while len(found) < 57:
        messages = await consumer.fetch(10, prefetch=True)
        found += numbers_of(messages)
        await ack_all(messages)
    assert found == list(range(57))


async def test_prefetched_messages_of_another_partition_are_not_mixed_in(memphis, name):
    """A fetch by number gets that partition only, whatever lies ready from another."""
    await memphis.station(name, partitions_number=2)
    producer = await memphis.producer(name, "p")
    await fill(producer, range(10), 1)
    await fill(producer, range(10, 20), 2)
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=LONG_MS)
    await consumer.fetch(1, consumer_partition_number=1, prefetch=True)
    second = await consumer.fetch(10, consumer_partition_number=2)
    assert numbers_of(second) == list(range(10, 20))
    assert numbers_of(await read(consumer, 9)) == list(range(1, 10))


async def test_prefetched_messages_that_grow_old(memphis, name):
    """What lay ahead past its ack time is not given out as if it were still the consumer's."""
    await fill(await memphis.producer(name, "p"), range(4))
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=300, max_msg_deliveries=100)
    await ack_all(await consumer.fetch(2, prefetch=True))

    async def is_redelivered_elsewhere() -> bool:
        other = await memphis.consumer(
            name, "other", "c", max_ack_time_ms=300, max_msg_deliveries=100
        )
        messages = await other.fetch(2)
        await ack_all(messages)
        return len(messages) == 2

    await eventually(is_redelivered_elsewhere, SOON_S)
    assert await consumer.fetch(2) == []


# Cancelling, concurrency, the end.


async def test_a_cancelled_fetch_loses_nothing(memphis, name):
    """Cancelled at any moment, a fetch leaves its messages to the next one."""
    await memphis.station(name, partitions_number=2)
    await fill(await memphis.producer(name, "p"), range(200))
    consumer = await memphis.consumer(
        name, "c", batch_max_time_to_wait_ms=1000, max_ack_time_ms=LONG_MS
    )
    found: list[int] = []
    for turns in range(20):
        fetching = asyncio.create_task(consumer.fetch(10))
        for _ in range(turns):
            await asyncio.sleep(0)
        fetching.cancel()
        await asyncio.wait({fetching})
        if not fetching.cancelled():
            found += numbers_of(fetching.result())
    found += numbers_of(await read(consumer, 200 - len(found)))
    assert sorted(found) == list(range(200))


async def test_concurrent_fetches_take_turns(memphis, name):
    """Several tasks may fetch from one consumer; no message comes twice."""
    await fill(await memphis.producer(name, "p"), range(100))
    consumer = await memphis.consumer(name, "c", batch_max_time_to_wait_ms=LONG_MS)
    batches = await asyncio.gather(*(consumer.fetch(20) for _ in range(5)))
    assert sorted(n for batch in batches for n in numbers_of(batch)) == list(range(100))


async def test_the_station_goes_while_a_fetch_waits(broker, memphis, name):
    """A waiting fetch is told that the station is gone, long before its time is over."""
    consumer = await memphis.consumer(name, "c", batch_max_time_to_wait_ms=LONG_MS)
    fetching = asyncio.create_task(consumer.fetch(1))
    async with await connect(broker) as other:
        await (await other.existing_station(name)).destroy()
    with pytest.raises(MemphisNotFoundError):
        await asyncio.wait_for(fetching, SOON_S)
    await consumer.destroy()


async def test_destroy_ends_a_waiting_fetch(memphis, name):
    """It is told that the consumer was destroyed."""
    consumer = await memphis.consumer(name, "c", batch_max_time_to_wait_ms=LONG_MS)
    fetching = asyncio.create_task(consumer.fetch(1))
    await asyncio.sleep(0)
    await consumer.destroy()
    with pytest.raises(MemphisClosedError):
        await fetching


async def test_fetch_messages_makes_one_consumer(memphis, name):
    """The shorthand keeps its consumer, also when many tasks begin at the same time."""
    await fill(await memphis.producer(name, "p"), range(30))
    before = own_tasks()
    batches = await asyncio.gather(
        *(memphis.fetch_messages(name, "c", "g", batch_size=10) for _ in range(3))
    )
    assert sorted(n for batch in batches for n in numbers_of(batch)) == list(range(30))
    assert own_tasks() <= before
    assert len(memphis._users._consumers) == 1


async def test_fetch_messages_after_the_station_was_removed(memphis, name):
    """The shorthand begins anew at the station that has the name now, and only there."""
    await memphis.produce(name, "p", b"1")
    assert numbers_of(await memphis.fetch_messages(name, "c")) == [1]
    await (await memphis.existing_station(name)).destroy()
    await memphis.produce(name, "p", b"2")
    assert numbers_of(await memphis.fetch_messages(name, "c")) == [2]
    assert len(memphis._users._consumers) == 1


async def test_large_messages_in_large_batches(memphis, name):
    """More bytes than the engine holds for a connection come all the same, each once."""
    await memphis.station(name, partitions_number=2)
    producer = await memphis.producer(name, "p")
    for number in range(400):
        await producer.produce(b"%-262144d" % number, nonblocking=True)
    await producer.flush()
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=60_000)
    messages = await read(consumer, 400)
    assert sorted(numbers_of(messages)) == list(range(400))
    assert {message.delivery_count for message in messages} == {1}
    assert memphis._session.connection.statistics().reconnects == 0
