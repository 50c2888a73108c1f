"""Dead letters: how they come, what they say, switches and limits."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memphis import (
    Memphis,
    MemphisNotFoundError,
    MemphisRequestError,
    MemphisSchemaError,
    MemphisUsageError,
    Message,
    Retention,
)
from memphis.wire.errors import ErrorCode
from tests.fixtures.sdk import connect
from tests.integration.sdk.dead_letter_helpers import (
    LONG_MS,
    SHORT_MS,
    letters_of,
    only,
    some_dead,
)
from tests.integration.sdk.helpers import (
    SOON_S,
    fill,
    group_info,
    numbers_of,
    read,
    read_one,
    until_settled,
)
from tests.integration.sdk.schema_samples import samples
from tests.waiting import eventually

# How they come.


async def test_what_nobody_acknowledges(memphis: Memphis, name: str):
    """After its last delivery a message is kept once, with all that there is to say of it."""
    station = await memphis.station(name, partitions_number=2)
    producer = await memphis.producer(name, "shop")
    before = datetime.now(UTC)
    await producer.produce(b"\x00\xff", headers={"k": "ü"}, producer_partition_number=2, msg_id="7")
    consumer = await memphis.consumer(
        name, "c", "g.x", max_ack_time_ms=SHORT_MS, max_msg_deliveries=2
    )
    given: list[Message] = []

    async def is_kept() -> bool:
        given.extend(await consumer.fetch(10))
        return (await station.info()).dead_letters.poison == 1

    await eventually(is_kept, SOON_S)
    assert [message.delivery_count for message in given] == [1, 2]
    letter = await only(station)
    assert (letter.station, letter.partition, letter.sequence) == (name, 2, 1)
    assert (letter.group, letter.kind, letter.deliveries) == ("g.x", "poison", 2)
    assert letter.reason == "not acknowledged in 2 deliveries"
    assert letter.producer == "shop"
    assert letter.get_data() == b"\x00\xff"
    assert (letter.get_headers()["k"], letter.get_headers()["msg-id"]) == ("ü", "7")
    assert not any(key.lower().startswith("nats-") for key in letter.get_headers())
    assert letter.sent_at == given[0].get_timesent()
    assert (
        before - timedelta(minutes=1) < letter.failed_at < datetime.now(UTC) + timedelta(minutes=1)
    )
    assert letter.history == []
    await until_settled(memphis, name, "g.x")


@pytest.mark.parametrize("how", ["nack", "delay"])
async def test_the_last_nack_keeps_it_at_once(memphis: Memphis, name: str, how: str):
    """Nobody has to ask for messages once more before it is there."""
    await fill(await memphis.producer(name, "p"), range(1))
    consumer = await memphis.consumer(name, "c", "g", max_ack_time_ms=LONG_MS, max_msg_deliveries=2)
    for _ in range(2):
        message = await read_one(consumer)
        await (message.nack() if how == "nack" else message.delay(0.01))
    letter = await only(await memphis.existing_station(name))
    assert letter.reason.endswith("after 2 deliveries")
    await until_settled(memphis, name, "g")


async def test_a_dead_letter_without_a_broker(fresh_broker):
    """The member stores it by itself; a broker that is back knows of it."""
    async with await connect(fresh_broker) as memphis:
        await fill(await memphis.producer("s", "p"), range(1))
        consumer = await memphis.consumer("s", "c", max_ack_time_ms=LONG_MS)
        message = await read_one(consumer)
        await asyncio.to_thread(fresh_broker.kill)
        await message.dead_letter("because")
        await asyncio.to_thread(fresh_broker.start)
        assert (await only(await memphis.existing_station("s"))).reason == "because"


async def test_it_is_the_groups_alone(memphis: Memphis, name: str):
    """Other groups get the message as before, and each that gives it up has its own dead letter."""
    station = await memphis.station(name)
    await fill(await memphis.producer(name, "p"), range(2))
    for group in ("one", "two"):
        consumer = await memphis.consumer(name, "c", group, max_ack_time_ms=LONG_MS)
        first, second = await consumer.fetch(2)
        await first.dead_letter(group)
        await second.ack()
    assert {(x.group, x.reason) for x in await letters_of(station)} == {
        ("one", "one"),
        ("two", "two"),
    }
    third = await memphis.consumer(name, "c", "three", max_ack_time_ms=LONG_MS)
    assert numbers_of(await read(third, 2)) == [0, 1]


async def test_given_up_by_two_members_at_once(memphis: Memphis, name: str):
    """What is stored twice, because the first attempt's end was not heard, is there once."""
    station = await memphis.station(name)
    await fill(await memphis.producer(name, "p"), range(1))
    consumer = await memphis.consumer(name, "c", "g", max_ack_time_ms=SHORT_MS)
    slow = await read_one(consumer)
    again = await read_one(consumer)
    await asyncio.gather(slow.dead_letter("one"), again.dead_letter("two"))
    assert len(await letters_of(station)) == 1


