"""What the tests of the SDK share: filling stations, reading groups, and a foreign client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import nats
from nats.aio.client import Client

from memphis import Consumer, Memphis, Message, Producer
from memphis.producer import PendingProduce
from memphis.wire.models import GroupInfo
from memphis_broker.testing import BrokerProcess
from tests.fixtures.faults import standing_still
from tests.waiting import eventually

SOON_S = 30.0
"""For what a program does by itself within seconds; a passing test never meets it."""


async def fill(producer: Producer, numbers: Iterable[int], partition: int = -1) -> None:
    """Produce these numbers as text, confirmed when this returns."""
    for number in numbers:
        await producer.produce(str(number), nonblocking=True, producer_partition_number=partition)
    await producer.flush()


async def produce_too_late(broker: BrokerProcess, producer: Producer) -> PendingProduce:
    """Produce a message that fails for certain: the engine stands still until its deadline."""
    async with standing_still(broker):
        late: PendingProduce = await producer.produce(b"", nonblocking=True, ack_wait_sec=0.01)
        await eventually(late.done)
    return late


def numbers_of(messages: Iterable[Message]) -> list[int]:
    """The numbers that :func:`fill` put into these messages."""
    return [int(message.get_data()) for message in messages]


async def ack_all(messages: Iterable[Message]) -> None:
    """Settle them."""
    for message in messages:
        await message.ack()


async def read(consumer: Consumer, count: int, **fetch: Any) -> list[Message]:
    """Fetch and acknowledge until so many messages have come, which must happen soon."""
    found: list[Message] = []

    async def one_more() -> bool:
        batch = await consumer.fetch(min(5000, count - len(found)), **fetch)
        await ack_all(batch)
        found.extend(batch)
        return len(found) >= count

    await eventually(one_more, SOON_S, f"{count} messages come to {consumer.consumer_name}")
    return found


async def read_one(consumer: Consumer) -> Message:
    """Fetch one message, which must come soon; it is left unsettled."""

    async def one() -> list[Message]:
        return await consumer.fetch(1)

    return (await eventually(one, SOON_S, "a message comes"))[0]


async def group_info(memphis: Memphis, station: str, group: str) -> GroupInfo | None:
    """How far a group is; None if there is none of this name."""
    info = await (await memphis.existing_station(station)).info()
    return next((found for found in info.groups if found.name == group), None)


async def until_settled(memphis: Memphis, station: str, group: str) -> None:
    """Wait until the group has acknowledged everything that the station holds."""

    async def is_settled() -> bool:
        group_now = await group_info(memphis, station, group)
        assert group_now is not None
        return group_now.pending == group_now.unacknowledged == 0

    await eventually(is_settled, SOON_S, f"the group {group} has acknowledged everything")


def own_tasks() -> set[asyncio.Task[Any]]:
    """All tasks of this loop but the one that asks."""
    return asyncio.all_tasks() - {asyncio.current_task()}


@contextlib.asynccontextmanager
async def foreign_client(broker: BrokerProcess) -> AsyncIterator[Client]:
    """A client of another make, logged in as root and with no more rights than ours."""
    client = await nats.connect(
        f"nats://{broker.host}:{broker.port}",
        user="root",
        password="memphis",
        name="foreign",
        inbox_prefix=b"_INBOX.root.foreign",
        connect_timeout=10,
    )
    try:
        yield client
    finally:
        await client.close()
