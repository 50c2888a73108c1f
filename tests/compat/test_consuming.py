"""memphis-py 1.3.1 consumes what either SDK has produced."""

from __future__ import annotations

import asyncio

import pytest

from tests.compat.conftest import CONNECT
from tests.integration.sdk.helpers import SOON_S
from tests.waiting import eventually

CONSUMER = "kept.consumer = await kept.memphis.consumer(NAME, 'c', 'g.1', **OPTIONS)"
FETCH = """
found = []
for _ in range(ROUNDS):
    for message in await fetch(kept.consumer, COUNT):
        found.append(message.get_data())
        await message.ack()
return found
"""


async def test_three_partitions_with_headers(connected, memphis, name):
    """All messages of the SDK here, with headers and what it knows of each."""
    await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "ours")
    for number in range(9):
        await producer.produce({"n": number}, headers={"key": str(number)})
    await connected(CONSUMER, NAME=name, OPTIONS={})
    found = await connected(
        """
        found = []
        for _ in range(3):
            for m in await fetch(kept.consumer, 10):
                found.append([m.get_data().decode(), m.get_headers()["key"], m.get_sequence_number(),
                              m.get_headers()["$memphis_producedBy"]])
                await m.ack()
        return found
        """
    )
    assert sorted(found, key=lambda f: f[1]) == [
        [f'{{"n":{n}}}', str(n), n // 3 + 1, "ours"] for n in range(9)
    ]
    (group,) = (await (await memphis.existing_station(name)).info()).groups
    assert (group.name, group.pending) == ("g.1", 0)


async def test_by_callback(connected, memphis, name):
    """Its consume loop hands over what comes while it runs."""
    producer = await memphis.producer(name, "p")
    await connected(CONSUMER, NAME=name, OPTIONS={"pull_interval_ms": 100})
    await connected(
        """
        kept.got = []
        async def handle(messages, error, context):
            for message in messages or []:
                kept.got.append([message.get_data().decode(), context["key"]])
                await message.ack()
        kept.consumer.set_context({"key": "context"})
        kept.consumer.consume(handle)
        """
    )
    for number in range(20):
        await producer.produce(str(number))

    async def got() -> bool:
        return await connected("return kept.got") == [[str(n), "context"] for n in range(20)]

    await eventually(got, SOON_S)


async def test_nack_and_delay_and_what_comes_again(connected, memphis, name):
    """A nacked message comes at once, a delayed one later, as often as the group allows."""
    producer = await memphis.producer(name, "p")
    await producer.produce("x")
    await connected(CONSUMER, NAME=name, OPTIONS={"max_msg_deliveries": 10})
    for call in ("nack()", "delay(0.05)", "ack()"):
        found = await connected(
            f"""
            (message,) = await fetch(kept.consumer, 1)
            await message.{call}
            return message.get_data()
            """
        )
        assert found == "x"
    assert await connected(FETCH, ROUNDS=1, COUNT=1) == []


async def test_the_groups_of_both_share_messages(connected, memphis, name):
    """A member of each SDK in one group: every message reaches one of them."""
    producer = await memphis.producer(name, "p")
    ours = await memphis.consumer(name, "ours", "g.1")
    await connected(CONSUMER, NAME=name, OPTIONS={})
    for number in range(20):
        await producer.produce(str(number))
    mine = await ours.fetch(8)
    theirs = await connected(FETCH, ROUNDS=1, COUNT=12)
    for message in mine:
        await message.ack()
    found = [m.get_data().decode() for m in mine] + theirs
    assert sorted(found, key=int) == [str(n) for n in range(20)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"start_consume_from_sequence": 3}, [2, 3, 4]),
        ({"last_messages": 2}, [3, 4]),
        ({"last_messages": 0}, []),
    ],
)
async def test_where_a_group_begins(connected, memphis, name, options, expected):
    """As asked for; on one partition, too, where the original's own broker made no group at all."""
    producer = await memphis.producer(name, "p")
    for number in range(5):
        await producer.produce(str(number))
    await connected(CONSUMER, NAME=name, OPTIONS=options)
    assert await connected(FETCH, ROUNDS=1, COUNT=10) == [str(n) for n in expected]


async def test_fetch_messages(connected, memphis, name):
    """The call that makes its consumer by itself."""
    await memphis.produce(name, "p", "x")
    found = await connected(
        """
        messages = await kept.memphis.fetch_messages(NAME, "c")
        for message in messages:
            await message.ack()
        return [message.get_data() for message in messages]
        """,
        NAME=name,
    )
    assert found == ["x"]


async def test_the_last_member_ends_the_group(connected, memphis, name):
    """With its position; while another is left, of either SDK, it stays."""
    station = await memphis.station(name)
    await connected(CONSUMER, NAME=name, OPTIONS={})
    ours = await memphis.consumer(name, "ours", "g.1")
    await connected("await kept.consumer.destroy()")
    assert [g.name for g in (await station.info()).groups] == ["g.1"]
    await connected(CONSUMER, NAME=name, OPTIONS={})
    await ours.destroy()
    assert [g.name for g in (await station.info()).groups] == ["g.1"]
    await connected("await kept.consumer.destroy()")

    async def ended() -> bool:
        return (await station.info()).groups == []

    await eventually(ended, SOON_S)


async def test_two_of_its_processes_in_one_group(connected, original, broker, memphis, name):
    """One that was killed does not keep the group, one that lives does."""
    station = await memphis.station(name)
    second = original
    try:
        await second(CONNECT, HOST=broker.host, PORT=broker.port)
        await second(CONSUMER, NAME=name, OPTIONS={})
        await connected(CONSUMER, NAME=name, OPTIONS={})
        await connected("await kept.consumer.destroy()")
        assert [g.name for g in (await station.info()).groups] == ["g.1"]
        await connected(CONSUMER, NAME=name, OPTIONS={})
    finally:
        second.kill()
    await connected("await kept.consumer.destroy()")

    async def ended() -> bool:
        return (await station.info()).groups == []

    await eventually(ended, SOON_S)


async def test_a_broker_that_comes_back(original, fresh_broker, name):
    """Broker and engine are killed and started: it connects again and goes on."""
    await original(CONNECT, HOST=fresh_broker.host, PORT=fresh_broker.port)
    await original("kept.producer = await kept.memphis.producer(NAME, 'p')", NAME=name)
    await original(CONSUMER, NAME=name, OPTIONS={})
    await original("await kept.producer.produce('before')")
    await asyncio.to_thread(fresh_broker.kill)
    await asyncio.to_thread(fresh_broker.kill_engine)
    await asyncio.to_thread(fresh_broker.start)

    async def produced() -> bool:
        return await original(
            """
            try:
                await kept.producer.produce("after", msg_id="1", ack_wait_sec=2)
            except Exception:
                return False
            return True
            """
        )

    await eventually(produced, SOON_S)
    assert await original(FETCH, ROUNDS=1, COUNT=10) == ["before", "after"]