async def test_retention_by_acks(memphis: Memphis, name: str):
    """The message goes once it is kept, unless another group still has to read it."""
    station = await memphis.station(name, Retention.ACK_BASED)
    consumer = await memphis.consumer(
        name, "c", "g", max_ack_time_ms=SHORT_MS, max_msg_deliveries=1
    )
    other = await memphis.consumer(name, "o", "other", max_ack_time_ms=LONG_MS)
    await fill(await memphis.producer(name, "p"), range(1))

    async def is_kept() -> bool:
        await consumer.fetch(1)
        return bool(await letters_of(station))

    await eventually(is_kept, SOON_S)
    assert numbers_of(await read(other, 1)) == [0]

    async def is_empty() -> bool:
        return (await station.info()).messages == 0

    await eventually(is_empty, SOON_S)
    assert (await only(station)).get_data() == b"0"


async def test_retention_by_acks_and_one_too_large_to_be_copied(memphis: Memphis, name: str):
    """It is seen among the dead letters, and stays in the station, which alone has its payload."""
    station = await memphis.station(name, Retention.ACK_BASED)
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c", "g", max_ack_time_ms=LONG_MS, max_msg_deliveries=1)
    room = len(producer._senders[0].frame(b"", None, None)[1])
    await producer.produce(b"x" * (8 * 1024 * 1024 - room))
    await (await read_one(consumer)).nack()
    assert len((await only(station)).get_data()) == 8 * 1024 * 1024 - room
    assert await consumer.fetch(1) == []
    assert (await station.info()).messages == 1


async def test_purge_and_removal(memphis: Memphis, name: str):
    """Dead letters survive the messages of their station, and go with the station itself."""
    station = await some_dead(memphis, name, 2)
    await station.purge()
    assert len(await letters_of(station)) == 2
    ids = [letter.id for letter in await letters_of(station)]
    await station.destroy()
    again = await memphis.station(name)
    assert await letters_of(again) == []
    for letter_id in ids:
        with pytest.raises(MemphisNotFoundError):
            await memphis.dead_letter(letter_id)


# Switches.


async def test_the_switch_for_poison_follows_while_it_runs(memphis: Memphis, name: str):
    """Off: what a group gives up goes without a trace; on again: it is kept again."""
    station = await memphis.station(name)
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(
        name, "c", "g", max_ack_time_ms=SHORT_MS, max_msg_deliveries=1
    )
    await station.configure(send_poison_msg_to_dls=False)
    assert not station.options.send_poison_msg_to_dls
    await fill(producer, [1])
    await read_one(consumer)

    async def is_let_go() -> bool:
        await consumer.fetch(1)
        info = await group_info(memphis, name, "g")
        return info is not None and not info.pending and not info.unacknowledged

    await eventually(is_let_go, SOON_S)
    assert await letters_of(station) == []
    await station.configure(send_poison_msg_to_dls=True)
    await fill(producer, [2])
    await (await read_one(consumer)).dead_letter("on again")
    assert (await only(station)).get_data() == b"2"


