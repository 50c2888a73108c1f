"""Consuming with a handler: what it is told, what it may do wrong, and how the loop ends."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest

from memphis import (
    Consumer,
    MemphisClosedError,
    MemphisError,
    MemphisNotFoundError,
    MemphisTimeoutError,
    MemphisUsageError,
    Message,
)
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import (
    SOON_S,
    ack_all,
    fill,
    group_info,
    numbers_of,
    until_settled,
)
from tests.waiting import eventually


class Recorder:
    """A handler that notes its calls and acknowledges."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.batches: list[int] = []
        self.errors: list[MemphisError] = []
        self.contexts: list[object] = []
        self.calls = 0

    async def __call__(
        self, messages: list[Message], error: MemphisError | None, context: object
    ) -> None:
        self.calls += 1
        self.contexts.append(context)
        if error is not None:
            assert messages == []
            self.errors.append(error)
            return
        assert messages
        self.batches.append(len(messages))
        self.numbers += numbers_of(messages)
        await ack_all(messages)


async def test_the_handler_gets_messages_and_context(memphis, name):
    """Batches no larger than asked, no error, and the context that was set."""
    await fill(await memphis.producer(name, "p"), range(25))
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0, batch_size=10)
    context = {"key": "value"}
    consumer.set_context(context)
    recorder = Recorder()
    consumer.consume(recorder)
    await eventually(lambda: len(recorder.numbers) == 25, SOON_S)
    assert recorder.numbers == list(range(25))
    assert max(recorder.batches) == 10
    assert all(one is context for one in recorder.contexts)
    await until_settled(memphis, name, "c")


async def test_a_plain_function(memphis, name):
    """The handler need not be a coroutine function."""
    await fill(await memphis.producer(name, "p"), range(3))
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0)
    found: list[int] = []
    consumer.consume(lambda messages, _error, _context: found.extend(numbers_of(messages)))
    await eventually(lambda: found == [0, 1, 2], SOON_S)


class OddError(Exception):
    """Of the application."""


@pytest.mark.parametrize("kind", [OddError, asyncio.CancelledError, asyncio.TimeoutError])
async def test_a_handler_that_fails(memphis, name, caplog, kind):
    """It is logged with its traceback, the messages come again, and the loop goes on."""
    await fill(await memphis.producer(name, "p"), range(3))
    consumer = await memphis.consumer(
        name, "c", pull_interval_ms=0, max_ack_time_ms=200, max_msg_deliveries=10
    )
    recorder = Recorder()
    failures = itertools.count(1)

    async def handler(messages: list[Message], error: MemphisError | None, context: object) -> None:
        if messages and next(failures) <= 2:
            raise kind
        await recorder(messages, error, context)

    with caplog.at_level(logging.ERROR, "memphis"):
        consumer.consume(handler)
        await eventually(lambda: sorted(set(recorder.numbers)) == [0, 1, 2], SOON_S)
        await until_settled(memphis, name, "c")
    record = next(r for r in caplog.records if r.name == "memphis.consumer")
    assert record.exc_info
    assert kind.__name__ in caplog.text
    assert "test_consuming.py" in caplog.text
    assert name in record.getMessage()


async def test_an_idle_consumer_gets_what_comes_before_its_next_poll(memphis, name):
    """It waits in the engine; the pause between polls is for a station that has messages."""
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c", pull_interval_ms=3_600_000)
    handler = Recorder()
    consumer.consume(handler)
    await eventually(lambda: handler.errors)
    await producer.produce("1")
    await eventually(lambda: handler.numbers == [1], SOON_S)
    await consumer.stop()


async def test_a_paused_idle_consumer_takes_nothing(memphis, name):
    """Also what comes while it waits in the engine stays there until it goes on."""
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c", pull_interval_ms=3_600_000)
    handler = Recorder()
    consumer.consume(handler)
    await eventually(lambda: handler.errors)
    consumer.pause()
    await producer.produce("1")
    assert (await group_info(memphis, name, "c")).pending == 1
    assert handler.numbers == []
    consumer.resume()
    await eventually(lambda: handler.numbers == [1], SOON_S)
    await consumer.stop()


async def test_told_once_that_the_station_ran_dry(memphis, name):
    """One call with exactly the specified text, polling goes on, and again after messages."""
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0, batch_max_time_to_wait_ms=1)
    recorder = Recorder()
    polls = count_polls(consumer)
    consumer.consume(recorder)
    for times in (1, 2, 3):
        await eventually(lambda times=times: len(recorder.errors) == times, SOON_S)
        seen = len(polls)
        await eventually(lambda seen=seen: len(polls) > seen + 10, SOON_S, "polling goes on")
        assert len(recorder.errors) == times
        await fill(producer, range(1))
        await eventually(lambda times=times: len(recorder.numbers) == times, SOON_S)
    for error in recorder.errors:
        assert isinstance(error, MemphisTimeoutError)
        assert str(error) == "Memphis: TimeoutError"


