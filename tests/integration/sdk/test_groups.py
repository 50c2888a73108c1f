"""Consumer groups: where they begin, what members share, and when they end."""

from __future__ import annotations

import asyncio

import pytest

from memphis import MemphisClosedError, MemphisUsageError, Storage
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import (
    SOON_S,
    ack_all,
    fill,
    group_info,
    numbers_of,
    read,
)
from tests.waiting import eventually


async def test_a_missing_station_is_created(memphis, name):
    """Consuming from no station makes one with the defaults."""
    consumer = await memphis.consumer(name.upper(), "C")
    assert (consumer.station_name, consumer.consumer_name) == (name, "c")
    assert (await memphis.existing_station(name)).options.retention_value == 3600


async def test_the_group_defaults_to_the_consumers_name(memphis, name):
    """Without a group a consumer is alone in one of its own name."""
    consumer = await memphis.consumer(name, "Some.One")
    assert consumer.consumer_group == "some.one"
    assert await group_info(memphis, name, "some.one")


async def test_two_groups_both_see_all(memphis, name):
    """Every group gets every message."""
    await memphis.station(name, partitions_number=2)
    groups = [await memphis.consumer(name, "c", group) for group in ("one", "two")]
    await fill(await memphis.producer(name, "p"), range(20))
    for consumer in groups:
        assert sorted(numbers_of(await read(consumer, 20))) == list(range(20))


async def test_two_members_share(broker, memphis, name):
    """Within a group each message goes to one member, wherever the members are."""
    await memphis.station(name, partitions_number=2)
    async with await connect(broker) as elsewhere:
        here = await memphis.consumer(name, "here", "g")
        there = await elsewhere.consumer(name, "there", "g")
        await fill(await memphis.producer(name, "p"), range(100))
        found: dict[str, list[int]] = {"here": [], "there": []}
        while sum(map(len, found.values())) < 100:
            for consumer in (here, there):
                messages = await consumer.fetch(5)
                await ack_all(messages)
                found[consumer.consumer_name] += numbers_of(messages)
        assert all(len(numbers) >= 40 for numbers in found.values())
        assert sorted(found["here"] + found["there"]) == list(range(100))


async def test_an_existing_group_keeps_its_position(broker, memphis, name):
    """Whoever joins later goes on where the group is, whatever start is given."""
    await fill(await memphis.producer(name, "p"), range(10))
    await read(await memphis.consumer(name, "first", "g"), 4)
    for start in ({"start_consume_from_sequence": 9}, {"last_messages": 1}, {"last_messages": 0}):
        async with await connect(broker) as other:
            consumer = await other.consumer(name, "other", "g", **start)
            group = await group_info(memphis, name, "g")
            assert group.pending + group.unacknowledged == 6
            del consumer
    assert numbers_of(await read(await memphis.consumer(name, "again", "g"), 6)) == [
        4,
        5,
        6,
        7,
        8,
        9,
    ]


# Where a new group begins.


@pytest.mark.parametrize(("start", "expected"), [(1, 10), (4, 7), (10, 1), (11, 0), (1000, 0)])
async def test_from_a_sequence(memphis, name, start, expected):
    """A new group begins at that sequence, in every partition; beyond the end it waits for it."""
    await memphis.station(name, partitions_number=2)
    producer = await memphis.producer(name, "p")
    for partition in (1, 2):
        await fill(producer, range(1, 11), partition)
    consumer = await memphis.consumer(name, "c", start_consume_from_sequence=start)
    assert (await group_info(memphis, name, "c")).pending == 2 * expected
    found = numbers_of(await read(consumer, 2 * expected)) if expected else []
    assert sorted(found) == sorted([*range(start, 11), *range(start, 11)])


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("last", [1, 7, 40, 1000])
async def test_the_newest_messages(memphis, name, partitions, last):
    """A new group begins with so many of the station's newest, over all partitions together."""
    await memphis.station(name, partitions_number=partitions)
    producer = await memphis.producer(name, "p")
    for number in range(40):
        # One at a time, so that the order of the messages is that of their times.
        await producer.produce(str(number))
    consumer = await memphis.consumer(name, "c", last_messages=last)
    count = min(last, 40)
    assert sorted(numbers_of(await read(consumer, count))) == list(range(40 - count, 40))
    assert await consumer.fetch(1) == []


