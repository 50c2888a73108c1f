"""Publishes against a real engine: confirmed, refused, lost and found again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

import pytest

from memphis.exceptions import (
    MemphisConnectError,
    MemphisNotConfirmedError,
    MemphisProduceError,
    MemphisTimeoutError,
)
from memphis.transport import Publisher, PublishResult
from tests.fixtures.engine import Engine
from tests.fixtures.proxy import CuttingProxy
from tests.fixtures.transport import (
    Connect,
    create_stream,
    id_header,
    jetstream,
    send,
    send_numbers,
    stored_payloads,
)
from tests.waiting import eventually

Results = list[PublishResult | BaseException]


async def outcomes(futures: Iterable[asyncio.Future[PublishResult]]) -> Results:
    """How all of them ended; none may hang."""
    async with asyncio.timeout(60):
        return await asyncio.gather(*futures, return_exceptions=True)


async def test_confirmed(shared_engine: Engine, connect: Connect) -> None:
    """Each message gets its own sequence, in the order of sending; a copy is a duplicate."""
    connection = await connect(shared_engine.address)
    await create_stream(connection, "confirmed", allow_direct=True)
    publisher = Publisher(connection)
    futures = send_numbers(publisher, b"confirmed.in", range(1000), resend_s=60)
    results = await outcomes(futures)
    assert results == [("", number + 1, False) for number in range(1000)]
    again = send_numbers(publisher, b"confirmed.in", range(5, 6), resend_s=60)
    assert await outcomes(again) == [("", 6, True)]
    for payload in (bytearray(b"x"), memoryview(b"x"), b""):
        future = send(publisher, b"confirmed.in", payload, resend_s=0, deadline_s=5)
        assert not (await future).duplicate
    assert publisher.in_flight == 0
    assert publisher.statistics().in_flight_bytes == 0
    assert publisher.statistics().confirmed == 1004


async def test_refused(shared_engine: Engine, connect: Connect) -> None:
    """What the engine refuses carries the engine's number."""
    connection = await connect(shared_engine.address)
    await create_stream(connection, "refused", max_msgs=1, discard="new")
    publisher = Publisher(connection)
    first, second = send_numbers(publisher, b"refused.in", range(2), resend_s=0)
    assert (await first).sequence == 1
    with pytest.raises(MemphisProduceError) as caught:
        await second
    assert caught.value.code == 10077
    assert not isinstance(caught.value, MemphisNotConfirmedError)


async def test_too_large(shared_engine: Engine, connect: Connect) -> None:
    """A message over the engine's limit is refused here, header counted, and nothing is in flight."""
    connection = await connect(shared_engine.address)
    publisher = Publisher(connection)
    header = id_header(1)
    payload = bytes(connection.max_payload - len(header) + 1)
    with pytest.raises(MemphisProduceError) as caught:
        send(publisher, b"a", payload, header=header, resend_s=60, deadline_s=1)
    assert caught.value.code == 10054
    assert publisher.in_flight == 0


async def test_no_stream_there(shared_engine: Engine, connect: Connect) -> None:
    """Where no stream listens the message fails at its deadline, as certainly not stored."""
    connection = await connect(shared_engine.address)
    publisher = Publisher(connection)
    futures = send_numbers(publisher, b"nowhere.in", range(3), resend_s=0, deadline_s=0.2)
    for outcome in await outcomes(futures):
        assert type(outcome) is MemphisProduceError
        assert "no stream takes nowhere.in" in str(outcome)
    assert publisher.in_flight == 0


async def test_a_stream_that_comes_late(shared_engine: Engine, connect: Connect) -> None:
    """Messages sent before their stream exists are stored in order when it does; others flow."""
    connection = await connect(shared_engine.address)
    await create_stream(connection, "punctual")
    publisher = Publisher(connection)
    early = send_numbers(publisher, b"late.in", range(50), resend_s=0)
    await eventually(lambda: publisher.statistics().sent_again > 0)
    early += send_numbers(publisher, b"late.in", range(50, 100), resend_s=0)
    await asyncio.gather(*send_numbers(publisher, b"punctual.in", range(10), resend_s=0))
    await create_stream(connection, "late", allow_direct=True)
    early += send_numbers(publisher, b"late.in", range(100, 150), resend_s=0)
    results = await outcomes(early)
    assert all(isinstance(result, PublishResult) for result in results), results
    assert await stored_payloads(connection, "late") == [b"%d" % number for number in range(150)]


async def test_a_killed_engine_and_resendable_messages(engine: Engine, connect: Connect) -> None:
    """Killed twice in the flow: all confirmed, none lost, none doubled, order kept."""
    connection = await connect(engine.address)
    await create_stream(connection, "kill", allow_direct=True)
    publisher = Publisher(connection)
    futures: list[asyncio.Future[PublishResult]] = []
    for round_number in range(3):
        start = round_number * 3000
        for number in range(start, start + 3000):
            futures += send_numbers(
                publisher, b"kill.in", range(number, number + 1), resend_s=60, deadline_s=50
            )
            if number % 100 == 0:
                await asyncio.sleep(0)
        if round_number < 2:
            await eventually(lambda: publisher.statistics().confirmed > 0)
            engine.kill()
            engine.start()
    results = await outcomes(futures)
    assert [result for result in results if not isinstance(result, PublishResult)] == []
    stored = await stored_payloads(connection, "kill")
    assert stored == [b"%d" % number for number in range(9000)]
    assert publisher.in_flight == 0


