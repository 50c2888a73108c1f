"""What is asked for ahead: soon handled, never held by a consumer that has stopped or paused."""

from __future__ import annotations

import asyncio

import pytest

from memphis import Consumer, Memphis, Message
from memphis._core import users
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import ack_all, fill, group_info, numbers_of, read, until_settled
from tests.waiting import eventually


class Handler:
    """Acknowledges everything; ``act`` is called after each batch."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.act = lambda: None

    async def __call__(self, messages: list[Message], _error: object, _context: object) -> None:
        self.numbers += numbers_of(messages)
        await ack_all(messages)
        outcome = self.act()
        if outcome is not None:
            await outcome


async def no_member_holds_any(memphis: Memphis, name: str) -> bool:
    """Whether all messages that were delivered to the group are acknowledged."""
    info = await group_info(memphis, name, "g")
    assert info is not None
    return info.unacknowledged == 0


async def eager(memphis: Memphis, name: str, **options) -> Consumer:
    """A consumer that polls without pauses."""
    return await memphis.consumer(
        name,
        "c",
        "g",
        **{"pull_interval_ms": 0, "batch_size": 10, "max_ack_time_ms": 60_000, **options},
    )


async def prepared(
    memphis: Memphis, name: str, messages: int, **options
) -> tuple[Consumer, Handler]:
    """So many messages, a consumer without pauses, and a handler for it; nothing is read yet."""
    await fill(await memphis.producer(name, "p"), range(messages))
    return await eager(memphis, name, **options), Handler()


async def another(memphis: Memphis, name: str) -> Consumer:
    """A second member of the group; what the first gives back comes to it, nothing by timeout."""
    return await memphis.consumer(name, "other", "g", max_ack_time_ms=60_000)


with_and_without_waiting = pytest.mark.parametrize("wait_ms", [0, 100])


@pytest.mark.parametrize("partitions", [1, 3])
async def test_everything_is_handled_once(memphis, name, partitions):
    """Batches that were asked for ahead come like others, in order within a partition."""
    await memphis.station(name, partitions_number=partitions)
    consumer, handler = await prepared(memphis, name, 3000)
    consumer.consume(handler)
    await until_settled(memphis, name, "g")
    await consumer.stop()
    assert sorted(handler.numbers) == list(range(3000))
    for first in range(partitions):
        mine = [number for number in handler.numbers if number % partitions == first]
        assert mine == sorted(mine)


async def test_an_empty_partition_keeps_no_other_from_being_read(memphis, name):
    """All messages are in one of two partitions, and batches are full, however long a read may wait."""
    await memphis.station(name, partitions_number=2)
    await fill(await memphis.producer(name, "p"), range(400), partition=2)
    handler = Handler()
    sizes: list[int] = []
    handler.act = lambda: sizes.append(len(handler.numbers))
    consumer = await eager(memphis, name, batch_size=20, batch_max_time_to_wait_ms=60_000)
    consumer.consume(handler)
    await eventually(lambda: len(handler.numbers) == 400)
    assert sizes == list(range(20, 401, 20))
    await consumer.destroy()


async def test_fetch_after_iterating(memphis, name):
    """What an iteration asked for ahead does not make a later fetch come back empty."""
    await memphis.station(name, partitions_number=3)
    await fill(await memphis.producer(name, "p"), range(300), partition=2)
    consumer = await memphis.consumer(name, "c", batch_size=100)
    taken = 0
    async for message in consumer:
        await message.ack()
        taken += 1
        if taken == 150:
            break
    for _ in range(5):
        messages = await consumer.fetch(5)
        assert len(messages) == 5
        await ack_all(messages)


async def test_a_stopped_consumer_takes_nothing(memphis, name):
    """A stop while a read waits with a part of its batch asks for nothing more."""
    producer = await memphis.producer(name, "p")
    handler = Handler()
    consumer = await eager(memphis, name, batch_max_time_to_wait_ms=60_000)
    await fill(producer, range(10))
    consumer.consume(handler)
    await eventually(lambda: len(handler.numbers) == 10)
    await fill(producer, range(10, 13))
    await eventually(lambda: consumer._reader.buffered == 3)
    await consumer.stop()
    assert len(handler.numbers) == 13
    await fill(producer, range(13, 18))
    other = await another(memphis, name)
    messages = await read(other, 5)
    assert numbers_of(messages) == list(range(13, 18))
    assert {message.delivery_count for message in messages} == {1}


@with_and_without_waiting
async def test_pausing_in_a_handler_holds_nothing(memphis, name, wait_ms):
    """The batch that was asked for ahead is handled before the loop pauses."""
    consumer, handler = await prepared(memphis, name, 100, batch_max_time_to_wait_ms=wait_ms)
    handler.act = lambda: consumer.pause() if len(handler.numbers) == 30 else None
    consumer.consume(handler)
    await eventually(lambda: len(handler.numbers) == 40)
    await eventually(lambda: no_member_holds_any(memphis, name))
    consumer.resume()
    await eventually(lambda: len(handler.numbers) == 100)
    assert handler.numbers == list(range(100))
    await consumer.destroy()


@with_and_without_waiting
async def test_stopping_from_outside_holds_nothing(memphis, name, wait_ms):
    """When stop returns, everything that was asked for is handled, and each message once."""
    consumer, handler = await prepared(memphis, name, 100, batch_max_time_to_wait_ms=wait_ms)
    consumer.consume(handler)
    await eventually(lambda: len(handler.numbers) >= 30)
    await consumer.stop()
    assert handler.numbers == list(range(len(handler.numbers)))
    await eventually(lambda: no_member_holds_any(memphis, name))
    other = await another(memphis, name)
    rest = await read(other, 100 - len(handler.numbers)) if len(handler.numbers) < 100 else []
    assert {message.delivery_count for message in rest} <= {1}


@with_and_without_waiting
async def test_stopping_in_a_handler_gives_back(memphis, name, wait_ms):
    """A handler that has stopped is not called again; what was asked for ahead is another member's."""
    consumer, handler = await prepared(memphis, name, 100, batch_max_time_to_wait_ms=wait_ms)
    handler.act = lambda: consumer.stop() if len(handler.numbers) == 30 else None
    consumer.consume(handler)
    other = await another(memphis, name)
    await eventually(consumer._consuming.done)
    assert handler.numbers == list(range(30))
    assert sorted(numbers_of(await read(other, 70))) == list(range(30, 100))
    assert handler.numbers == list(range(30))


async def test_closing_with_a_handler_that_hangs(broker, memphis, name, monkeypatch):
    """What was asked for ahead goes back at once, even if the handler never returns."""
    monkeypatch.setattr(users, "DRAIN_S", 0.2)
    await fill(await memphis.producer(name, "p"), range(40))
    closing = await connect(broker)
    handler = Handler()
    hanging = asyncio.Event()

    async def hang() -> None:
        hanging.set()
        await asyncio.Event().wait()

    handler.act = lambda: hang() if len(handler.numbers) == 20 else None
    consumer = await eager(closing, name)
    other = await another(memphis, name)
    consumer.consume(handler)
    await hanging.wait()
    await eventually(lambda: consumer._reader.buffered == 10)
    await closing.close()
    assert sorted(numbers_of(await read(other, 20))) == list(range(20, 40))