@pytest.mark.parametrize("partitions", [1, 3])
async def test_the_newest_of_uneven_partitions(memphis, name, partitions):
    """It is the newest that count, not an equal share of each partition."""
    await memphis.station(name, partitions_number=partitions)
    producer = await memphis.producer(name, "p")
    for number in range(30):
        await producer.produce(str(number), producer_partition_number=1)
    consumer = await memphis.consumer(name, "c", last_messages=10)
    assert numbers_of(await read(consumer, 10)) == list(range(20, 30))


@pytest.mark.parametrize("partitions", [1, 3])
async def test_only_new_messages(memphis, name, partitions):
    """With 0 a new group begins with what comes after it, in every partition."""
    await memphis.station(name, partitions_number=partitions)
    producer = await memphis.producer(name, "p")
    await fill(producer, range(10))
    consumer = await memphis.consumer(name, "c", last_messages=0)
    assert await consumer.fetch(10) == []
    await fill(producer, range(10, 20))
    assert sorted(numbers_of(await read(consumer, 10))) == list(range(10, 20))


@pytest.mark.parametrize("partitions", [1, 3])
async def test_all_messages(memphis, name, partitions):
    """With -1, the default, it begins with the oldest that is there."""
    await memphis.station(name, partitions_number=partitions)
    await fill(await memphis.producer(name, "p"), range(10))
    consumer = await memphis.consumer(name, "c", last_messages=-1)
    assert sorted(numbers_of(await read(consumer, 10))) == list(range(10))


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_consume_from_sequence": 0},
        {"start_consume_from_sequence": -5},
        {"start_consume_from_sequence": 1.5},
        {"last_messages": -2},
        {"last_messages": "3"},
        {"start_consume_from_sequence": 2, "last_messages": 3},
        {"max_ack_time_ms": 0},
        {"max_ack_time_ms": "30000"},
        {"max_ack_time_ms": 86_400_001},
        {"max_msg_deliveries": 1_000_001},
        {"start_consume_from_sequence": 2**63},
        {"last_messages": 2**63},
        {"max_msg_deliveries": 0},
        {"max_msg_deliveries": True},
        {"pull_interval_ms": -1},
        {"pull_interval_ms": None},
        {"batch_max_time_to_wait_ms": -1},
        {"consumer_group": "not a name"},
        {"timeout_retries": -1},
    ],
    ids=repr,
)
async def test_bad_arguments(memphis, name, wrong):
    """Each is refused, and no group is made."""
    station = await memphis.station(name, storage_type=Storage.MEMORY)
    with pytest.raises(MemphisUsageError):
        await memphis.consumer(name, "c", **wrong)
    assert (await station.info()).groups == []


async def test_redelivery_after_the_ack_time(memphis, name):
    """What a member does not acknowledge in time goes to whoever asks next, counted."""
    await fill(await memphis.producer(name, "p"), range(1))
    one = await memphis.consumer(name, "one", "g", max_ack_time_ms=200)
    [first] = await read_unsettled(one)
    other = await memphis.consumer(name, "other", "g", max_ack_time_ms=200)
    [again] = await read_unsettled(other)
    assert (first.delivery_count, again.delivery_count) == (1, 2)
    assert again.get_sequence_number() == first.get_sequence_number() == 1


async def read_unsettled(consumer) -> list:
    return await eventually(lambda: consumer.fetch(1), SOON_S)


# The end of a group.


