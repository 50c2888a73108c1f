"""One producer for several stations: every option counts for each, and parts may fail."""

from __future__ import annotations

import asyncio

import pytest

from memphis import (
    MemphisNotFoundError,
    MemphisPartlyProducedError,
    MemphisUsageError,
    PendingProduce,
)
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import numbers_of, read
from tests.waiting import eventually


@pytest.fixture
async def names(memphis, name) -> list[str]:
    """Three stations with three partitions each."""
    made = [f"{name}.{suffix}" for suffix in "abc"]
    for one in made:
        await memphis.station(one, partitions_number=3)
    return made


async def test_each_gets_the_message(memphis, names):
    """A message goes to every station, with a result for each in their order."""
    producer = await memphis.producer(names, "p")
    assert producer.station_name == names
    results = await producer.produce(b"7", headers={"k": "v"}, ack_wait_sec=10)
    assert [result.station for result in results] == names
    for one in names:
        [message] = await read(await memphis.consumer(one, "c"), 1)
        assert numbers_of([message]) == [7]
        assert message.get_headers()["k"] == "v"


@pytest.mark.parametrize(
    ("option", "partition"),
    [
        ({"producer_partition_number": 2}, 2),
        ({"producer_partition_key": "a"}, 3387765255 % 3 + 1),
        ({"msg_id": "b"}, 279955767 % 3 + 1),
    ],
    ids=repr,
)
async def test_every_option_is_applied_to_each(memphis, names, option, partition):
    """Key, number and id decide in each station; nonblocking gives a result for each."""
    producer = await memphis.producer(names, "p")
    pending = await producer.produce(
        b"", nonblocking=True, concurrent_task_limit=2, headers={"k": "v"}, **option
    )
    assert all(isinstance(one, PendingProduce) for one in pending)
    results = await asyncio.gather(*pending)
    assert [result.partition for result in results] == [partition] * 3
    again = await producer.produce(b"", **option)
    assert [result.duplicate for result in again] == ["msg_id" in option] * 3


async def test_the_bound_counts_for_each(memphis, names):
    """No station ever has more in flight than the limit."""
    producer = await memphis.producer(names, "p")
    most = 0
    for _ in range(100):
        await producer.produce(b"", nonblocking=True, concurrent_task_limit=4)
        most = max(most, *(sender.in_flight for sender in producer._senders))
    await producer.flush()
    assert most <= 4


async def test_one_is_gone(broker, memphis, names):
    """The others store the message; the error says who did and who did not."""
    producer = await memphis.producer(names, "p")
    await (await memphis.existing_station(names[1])).destroy()
    with pytest.raises(MemphisPartlyProducedError) as partly:
        await producer.produce(b"")
    results = partly.value.results
    assert list(results) == names
    assert results[names[0]].sequence == 1
    assert isinstance(results[names[1]], MemphisNotFoundError)
    assert results[names[2]].sequence == 1


async def test_one_is_gone_nonblocking(memphis, names):
    """Each pending result tells of its own station; the failure does not vanish."""
    failures: list[Exception] = []
    producer = await memphis.producer(names, "p", on_error=failures.append)
    await (await memphis.existing_station(names[1])).destroy()
    pending = await producer.produce(b"", nonblocking=True)
    assert (await pending[0]).sequence == (await pending[2]).sequence == 1
    with pytest.raises(MemphisNotFoundError):
        await pending[1]
    assert len(failures) == 1
    silent = await memphis.producer([names[0], names[2]], "p")
    await (await memphis.existing_station(names[2])).destroy()
    await silent.produce(b"", nonblocking=True)
    with pytest.raises(MemphisNotFoundError):
        await silent.flush()


async def test_all_are_gone(broker, memphis, names):
    """If none stored it, that is no partial success."""
    producer = await memphis.producer(names, "p")
    async with await connect(broker) as other:
        for one in names:
            await (await other.existing_station(one)).destroy()
    await eventually(lambda: all(sender.station_removed for sender in producer._senders))
    with pytest.raises(MemphisNotFoundError):
        await producer.produce(b"")


async def test_a_bad_argument_sends_nothing(memphis, name, names):
    """A number that one of the stations does not have is refused before the others get anything."""
    await memphis.station(name, partitions_number=1)
    producer = await memphis.producer([names[0], name], "p")
    with pytest.raises(MemphisUsageError):
        await producer.produce(b"", producer_partition_number=3)
    assert (await (await memphis.existing_station(names[0])).info()).messages == 0


@pytest.mark.parametrize("bad", [[], ["a", "A"], ["a", "not a name"], 5, None], ids=repr)
async def test_bad_lists(memphis, bad):
    """No station, the same one twice, a bad name or no list at all: refused."""
    with pytest.raises(MemphisUsageError):
        await memphis.producer(bad, "p")
    with pytest.raises(MemphisUsageError):
        await memphis.produce(bad, "p", b"")


async def test_destroy(memphis, names):
    """The producer ends for all its stations at once."""
    producer = await memphis.producer(names, "p")
    pending = await producer.produce(b"", nonblocking=True)
    await producer.destroy()
    assert all(one.done() for one in pending)
    with pytest.raises(MemphisUsageError):
        await producer.produce(b"")
