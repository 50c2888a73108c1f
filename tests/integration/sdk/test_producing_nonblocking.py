"""Producing without waiting: bounds, order, fairness, and failures that cannot vanish."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter

import pytest

from memphis import (
    MemphisClosedError,
    MemphisNotConfirmedError,
    MemphisProduceError,
    PendingProduce,
)
from tests.fixtures.faults import standing_still
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import SOON_S, numbers_of, produce_too_late, read
from tests.waiting import eventually


async def test_it_returns_before_the_confirmation(memphis, name):
    """The result is there at once, and done later."""
    producer = await memphis.producer(name, "p")
    pending = await producer.produce(b"", nonblocking=True)
    assert isinstance(pending, PendingProduce)
    assert not pending.done()
    assert producer.in_flight == 1
    assert (await pending).sequence == 1
    await producer.flush()
    assert producer.in_flight == 0


@pytest.mark.parametrize("flag", ["nonblocking", "async_produce"])
async def test_both_names_of_the_flag(memphis, name, flag):
    """The original's older name means the same."""
    assert isinstance(await memphis.produce(name, "p", b"", **{flag: True}), PendingProduce)


@pytest.mark.parametrize("limit", ["concurrent_task_limit", "limit_concurrent_tasks"])
async def test_never_more_in_flight_than_allowed(memphis, name, limit):
    """The bound holds at every moment, and everything is stored."""
    producer = await memphis.producer(name, "p")
    most = 0

    async def produce(numbers: range) -> None:
        nonlocal most
        for number in numbers:
            await producer.produce(str(number), nonblocking=True, **{limit: 7})
            most = max(most, producer.in_flight)

    await asyncio.gather(*(produce(range(start, start + 50)) for start in range(0, 500, 50)))
    await producer.flush()
    assert most == 7
    assert (await (await memphis.existing_station(name)).info()).messages == 500


async def test_the_default_bound(memphis, name):
    """Without a limit of one's own there is one all the same."""
    producer = await memphis.producer(name, "p")
    most = 0
    for _ in range(12_000):
        await producer.produce(b"", nonblocking=True)
        most = max(most, producer.in_flight)
    await producer.flush()
    assert most == 5000
    assert (await (await memphis.existing_station(name)).info()).messages == 12_000


async def test_order_per_partition(memphis, name):
    """Each partition keeps the order of the calls."""
    await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "p")
    for number in range(600):
        await producer.produce(str(number), nonblocking=True, concurrent_task_limit=50)
    await producer.flush()
    consumer = await memphis.consumer(name, "c")
    for partition in (1, 2, 3):
        found = await read(consumer, 200, consumer_partition_number=partition)
        assert numbers_of(found) == list(range(partition - 1, 600, 3))


async def test_concurrent_callers_are_served_in_turn(memphis, name):
    """Under a tight bound no caller starves: of those who wait the first one is next."""
    producer = await memphis.producer(name, "p")
    order: list[int] = []

    async def produce(caller: int) -> None:
        for _ in range(20):
            await producer.produce(b"", nonblocking=True, concurrent_task_limit=2)
            order.append(caller)

    await asyncio.gather(*(produce(caller) for caller in range(5)))
    await producer.flush()
    for cut in range(10, 101, 10):
        counts = Counter(order[:cut])
        # The first one finds the window of 2 empty; from there on they take turns.
        assert max(counts.values()) - min(counts[caller] for caller in range(5)) <= 3


async def test_a_failure_through_the_result(broker, memphis, name):
    """Whoever awaits the result gets the error, and nobody else does."""
    producer = await memphis.producer(name, "p")
    pending = await produce_too_late(broker, producer)
    with pytest.raises(MemphisProduceError):
        await pending
    await producer.flush()
    await producer.destroy()


async def test_a_failure_through_flush(broker, memphis, name):
    """A failure nobody awaited is raised by flush, once."""
    producer = await memphis.producer(name, "p")
    await produce_too_late(broker, producer)
    with pytest.raises(MemphisProduceError):
        await producer.flush()
    await producer.flush()
    await producer.destroy()


