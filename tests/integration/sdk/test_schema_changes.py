"""A schema that is attached, changed and detached while producers and consumers stay connected."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter

import pytest

from memphis import (
    Memphis,
    MemphisPartlyProducedError,
    MemphisSchemaError,
    Message,
    Producer,
)
from memphis.wire.headers import SCHEMA
from memphis.wire.schemas import read_mark
from tests.fixtures.sdk import connect, connect_through
from tests.integration.sdk.helpers import SOON_S, read
from tests.integration.sdk.schema_samples import KINDS, Sample, as_read, samples
from tests.waiting import eventually


def version_of(message: Message) -> int:
    """The version that a message was checked by; 0: none."""
    mark = message.get_headers().get(SCHEMA)
    version = None if mark is None else read_mark(mark)
    assert (version is None) == (mark is None)
    return 0 if version is None else version.version


async def until_it_takes(producer: Producer, sample: Sample) -> None:
    """Produce the message until it is taken, which must be soon."""

    async def is_taken() -> bool:
        try:
            await producer.produce(sample.message)
        except MemphisSchemaError:
            return False
        return True

    await eventually(is_taken, SOON_S)


async def until_it_refuses(producer: Producer, sample: Sample) -> None:
    """Produce the message until it is refused, which must be soon."""

    async def is_refused() -> bool:
        try:
            await producer.produce(sample.message)
        except MemphisSchemaError:
            return True
        return False

    await eventually(is_refused, SOON_S)


@pytest.mark.parametrize("kind", KINDS)
async def test_live_changes(broker, memphis, name, kind):
    """Attached, changed three times, detached: every stored message fits the version it names.

    Another connection makes the changes, so producer and consumer hear of them from the broker alone.
    """
    versions = samples(kind)
    producer = await memphis.producer(name, "p")
    accepted = Counter[int]()

    async def keep_producing() -> None:
        while True:
            for index, sample in enumerate(versions):
                with contextlib.suppress(MemphisSchemaError):
                    await producer.produce(sample.message, headers={"form": str(index)})
                    accepted[index] += 1

    async with await connect(broker) as changer, await connect(broker) as reader:
        consumer = await reader.consumer(name, "c")
        background = asyncio.create_task(keep_producing())
        schema = await changer.create_schema(f"{name}.schema", kind, content=versions[0].content)
        await changer.enforce_schema(schema.name, name)
        await until_it_refuses(producer, versions[1])
        for number, sample in enumerate(versions[1:], start=2):
            await changer.create_schema(schema.name, kind, content=sample.content, activate=True)
            assert (await schema.describe()).active_version == number
            await until_it_takes(producer, sample)
            await until_it_refuses(producer, versions[number - 2])
        await changer.detach_schema(name)
        await until_it_takes(producer, versions[0])
        await eventually(lambda: accepted[1] > 0 and accepted[2] > 0, SOON_S)
        background.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await background
        info = await (await changer.existing_station(name)).info()
        messages = await read(consumer, info.messages)
        await check_messages(kind, versions, messages)


async def check_messages(kind: str, versions: list[Sample], messages: list[Message]) -> None:
    """Each message reads back as the form of the version it names; all four were used, and none."""
    seen = Counter[int]()
    for message in messages:
        number = version_of(message)
        seen[number] += 1
        value = await message.get_data_deserialized()
        if number == 0:
            assert value == message.get_data()
        else:
            assert as_read(kind, value) == versions[number - 1].reads_as
    assert set(seen) == {0, 1, 2, 3, 4}


async def test_who_changes_a_schema_has_it_enforced_at_once(memphis, name):
    """The next message of the same connection is checked by what was changed: each of the four ways."""
    first, second = samples("json")[:2]
    producer = await memphis.producer(name, "p")
    await producer.produce(second.message)
    schema = await memphis.create_schema(f"{name}.schema", "json", content=first.content)
    for _ in range(3):
        await memphis.enforce_schema(schema.name, name)
        with pytest.raises(MemphisSchemaError):
            await producer.produce(second.message)
        await memphis.create_schema(schema.name, "json", content=second.content, activate=True)
        await producer.produce(second.message)
        await schema.activate(1)
        with pytest.raises(MemphisSchemaError):
            await producer.produce(second.message)
        await memphis.detach_schema(name)
        await producer.produce(second.message)


async def test_an_older_version_can_be_activated_again(memphis, name):
    """What is enforced is the active version, whichever is the newest."""
    first, second = samples("json")[:2]
    schema = await memphis.create_schema(f"{name}.schema", "json", content=first.content)
    await memphis.station(name, schema_name=schema.name)
    producer = await memphis.producer(name, "p")
    await memphis.create_schema(schema.name, "json", content=second.content)
    await producer.produce(first.message)
    await schema.activate(2)
    await until_it_takes(producer, second)
    await schema.activate(1)
    await until_it_takes(producer, first)
    with pytest.raises(MemphisSchemaError):
        await producer.produce(second.message)


async def test_a_change_during_a_cut_is_known_after_it(broker, memphis, name, proxy):
    """A producer that was away when a version was activated checks by it once it is back."""
    first, second = samples("json")[:2]
    schema = await memphis.create_schema(f"{name}.schema", "json", content=first.content)
    await memphis.station(name, schema_name=schema.name)
    async with await connect_through(proxy, broker) as other:
        producer = await other.producer(name, "p")
        await producer.produce(first.message)
        proxy.refuse()
        await eventually(lambda: not other.is_connected(), SOON_S)
        await memphis.create_schema(schema.name, "json", content=second.content, activate=True)
        proxy.accept()
        await eventually(other.is_connected, SOON_S)
        await until_it_takes(producer, second)


async def test_a_change_while_the_broker_is_away_is_known_after_it(fresh_broker, name):
    """The broker is killed right after an activation: the producer learns of it from the next one."""
    first, second = samples("json")[:2]
    async with await connect(fresh_broker) as memphis:
        schema = await memphis.create_schema("s", "json", content=first.content)
        await memphis.station(name, schema_name="s")
        producer = await memphis.producer(name, "p")
        await memphis.create_schema("s", "json", content=second.content)
        await schema.activate(2)
        await asyncio.to_thread(fresh_broker.kill)
        await asyncio.to_thread(fresh_broker.start)
        await eventually(memphis.is_connected, SOON_S)
        await until_it_takes(producer, second)


async def test_all_producers_of_a_connection_follow(memphis, name):
    """Single, for several stations, and kept: each checks by what its own station requires."""
    first, second = samples("json")[:2]
    schema = await memphis.create_schema(f"{name}.schema", "json", content=first.content)
    stations = [f"{name}.1", f"{name}.2"]
    for station in stations:
        await memphis.station(station)
    several = await memphis.producer(stations, "p")
    await several.produce(second.message)
    for station in stations:
        await memphis.enforce_schema(schema.name, station)
    single = await memphis.producer(stations[0], "p")
    with pytest.raises(MemphisSchemaError):
        await single.produce(second.message)
    with pytest.raises(MemphisSchemaError):
        await memphis.produce(stations[1], "kept", second.message)
    await until_it_refuses(several, second)
    await several.produce(first.message)


async def test_changes_that_cross_each_other_end_in_the_last(memphis: Memphis, name: str):
    """Many activations at once: afterwards producers enforce the version that the broker says."""
    versions = samples("json")
    schema = await memphis.create_schema(f"{name}.schema", "json", content=versions[0].content)
    for sample in versions[1:]:
        await memphis.create_schema(schema.name, "json", content=sample.content)
    await memphis.station(name, schema_name=schema.name)
    producer = await memphis.producer(name, "p")
    await asyncio.gather(*(schema.activate(number % 4 + 1) for number in range(20)))
    active = (await schema.describe()).active_version
    for index, sample in enumerate(versions, start=1):
        if index == active:
            await until_it_takes(producer, sample)
        else:
            await until_it_refuses(producer, sample)


async def test_a_message_that_waited_for_its_place_is_checked_when_it_has_it(memphis, name):
    """However long the window was full: single, in a batch, to several stations."""
    first, second = samples("json")[:2]
    await memphis.create_schema(f"{name}.schema", "json", content=first.content)
    producer = await memphis.producer(name, "p")
    several = await memphis.producer([name, f"{name}.lax"], "p")
    sender = producer._senders[0]
    places = [sender.enter(1), several._senders[0].enter(1)]
    waiting = [
        asyncio.create_task(producer.produce(sample.message, concurrent_task_limit=1))
        for sample in (first, second)
    ]
    waiting.append(asyncio.create_task(several.produce(second.message, concurrent_task_limit=1)))
    await asyncio.sleep(0)
    await memphis.enforce_schema(f"{name}.schema", name)
    await eventually(lambda: sender.schema is not None and sender.schema.version, SOON_S)
    for place in places:
        place.leave()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert outcomes[0].sequence == 1
    assert isinstance(outcomes[1], MemphisSchemaError)
    assert isinstance(outcomes[2], MemphisPartlyProducedError)
    assert (await (await memphis.existing_station(name)).info()).messages == 1


# What a broker does that is killed after it wrote a change, and before it told anybody.
KILLED_BEFORE_TELLING = """
import os
import sys

