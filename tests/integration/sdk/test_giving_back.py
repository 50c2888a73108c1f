"""Dead letters that are given back, mended or dropped."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from memphis import (
    Consumer,
    Memphis,
    MemphisNotFoundError,
    MemphisRequestError,
    MemphisSchemaError,
    MemphisSchemaRefusedError,
    MemphisUsageError,
    Retention,
    Station,
)
from memphis.wire.errors import ErrorCode
from tests.integration.sdk.dead_letter_helpers import (
    LONG_MS,
    dying,
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
)
from tests.integration.sdk.schema_samples import samples
from tests.waiting import eventually


@pytest.fixture
async def reader(memphis: Memphis, name: str) -> Consumer:
    """Another member of the group ``g``."""
    return await memphis.consumer(name, "r", "g", max_ack_time_ms=LONG_MS)


# Giving back.


async def test_giving_back_one(memphis: Memphis, name: str, reader):
    """It comes to its group with its story, is counted anew, and is no dead letter any more."""
    station = await some_dead(memphis, name, 2)
    other = await memphis.consumer(name, "o", "other", max_ack_time_ms=LONG_MS)
    assert len(await read(other, 2)) == 2
    newest, _ = await letters_of(station)
    await newest.redrive()
    message = await read_one(reader)
    assert (message.get_data(), message.delivery_count) == (b"1", 1)
    assert [x.get_data() for x in await letters_of(station)] == [b"0"]
    assert await other.fetch(1) == []
    await message.ack()
    with pytest.raises(MemphisNotFoundError):
        await newest.redrive()


async def test_a_second_failure_comes_with_its_history(memphis: Memphis, name: str, reader):
    """Named by where it was at first."""
    station = await some_dead(memphis, name)
    first = await only(station)
    await first.redrive()
    await (await read_one(reader)).dead_letter("again")
    second = await only(station)
    assert (second.partition, second.sequence) == (first.partition, first.sequence)
    assert second.sent_at == first.sent_at
    assert [failure.reason for failure in second.history] == ["because"]
    assert (second.reason, second.info.redriven) == ("again", 1)
    await second.redrive()
    await (await read_one(reader)).ack()
    assert await letters_of(station) == []


async def test_it_is_no_message_of_the_station(memphis: Memphis, name: str, reader):
    """Not in info, not among the last messages, not by retention of messages; gone when settled."""
    station = await some_dead(
        memphis, name, 5, retention_type=Retention.MESSAGES, retention_value=5
    )
    result = await station.dead_letters().redrive()
    assert (result.moved, result.refused) == (5, [])
    info = await station.info()
    assert (info.messages, info.dead_letters.poison) == (5, 0)
    late = await memphis.consumer(name, "l", "late", last_messages=2, max_ack_time_ms=LONG_MS)
    assert numbers_of(await read(late, 2)) == [3, 4]
    assert await late.fetch(1) == []
    assert sorted(numbers_of(await read(reader, 5))) == [0, 1, 2, 3, 4]
    # Settled and deleted, they still take up places in the stream.
    fresh = await memphis.consumer(name, "f", "fresh", last_messages=3, max_ack_time_ms=LONG_MS)
    assert numbers_of(await read(fresh, 3)) == [2, 3, 4]

    async def is_tidy() -> bool:
        # What is left in the stream has the bytes of the station's own messages alone.
        found = (await station.info()).partitions[0]
        return found.bytes < info.partitions[0].bytes

    await eventually(is_tidy, SOON_S)
    assert numbers_of(await read(await memphis.consumer(name, "a", "all"), 5)) == [0, 1, 2, 3, 4]


async def test_a_station_that_holds_fewer_messages(memphis: Memphis, name: str):
    """Its limit is for messages of its own: all that is given back is there."""
    small = await memphis.station(name, Retention.MESSAGES, 2)
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c", "g", max_ack_time_ms=LONG_MS)
    for number in range(10):
        await producer.produce(str(number))
        await (await read_one(consumer)).dead_letter("because")
    assert (await small.info()).messages == 2
    assert (await small.dead_letters().redrive()).moved == 10
    await fill(producer, range(100, 110))
    numbers = numbers_of(await read(consumer, 12))
    assert sorted(numbers) == [*range(10), 108, 109]
    assert (await small.info()).messages == 2


async def test_giving_back_by_properties_and_at_a_rate(memphis: Memphis, name: str, reader):
    """Only those that are meant; with a rate, batch by batch."""
    station = await some_dead(memphis, name, 8)
    seen: list[int] = []
    result = await station.dead_letters(group="other").redrive()
    assert result.moved == 0
    result = await station.dead_letters(group="g").redrive(rate=16, progress=seen.append)
    assert result.moved == 8
    assert seen == [4, 8]
    assert sorted(numbers_of(await read(reader, 8))) == list(range(8))
    ids = [letter.id for letter in await letters_of(await some_dead(memphis, f"{name}.x", 6))]
    assert (await memphis.dead_letters(ids=ids).redrive(rate=8)).moved == 6
    for rate in (0, -1, "5"):
        with pytest.raises(MemphisUsageError):
            await station.dead_letters().redrive(rate=rate)  # type: ignore[arg-type]


async def test_giving_back_more_than_a_batch(memphis: Memphis, name: str, reader):
    """All of them, each once."""
    station = await some_dead(memphis, name, 2300)
    assert (await station.dead_letters().redrive()).moved == 2300
    assert sorted(numbers_of(await read(reader, 2300))) == list(range(2300))
    assert await letters_of(station) == []


async def test_into_another_station(memphis: Memphis, name: str):
    """As a new message, once, that must fit what the station requires."""
    station = await some_dead(memphis, name, 2)
    newest, oldest = await letters_of(station)
    await memphis.station(f"{name}.mended")
    await newest.redrive(station=f"{name}.mended")
    consumer = await memphis.consumer(f"{name}.mended", "c")
    message = (await read(consumer, 1))[0]
    assert message.get_data() == b"1"
    assert "$memphis_deadLetter" not in message.get_headers()
    await memphis.create_schema(name, "json", content=samples("json")[0].content)
    await memphis.station(f"{name}.strict", schema_name=name)
    with pytest.raises(MemphisSchemaRefusedError) as refused:
        await oldest.redrive(station=f"{name}.strict")
    assert refused.value.code == ErrorCode.MESSAGE_UNFIT
    with pytest.raises(MemphisNotFoundError):
        await oldest.redrive(station=f"{name}.nowhere")
    assert (await only(station)).id == oldest.id


async def test_to_a_group_that_is_gone(memphis: Memphis, name: str):
    """Refused, and kept; when the group is there again it goes."""
    station, consumer = await dying(memphis, name, 3)
    await consumer.destroy()
    with pytest.raises(MemphisNotFoundError) as refused:
        await (await letters_of(station))[0].redrive()
    assert refused.value.code == ErrorCode.GROUP_NOT_FOUND
    result = await station.dead_letters().redrive()
    assert (result.moved, result.refused_count, len(result.refused)) == (0, 3, 3)
    assert len(await letters_of(station)) == 3
    consumer = await memphis.consumer(name, "c", "g", last_messages=0, max_ack_time_ms=LONG_MS)
    assert (await station.dead_letters().redrive()).moved == 3
    assert len(await read(consumer, 3)) == 3


async def test_what_a_group_was_given_and_has_not_settled_when_it_ends(memphis: Memphis, name: str):
    """It is among the dead letters again, with its story."""
    station, consumer = await dying(memphis, name, 3)
    assert (await station.dead_letters().redrive()).moved == 3
    await (await read_one(consumer)).ack()
    await eventually_acknowledged(memphis, name, 2)
    await consumer.destroy()
    assert await group_info(memphis, name, "g") is None
    found = await letters_of(station)
    assert sorted(int(x.get_data()) for x in found) == [1, 2]
    assert {(x.reason, x.info.redriven) for x in found} == {("because", 1)}


async def eventually_acknowledged(memphis: Memphis, name: str, left: int) -> None:
    """Until the group ``g`` has so many messages before it, pending or unacknowledged."""

    async def is_so() -> bool:
        info = await group_info(memphis, name, "g")
        return info is not None and info.pending + info.unacknowledged == left

    await eventually(is_so, SOON_S)


async def test_a_group_that_is_made_again_has_failures_of_its_own(memphis: Memphis, name: str):
    """The same message failing in its new life is no repetition of the old one's."""
    station, consumer = await dying(memphis, name, 1)
    assert await (await only(station)).drop()
    await consumer.destroy()
    again = await memphis.consumer(name, "c", "g", max_ack_time_ms=LONG_MS)
    await (await read_one(again)).dead_letter("in another life")
    assert (await only(station)).reason == "in another life"


