"""Messages brought over from what stands in for an original's broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from memphis import Memphis
from memphis.exceptions import MemphisError
from memphis.message import Message
from memphis.types import Retention
from memphis_broker.move_in.counts import StationCount, agree
from memphis_broker.move_in.endpoint import Endpoint
from memphis_broker.move_in.mirror import Mirror, Wish, open_mirror
from memphis_broker.move_in.model import MoveInError
from memphis_broker.testing import BrokerProcess
from tests.fixtures.broker import BrokerFactory
from tests.fixtures.original_broker import PASSWORD, OriginalStandIn
from tests.fixtures.sdk import connect
from tests.integration.cli.conftest import command_line
from tests.integration.cli.test_mistakes import check_complaint
from tests.waiting import eventually

GROUP = "memphis-mirror"
Open = Callable[..., Any]


def numbers(start: int, stop: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, stop)]


@pytest.fixture
def said() -> list[str]:
    """What the person who waits was told."""
    return []


@pytest.fixture
def open_one(broker: BrokerProcess, original: OriginalStandIn, said: list[str]) -> Open:
    """Opens mirrors from the stand-in to the shared broker."""

    @asynccontextmanager
    async def open_it(*stations: str, **changes: Any) -> AsyncIterator[Mirror]:
        there = Endpoint(
            host=original.address,
            port=6666,
            username="root",
            password=changes.pop("password", PASSWORD),
        )
        target = changes.pop("here", broker)
        here = Endpoint(host=target.host, port=target.port, username="root", password="memphis")
        wish = Wish(
            **{
                "stations": stations,
                "group": GROUP,
                "follow": False,
                "add": False,
                "ack_time_s": 30,
                **changes,
            }
        )
        async with open_mirror(there, here, wish, said.append) as mirror:
            yield mirror

    return open_it


@pytest.fixture
def mirrored(open_one: Open) -> Open:
    """Mirrors some stations to the end."""

    async def run(*stations: str, **changes: Any) -> list[StationCount]:
        async with open_one(*stations, **changes) as mirror:
            counts: list[StationCount] = await mirror.run(lambda _done, _total: None)
            return counts

    return run


async def read_all(memphis: Memphis, station: str) -> dict[int, list[Message]]:
    """Everything that a station holds, by partition and in order."""
    state = await memphis.existing_station(station)
    info = await state.info()
    found = {}
    for partition in info.partitions:
        consumer = await memphis.consumer(station, "reader", f"reader-{partition.number}")
        messages: list[Message] = []
        while len(messages) < partition.messages:
            messages += await consumer.fetch(1000, consumer_partition_number=partition.number)
        found[partition.number] = messages
        await consumer.destroy()
    return found


async def payloads(memphis: Memphis, station: str) -> dict[int, list[bytes]]:
    found = await read_all(memphis, station)
    return {number: [bytes(m.get_data()) for m in messages] for number, messages in found.items()}


async def test_everything_comes_in_order(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """Each partition into its own, and both sides count the same."""
    await original.add_station(name, 3)
    await memphis.station(name, partitions_number=3)
    for partition in (1, 2, 3):
        await original.produce(name, partition, numbers(0, partition * 2500))
    (count,) = await mirrored(name)
    assert agree([count])
    assert [(one.number, one.copied, one.here) for one in count.partitions] == [
        (1, 2500, 2500),
        (2, 5000, 5000),
        (3, 7500, 7500),
    ]
    assert [one.there.messages for one in count.partitions if one.there] == [2500, 5000, 7500]
    assert await payloads(memphis, name) == {p: numbers(0, p * 2500) for p in (1, 2, 3)}
    for partition in (1, 2, 3):
        group = await original.group(name, partition, GROUP)
        assert (group["num_pending"], group["num_ack_pending"]) == (0, 0)


async def test_headers_and_producer_come_along(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """All but those of an engine, which speak of its own streams; the payload is untouched."""
    await original.add_station(name)
    await memphis.station(name)
    said = {"msg-id": "its-own", "flight": "UA 1545", "Nats-Odd": "x"}
    await original.produce(name, 1, [b"\x00\xff\r\n"], said)
    await mirrored(name)
    ((message,),) = (await read_all(memphis, name)).values()
    headers = message.get_headers()
    assert bytes(message.get_data()) == b"\x00\xff\r\n"
    assert headers["$memphis_producedBy"] == "radar"
    assert (headers["msg-id"], headers["flight"]) == ("its-own", "UA 1545")
    assert "Nats-Odd" not in headers
    assert headers["Nats-Msg-Id"].endswith(f"/{name}/1/1")


async def test_a_second_run_goes_on(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """Only what came since is copied."""
    await original.add_station(name)
    await memphis.station(name)
    await original.produce(name, 1, numbers(0, 10))
    await mirrored(name)
    await original.produce(name, 1, numbers(10, 15))
    (count,) = await mirrored(name)
    assert (count.copied, count.here, agree([count])) == (5, 15, True)
    assert await payloads(memphis, name) == {1: numbers(0, 15)}


async def test_the_original_is_asked_as_an_sdk_asks(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """Every member that its broker looks at, in the version of its newest SDKs."""
    await original.add_station(name)
    await memphis.station(name)
    await mirrored(name)
    (request,) = original.requests
    assert request["station_name"] == name
    assert (request["name"], request["consumers_group"]) == (GROUP, GROUP)
    assert (request["start_consume_from_sequence"], request["last_messages"]) == (1, -1)
    assert (request["req_version"], request["consumer_type"]) == (4, "application")
    assert (request["username"], request["max_msg_deliveries"]) == ("root", 10)


async def test_following_goes_on_until_stopped(
    memphis: Memphis, original: OriginalStandIn, open_one: Open, name: str
) -> None:
    """What is produced meanwhile comes over; a stop ends it with nothing under way."""
    await original.add_station(name, 2)
    station = await memphis.station(name, partitions_number=2)

    async def holds(count: int) -> bool:
        return (await station.info()).messages == count

    async with open_one(name, follow=True) as mirror:
        running = asyncio.ensure_future(mirror.run(lambda _done, _total: None))
        for round_number in range(1, 4):
            await original.produce(name, 1, numbers(0, 5))
            await original.produce(name, 2, numbers(0, 5))
            await eventually(lambda count=10 * round_number: holds(count))
        mirror.stop()
        counts = await running
    assert agree(counts)
    assert counts[0].copied == 30


async def test_a_station_from_before_partitions(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """Its one stream goes into the one partition; also if nobody names it."""
    await original.add_station(name, 0)
    await memphis.station(name)
    await original.produce(name, 0, numbers(0, 4))
    (count,) = await mirrored()
    assert (count.station, count.copied, agree([count])) == (name, 4, True)


async def test_another_number_of_partitions(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str, said: list[str]
) -> None:
    """Order is kept within each of there, and the sums are compared."""
    await original.add_station(name, 3)
    await memphis.station(name, partitions_number=2)
    for partition in (1, 2, 3):
        await original.produce(name, partition, [b"%d-%d" % (partition, n) for n in range(50)])
    (count,) = await mirrored(name)
    assert (count.copied, count.here, agree([count])) == (150, 150, True)
    found = await payloads(memphis, name)
    for partition, here in ((1, 1), (2, 2), (3, 1)):
        own = [p for p in found[here] if p.startswith(b"%d-" % partition)]
        assert own == [b"%d-%d" % (partition, n) for n in range(50)]
    assert any("3 partitions there and 2 here" in line for line in said)


async def test_messages_are_held_to_the_schema_here(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """By the version that they fit; one that fits none is a dead letter, whatever the switches say."""
    await original.add_station(name)
    schema = f"of-{name}"
    older = {"type": "object", "required": ["price"]}
    newer = {"type": "object", "required": ["amount"]}
    await memphis.create_schema(schema, "json", content=json.dumps(older))
    await memphis.create_schema(schema, "json", content=json.dumps(newer), activate=True)
    await memphis.station(name, schema_name=schema, send_schema_failed_msg_to_dls=False)
    given = [b'{"amount": 1}', b'{"price": 1}', b'{"color": 1}', b"no JSON", b'{"amount": 2}']
    await original.produce(name, 1, given)
    (count,) = await mirrored(name)
    assert (count.copied, count.refused) == (3, 2)
    ((one, two, three),) = (await read_all(memphis, name)).values()
    marks = [m.get_headers()["$memphis_schema"].split("/")[1] for m in (one, two, three)]
    assert marks == ["2", "1", "2"]
    assert await two.get_data_deserialized() == {"price": 1}
    station = await memphis.existing_station(name)
    letters = [letter async for letter in station.dead_letters()]
    assert sorted(bytes(letter.get_data()) for letter in letters) == [b"no JSON", b'{"color": 1}']
    assert [(r.partition, r.sequence) for r in count.partitions[0].refusals] == [(1, 3), (1, 4)]
    words = list(count.mismatches())
    assert "2 messages fewer here than the 5 there" in words[0]
    assert "2 messages failed its schema" in words[1]
    (again,) = await mirrored(name)
    assert (again.copied, again.refused) == (0, 0)
    assert "2 of the station are dead letters" in next(again.mismatches())


async def test_a_schema_that_changes_on_the_way(
    memphis: Memphis, original: OriginalStandIn, open_one: Open, name: str
) -> None:
    """What comes afterwards is held to it."""
    await original.add_station(name)
    station = await memphis.station(name)

    async def counts() -> tuple[int, int]:
        info = await station.info()
        return info.messages, info.dead_letters.schema_failed

    async def is_held_to_it() -> bool:
        await original.produce(name, 1, [b"text"])
        return (await counts())[1] > 0

    async with open_one(name, follow=True) as mirror:
        running = asyncio.ensure_future(mirror.run(lambda _done, _total: None))
        await original.produce(name, 1, [b"text"])

        async def has_begun() -> bool:
            return await counts() == (1, 0)

        await eventually(has_begun)
        await memphis.create_schema(f"of-{name}", "json", content='{"type": "object"}')
        await memphis.enforce_schema(f"of-{name}", name)
        # What was pulled in the moment of the change is the last of before.
        await eventually(is_held_to_it)
        await original.produce(name, 1, [b'{"this": "fits"}'])
        mirror.stop()
        (count,) = await running
    async with open_one(name) as mirror:
        (again,) = await mirror.run(lambda _done, _total: None)
    got_in = (await payloads(memphis, name))[1]
    assert got_in == [b"text"] * (len(got_in) - 1) + [b'{"this": "fits"}']
    assert count.refused + again.refused + again.here == again.there.messages


async def test_what_retention_took_there_is_no_fault(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """There may be more here than there; but not more than ever was there."""
    await original.add_station(name, max_msgs=5)
    await memphis.station(name)
    await original.produce(name, 1, numbers(0, 5))
    await mirrored(name)
    await original.produce(name, 1, numbers(5, 9))
    (count,) = await mirrored(name)
    assert (count.here, count.there) == (9, (5, False))
    assert agree([count])


async def test_too_many_here_are_named(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """Who produces here meanwhile is seen in the count."""
    await original.add_station(name)
    await memphis.station(name)
    await original.produce(name, 1, numbers(0, 5))
    await mirrored(name)
    await memphis.produce(name, "early", b"bird")
    (count,) = await mirrored(name)
    assert list(count.mismatches()) == [
        f"station {name}, partition 1: 1 message more here than the 5 there; do others produce here?"
    ]


async def test_a_new_group_and_a_filled_station(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """Refused, for all would come twice if the group there was lost; an option goes on."""
    await original.add_station(name)
    await memphis.station(name)
    await original.produce(name, 1, numbers(0, 3))
    await mirrored(name)
    await original.delete_group(name, 1, GROUP)
    with pytest.raises(MoveInError, match="holds 3 messages, and the mirror's group"):
        await mirrored(name)
    (count,) = await mirrored(name, add=True)
    assert (count.here, agree([count])) == (6, True)


async def test_a_station_that_keeps_until_acknowledged(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """Without a group here all would be gone at once; with one it gets every message."""
    await original.add_station(name)
    await memphis.station(name, retention_type=Retention.ACK_BASED)
    await original.produce(name, 1, numbers(0, 3))
    with pytest.raises(MoveInError, match="make its groups first"):
        await mirrored(name)
    consumer = await memphis.consumer(name, "reader")
    (count,) = await mirrored(name)
    assert agree([count])
    got = [bytes(m.get_data()) for m in await consumer.fetch(3)]
    assert got == numbers(0, 3)


async def test_what_is_missing_on_either_side_is_named(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """Nothing is created by a typing error, there or here."""
    with pytest.raises(MoveInError, match=f"the source has no station {name}"):
        await mirrored(name)
    with pytest.raises(MoveInError, match="the source has no stations"):
        await mirrored()
    await original.add_station(name)
    with pytest.raises(MoveInError, match=f"no station {name} here.*memphis import"):
        await mirrored(name)
    assert original.requests == []


async def test_a_source_that_refuses(
    memphis: Memphis, original: OriginalStandIn, mirrored: Open, name: str
) -> None:
    """Its own words are told: plain text, as the original's; JSON, as others would."""
    await original.add_station(name)
    await memphis.station(name)
    for refusal in (b"no permission for that", b'{"error": "no permission for that"}'):
        original.refusal = refusal
        with pytest.raises(MoveInError, match=f"station {name}: no permission for that"):
            await mirrored(name)
    with pytest.raises(MemphisError, match="the source"):
        await mirrored(name, password="wrong-one")


