"""A message: settling it in each way, what it tells, and other clients' messages."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from memphis import (
    MemphisError,
    MemphisUsageError,
    Retention,
)
from memphis.wire.names import GroupName, StationName
from memphis.wire.subjects import ingest_subject, pull_subject
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import (
    SOON_S,
    fill,
    foreign_client,
    group_info,
    numbers_of,
    read_one,
    until_settled,
)
from tests.waiting import eventually

LONG_MS = 600_000
"""An ack time that no test waits for: what comes again comes for another reason."""


@pytest.fixture
async def consumer(memphis, name):
    """A consumer of a station with three messages, whose ack time never runs out."""
    await fill(await memphis.producer(name, "p"), range(3))
    return await memphis.consumer(name, "c", "g", max_ack_time_ms=LONG_MS, max_msg_deliveries=10)


# Settling.


async def test_ack(memphis, name, consumer):
    """Acknowledged messages do not come again; a second ack does nothing."""
    for message in await consumer.fetch(3):
        await message.ack()
        await message.ack()
    await until_settled(memphis, name, "g")
    assert await consumer.fetch(3) == []


async def test_nack(memphis, name, consumer):
    """It comes again at once, with a higher count."""
    message = await read_one(consumer)
    await message.nack()
    await message.nack()
    again = [await read_one(consumer) for _ in range(3)]
    assert sorted((int(m.get_data()), m.delivery_count) for m in again) == [(0, 2), (1, 1), (2, 1)]


@pytest.mark.parametrize("delay", [0, 0.0, 1e-12, 0.05, 1])
async def test_delay(consumer, delay):
    """It comes again after that many seconds, not before."""
    message = await read_one(consumer)
    before = asyncio.get_running_loop().time()
    await message.delay(delay)
    others = [await read_one(consumer) for _ in range(3)]
    again = next(m for m in others if m.get_data() == b"0")
    assert again.delivery_count == 2
    if others[-1] is again:
        assert asyncio.get_running_loop().time() - before >= delay


@pytest.mark.parametrize(
    "delay", [-1, -0.001, float("nan"), float("inf"), "1", None, True], ids=repr
)
async def test_bad_delays(consumer, delay):
    """A delay is a number of seconds from 0; the message can still be settled."""
    message = await read_one(consumer)
    with pytest.raises(MemphisUsageError):
        await message.delay(delay)
    await message.ack()


SETTLERS = {
    "ack": lambda message: message.ack(),
    "nack": lambda message: message.nack(),
    "delay": lambda message: message.delay(1),
    "dead_letter": lambda message: message.dead_letter("because"),
}


@pytest.mark.parametrize("first", SETTLERS)
@pytest.mark.parametrize("second", SETTLERS)
async def test_settled_once(consumer, first, second):
    """The same again does nothing, unless it is a delay; another way after that is refused."""
    message = await read_one(consumer)
    await SETTLERS[first](message)
    if first == second != "delay":
        await SETTLERS[second](message)
        return
    with pytest.raises(MemphisUsageError):
        await SETTLERS[second](message)


async def test_dead_letter(broker, memphis, name, consumer):
    """It is stored, then does not come again to the group; other groups get it as before."""
    other = await memphis.consumer(name, "c", "other", max_ack_time_ms=LONG_MS)
    message = await read_one(consumer)
    await message.dead_letter("no\r\nsuch  flight ü")
    for number in (1, 2):
        rest = await read_one(consumer)
        assert numbers_of([rest]) == [number]
        await rest.ack()
    await until_settled(memphis, name, "g")
    assert numbers_of([await read_one(other)]) == [0]


async def test_dead_letter_of_an_ack_based_station(memphis, name):
    """There, too, it is stored before the last group's settling removes it."""
    await memphis.station(name, Retention.ACK_BASED)
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=LONG_MS)
    await fill(await memphis.producer(name, "p"), range(1))
    await (await read_one(consumer)).dead_letter("because")
    station = await memphis.existing_station(name)

    async def is_empty() -> bool:
        return (await station.info()).messages == 0

    await eventually(is_empty, SOON_S)


async def test_dead_letter_of_a_message_that_is_gone(memphis, name, consumer):
    """The member has it, so what its station's retention does meanwhile is no matter."""
    message = await read_one(consumer)
    station = await memphis.existing_station(name)
    await station.purge()
    await message.dead_letter("because")
    assert [x.get_data() async for x in station.dead_letters()] == [b"0"]


