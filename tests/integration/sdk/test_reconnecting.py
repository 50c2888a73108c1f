"""A connection that breaks: who comes back, who gives up, and what is told to whom."""

from __future__ import annotations

import asyncio

import pytest

from memphis import (
    Consumer,
    Memphis,
    MemphisConnectError,
    MemphisError,
    MemphisNotConfirmedError,
    MemphisProduceError,
    Message,
    Producer,
)
from tests.fixtures.sdk import connect, connect_through
from tests.integration.sdk.helpers import SOON_S, fill, numbers_of, own_tasks, read
from tests.waiting import eventually


async def test_is_connected_follows_the_connection(broker, proxy):
    """True, false while it is broken, and true again."""
    async with await connect_through(proxy, broker) as memphis:
        assert memphis.is_connected()
        proxy.refuse()
        await eventually(lambda: not memphis.is_connected())
        proxy.accept()
        await eventually(memphis.is_connected, SOON_S)
        assert isinstance(await memphis.stations(), list)
    assert not memphis.is_connected()


async def test_more_attempts_than_nine(broker, proxy):
    """max_reconnect is counted as given: a connection is back after a dozen failures."""
    memphis = await connect_through(proxy, broker, max_reconnect=100, reconnect_interval_ms=10)
    proxy.refuse()
    attempts = proxy.connections
    await eventually(lambda: not memphis.is_connected())
    refused = proxy.refused
    await eventually(lambda: proxy.refused >= refused + 12, SOON_S, "12 more attempts")
    assert proxy.connections == attempts
    proxy.accept()
    await eventually(memphis.is_connected, SOON_S)
    await memphis.close()


@pytest.mark.parametrize(
    "giving_up",
    [{"reconnect": False}, {"max_reconnect": 0}, {"max_reconnect": 2}],
    ids=str,
)
async def test_given_up(broker, proxy, name, giving_up):
    """After the last attempt nothing looks alive: every use says that, and close still works."""
    memphis = await connect_through(proxy, broker, reconnect_interval_ms=10, **giving_up)
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0)
    iterating = await memphis.consumer(name, "i")
    told: list[MemphisError] = []
    consumer.consume(lambda _messages, error, _context: told.append(error))
    iteration = asyncio.create_task(anext(aiter(iterating)))
    proxy.refuse()
    await eventually(lambda: not memphis.is_connected())

    async def is_given_up() -> bool:
        try:
            await producer.produce(b"", ack_wait_sec=0.05)
        except MemphisProduceError:
            return False
        except MemphisConnectError:
            return True
        raise AssertionError("it was produced without a connection")

    await eventually(is_given_up, SOON_S)
    await eventually(lambda: told and isinstance(told[-1], MemphisConnectError), SOON_S)
    with pytest.raises(MemphisConnectError):
        await iteration
    for call in (memphis.stations(), memphis.producer(name, "q"), consumer.fetch(1)):
        with pytest.raises(MemphisConnectError):
            await call
    proxy.accept()
    assert not memphis.is_connected()
    await memphis.close()


async def test_an_attempt_that_succeeds_starts_the_count_anew(broker, proxy):
    """max_reconnect counts failures in a row, not over the life of a connection."""
    memphis = await connect_through(proxy, broker, max_reconnect=3, reconnect_interval_ms=200)
    connection = memphis._session.connection
    for number in range(1, 6):
        proxy.cut()
        await eventually(lambda n=number: connection.statistics().reconnects == n, SOON_S)
    await memphis.close()


async def test_an_id_survives_the_cut(broker, proxy, name):
    """Messages with an id that were in flight at the cut are stored, each once, in order."""
    async with await connect_through(proxy, broker) as memphis:
        producer = await memphis.producer(name, "p")
        await producer.produce("0", msg_id="0")
        proxy.pause()
        pending = [
            await producer.produce(str(n), nonblocking=True, msg_id=str(n)) for n in range(1, 50)
        ]
        proxy.cut()
        proxy.resume()
        results = await asyncio.gather(*pending)
        assert [result.sequence for result in results] == list(range(2, 51))
        consumer = await memphis.consumer(name, "c")
        assert numbers_of(await read(consumer, 50)) == list(range(50))


async def test_no_id_is_reported_as_not_confirmed(broker, proxy, name):
    """A message without an id that was in flight at the cut fails, because it may be stored."""
    async with await connect_through(proxy, broker) as memphis:
        producer = await memphis.producer(name, "p")
        proxy.pause()
        pending = await producer.produce(b"", nonblocking=True)
        await asyncio.sleep(0)
        proxy.cut()
        proxy.resume()
        with pytest.raises(MemphisNotConfirmedError):
            await pending