async def test_an_original_that_restarts_under_way(
    memphis: Memphis, original: OriginalStandIn, open_one: Open, name: str
) -> None:
    """The mirror waits for it and goes on; every message is here once."""
    await original.add_station(name)
    station = await memphis.station(name)
    await original.produce(name, 1, numbers(0, 20_000))

    async def holds(count: int) -> bool:
        return (await station.info()).messages >= count

    async with open_one(name, follow=True) as mirror:
        running = asyncio.ensure_future(mirror.run(lambda _done, _total: None))
        await eventually(lambda: holds(1))
        await asyncio.to_thread(original.engine.kill)
        await asyncio.to_thread(original.engine.start)
        await eventually(lambda: holds(20_000), deadline_s=60)
        mirror.stop()
        (count,) = await running
    assert count.here == 20_000
    assert (await payloads(memphis, name))[1] == numbers(0, 20_000)


async def test_an_engine_here_that_is_killed_under_way(
    fresh_broker: BrokerProcess, original: OriginalStandIn, open_one: Open, name: str
) -> None:
    """The mirror waits for the next one; what may have been stored goes again with its id."""
    await original.add_station(name)
    await original.produce(name, 1, numbers(0, 20_000))
    async with await connect(fresh_broker) as memphis:
        station = await memphis.station(name)

        async def holds(count: int) -> bool:
            return (await station.info()).messages >= count

        async with open_one(name, follow=True, here=fresh_broker) as mirror:
            running = asyncio.ensure_future(mirror.run(lambda _done, _total: None))
            await eventually(lambda: holds(1))
            await asyncio.to_thread(fresh_broker.kill_engine)
            await eventually(lambda: holds(20_000), deadline_s=90)
            mirror.stop()
            (count,) = await running
        assert agree([count])
        assert (await payloads(memphis, name))[1] == numbers(0, 20_000)


