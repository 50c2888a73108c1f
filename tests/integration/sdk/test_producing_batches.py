"""Batches: many messages with one call, each for itself or all together."""

from __future__ import annotations

import asyncio

import pytest

from memphis import (
    BatchMessage,
    MemphisBatchError,
    MemphisClosedError,
    MemphisHeaderError,
    MemphisNotConfirmedError,
    MemphisNotFoundError,
    MemphisProduceError,
    MemphisTimeoutError,
    MemphisUsageError,
    ProduceResult,
)
from memphis.transport.atomic import BATCH_MAX
from memphis_broker.testing import BrokerProcess
from tests.fixtures.faults import standing_still
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import numbers_of, read
from tests.waiting import eventually


async def stored(memphis, name) -> int:
    """Messages in all partitions of the station."""
    info = await (await memphis.existing_station(name)).info()
    return sum(partition.messages for partition in info.partitions)


async def test_every_message_has_its_result(memphis, name):
    """Results come in the order of the messages, and say where each is."""
    await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "p")
    results = await producer.produce_batch(str(number) for number in range(7000))
    assert [result.partition for result in results] == [1 + n % 3 for n in range(7000)]
    assert [result.sequence for result in results] == [1 + n // 3 for n in range(7000)]
    consumer = await memphis.consumer(name, "c")
    assert sorted(numbers_of(await read(consumer, 7000))) == list(range(7000))


async def test_messages_with_more_than_content(memphis, name):
    """Headers, ids and partitions are each message's own; the batch's partition is for the others."""
    await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "p")
    batch = [
        {"json": 1},
        BatchMessage(message="two", headers={"own": "header"}),
        BatchMessage(message="three", partition_number=3),
        BatchMessage(message="four", msg_id="4"),
        BatchMessage(message="four", msg_id="4"),
    ]
    results = await producer.produce_batch(batch, producer_partition_number=2)
    assert [(r.partition, r.sequence, r.duplicate) for r in results] == [
        (2, 1, False), (2, 2, False), (3, 1, False), (2, 3, False), (2, 3, True)
    ]  # fmt: skip
    messages = await read(await memphis.consumer(name, "c"), 4)
    by_data = {bytes(message.get_data()): message for message in messages}
    assert by_data[b"two"].get_headers()["own"] == "header"
    assert b'{"json":1}' in by_data


async def test_nothing_to_do(memphis, name):
    """An empty batch is no error, together or not."""
    producer = await memphis.producer(name, "p")
    assert await producer.produce_batch([]) == []
    assert await producer.produce_batch([], atomic=True) == []


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize(
    ("batch", "kind", "words"),
    [
        (["good", object()], MemphisUsageError, "message 1 of the batch"),
        ([BatchMessage(message="x", headers={"a b": ""})], MemphisHeaderError, "message 0"),
        (["x", BatchMessage(message="x", partition_number=9)], MemphisUsageError, "partition 9"),
        ([BatchMessage(message="x", msg_id=" ")], MemphisUsageError, "message 0"),
        (b"bytes", MemphisUsageError, "not one bytes"),
        ("text", MemphisUsageError, "not one str"),
        (5, MemphisUsageError, "not one int"),
        ([BatchMessage(message="x", msg_id=0)], MemphisUsageError, "message 0"),
    ],
)
async def test_bad_messages_change_nothing(memphis, name, atomic, batch, kind, words):
    """All are looked at before any is sent, and the error says which is wrong."""
    producer = await memphis.producer(name, "p")
    with pytest.raises(kind, match=words):
        await producer.produce_batch(batch, atomic=atomic)
    assert await stored(memphis, name) == 0


async def test_other_bad_calls(memphis, name):
    """A batch for several stations, after destroy, with a bad wait or partition."""
    several = await memphis.producer([f"{name}-1", f"{name}-2"], "p")
    with pytest.raises(MemphisUsageError, match="one station"):
        await several.produce_batch(["x"])
    producer = await memphis.producer(name, "p")
    with pytest.raises(MemphisUsageError):
        await producer.produce_batch(["x"], ack_wait_sec=0)
    with pytest.raises(MemphisUsageError):
        await producer.produce_batch(["x"], producer_partition_number=2)
    await producer.destroy()
    with pytest.raises(MemphisClosedError):
        await producer.produce_batch(["x"])