def count_polls(consumer: Consumer) -> list[float]:
    """The times at which the consumer's loop begins to read, as they are added to."""
    times: list[float] = []
    loop = asyncio.get_running_loop()
    reader = consumer._reader
    read = reader.read

    def noting(*arguments):
        times.append(loop.time())
        return read(*arguments)

    reader.read = noting
    return times


async def test_the_pull_interval(memphis, name):
    """Polls are no closer together than the interval, with messages and without."""
    interval_s = 0.05
    await fill(await memphis.producer(name, "p"), range(6))
    consumer = await memphis.consumer(
        name,
        "c",
        pull_interval_ms=int(interval_s * 1000),
        batch_size=2,
        batch_max_time_to_wait_ms=1,
    )
    times = count_polls(consumer)
    recorder = Recorder()
    consumer.consume(recorder)
    await eventually(lambda: len(times) >= 10, SOON_S)
    await consumer.stop()
    assert recorder.batches == [2, 2, 2]
    # A rate, not a duration: so many polls need at least so much time, on any machine.
    assert times[-1] - times[0] >= (len(times) - 1) * interval_s - 0.01


async def test_by_key_and_by_number(memphis, name):
    """A handler gets the messages of the chosen partition only."""
    await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "p")
    for partition in (1, 2, 3):
        await fill(producer, range(partition * 10, partition * 10 + 3), partition)
    stored = await producer.produce("99", producer_partition_key="k")
    by_number = Recorder()
    one = await memphis.consumer(name, "c", "one", pull_interval_ms=0)
    one.consume(by_number, consumer_partition_number=2)
    by_key = Recorder()
    other = await memphis.consumer(name, "c", "other", pull_interval_ms=0)
    other.consume(by_key, consumer_partition_key="k")
    await eventually(lambda: 99 in by_key.numbers and len(by_number.numbers) >= 3, SOON_S)
    expected = [20, 21, 22] + ([99] if stored.partition == 2 else [])
    assert by_number.numbers == expected
    first = stored.partition * 10
    assert by_key.numbers == [first, first + 1, first + 2, 99]


@pytest.mark.parametrize("handler", [None, "handler", 5])
async def test_bad_handlers(memphis, name, handler):
    """What cannot be called is refused at once."""
    consumer = await memphis.consumer(name, "c")
    with pytest.raises(MemphisUsageError):
        consumer.consume(handler)


async def test_consuming_again_in_the_same_way(memphis, name):
    """It changes nothing: programs for the original do so, round after round."""
    await memphis.station(name, partitions_number=2)
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0)
    recorder = Recorder()
    for _ in range(3):
        consumer.consume(recorder, consumer_partition_number=1)
    with pytest.raises(MemphisUsageError):
        consumer.consume(recorder, consumer_partition_number=2)
    await fill(await memphis.producer(name, "p"), range(5), 1)
    await eventually(lambda: recorder.numbers == list(range(5)), SOON_S)
    await consumer.stop()


async def test_consuming_twice(memphis, name):
    """A second handler is refused while the first one is at work, and welcome after stop."""
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0)
    first, second = Recorder(), Recorder()
    consumer.consume(first)
    with pytest.raises(MemphisUsageError):
        consumer.consume(second)
    await consumer.stop()
    consumer.consume(second)
    await fill(producer, range(1))
    await eventually(lambda: second.numbers == [0], SOON_S)
    assert first.numbers == []


# Stopping, pausing, ending.


async def test_stop_keeps_the_position(memphis, name):
    """After stop the handler is not called; a later consume goes on where it was."""
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0)
    recorder = Recorder()
    consumer.consume(recorder)
    await fill(producer, range(5))
    await eventually(lambda: len(recorder.numbers) == 5, SOON_S)
    await consumer.stop()
    calls = recorder.calls
    await fill(producer, range(5, 10))
    assert recorder.calls == calls
    assert (await group_info(memphis, name, "c")).pending == 5
    consumer.consume(recorder)
    await eventually(lambda: recorder.numbers == list(range(10)), SOON_S)