async def test_a_killed_engine_and_messages_without_id(engine: Engine, connect: Connect) -> None:
    """Each is confirmed and stored, or reported as not confirmed; none hangs, none twice."""
    connection = await connect(engine.address)
    await create_stream(connection, "plain", allow_direct=True)
    publisher = Publisher(connection)
    futures = send_numbers(publisher, b"plain.in", range(5000), resend_s=0)
    await eventually(lambda: publisher.statistics().confirmed > 0)
    engine.pause()  # or it could have confirmed them all by the time it is killed
    futures += send_numbers(publisher, b"plain.in", range(5000, 9000), resend_s=0)
    await asyncio.sleep(0)
    engine.kill()
    await eventually(lambda: not connection.is_connected)
    # Never handed to a socket, so these are simply sent after the reconnect.
    never_written = send_numbers(publisher, b"plain.in", range(9000, 9100), resend_s=0)
    engine.start()
    results = await outcomes(futures)
    assert all(isinstance(r, PublishResult | MemphisNotConfirmedError) for r in results)
    assert any(isinstance(r, MemphisNotConfirmedError) for r in results)
    assert all(isinstance(r, PublishResult) for r in await outcomes(never_written))
    stored = await stored_payloads(connection, "plain")
    assert len(set(stored)) == len(stored)
    confirmed = {b"%d" % number for number, r in enumerate(results) if isinstance(r, PublishResult)}
    assert confirmed <= set(stored)
    assert [int(payload) for payload in stored] == sorted(map(int, stored))


async def test_cut_wires_do_not_double(cutting_proxy: CuttingProxy, connect: Connect) -> None:
    """A wire cut again and again between storing and confirming leaves one copy, in order."""
    connection = await connect(cutting_proxy.address)
    await create_stream(connection, "cut", allow_direct=True)
    publisher = Publisher(connection)
    futures: list[asyncio.Future[PublishResult]] = []
    for round_number in range(5):
        start = round_number * 500
        futures += send_numbers(publisher, b"cut.in", range(start, start + 500), resend_s=60)
        await asyncio.wait([futures[start]])
        cutting_proxy.cut()
        await eventually(lambda cuts=round_number: connection.statistics().reconnects > cuts)
    results = await outcomes(futures)
    assert [result for result in results if not isinstance(result, PublishResult)] == []
    assert await stored_payloads(connection, "cut") == [b"%d" % number for number in range(2500)]


async def test_an_id_that_may_be_forgotten_is_not_sent_again(
    cutting_proxy: CuttingProxy, connect: Connect
) -> None:
    """After an outage longer than the engine keeps ids, a copy would be stored twice: it fails."""
    connection = await connect(cutting_proxy.address)
    await create_stream(connection, "forget", allow_direct=True)
    publisher = Publisher(connection)
    sure = send_numbers(publisher, b"forget.in", range(1), resend_s=60)
    await outcomes(sure)
    cutting_proxy.pause()
    unsure = send_numbers(publisher, b"forget.in", range(1, 5), resend_s=0.001)
    await connection.wait_connected(1)
    started = asyncio.get_running_loop().time()
    await eventually(lambda: asyncio.get_running_loop().time() > started + 0.01)
    cutting_proxy.cut()
    cutting_proxy.resume()
    assert {type(result) for result in await outcomes(unsure)} == {MemphisNotConfirmedError}
    stored = await stored_payloads(connection, "forget")
    assert len(stored) == len(set(stored))


async def test_deadline_with_a_frozen_engine(engine: Engine, connect: Connect) -> None:
    """An engine that does not answer: each message ends at its own deadline, not confirmed."""
    connection = await connect(engine.address)
    await create_stream(connection, "frozen")
    publisher = Publisher(connection)
    engine.pause()
    late = send_numbers(publisher, b"frozen.in", range(10), resend_s=60, deadline_s=30)
    soon = send_numbers(publisher, b"frozen.in", range(10, 20), resend_s=60, deadline_s=0.1)
    assert {type(result) for result in await outcomes(soon)} == {MemphisNotConfirmedError}
    assert not any(future.done() for future in late)
    with pytest.raises(MemphisTimeoutError):
        await publisher.drain(0.05)
    engine.resume()
    assert {type(result) for result in await outcomes(late)} == {PublishResult}
    await eventually(lambda: publisher.statistics().late_answers == 10)


async def test_deadline_without_a_connection(engine: Engine, connect: Connect) -> None:
    """A message that was never sent before its deadline is certainly not stored."""
    connection = await connect(engine.address)
    publisher = Publisher(connection)
    engine.kill()
    await eventually(lambda: not connection.is_connected)
    (future,) = send_numbers(publisher, b"away.in", range(1), resend_s=0, deadline_s=0.1)
    with pytest.raises(MemphisProduceError, match="not stored") as caught:
        await future
    assert type(caught.value) is MemphisProduceError