async def test_dead_letter_where_none_are_kept(memphis, name):
    """A station that keeps no dead letters: the message is taken from the group only."""
    await memphis.station(name, send_poison_msg_to_dls=False)
    await fill(await memphis.producer(name, "p"), range(1))
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=LONG_MS)
    await (await read_one(consumer)).dead_letter("because")
    await until_settled(memphis, name, "c")


@pytest.mark.parametrize("reason", [None, 5, b"because", "x" * 4097, "\ud800"], ids=ascii)
async def test_bad_reasons(consumer, reason):
    """A reason is text of at most 4096 characters."""
    message = await read_one(consumer)
    with pytest.raises(MemphisUsageError):
        await message.dead_letter(reason)
    await message.ack()


@pytest.mark.parametrize("reason", ["", "x" * 4096, "\x00 ✈ \n"], ids=len)
async def test_reasons(memphis, name, consumer, reason):
    """Any such text will do."""
    await (await read_one(consumer)).dead_letter(reason)
    assert (await group_info(memphis, name, "g")).pending == 2


# What it tells.


async def test_getters(memphis, name):
    """Payload, headers, sequence, partition, group, count, time."""
    await memphis.station(name, partitions_number=2)
    producer = await memphis.producer(name, "p")
    before = datetime.now(UTC)
    for _ in range(2):
        await producer.produce(b"data", headers={"k": "v"}, producer_partition_number=2)
    consumer = await memphis.consumer(name, "c", "g")
    await read_one(consumer)
    message = await read_one(consumer)
    assert message.get_data() == bytearray(b"data")
    assert message.get_data() is not message.get_data()
    assert await message.get_data_deserialized() == b"data"
    assert message.get_headers()["k"] == "v"
    message.get_headers().clear()
    assert message.get_headers()["k"] == "v"
    assert message.get_sequence_number() == 2
    assert message.partition == 2
    assert message.delivery_count == 1
    assert (message.station_name, message.consumer_group) == (name, "g")
    sent = message.get_timesent()
    assert isinstance(sent, datetime)
    assert sent.utcoffset() == timedelta(0)
    assert before - timedelta(seconds=1) <= sent <= datetime.now(UTC) + timedelta(seconds=1)


async def test_getters_after_everything(broker, name):
    """A message that is settled, of a connection that is closed, still tells what it knows."""
    async with await connect(broker) as memphis:
        await memphis.produce(name, "p", b"data", headers={"k": "v"})
        message = await read_one(await memphis.consumer(name, "c"))
        await message.ack()
    assert message.get_data() == b"data"
    assert message.get_headers()["k"] == "v"
    assert message.get_sequence_number() == 1
    assert message.get_timesent()
    await message.ack()
    with pytest.raises(MemphisError):
        await message.nack()


# Other clients.


async def test_what_we_write_others_read(broker, memphis, name):
    """A foreign client pulls our messages: payload, headers and all."""
    station, group = StationName.parse(name), GroupName.parse("g")
    consumer = await memphis.consumer(name, "c", "g")
    await memphis.produce(name, "p", b"\x00data\r\n", headers={"k": "v: w", "x": "ü"}, msg_id="7")
    async with foreign_client(broker) as foreign:
        inbox = foreign.new_inbox()
        subscription = await foreign.subscribe(inbox)
        await foreign.publish(pull_subject(station, 1, group), b'{"batch":1}', reply=inbox)
        received = await subscription.next_msg(SOON_S)
        assert received.data == b"\x00data\r\n"
        headers = received.headers
        assert headers is not None
        assert headers["k"] == "v: w"
        assert headers["x"] == "ü"
        assert headers["Nats-Msg-Id"] == headers["msg-id"] == "7"
        await received.ack()
        await until_settled(memphis, name, "g")
    assert await consumer.fetch(1) == []


async def test_what_others_write_we_read(broker, memphis, name):
    """A foreign client's message, with headers of its own spelling or none, is a message."""
    await memphis.station(name)
    subject = ingest_subject(StationName.parse(name), 1)
    async with foreign_client(broker) as foreign:
        plain = await foreign.request(subject, b"plain", timeout=SOON_S)
        assert b'"seq":1' in plain.data
        await foreign.request(
            subject, b"", timeout=SOON_S, headers={"K": "v", "Long": "x" * 5000, "Empty": ""}
        )
    consumer = await memphis.consumer(name, "c")
    first, second = await read_one(consumer), await read_one(consumer)
    assert first.get_data() == b"plain"
    assert first.get_headers() == {}
    assert second.get_data() == b""
    assert second.get_headers() == {"K": "v", "Long": "x" * 5000, "Empty": ""}