async def test_a_group_ends_with_its_last_member(broker, memphis, name):
    """While one member is left, here or elsewhere, the group stays with its position."""
    await fill(await memphis.producer(name, "p"), range(10))
    async with await connect(broker) as elsewhere:
        one = await memphis.consumer(name, "one", "g")
        two = await memphis.consumer(name, "two", "g")
        three = await elsewhere.consumer(name, "three", "g")
        await read(one, 4)
        await one.destroy()
        await two.destroy()
        assert numbers_of(await read(three, 2)) == [4, 5]
        assert await group_info(memphis, name, "g")
        await three.destroy()
        assert await group_info(memphis, name, "g") is None
    again = await memphis.consumer(name, "one", "g")
    assert numbers_of(await read(again, 10)) == list(range(10))


async def test_all_members_leave_at_once(memphis, name):
    """Members that are destroyed at the same time leave no group behind, and none raises."""
    members = [await memphis.consumer(name, f"m{number}", "g") for number in range(5)]
    await asyncio.gather(*(member.destroy() for member in members))
    assert await group_info(memphis, name, "g") is None


async def test_closing_is_not_leaving(broker, memphis, name):
    """A group whose members' connections were closed keeps its position."""
    await fill(await memphis.producer(name, "p"), range(10))
    async with await connect(broker) as closing:
        await read(await closing.consumer(name, "c", "g"), 4)
    assert await group_info(memphis, name, "g")


async def test_a_destroyed_consumer(memphis, name):
    """It refuses everything but a second destroy and a stop."""
    consumer = await memphis.consumer(name, "c")
    await consumer.destroy()
    await consumer.destroy()
    await consumer.stop()
    with pytest.raises(MemphisClosedError):
        await consumer.fetch(1)
    with pytest.raises(MemphisClosedError):
        consumer.consume(print)


async def test_a_random_suffix(memphis, name):
    """The deprecated option gives different names, with a warning, and destroy works."""
    with pytest.warns(DeprecationWarning, match="generate_random_suffix"):
        consumers = [
            await memphis.consumer(name, "c", generate_random_suffix=True) for _ in range(2)
        ]
    groups = {consumer.consumer_group for consumer in consumers}
    assert len(groups) == 2
    for consumer in consumers:
        await consumer.destroy()
    assert (await (await memphis.existing_station(name)).info()).groups == []


async def test_what_was_fetched_ahead_goes_back_at_destroy(memphis, name):
    """A member that leaves does not take with it what it held ahead."""
    await fill(await memphis.producer(name, "p"), range(10))
    leaving = await memphis.consumer(name, "l", "g", max_ack_time_ms=600_000)
    staying = await memphis.consumer(name, "s", "g", max_ack_time_ms=600_000)
    await ack_all(await leaving.fetch(5, prefetch=True))

    async def is_ahead() -> bool:
        return (await group_info(memphis, name, "g")).pending == 0

    await eventually(is_ahead, SOON_S)
    await leaving.destroy()
    assert numbers_of(await read(staying, 5)) == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("how", ["destroy", "stop", "close"])
async def test_who_leaves_uses_up_no_deliveries(broker, memphis, name, how):
    """A member that ends while it waits for messages does not get what comes after that.

    Nor does what it gives back come to itself again: a message with two deliveries would be gone.
    """
    await fill(await memphis.producer(name, "p"), range(4))
    staying = await memphis.consumer(name, "s", "g", max_ack_time_ms=600_000)
    connection = await connect(broker)
    leaving = await connection.consumer(
        name, "l", "g", max_ack_time_ms=600_000, batch_max_time_to_wait_ms=600_000
    )
    fetching = asyncio.create_task(leaving.fetch(10))

    async def are_held() -> bool:
        return (await group_info(memphis, name, "g")).unacknowledged == 4

    await eventually(are_held, SOON_S)
    await (connection.close() if how == "close" else getattr(leaving, how)())
    await asyncio.wait({fetching})
    await fill(await memphis.producer(name, "p"), range(4, 8))
    if how == "stop":
        assert numbers_of(fetching.result()) == [0, 1, 2, 3]
        assert numbers_of(await read(staying, 4)) == [4, 5, 6, 7]
    else:
        assert sorted(numbers_of(await read(staying, 8))) == list(range(8))
    await connection.close()