async def test_many_failures_through_flush(fresh_broker):
    """Of many failures flush tells how many and gives the first; there is a limit to its memory."""
    async with await connect(fresh_broker) as memphis:
        producer = await memphis.producer("s", "p")
        async with standing_still(fresh_broker):
            for _ in range(1500):
                await producer.produce(b"", nonblocking=True, ack_wait_sec=0.1)
            with pytest.raises(MemphisProduceError) as failed:
                await producer.flush()
    assert "1500" in str(failed.value)
    assert isinstance(failed.value.__cause__, MemphisProduceError)


async def test_a_failure_through_destroy(broker, memphis, name):
    """A failure nobody awaited is raised by destroy."""
    producer = await memphis.producer(name, "p")
    await produce_too_late(broker, producer)
    with pytest.raises(MemphisProduceError):
        await producer.destroy()


async def test_a_failure_through_close(broker, name):
    """A failure nobody awaited is raised by close."""
    memphis = await connect(broker)
    await produce_too_late(broker, await memphis.producer(name, "p"))
    with pytest.raises(MemphisProduceError):
        await memphis.close()


async def test_a_failure_through_the_callback(broker, memphis, name):
    """The error callback gets every nonblocking failure, and then nothing is raised later."""
    failures: list[Exception] = []
    producer = await memphis.producer(name, "p", on_error=failures.append)
    for _ in range(3):
        await produce_too_late(broker, producer)
    await producer.produce(b"", nonblocking=True)
    await producer.flush()
    await producer.destroy()
    assert len(failures) == 3
    assert all(isinstance(failure, MemphisProduceError) for failure in failures)


async def test_a_blocking_failure_is_its_callers_alone(broker, memphis, name):
    """What is raised to the caller is not reported a second time."""
    failures: list[Exception] = []
    producer = await memphis.producer(name, "p", on_error=failures.append)
    async with standing_still(broker):
        with pytest.raises(MemphisProduceError):
            await producer.produce(b"", ack_wait_sec=0.01)
    await producer.flush()
    assert failures == []


async def test_a_callback_that_fails(broker, memphis, name, caplog):
    """It is logged with its traceback, and the producer goes on."""

    def callback(_error: Exception) -> None:
        raise LookupError("of the application")

    producer = await memphis.producer(name, "p", on_error=callback)
    with caplog.at_level(logging.ERROR, "memphis"):
        await produce_too_late(broker, producer)
        await producer.flush()
    assert "LookupError" in caplog.text
    assert (await producer.produce(b"")).sequence


async def test_giving_up_on_a_result_does_not_lose_its_failure(broker, memphis, name):
    """Who stops awaiting before the end has not seen the failure: flush raises it."""
    producer = await memphis.producer(name, "p")
    async with standing_still(broker):
        pending = await producer.produce(b"", nonblocking=True, ack_wait_sec=0.01)
        waiting = asyncio.ensure_future(pending)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(MemphisProduceError):
            await producer.flush()


async def test_flush_leaves_a_failure_to_whoever_awaits_it(broker, memphis, name):
    """A failure that somebody is just awaiting is theirs, even if flush ends first."""
    producer = await memphis.producer(name, "p")
    async with standing_still(broker):
        pending = await producer.produce(b"", nonblocking=True, ack_wait_sec=0.01)
        waiting = asyncio.ensure_future(pending)
        await asyncio.sleep(0)
        await producer.flush()
        with pytest.raises(MemphisProduceError):
            await waiting


async def test_results_nobody_keeps(broker, memphis, name, caplog):
    """Dropped results are confirmed all the same, and asyncio has nothing to complain about."""
    producer = await memphis.producer(name, "p", on_error=lambda _error: None)
    for _ in range(100):
        await producer.produce(b"", nonblocking=True)
    async with standing_still(broker):
        for _ in range(100):
            await producer.produce(b"", nonblocking=True, ack_wait_sec=0.01)
        await producer.flush()
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_flush_waits(memphis, name):
    """When flush returns nothing is in flight."""
    producer = await memphis.producer(name, "p")
    pending = [await producer.produce(b"", nonblocking=True) for _ in range(100)]
    await producer.flush()
    assert all(one.done() for one in pending)
    assert producer.in_flight == 0