async def test_some_fail(memphis, name):
    """The error has the result of every message, those that are stored included."""
    await memphis.station(name)
    producer = await memphis.producer(name, "p")
    too_large = bytes(8 * 1024 * 1024)
    with pytest.raises(MemphisBatchError, match="1 of 3") as failed:
        await producer.produce_batch([b"a", too_large, b"b"])
    first, second, third = failed.value.results
    assert (first, third) == (ProduceResult(name, 1, 1, False), ProduceResult(name, 1, 2, False))
    assert isinstance(second, MemphisProduceError)
    await producer.flush()  # nothing is left to tell


async def test_deadlines(broker, memphis, name):
    """Without answers the call ends at the deadline, with an error for every message."""
    producer = await memphis.producer(name, "p")
    async with standing_still(broker):
        with pytest.raises(MemphisBatchError) as failed:
            await producer.produce_batch([b"a", b"b"], ack_wait_sec=0.1)
    assert {type(r) for r in failed.value.results} == {MemphisNotConfirmedError}


# Together.


async def test_together(memphis, name):
    """One partition, one right after another, also with other producers at work."""
    await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "p")

    async def disturb() -> None:
        for _ in range(200):
            await producer.produce(b"x", producer_partition_number=2, nonblocking=True)
            await asyncio.sleep(0)
        await producer.flush()

    batches = [
        producer.produce_batch(
            [b"%d" % n for n in range(50)], atomic=True, producer_partition_number=2
        )
        for _ in range(5)
    ]
    *found, _ = await asyncio.gather(*batches, disturb())
    for results in found:
        first = results[0].sequence
        assert results == [ProduceResult(name, 2, first + n, False) for n in range(50)]
    messages = await read(await memphis.consumer(name, "c"), 450)
    data = {m.get_sequence_number(): bytes(m.get_data()) for m in messages}
    for results in found:
        assert [data[result.sequence] for result in results] == [b"%d" % n for n in range(50)]


@pytest.mark.parametrize("count", [1, 2, BATCH_MAX])
async def test_every_size(memphis, name, count):
    """From one message to the engine's limit, with headers that consumers see."""
    producer = await memphis.producer(name, "p")
    batch = [BatchMessage(message=str(n), headers={"number": str(n)}) for n in range(count)]
    results = await producer.produce_batch(batch, atomic=True)
    assert [result.sequence for result in results] == list(range(1, count + 1))
    messages = await read(await memphis.consumer(name, "c"), count)
    assert numbers_of(messages) == list(range(count))
    assert [m.get_headers()["number"] for m in messages] == [str(n) for n in range(count)]


async def test_several_megabytes_together(memphis, name):
    """More than the connection buffers goes through piece by piece."""
    producer = await memphis.producer(name, "p")
    results = await producer.produce_batch([bytes(200_000)] * 100, atomic=True)
    assert len(results) == 100
    assert await stored(memphis, name) == 100


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ([b"x"] * (BATCH_MAX + 1), "at most 1000"),
        ([bytes(1_000_000)] * 70, "67108864 bytes"),
        ([b"x", BatchMessage(message="x", partition_key="own")], "one partition"),
    ],
)
async def test_what_cannot_be_one_batch(memphis, name, batch, words):
    """It is refused before anything is sent, and says what to do."""
    producer = await memphis.producer(name, "p")
    with pytest.raises(MemphisUsageError, match=words):
        await producer.produce_batch(batch, atomic=True)
    assert await stored(memphis, name) == 0


async def test_an_id_that_is_known_refuses_all(memphis, name):
    """One duplicate and nothing of the batch is stored; the error has the engine's number."""
    producer = await memphis.producer(name, "p")
    await producer.produce(b"before", msg_id="7")
    with pytest.raises(MemphisProduceError) as failed:
        await producer.produce_batch(
            [b"a", BatchMessage(message=b"b", msg_id="7"), b"c"], atomic=True
        )
    assert not isinstance(failed.value, MemphisNotConfirmedError)
    assert failed.value.code == 10201
    assert await stored(memphis, name) == 1