async def test_what_is_given_back_and_not_read_outlives_its_station_s_retention(
    memphis: Memphis, name: str
):
    """It is a dead letter again before it would be too old."""
    station = await some_dead(memphis, name, 3, retention_value=8)
    assert (await station.dead_letters().redrive()).moved == 3
    assert await letters_of(station) == []

    async def is_back() -> bool:
        return len(await letters_of(station)) == 3

    await eventually(is_back, SOON_S)
    assert {letter.info.redriven for letter in await letters_of(station)} == {1}


async def test_a_group_that_ends_while_it_is_given_back_to(memphis: Memphis, name: str):
    """With retention by acks, too: each is with the group, or a dead letter, never gone."""
    for number in range(8):
        own = f"{name}.{number}"
        station, consumer = await dying_by_acks(memphis, own)
        redriving = asyncio.ensure_future(station.dead_letters().redrive())
        await asyncio.gather(consumer.destroy(), redriving, return_exceptions=True)
        assert len(await letters_of(station)) == 1


async def dying_by_acks(memphis: Memphis, name: str) -> tuple[Station, Consumer]:
    """A station with retention by acks whose group has given up its one message."""
    station = await memphis.station(name, Retention.ACK_BASED)
    consumer = await memphis.consumer(name, "c", "g", max_ack_time_ms=LONG_MS)
    await fill(await memphis.producer(name, "p"), range(1))
    await (await read_one(consumer)).dead_letter("because")
    return station, consumer