async def test_what_is_produced_during_the_break_goes_out_after_it(broker, proxy, name):
    """A break is not an error: messages wait for the connection, ids or not."""
    async with await connect_through(proxy, broker) as memphis:
        producer = await memphis.producer(name, "p")
        proxy.refuse()
        await eventually(lambda: not memphis.is_connected())
        pending = [await producer.produce(str(n), nonblocking=True) for n in range(10)]
        proxy.accept()
        await asyncio.gather(*pending)
        assert numbers_of(await read(await memphis.consumer(name, "c"), 10)) == list(range(10))


async def test_a_fetch_during_the_break(broker, proxy, name):
    """It waits for the connection within its time; nothing is what it then has."""
    async with await connect_through(proxy, broker) as memphis:
        consumer = await memphis.consumer(name, "c", batch_max_time_to_wait_ms=50)
        patient = await memphis.consumer(name, "d", batch_max_time_to_wait_ms=20_000)
        await fill(await memphis.producer(name, "p"), range(1))
        proxy.refuse()
        await eventually(lambda: not memphis.is_connected())
        assert await consumer.fetch(1) == []
        waiting = asyncio.create_task(patient.fetch(1))
        proxy.accept()
        assert numbers_of(await waiting) == [0]


async def test_producers_and_consumers_carry_on_after_the_engine_is_killed(fresh_broker):
    """The engine dies under load; the broker starts another; nobody here does anything about it."""
    memphis = await connect(fresh_broker)
    await _carries_on(memphis, fresh_broker.kill_engine)
    await memphis.close()


async def test_producers_and_consumers_carry_on_after_the_broker_stopped(fresh_broker):
    """Broker and engine stop in good order and start again on the same port."""
    memphis = await connect(fresh_broker)
    await _carries_on(memphis, fresh_broker.restart)
    await memphis.close()
    assert own_tasks() == set()


async def _carries_on(memphis: Memphis, interrupt) -> None:
    """Produce with ids and consume in three ways, with an interruption in the middle."""
    station = await memphis.station("flights", partitions_number=2)
    producer = await memphis.producer("flights", "p")
    handled: list[int] = []
    iterated: list[int] = []

    async def handle(messages: list[Message], _error: object, _context: object) -> None:
        for message in messages:
            handled.append(int(message.get_data()))
            await message.ack()

    async def iterate(consumer: Consumer) -> None:
        async for message in consumer:
            iterated.append(int(message.get_data()))
            await message.ack()

    handling = await memphis.consumer("flights", "h", pull_interval_ms=10, max_msg_deliveries=10)
    handling.consume(handle)
    iterating = await memphis.consumer("flights", "i", max_msg_deliveries=10)
    iteration = asyncio.create_task(iterate(iterating))
    await _produce_with_ids(producer, range(100))
    await eventually(lambda: len(handled) >= 50, SOON_S)
    interruption = asyncio.create_task(asyncio.to_thread(interrupt))
    await _produce_with_ids(producer, range(100, 200))
    await interruption
    await _produce_with_ids(producer, range(200, 300))
    await eventually(lambda: set(handled) == set(range(300)), SOON_S, "the handler saw all")
    await eventually(lambda: set(iterated) == set(range(300)), SOON_S, "the iteration saw all")
    assert (await station.info()).messages == 300
    await iterating.stop()
    await iteration


async def _produce_with_ids(producer: Producer, numbers: range) -> None:
    pending = [
        await producer.produce(str(n), nonblocking=True, msg_id=str(n), ack_wait_sec=60)
        for n in numbers
    ]
    await asyncio.gather(*pending)


async def test_requests_wait_for_a_broker_that_is_being_restarted(fresh_broker):
    """A request made while the broker is away is answered by the next one."""
    async with await connect(fresh_broker) as memphis:
        await asyncio.to_thread(fresh_broker.stop)
        asking = asyncio.create_task(memphis.station("made-later"))
        await asyncio.to_thread(fresh_broker.start)
        assert (await asking).name == "made-later"


async def test_a_broker_that_is_gone_while_the_engine_runs(fresh_broker):
    """Messages still flow without the control plane; a request says that no broker answers."""
    async with await connect(fresh_broker) as memphis:
        producer = await memphis.producer("s", "p")
        consumer = await memphis.consumer("s", "c")
        await asyncio.to_thread(fresh_broker.kill)
        await fill(producer, range(5))
        assert numbers_of(await read(consumer, 5)) == list(range(5))
        assert memphis.is_connected()
        with pytest.raises(MemphisConnectError):
            await memphis.station("t", timeout_retries=0)