from memphis_broker.cli.main import main
from memphis_broker.stations.news import StationNews

flag = sys.argv.pop(1)
tell = StationNews.changed


async def tell_or_die(self, station, about=()):
    if os.path.exists(flag):
        os.unlink(flag)
        os.kill(os.getpid(), 9)
    await tell(self, station, about)


StationNews.changed = tell_or_die
main()
"""


async def test_a_broker_killed_before_it_told_anybody(open_engine, broker_factory, name, tmp_path):
    """The engine stands, so no client reconnects; the request made again is what tells them."""
    kill = tmp_path / "kill"
    program = tmp_path / "program.py"
    program.write_text(KILLED_BEFORE_TELLING)
    broker = broker_factory(
        options=["--engine", open_engine.url],
        embedded=False,
        program=(sys.executable, str(program), str(kill), "serve"),
    )
    await asyncio.to_thread(broker.start)
    broker.port = open_engine.port
    sample, other = samples("json")[:2]
    async with await connect(broker) as memphis, await connect(broker) as changer:
        await changer.create_schema("s", "json", content=sample.content)
        producer = await memphis.producer(name, "p")
        await producer.produce(other.message)
        kill.touch()
        attaching = asyncio.create_task(changer.enforce_schema("s", name))
        await eventually(lambda: not kill.exists(), SOON_S)
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        await attaching
        await until_it_refuses(producer, other)