async def test_one_too_large_refuses_all(memphis, name):
    """A message larger than the engine takes is found before anything is sent."""
    producer = await memphis.producer(name, "p")
    with pytest.raises(MemphisProduceError, match="message 1") as failed:
        await producer.produce_batch([b"a", bytes(8 * 1024 * 1024), b"c"], atomic=True)
    assert failed.value.code == 10054
    assert await stored(memphis, name) == 0


async def test_an_engine_that_does_not_answer(broker, memphis, name):
    """Before the commit nothing is stored, and the error says so for certain."""
    producer = await memphis.producer(name, "p")
    async with standing_still(broker):
        with pytest.raises(MemphisProduceError, match="nothing of the batch") as failed:
            await producer.produce_batch([b"a", b"b"], atomic=True, ack_wait_sec=0.1)
    assert not isinstance(failed.value, MemphisNotConfirmedError)
    await producer.produce(b"after")
    assert await stored(memphis, name) == 1


async def test_killed_at_any_moment(fresh_broker: BrokerProcess):
    """The broker dies while batches are under way: each is whole in the station, or not there."""
    async with await connect(fresh_broker) as memphis:
        producer = await memphis.producer("s", "p")
        confirmed: set[int] = set()
        unknown: set[int] = set()

        async def produce(number: int) -> None:
            try:
                await producer.produce_batch([b"%d" % number] * 20, atomic=True, ack_wait_sec=10)
                confirmed.add(number)
            except MemphisNotConfirmedError:
                unknown.add(number)
            except MemphisProduceError:
                pass

        producing = [asyncio.create_task(produce(number)) for number in range(40)]
        await eventually(lambda: confirmed)
        await asyncio.to_thread(fresh_broker.kill)
        await asyncio.to_thread(fresh_broker.start)
        await asyncio.wait(producing)
        await eventually(memphis.is_connected)
        count = await stored(memphis, "s")
        consumer = await memphis.consumer("s", "c")
        numbers = numbers_of(await read(consumer, count)) if count else []
        batches = [numbers[start : start + 20] for start in range(0, count, 20)]
        assert all(len(batch) == 20 and len(set(batch)) == 1 for batch in batches)
        there = {batch[0] for batch in batches}
        assert confirmed <= there <= confirmed | unknown


async def test_a_station_that_is_gone(memphis, name):
    """After its removal the error is the station's."""
    producer = await memphis.producer(name, "p")
    await (await memphis.existing_station(name)).destroy()
    for atomic in (False, True):
        with pytest.raises(MemphisNotFoundError):
            await producer.produce_batch([b"a", b"b"], atomic=atomic)


@pytest.mark.parametrize("count", [1, 2])
async def test_unknown_is_told_from_not_stored(memphis, name, monkeypatch, count):
    """A commit that is not answered leaves all or nothing, and the error says so."""
    producer = await memphis.producer(name, "p")
    connection = memphis._session.connection
    request = connection.request

    async def lose_the_answer(subject, payload, *, timeout_s, header=b""):
        reply = await request(subject, payload, timeout_s=timeout_s, header=header)
        if b"Nats-Batch-Commit" in header:
            raise MemphisTimeoutError("the answer was lost")
        return reply

    monkeypatch.setattr(connection, "request", lose_the_answer)
    with pytest.raises(MemphisNotConfirmedError):
        await producer.produce_batch([b"x"] * count, atomic=True)
    assert await stored(memphis, name) == count


async def test_destroy_waits_for_a_batch(broker, name):
    """What is under way when the producer ends is finished first."""
    async with await connect(broker) as memphis:
        producer = await memphis.producer(name, "p")
        batch = asyncio.create_task(producer.produce_batch([b"x"] * 500, atomic=True))
        await eventually(lambda: producer.in_flight)
        await producer.destroy()
        assert producer.in_flight == 0
        assert len(await batch) == 500
