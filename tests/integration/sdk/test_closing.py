"""Closing: everything in flight comes to an end that is known, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from memphis import (
    Memphis,
    MemphisClosedError,
    MemphisConnectError,
    MemphisError,
    MemphisProduceError,
)
from memphis._core import users
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import (
    SOON_S,
    fill,
    group_info,
    numbers_of,
    own_tasks,
    produce_too_late,
    read,
)
from tests.waiting import eventually


async def test_pending_sends_are_confirmed(broker, memphis, name):
    """Everything produced before close is stored when close returns."""
    closing = await connect(broker)
    producer = await closing.producer(name, "p")
    pending = [await producer.produce(str(n), nonblocking=True) for n in range(500)]
    await closing.close()
    assert [(await one).sequence for one in pending] == list(range(1, 501))
    assert numbers_of(await read(await memphis.consumer(name, "c"), 500)) == list(range(500))


async def test_failures_nobody_saw_are_raised(fresh_broker):
    """A nonblocking message that failed, and whose result nobody awaited, comes out at close."""
    memphis = await connect(fresh_broker, reconnect=False)
    producer = await memphis.producer("s", "p")
    await asyncio.to_thread(fresh_broker.stop)
    await eventually(lambda: not memphis.is_connected())
    with pytest.raises(MemphisConnectError):
        await producer.produce(b"")
    memphis = await connect(await asyncio.to_thread(fresh_broker.start), reconnect_interval_ms=50)
    producer = await memphis.producer("s", "p")
    await asyncio.to_thread(fresh_broker.stop)
    await eventually(lambda: not memphis.is_connected())
    await producer.produce(b"", nonblocking=True, ack_wait_sec=0.1)
    with pytest.raises(MemphisProduceError):
        await memphis.close()
    assert not memphis.is_connected()
    with pytest.raises(MemphisProduceError):
        await memphis.close()
    assert own_tasks() == set()


async def test_no_task_is_left(broker, name):
    """After close no task of ours runs, whatever was going on."""
    memphis = await connect(broker)
    await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "p")
    await fill(producer, range(20))
    handling = await memphis.consumer(name, "h")
    handling.consume(lambda *_: None)
    fetching = await memphis.consumer(name, "f", batch_max_time_to_wait_ms=60_000)
    await fetching.fetch(1, prefetch=True)
    fetch = asyncio.create_task(fetching.fetch(100))
    iterating = await memphis.consumer(name, "i")
    iteration = asyncio.create_task(_exhaust(iterating))
    await producer.produce(b"", nonblocking=True)
    paused = await memphis.consumer(name, "z")
    paused.consume(lambda *_: None)
    paused.pause()
    await memphis.close()
    with pytest.raises(MemphisClosedError):
        await fetch
    await iteration
    assert own_tasks() == set()


async def _exhaust(consumer) -> None:
    async for _ in consumer:
        pass


async def test_a_running_handler_ends_in_peace(broker, memphis, name):
    """Close waits for the handler; what it acknowledges then counts."""
    closing = await connect(broker)
    await fill(await closing.producer(name, "p"), range(1))
    entered, leave = asyncio.Event(), asyncio.Event()

    async def handler(messages, _error, _context) -> None:
        entered.set()
        await leave.wait()
        for message in messages:
            await message.ack()

    (await closing.consumer(name, "c")).consume(handler)
    await asyncio.wait_for(entered.wait(), SOON_S)
    close = asyncio.create_task(closing.close())
    await memphis.stations()
    assert not close.done()
    leave.set()
    await close
    group = await group_info(memphis, name, "c")
    assert (group.pending, group.unacknowledged) == (0, 0)


async def test_a_handler_that_never_returns_is_cancelled(broker, name, monkeypatch, caplog):
    """Close has a deadline: a hanging handler is cancelled, and that is logged."""
    monkeypatch.setattr(users, "DRAIN_S", 0.1)
    monkeypatch.setattr("memphis._core.session.DRAIN_S", 0.1)
    memphis = await connect(broker)
    await fill(await memphis.producer(name, "p"), range(1))
    entered = asyncio.Event()

    async def handler(*_) -> None:
        entered.set()
        await asyncio.Event().wait()

    (await memphis.consumer(name, "c")).consume(handler)
    await asyncio.wait_for(entered.wait(), SOON_S)
    with caplog.at_level(logging.WARNING, "memphis"):
        await memphis.close()
    assert "cancelled" in caplog.text
    assert own_tasks() == set()


async def test_a_handler_may_close(broker, name):
    """A handler that has seen enough closes the connection that it is called by."""
    memphis = await connect(broker)
    await fill(await memphis.producer(name, "p"), range(1))
    closed = asyncio.Event()

    async def handler(messages, _error, _context) -> None:
        for message in messages:
            await message.ack()
        await memphis.close()
        closed.set()

    (await memphis.consumer(name, "c")).consume(handler)
    await asyncio.wait_for(closed.wait(), users.DRAIN_S / 2)
    assert not memphis.is_connected()
    await eventually(lambda: own_tasks() == set())


async def test_again_and_at_the_same_time(broker):
    """Close is idempotent, also for several tasks at once."""
    memphis = await connect(broker)
    await asyncio.gather(memphis.close(), memphis.close(), memphis.close())
    await memphis.close()
    assert own_tasks() == set()


async def test_before_connecting():
    """Close without a connection does no harm."""
    memphis = Memphis()
    await memphis.close()
    await memphis.close()
    assert not memphis.is_connected()


async def test_a_cancelled_close_goes_on(broker, name):
    """Who stops waiting for close does not stop it."""
    memphis = await connect(broker)
    producer = await memphis.producer(name, "p")
    pending = await producer.produce(b"", nonblocking=True)
    close = asyncio.create_task(memphis.close())
    await asyncio.sleep(0)
    close.cancel()
    with pytest.raises(asyncio.CancelledError):
        await close
    await memphis.close()
    assert (await pending).sequence == 1
    assert own_tasks() == set()


async def test_async_with(broker):
    """The block closes at its end, also after an exception, which passes through."""
    with pytest.raises(LookupError):
        async with await connect(broker) as memphis:
            raise LookupError
    assert not memphis.is_connected()
    assert own_tasks() == set()


async def test_while_the_server_is_away(fresh_broker, name):
    """Close does not wait for a server that is gone, with users of every kind open."""
    memphis = await connect(fresh_broker)
    await memphis.producer(name, "p")
    (await memphis.consumer(name, "c")).consume(lambda *_: None)
    iteration = asyncio.create_task(_exhaust(await memphis.consumer(name, "i")))
    await asyncio.to_thread(fresh_broker.stop)
    await eventually(lambda: not memphis.is_connected())
    await asyncio.wait_for(memphis.close(), users.DRAIN_S / 2)
    await iteration
    assert own_tasks() == set()


async def test_use_after_close(broker, name):
    """Every call on every object says that it was closed."""
    memphis = await connect(broker)
    station = await memphis.station(name)
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c")
    await producer.produce(b"")
    [message] = await consumer.fetch(1)
    await memphis.close()
    for call in (
        memphis.connect("localhost", "root", password="memphis"),
        memphis.station(name),
        memphis.existing_station(name),
        memphis.stations(),
        memphis.create_schema("s", "json", "f"),
        memphis.enforce_schema("s", name),
        memphis.detach_schema(name),
        memphis.producer(name, "p"),
        memphis.produce(name, "p", b""),
        memphis.consumer(name, "c"),
        memphis.fetch_messages(name, "c"),
        producer.produce(b""),
        consumer.fetch(1),
    ):
        with pytest.raises(MemphisClosedError):
            await call
    with pytest.raises(MemphisClosedError):
        consumer.consume(print)
    with pytest.raises(MemphisClosedError):
        aiter(consumer)
    for call in (
        station.info(),
        station.purge(),
        station.destroy(),
        message.dead_letter("late"),
        message.ack(),
        message.nack(),
        message.delay(1),
    ):
        with pytest.raises(MemphisClosedError):
            await call
    assert message.get_data() == b""
    await producer.destroy()
    await producer.flush()
    await consumer.destroy()
    await consumer.stop()


async def test_stations_and_groups_stay(broker, memphis, name):
    """Closing leaves what is stored, and where each group is."""
    closing = await connect(broker)
    await fill(await closing.producer(name, "p"), range(10))
    await read(await closing.consumer(name, "c"), 4)
    await closing.close()
    assert (await (await memphis.existing_station(name)).info()).messages == 10
    assert numbers_of(await read(await memphis.consumer(name, "c"), 6)) == list(range(4, 10))


async def test_what_was_fetched_ahead_goes_back_to_the_group(broker, memphis, name):
    """Messages that a closing consumer held ahead are not kept from the others."""
    closing = await connect(broker)
    await fill(await closing.producer(name, "p"), range(10))
    ahead = await closing.consumer(name, "c", max_ack_time_ms=600_000)
    first = await ahead.fetch(5, prefetch=True)

    async def is_ahead() -> bool:
        return (await group_info(memphis, name, "c")).unacknowledged == 10

    await eventually(is_ahead, SOON_S)
    await closing.close()
    other = await memphis.consumer(name, "c", max_ack_time_ms=600_000)
    assert numbers_of(await read(other, 5)) == [5, 6, 7, 8, 9]
    assert numbers_of(first) == [0, 1, 2, 3, 4]


async def test_destroys_that_nobody_awaits_are_finished(broker, memphis, name):
    """What was begun without awaiting it is done when close returns."""
    closing = await connect(broker)
    station = await closing.station(name)
    consumer = await closing.consumer(f"{name}-2", "c")
    station.destroy()
    consumer.destroy()
    await closing.close()
    assert name not in [summary.name for summary in await memphis.stations()]
    assert await group_info(memphis, f"{name}-2", "c") is None


async def test_no_object_is_kept_alive(broker, name):
    """Closed connections are not held by anything, whatever they did."""
    memphis = await connect(broker)
    await memphis.produce(name, "p", b"")
    await memphis.fetch_messages(name, "c")
    await memphis.close()
    del memphis
    gc.collect()
    assert not [found for found in gc.get_objects() if type(found) is Memphis]


async def test_an_error_half_way_does_not_keep_the_rest_open(broker, name):
    """A producer with failures is no reason to leave the connection or the others open."""
    memphis = await connect(broker)
    producer = await memphis.producer(name, "p")
    await produce_too_late(broker, producer)
    (await memphis.consumer(name, "c")).consume(lambda *_: None)
    with pytest.raises(MemphisError):
        await memphis.close()
    assert not memphis.is_connected()
    assert own_tasks() == set()