async def test_stop_waits_for_the_handler(memphis, name):
    """When stop returns no handler runs any more."""
    await fill(await memphis.producer(name, "p"), range(1))
    consumer = await memphis.consumer(name, "c")
    entered, leave = asyncio.Event(), asyncio.Event()

    async def handler(*_: object) -> None:
        entered.set()
        await leave.wait()

    consumer.consume(handler)
    await asyncio.wait_for(entered.wait(), SOON_S)
    stopping = asyncio.create_task(consumer.stop())
    await group_info(memphis, name, "c")
    assert not stopping.done()
    leave.set()
    await stopping


@pytest.mark.parametrize("how", ["stop", "destroy"])
async def test_a_handler_may_end_its_consumer(memphis, name, how):
    """A handler that has seen enough stops or destroys its own consumer, and waits for nobody."""
    await fill(await memphis.producer(name, "p"), range(5))
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0, batch_size=1)
    ended = asyncio.Event()
    found: list[int] = []

    async def handler(messages: list[Message], *_: object) -> None:
        found.extend(numbers_of(messages))
        await ack_all(messages)
        if len(found) == 2:
            await getattr(consumer, how)()
            ended.set()

    consumer.consume(handler)
    await asyncio.wait_for(ended.wait(), SOON_S)
    await consumer.stop()
    assert found == [0, 1]
    assert (await group_info(memphis, name, "c") is None) == (how == "destroy")


async def test_pause_and_resume(memphis, name):
    """While paused nothing is taken from the group; after that it goes on."""
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0, batch_max_time_to_wait_ms=1)
    recorder = Recorder()
    polls = count_polls(consumer)
    consumer.pause()
    consumer.consume(recorder)
    await fill(producer, range(3))
    assert (await group_info(memphis, name, "c")).pending == 3
    assert not polls
    consumer.resume()
    await eventually(lambda: recorder.numbers == [0, 1, 2], SOON_S)
    consumer.pause()
    await until_settled(memphis, name, "c")


async def test_stop_while_paused(memphis, name):
    """A paused consumer that is stopped takes nothing more."""
    await fill(await memphis.producer(name, "p"), range(3))
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0)
    recorder = Recorder()
    consumer.pause()
    consumer.consume(recorder)
    await asyncio.sleep(0)
    await consumer.stop()
    assert recorder.calls == 0
    assert (await group_info(memphis, name, "c")).pending == 3


async def test_the_station_is_removed(broker, memphis, name):
    """The handler is told once that it is gone, and the loop ends."""
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0)
    recorder = Recorder()
    consumer.consume(recorder)
    await eventually(lambda: recorder.errors, SOON_S)
    async with await connect(broker) as other:
        await (await other.existing_station(name)).destroy()
    await eventually(lambda: isinstance(recorder.errors[-1], MemphisNotFoundError), SOON_S)
    await consumer.stop()
    assert len(recorder.errors) == 2
    await consumer.destroy()


async def test_its_own_connection_removes_the_station(memphis, name):
    """Consumers of a station that is destroyed here end with it."""
    station = await memphis.station(name)
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0)
    consumer.consume(Recorder())
    await station.destroy()
    with pytest.raises(MemphisClosedError):
        await consumer.fetch(1)
    with pytest.raises(MemphisClosedError):
        consumer.consume(print)


async def test_destroying_without_awaiting(memphis, name):
    """It begins at once; the same task comes back; the group is gone in the end."""
    consumer = await memphis.consumer(name, "c")
    consumer.consume(Recorder())
    task = consumer.destroy()
    assert consumer.destroy() is task
    with pytest.raises(MemphisClosedError):
        consumer.consume(print)

    async def is_gone() -> bool:
        return await group_info(memphis, name, "c") is None

    await eventually(is_gone, SOON_S)
    await task


async def test_max_deliveries(memphis, name):
    """A message that is never acknowledged is delivered so often and no more."""
    await fill(await memphis.producer(name, "p"), range(2))
    consumer = await memphis.consumer(
        name,
        "c",
        pull_interval_ms=0,
        batch_max_time_to_wait_ms=10,
        max_ack_time_ms=100,
        max_msg_deliveries=3,
    )
    counts: dict[int, list[int]] = {0: [], 1: []}
    polls = count_polls(consumer)

    async def handler(messages: list[Message], *_: object) -> None:
        for message in messages:
            counts[int(message.get_data())].append(message.delivery_count)
            if message.get_data() == b"1":
                await message.ack()

    consumer.consume(handler)
    await eventually(lambda: len(counts[0]) == 3, SOON_S)
    end = polls[-1] + 0.4
    await eventually(lambda: polls[-1] > end, SOON_S, "four more ack times pass")
    assert counts == {0: [1, 2, 3], 1: [1]}