@pytest.mark.parametrize("how", ["close", "give up"])
async def test_the_end_of_the_connection_ends_all(
    engine: Engine, connect: Connect, how: str
) -> None:
    """Closed or given up: everything in flight ends, waiters too, and sending is refused."""
    connection = await connect(engine.address, max_reconnect=1, reconnect_interval_s=0.01)
    await create_stream(connection, "over")
    publisher = Publisher(connection, in_flight_max=5)
    engine.pause()
    futures = send_numbers(publisher, b"over.in", range(5), resend_s=60)
    waiter = asyncio.create_task(publisher.wait_room())
    await eventually(lambda: publisher.statistics().waiting_for_room == 1)
    if how == "close":
        await connection.close(flush_timeout_s=0.01)
    else:
        engine.kill()
        await eventually(lambda: connection.is_closed)
    assert {type(result) for result in await outcomes(futures)} == {MemphisNotConfirmedError}
    with pytest.raises(MemphisConnectError):
        await waiter
    with pytest.raises(MemphisConnectError):
        send(publisher, b"over.in", b"", resend_s=0, deadline_s=1)
    with pytest.raises(MemphisConnectError):
        await publisher.wait_room()
    await publisher.drain(1)


async def test_cancelled_futures_keep_the_accounts(shared_engine: Engine, connect: Connect) -> None:
    """Cancelling what send returned changes no count: the answer still frees the room."""
    connection = await connect(shared_engine.address)
    await create_stream(connection, "cancelled")
    publisher = Publisher(connection)
    futures = send_numbers(publisher, b"cancelled.in", range(100), resend_s=0)
    for future in futures[::2]:
        future.cancel()
    await publisher.drain(10)
    assert publisher.in_flight == 0
    assert publisher.statistics().in_flight_bytes == 0
    assert publisher.statistics().confirmed == 100
    assert all(future.done() for future in futures)


@pytest.mark.parametrize("limits", [{"in_flight_max": 10}, {"in_flight_bytes_max": 2000}])
async def test_back_pressure(
    shared_engine: Engine, connect: Connect, limits: dict[str, Any]
) -> None:
    """Many producers over one publisher stay within its limits and all get through, in order."""
    connection = await connect(shared_engine.address)
    name = re.sub(r"[^a-z]", "-", f"pressure{limits}")
    await create_stream(connection, name, allow_direct=True)
    publisher = Publisher(connection, **limits)
    most = most_bytes = 0
    sent: list[bytes] = []

    async def produce(number: int) -> None:
        nonlocal most, most_bytes
        for step in range(50):
            if not publisher.has_room:
                await publisher.wait_room()
            payload = b"%d-%d" % (number, step)
            sent.append(payload)
            send(publisher, f"{name}.in".encode(), payload, resend_s=0, deadline_s=20)
            most = max(most, publisher.in_flight)
            most_bytes = max(most_bytes, publisher.statistics().in_flight_bytes)

    await asyncio.gather(*(produce(number) for number in range(20)))
    await publisher.drain(10)
    assert most <= limits.get("in_flight_max", most)
    assert most_bytes <= limits.get("in_flight_bytes_max", most_bytes) + 200
    assert await stored_payloads(connection, name) == sent


async def test_a_flood_without_waiting_is_refused(shared_engine: Engine, connect: Connect) -> None:
    """Who ignores wait_room meets a hard limit, and what was accepted is still confirmed."""
    connection = await connect(shared_engine.address)
    await create_stream(connection, "flood")
    publisher = Publisher(connection, in_flight_max=10)
    futures = send_numbers(publisher, b"flood.in", range(20), resend_s=0)
    with pytest.raises(MemphisProduceError, match="wait for room"):
        send_numbers(publisher, b"flood.in", range(1), resend_s=0)
    assert {type(result) for result in await outcomes(futures)} == {PublishResult}


async def test_a_closed_publisher_leaves_the_connection(
    shared_engine: Engine, connect: Connect
) -> None:
    """Closing a publisher ends what it has in flight and nothing else."""
    connection = await connect(shared_engine.address)
    await create_stream(connection, "closing-publisher")
    publisher = Publisher(connection)
    futures = send_numbers(publisher, b"closing-publisher.in", range(3), resend_s=0)
    publisher.close()
    publisher.close()
    # The first went at once, so it may be stored; the others waited for the end of the turn.
    assert [type(result) for result in await outcomes(futures)] == [
        MemphisNotConfirmedError,
        MemphisProduceError,
        MemphisProduceError,
    ]
    await connection.flush(5)
    assert connection.statistics().subscriptions == 1  # the inbox for requests

    async def is_stored() -> bool:
        info = await jetstream(connection, "STREAM.INFO.closing-publisher")
        return bool(info["state"]["messages"] == 1)

    # Nobody was told when, because nobody was left to be told.
    await eventually(is_stored)
