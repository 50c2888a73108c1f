"""memphis-py 1.3.1 while broker and engine are killed: what it was told is stored, is, and once."""

from __future__ import annotations

import asyncio

import pytest

from tests.compat.conftest import CONNECT
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import SOON_S, read
from tests.waiting import eventually

PRODUCING = """
kept.confirmed, kept.stop = [], False
producer = await kept.memphis.producer(NAME, "p")

async def produce():
    number = 0
    while not kept.stop:
        try:
            await producer.produce(str(number), msg_id=str(number), ack_wait_sec=2)
        except original.MemphisError:
            await asyncio.sleep(0.05)  # it sends the same again, under the same id
            continue
        kept.confirmed.append(number)
        number += 1

kept.producing = asyncio.create_task(produce())
"""


@pytest.mark.parametrize("what", ["broker", "engine"])
async def test_a_confirmed_message_is_stored_once(original, fresh_broker, name, what):
    """The worker that its messages pass confirms nothing, so nothing that it loses was confirmed."""
    await original(CONNECT, HOST=fresh_broker.host, PORT=fresh_broker.port)
    await original(PRODUCING, NAME=name)

    async def more(than: int) -> bool:
        return len(await original("return kept.confirmed")) > than

    await eventually(lambda: more(20), SOON_S)
    for _ in range(3):
        if what == "broker":
            await asyncio.to_thread(fresh_broker.kill)
            await asyncio.to_thread(fresh_broker.start)
        else:
            await asyncio.to_thread(fresh_broker.kill_engine)
        confirmed = len(await original("return kept.confirmed"))
        await eventually(lambda: more(confirmed + 20), SOON_S)  # noqa: B023 - it ends in this round
    confirmed = await original("kept.stop = True; await kept.producing; return kept.confirmed")
    async with await connect(fresh_broker) as memphis:
        station = await memphis.existing_station(name)
        count = (await station.info()).messages
        messages = await read(await memphis.consumer(name, "reader"), count)
    stored = [int(message.get_data()) for message in messages]
    assert stored == sorted(set(stored))
    assert set(confirmed) <= set(stored)