async def test_the_switch_for_schemas_follows_while_it_runs(broker, memphis: Memphis, name: str):
    """Also for a producer of another connection, soon."""
    await memphis.create_schema(name, "json", content=samples("json")[0].content)
    station = await memphis.station(name, schema_name=name)
    async with await connect(broker) as other:
        producer = await other.producer(name, "p")
        await station.configure(send_schema_failed_msg_to_dls=False)

        async def is_not_kept() -> bool:
            count = (await station.info()).dead_letters.schema_failed
            with pytest.raises(MemphisSchemaError):
                await producer.produce("[]")
            return (await station.info()).dead_letters.schema_failed == count

        await eventually(is_not_kept, SOON_S)


async def test_a_dls_station_gets_copies_that_say_what_of(memphis: Memphis, name: str):
    """Through its own partitions; of each dead letter one, from when it is named until it is not."""
    station = await some_dead(memphis, name)
    await station.configure(dls_station=f"{name}.dead")
    assert station.options.dls_station == f"{name}.dead"
    copies = await memphis.consumer(f"{name}.dead", "c", max_ack_time_ms=LONG_MS)
    consumer = await memphis.consumer(name, "c", "g", max_ack_time_ms=LONG_MS)
    await fill(await memphis.producer(name, "p"), [5])
    await (await read_one(consumer)).dead_letter("no\nway")
    copy = await read_one(copies)
    assert copy.get_data() == b"5"
    said = {k: v for k, v in copy.get_headers().items() if k.startswith("$memphis_origin")}
    assert said == {
        "$memphis_originStation": name,
        "$memphis_originPartition": "1",
        "$memphis_originSequence": "2",
        "$memphis_originGroup": "g",
        "$memphis_originKind": "poison",
        "$memphis_originReason": "no way",
    }
    as_before = (copy.get_headers()["station"], copy.get_headers()["type"])
    assert as_before == (name, "unacked")
    await copy.ack()
    assert (await (await memphis.existing_station(f"{name}.dead")).info()).messages == 1
    # A copy that fails in turn says what it is a copy of as well.
    await (await memphis.existing_station(f"{name}.dead")).destroy()
    info = await station.info()
    assert info.options.dls_station == ""


async def test_a_station_cannot_be_its_own_dls_station(memphis: Memphis, name: str):
    """Refused with its number, and nothing changes; a name that cannot be, too."""
    station = await memphis.station(name)
    for wrong in (name, name.upper(), "no good"):
        with pytest.raises(MemphisRequestError) as refused:
            await station.configure(dls_station=wrong)
        assert refused.value.code == ErrorCode.INVALID_DLS_STATION
    assert (await station.info()).options.dls_station == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"dead_letter_age_max_s": -1},
        {"dead_letter_count_max": "3"},
        {"send_poison_msg_to_dls": 1},
        {"dls_station": 5},
    ],
    ids=str,
)
async def test_options_that_cannot_be(memphis: Memphis, name: str, wrong: dict[str, Any]):
    """They are refused before anything is asked."""
    station = await memphis.station(name)
    with pytest.raises(MemphisUsageError):
        await station.configure(**wrong)


# Limits of a station.


async def test_a_limit_of_count_keeps_the_newest(memphis: Memphis, name: str):
    """And other stations' dead letters are not concerned."""
    other = await some_dead(memphis, f"{name}.other", 3)
    station = await some_dead(memphis, name, 5, dead_letter_count_max=2)

    async def is_cut() -> bool:
        return (await station.info()).dead_letters.poison == 2

    await eventually(is_cut, SOON_S)
    assert [x.get_data() for x in await letters_of(station)] == [b"4", b"3"]
    assert len(await letters_of(other)) == 3


async def test_a_limit_of_age(memphis: Memphis, name: str):
    """Older ones go by themselves."""
    station = await some_dead(memphis, name, 2)
    await station.configure(dead_letter_age_max_s=1)

    async def is_empty() -> bool:
        return not await letters_of(station)

    await eventually(is_empty, SOON_S)


# Looking at them.