# Those of schemas.


async def failed_schema(memphis: Memphis, name: str, *messages: str) -> Station:
    """A station with a schema and with these messages, which did not fit it."""
    await memphis.create_schema(name, "json", content=samples("json")[0].content)
    station = await memphis.station(name, schema_name=name)
    producer = await memphis.producer(name, "p")
    for message in messages:
        with pytest.raises(MemphisSchemaError):
            await producer.produce(message, headers={"k": "v"}, msg_id=f"id {message}")
    return station


async def test_a_schema_failure_goes_back_once_it_fits(memphis: Memphis, name: str):
    """Refused while it does not; edited, it becomes a message of the station with its headers."""
    station = await failed_schema(memphis, name, '{"second":1}')
    letter = await only(station, kind="schema")
    assert (letter.group, letter.sequence, letter.sent_at) == ("", 0, None)
    with pytest.raises(MemphisSchemaRefusedError):
        await letter.redrive()
    with pytest.raises(MemphisSchemaRefusedError):
        await letter.edit('{"second":2}')
    assert (await only(station)).id == letter.id
    edited = await letter.edit(samples("json")[0].message)
    assert (await only(station)).id == edited.id
    assert edited.get_headers()["k"] == "v"
    await edited.redrive()
    assert await letters_of(station) == []
    (message,) = await read(await memphis.consumer(name, "c"), 1)
    assert message.get_headers()["k"] == "v"
    assert message.get_headers()["msg-id"] == 'id {"second":1}'
    assert message.get_headers()["$memphis_schema"].startswith(f"{name}/1/")
    assert await message.get_data_deserialized() == samples("json")[0].reads_as


async def test_edited_headers_replace_the_applications(memphis: Memphis, name: str):
    """Who produced it stays; a header that cannot be sent is refused and changes nothing."""
    station = await some_dead(memphis, name)
    letter = await only(station)
    for wrong in ({"Nats-Msg-Id": "x"}, {"$memphis_x": "y"}, {"k": "a\nb"}):
        with pytest.raises(MemphisRequestError) as refused:
            await letter.edit(headers=wrong)
        assert refused.value.code == ErrorCode.INVALID_OPTION
    with pytest.raises(MemphisUsageError):
        await letter.edit()
    edited = await letter.edit(headers={"new": "1"})
    assert edited.get_headers()["new"] == "1"
    assert (edited.producer, edited.get_data()) == ("p", b"0")
    assert (edited.reason, edited.info.edited) == ("because", 1)


# Dropping.


async def test_dropping(memphis: Memphis, name: str):
    """One, some by their properties, all; what is gone counts for nothing."""
    station = await some_dead(memphis, name, 5)
    newest = (await letters_of(station))[0]
    assert await newest.drop()
    assert not await newest.drop()
    assert await station.dead_letters(group="other").drop() == 0
    assert await station.dead_letters(since=datetime.now(UTC) - timedelta(hours=1)).drop() == 4
    assert await station.dead_letters().drop() == 0
    assert (await station.info()).dead_letters.poison == 0
    await station.destroy()
    with pytest.raises(MemphisNotFoundError):
        await station.dead_letters().drop()
