"""Acknowledgements that never come: each result is settled, the window is free, others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from memphis import Memphis, MemphisError, MemphisNotConfirmedError, ProduceResult
from memphis.transport import Publisher, PublishResult
from tests.fixtures.engine import Engine
from tests.fixtures.faults import FaultyProxy, is_acknowledgement
from tests.fixtures.sdk import connect
from tests.fixtures.transport import Connect, create_stream, send_numbers
from tests.integration.sdk.helpers import numbers_of, read


@pytest.fixture
async def client(broker, broker_wire: FaultyProxy) -> AsyncIterator[Memphis]:
    """A connection over the bad wire."""
    host, port = broker_wire.address
    async with await connect(broker, host=host, port=port) as connection:
        yield connection


async def test_a_window_full_of_silence(broker_wire, client, name):
    """Several windows of messages without an answer: each fails in time, the next window goes."""
    producer = await client.producer(name, "p")
    lost, window = 200, 50
    broker_wire.swallow = is_acknowledgement
    most = 0
    pending = []
    for number in range(lost):
        pending.append(
            await producer.produce(
                str(number), nonblocking=True, ack_wait_sec=0.2, concurrent_task_limit=window
            )
        )
        most = max(most, producer.in_flight)
    results = await asyncio.gather(*pending, return_exceptions=True)
    assert {type(result) for result in results} == {MemphisNotConfirmedError}
    assert (most, producer.in_flight) == (window, 0)
    broker_wire.pass_all()
    for number in range(lost, 2 * lost):
        await producer.produce(str(number), nonblocking=True, concurrent_task_limit=window)
    await producer.flush()
    consumer = await client.consumer(name, "c")
    assert numbers_of(await read(consumer, 2 * lost)) == list(range(2 * lost))


async def test_every_third_is_lost(broker_wire, client, name):
    """Lost acknowledgements among others fail exactly their own messages; all is stored."""
    failures: list[MemphisError] = []
    producer = await client.producer(name, "p", on_error=failures.append)
    seen = 0

    def every_third(frame: bytes) -> bool:
        nonlocal seen
        seen += is_acknowledgement(frame)
        return is_acknowledgement(frame) and seen % 3 == 0

    broker_wire.swallow = every_third
    pending = [
        await producer.produce(str(number), nonblocking=True, ack_wait_sec=2)
        for number in range(300)
    ]
    results = await asyncio.gather(*pending, return_exceptions=True)
    lost = [n for n, result in enumerate(results) if isinstance(result, MemphisNotConfirmedError)]
    assert lost == list(range(2, 300, 3))
    kept = [result for result in results if isinstance(result, ProduceResult)]
    assert len(kept) == 200
    assert [result.sequence for result in kept] == [n + 1 for n in range(300) if n % 3 != 2]
    assert len(failures) == 100
    assert (await (await client.existing_station(name)).info()).messages == 300


async def test_awaited_and_repeated(broker_wire, client, name):
    """A message whose acknowledgement is lost, repeated with its id until one comes, is there once."""
    producer = await client.producer(name, "p")
    broker_wire.swallow = is_acknowledgement
    for _ in range(3):
        with pytest.raises(MemphisNotConfirmedError):
            await producer.produce(b"", msg_id="once", ack_wait_sec=0.1)
    broker_wire.pass_all()
    result = await producer.produce(b"", msg_id="once")
    assert (result.sequence, result.duplicate) == (1, True)


async def test_a_subject_with_a_deaf_listener(shared_engine: Engine, connect: Connect) -> None:
    """Somebody listens and never answers: each message ends at its deadline, who waits gets in."""
    connection = await connect(shared_engine.address)
    await create_stream(connection, "hearing")
    heard: list[bytes] = []
    connection.subscribe("deaf.in", lambda frame: heard.append(frame[5]))
    publisher = Publisher(connection, in_flight_max=20)
    futures = []
    for number in range(100):
        await publisher.wait_room()
        futures += send_numbers(
            publisher, b"deaf.in", range(number, number + 1), resend_s=0, deadline_s=0.1
        )
        assert publisher.in_flight <= 20
    await publisher.wait_room()
    good = send_numbers(publisher, b"hearing.in", range(10), resend_s=0)
    assert {type(result) for result in await asyncio.gather(*good)} == {PublishResult}
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {MemphisNotConfirmedError}
    assert len(heard) == 100
    statistics = publisher.statistics()
    assert (statistics.in_flight, statistics.in_flight_bytes) == (0, 0)
    assert statistics.not_confirmed == 100