async def test_destroy_confirms_what_is_pending(memphis, name):
    """Messages in flight at destroy are confirmed; further ones are refused at once."""
    producer = await memphis.producer(name, "p")
    pending = [await producer.produce(b"", nonblocking=True) for _ in range(100)]
    task = producer.destroy()
    with pytest.raises(MemphisClosedError):
        await producer.produce(b"")
    await task
    assert [(await one).sequence for one in pending] == list(range(1, 101))


async def test_a_cancelled_wait_for_room_takes_its_message_back(memphis, name):
    """Cancelled before it was written, a message is not stored, and its place is free again."""
    producer = await memphis.producer(name, "p")
    first = await producer.produce(b"1", nonblocking=True, concurrent_task_limit=1)
    waiting = asyncio.create_task(producer.produce(b"2", nonblocking=True, concurrent_task_limit=1))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await first
    await producer.flush()
    assert producer.in_flight == 0
    assert (await producer.produce(b"3", concurrent_task_limit=1)).sequence == 2


async def test_a_cancelled_wait_for_the_confirmation(memphis, name):
    """Cancelled after it was written, a message is stored, and the window is left in order."""
    producer = await memphis.producer(name, "p")
    task = asyncio.create_task(producer.produce(b"1"))
    await asyncio.sleep(0)
    assert producer.in_flight == 1
    task.cancel()
    await asyncio.wait({task})
    await producer.flush()
    assert producer.in_flight == 0
    assert (await producer.produce(b"2")).sequence == 2


async def test_cancelling_at_random_moments(memphis, name):
    """Whatever is cancelled when, no place in the window is lost and nobody waits for ever."""
    producer = await memphis.producer(name, "p")

    async def produce() -> None:
        await producer.produce(b"", concurrent_task_limit=3)

    for turns in range(12):
        tasks = [asyncio.create_task(produce()) for _ in range(10)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done, left = await asyncio.wait(tasks, timeout=SOON_S)
        assert not left
        assert not [task.exception() for task in done if not task.cancelled() and task.exception()]
        await producer.flush()
        assert producer.in_flight == 0


async def test_not_confirmed_is_told_from_not_sent(fresh_broker):
    """Without a connection a message certainly was not stored, and its error says so."""
    async with await connect(fresh_broker) as memphis:
        producer = await memphis.producer("s", "p")
        await asyncio.to_thread(fresh_broker.stop)
        await eventually(lambda: not memphis.is_connected())
        with pytest.raises(MemphisProduceError) as failed:
            await producer.produce(b"", ack_wait_sec=0.05)
        assert not isinstance(failed.value, MemphisNotConfirmedError)


async def test_flush_ends_while_others_produce(memphis, name):
    """It waits for what was sent before it, and not for what another task sends meanwhile."""
    producer = await memphis.producer(name, "p")

    async def produce_for_ever() -> None:
        while True:
            await producer.produce(b"", nonblocking=True)
            await asyncio.sleep(0)

    producing = asyncio.create_task(produce_for_ever())
    mine = await producer.produce(b"mine", nonblocking=True)
    await asyncio.wait_for(producer.flush(), SOON_S)
    assert mine.done()
    producing.cancel()
    await asyncio.wait({producing})


async def test_failures_that_were_seen_are_not_raised_again(fresh_broker):
    """However many there were: each result was awaited, so flush has nothing to tell."""
    async with await connect(fresh_broker) as memphis:
        producer = await memphis.producer("s", "p")
        async with standing_still(fresh_broker):
            pending = [
                await producer.produce(b"", nonblocking=True, ack_wait_sec=0.1) for _ in range(1500)
            ]
            outcomes = await asyncio.gather(*pending, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {MemphisNotConfirmedError}
        await producer.flush()


async def test_close_tells_of_every_producer(broker, name):
    """Two producers with a failure each, which nobody saw: the error of close counts both."""
    memphis = await connect(broker)
    for producer_name in ("p", "q"):
        producer = await memphis.producer(name, producer_name)
        await produce_too_late(broker, producer)
    with pytest.raises(MemphisProduceError, match="2 messages"):
        await memphis.close()