async def test_listing_by_properties(memphis: Memphis, name: str):
    """By kind, group, and time; newest first, over many pages."""
    station = await some_dead(memphis, name, 450)
    found = await letters_of(station)
    assert [int(letter.get_data()) for letter in found] == list(range(449, -1, -1))
    assert [x.id for x in await letters_of(station, group="g", kind="poison")] == [
        x.id for x in found
    ]
    assert await letters_of(station, group="other") == []
    assert await letters_of(station, kind="schema") == []
    assert await letters_of(station, since=datetime.now(UTC) + timedelta(hours=1)) == []
    middle = found[200].failed_at
    late = await letters_of(station, since=middle)
    assert {x.id for x in found[:190]} <= {x.id for x in late} <= {x.id for x in found[:250]}
    some = memphis.dead_letters(ids=[found[3].id, found[1].id])
    assert [x.id async for x in some] == [found[1].id, found[3].id]
    few = memphis.dead_letters(ids=[found[5].id, *range(10**9, 10**9 + 300)])
    assert [x.id async for x in few] == [found[5].id]
    every = memphis.dead_letters(ids=[x.id for x in found])
    assert [x.id async for x in every] == [x.id for x in found]
    assert [x.id for x in await station.dead_letters().newest(2)] == [x.id for x in found[:2]]


async def test_a_large_payload_comes_whole(memphis: Memphis, name: str):
    """However many replies it takes."""
    station = await memphis.station(name)
    payload = bytes(range(256)) * 8192
    await (await memphis.producer(name, "p")).produce(payload)
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=LONG_MS)
    await (await read_one(consumer)).dead_letter("large")
    assert (await only(station)).get_data() == payload


async def test_one_too_large_to_be_copied_with_its_label(memphis: Memphis, name: str):
    """The station alone has its payload, which is shown as long as it is there; it can be edited."""
    station = await memphis.station(name)
    producer = await memphis.producer(name, "p")
    room = len(producer._senders[0].frame(b"", None, None)[1])
    payload = b"x" * (8 * 1024 * 1024 - room)
    await producer.produce(payload)
    consumer = await memphis.consumer(name, "c", "g", max_ack_time_ms=LONG_MS)
    await (await read_one(consumer)).dead_letter("larger")
    letter = await only(station)
    assert letter.get_data() == payload
    with pytest.raises(MemphisRequestError, match="at most"):
        await letter.redrive()
    await station.purge()
    letter = await only(station)
    assert letter.info.payload_is_gone
    assert letter.get_data() == b""
    with pytest.raises(MemphisRequestError) as refused:
        await letter.redrive()
    assert refused.value.code == ErrorCode.DEAD_LETTER_STUCK
    await letter.edit("smaller")
    await (await only(station)).redrive()
    assert (await read_one(consumer)).get_data() == b"smaller"


async def test_watching(memphis: Memphis, name: str):
    """Only those that come from now on, in their order."""
    station = await some_dead(memphis, name)
    consumer = await memphis.consumer(name, "c", "g", max_ack_time_ms=LONG_MS)
    await fill(await memphis.producer(name, "p"), range(100, 1000))
    seen: list[int] = []

    async def watch() -> None:
        async with aclosing(station.dead_letters().watch()) as coming:
            async for letter in coming:
                seen.append(int(letter.get_data()))
                if len(seen) == 3:
                    return

    watching = asyncio.create_task(watch())

    async def is_seen() -> bool:
        # From which one on it watches, nobody can tell; so they go on coming.
        if not watching.done():
            await (await read_one(consumer)).dead_letter("seen")
        return watching.done()

    await eventually(is_seen, SOON_S)
    await watching
    assert seen == [seen[0], seen[0] + 1, seen[0] + 2]
    assert seen[0] >= 100


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "poisson"},
        {"since": "yesterday"},
        {"since": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is what is wrong with it
        {"group": 5},
    ],
    ids=str,
)
async def test_selections_that_cannot_be(memphis: Memphis, name: str, wrong: dict[str, Any]):
    """They are refused where they are made."""
    station = await memphis.station(name)
    with pytest.raises(MemphisUsageError):
        station.dead_letters(**wrong)