async def test_a_message_too_large_for_here(
    original: OriginalStandIn, broker_factory: BrokerFactory, name: str
) -> None:
    """It ends the mirror, which says what to do; with a larger limit the next one goes on."""
    small = broker_factory(options=["--max-message-size", "64KB"])
    await asyncio.to_thread(small.start)
    async with await connect(small) as memphis:
        await memphis.station(name)
    await original.add_station(name)
    await original.produce(name, 1, [b"small", bytes(100_000), b"small"])
    run = command_line(small.port)
    arguments = ["mirror", name, "--from", original.address, "--source-password", PASSWORD]
    arguments += ["--ack-time-s", "1"]
    result = await asyncio.to_thread(run, *arguments)
    check_complaint(result, 1, f"station {name}, partition 1, sequence 2", "--max-message-size")
    await asyncio.to_thread(small.stop)
    large = broker_factory(small.data_dir.parent, port=small.port)
    await asyncio.to_thread(large.start)
    result = await asyncio.to_thread(run, *arguments)
    assert result.returncode == 0, result.stderr
    row = [name, "1", "3", "2", "0", "0", "3"]
    assert result.stdout.decode().splitlines()[1].split() == row
    assert b"of an earlier run are open there" in result.stderr


def test_mistakes(broker: BrokerProcess) -> None:
    """Each ends in one line."""
    run = command_line(broker.port)
    check_complaint(run("mirror"), 2, "--from")
    check_complaint(run("mirror", "--from", "127.0.0.1"), 2, "--source-password")
    nobody = ["mirror", "--from", "127.0.0.1:1", "--source-password", "secret-one"]
    check_complaint(run(*nobody), 1, "the source", "127.0.0.1:1")
    check_complaint(run(*nobody, "--source-token", "t"), 2, "or --source-token")
    check_complaint(run(*nobody, "--group", "not a name"), 2, "group name")
    own = ["mirror", "--from", f"127.0.0.1:{broker.port}", "--source-password", "wrong-one"]
    result = run(*own)
    check_complaint(result, 1, "the source")
    assert b"wrong-one" not in result.stderr
