"""Stations: creating, retention, what they tell about themselves, and their end."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memphis import (
    MemphisNotFoundError,
    MemphisRequestError,
    MemphisUsageError,
    Retention,
    Station,
    Storage,
)
from memphis.wire.errors import ErrorCode
from memphis.wire.models import StationOptions
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import (
    SOON_S,
    ack_all,
    fill,
    group_info,
    numbers_of,
    read,
    until_settled,
)
from tests.names import ILLEGAL_NAMES, NAMES
from tests.waiting import eventually

# Creating and finding.


async def test_with_the_defaults(memphis, name):
    """Nothing but a name gives what the specification says."""
    station = await memphis.station(name)
    assert station.name == name
    assert station.partitions == [1]
    assert station.options == StationOptions()
    assert station.options.retention_type is Retention.MAX_MESSAGE_AGE_SECONDS
    assert station.options.retention_value == 3600
    assert station.options.idempotency_window_ms == 120_000


async def test_every_option_is_stored(memphis, name):
    """What is asked for is what info says, also from another handle."""
    await memphis.station(f"{name}.dead")
    await memphis.station(
        name,
        retention_type=Retention.MESSAGES,
        retention_value=10,
        storage_type=Storage.MEMORY,
        replicas=1,
        idempotency_window_ms=500,
        send_poison_msg_to_dls=False,
        send_schema_failed_msg_to_dls=False,
        tiered_storage_enabled=True,
        partitions_number=3,
        dls_station=f"{name}.dead",
    )
    found = await memphis.existing_station(name)
    assert (await found.info()).options == found.options
    assert found.partitions == [1, 2, 3]
    assert found.options == StationOptions(
        retention_type=Retention.MESSAGES,
        retention_value=10,
        storage_type=Storage.MEMORY,
        idempotency_window_ms=500,
        send_poison_msg_to_dls=False,
        send_schema_failed_msg_to_dls=False,
        tiered_storage_enabled=True,
        partitions_number=3,
        dls_station=f"{name}.dead",
    )


async def test_an_existing_name_changes_nothing(memphis, name, caplog):
    """The handle of the existing station comes back, and a warning says what differs."""
    await memphis.station(name, partitions_number=2)
    await memphis.produce(name, "p", b"kept")
    with caplog.at_level(logging.WARNING, "memphis"):
        again = await memphis.station(name, Retention.MESSAGES, 5, partitions_number=4)
    assert again.partitions == [1, 2]
    assert again.options.retention_value == 3600
    assert (await again.info()).messages == 1
    [record] = [r for r in caplog.records if r.name.startswith("memphis.")]
    for word in (name, "partitions_number", "retention_type", "retention_value"):
        assert word in record.getMessage()


async def test_the_same_options_give_no_warning(memphis, name, caplog):
    """Asking again for what is there, or for less precise letters, is nothing to talk about."""
    await memphis.station(name, partitions_number=2)
    with caplog.at_level(logging.DEBUG, "memphis"):
        assert (await memphis.station(name.upper(), partitions_number=2)).name == name
    assert "stays as it is" not in caplog.text


async def test_a_window_cut_to_the_age_is_no_difference(memphis, name, caplog):
    """A station made twice with the same call is the same station, whatever was adjusted."""
    for _ in range(2):
        with caplog.at_level(logging.WARNING, "memphis"):
            station = await memphis.station(name, retention_value=60)
    assert station.options.idempotency_window_ms == 60_000
    assert "stays as it is" not in caplog.text


async def test_many_at_the_same_time(broker, memphis, name):
    """Creating one station from many places at once makes one."""
    async with await connect(broker) as other:
        made = await asyncio.gather(
            *(one.station(name, partitions_number=3) for one in (memphis, other) * 5)
        )
    assert {station.name for station in made} == {name}
    assert [s.partitions for s in await memphis.stations() if s.name == name] == [3]


async def test_a_station_that_is_not_there(memphis, name):
    """Whoever asks for an existing station is told if there is none."""
    with pytest.raises(MemphisNotFoundError) as missing:
        await memphis.existing_station(name)
    assert missing.value.code == ErrorCode.STATION_NOT_FOUND


async def test_the_list(memphis, name):
    """stations() gives all in the order of their names, with what they hold."""
    for suffix in ("b", "a", "c"):
        await memphis.station(f"{name}-{suffix}", partitions_number=2)
    await memphis.produce(f"{name}-a", "p", b"12345")
    listed = await memphis.stations()
    assert [s.name for s in listed] == sorted(s.name for s in listed)
    own = [s for s in listed if s.name.startswith(name)]
    assert [s.name[-1] for s in own] == ["a", "b", "c"]
    assert [s.messages for s in own] == [1, 0, 0]
    assert own[0].bytes > 0
    assert own[0].partitions == 2


async def test_many_partitions(memphis, name):
    """A hundred partitions work like one."""
    station = await memphis.station(name, storage_type=Storage.MEMORY, partitions_number=100)
    producer = await memphis.producer(name, "p")
    await fill(producer, range(200))
    info = await station.info()
    assert [p.number for p in info.partitions] == list(range(1, 101))
    assert {p.messages for p in info.partitions} == {2}
    consumer = await memphis.consumer(name, "c", batch_max_time_to_wait_ms=2000)
    messages = await consumer.fetch(200)
    assert sorted(numbers_of(messages)) == list(range(200))
    await ack_all(messages)
    await station.destroy()


# Bad names and options.


@pytest.mark.parametrize("illegal", ILLEGAL_NAMES, ids=repr)
async def test_illegal_names(memphis, illegal):
    """Every illegal name is refused at once, in every place where a name goes."""
    before = await memphis.stations()
    for call in (
        memphis.station(illegal),
        memphis.existing_station(illegal),
        memphis.producer(illegal, "p"),
        memphis.producer([illegal], "p"),
        memphis.producer("s", illegal),
        memphis.produce(illegal, "p", b""),
        memphis.produce("s", illegal, b""),
        memphis.consumer(illegal, "c"),
        memphis.consumer("s", illegal),
        memphis.fetch_messages(illegal, "c"),
        memphis.enforce_schema("schema", illegal),
        memphis.enforce_schema(illegal, "s"),
        memphis.detach_schema(illegal),
    ):
        with pytest.raises(MemphisUsageError):
            await call
    if illegal:  # an empty group means the consumer's own name
        with pytest.raises(MemphisUsageError):
            await memphis.consumer("s", "c", illegal)
    assert await memphis.stations() == before


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(station_name=NAMES, group=NAMES, upper=st.booleans())
def test_every_legal_name_works(broker, station_name, group, upper):
    """Whatever the grammar allows can be produced to and consumed from, and found again."""

    async def use() -> None:
        async with await connect(broker) as memphis:
            given_name = station_name.upper() if upper else station_name
            station = await memphis.station(given_name, storage_type=Storage.MEMORY)
            await memphis.produce(given_name, group, b"7")
            consumer = await memphis.consumer(given_name, group)
            assert numbers_of(await read(consumer, 1)) == [7]
            info = await station.info()
            assert info.name == station_name.lower()
            assert [found.name for found in info.groups] == [group.lower()]
            await station.destroy()

    asyncio.run(use())


@pytest.mark.parametrize(
    "wrong",
    [
        {"retention_type": "message_age_sec"},
        {"storage_type": "file"},
        {"retention_value": 0},
        {"retention_value": -1},
        {"retention_value": "10"},
        {"retention_value": 1.5},
        {"retention_value": 2**63},
        {"retention_type": Retention.BYTES, "retention_value": 0},
        {"replicas": 0},
        {"replicas": 6},
        {"replicas": "1"},
        {"idempotency_window_ms": 99},
        {"idempotency_window_ms": 86_400_001},
        {"partitions_number": 0},
        {"partitions_number": 10_001},
        {"partitions_number": True},
        {"send_poison_msg_to_dls": "yes"},
        {"dls_station": 5},
        {"schema_name": "one", "schema": "two"},
        {"timeout_retries": -1},
    ],
    ids=str,
)
async def test_impossible_options(memphis, name, wrong):
    """Each is refused, says which it was, and makes nothing."""
    with pytest.raises(MemphisUsageError) as refused:
        await memphis.station(name, **wrong)
    assert next(iter(wrong)).partition("_")[0] in str(refused.value)
    with pytest.raises(MemphisNotFoundError):
        await memphis.existing_station(name)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"replicas": 3}, ErrorCode.TOO_FEW_SERVERS),
        ({"schema_name": "there-is-no-such-schema"}, ErrorCode.SCHEMA_NOT_FOUND),
        ({"dls_station": "not a name"}, ErrorCode.INVALID_DLS_STATION),
        ({"retention_value": 10_000_000_000}, ErrorCode.INVALID_OPTION),
    ],
    ids=str,
)
async def test_what_the_broker_refuses(memphis, name, options, code):
    """A refusal has its number, and nothing of the station is left."""
    with pytest.raises(MemphisRequestError) as refused:
        await memphis.station(name, **options)
    assert refused.value.code == code
    with pytest.raises(MemphisNotFoundError):
        await memphis.existing_station(name)


async def test_a_station_cannot_be_its_own_dls_station(memphis, name):
    """It would fill itself for ever."""
    with pytest.raises(MemphisRequestError) as refused:
        await memphis.station(name, dls_station=name.upper())
    assert refused.value.code == ErrorCode.INVALID_DLS_STATION


# Retention.


async def held(station: Station) -> list[int]:
    """How many messages each partition holds."""
    return [partition.messages for partition in (await station.info()).partitions]


async def test_retention_by_age(memphis, name):
    """Messages go when they are old."""
    station = await memphis.station(name, retention_value=1)
    await memphis.produce(name, "p", b"")
    assert await held(station) == [1]

    async def is_empty() -> bool:
        return await held(station) == [0]

    await eventually(is_empty, SOON_S)


@pytest.mark.parametrize(("limit", "partitions", "share"), [(10, 1, 10), (10, 3, 4), (2, 3, 1)])
async def test_retention_by_messages(memphis, name, limit, partitions, share):
    """The newest stay; partitions share the station's limit, rounded up."""
    station = await memphis.station(name, Retention.MESSAGES, limit, partitions_number=partitions)
    producer = await memphis.producer(name, "p")
    for partition in station.partitions:
        await fill(producer, range(20), partition)
    assert await held(station) == [share] * partitions
    consumer = await memphis.consumer(name, "c")
    kept = await read(consumer, share * partitions)
    assert sorted(set(numbers_of(kept))) == list(range(20 - share, 20))


@pytest.mark.parametrize("partitions", [1, 3])
async def test_retention_by_bytes(memphis, name, partitions):
    """The newest stay within the bytes; each partition has its share, rounded up."""
    limit = 10_000
    station = await memphis.station(name, Retention.BYTES, limit, partitions_number=partitions)
    producer = await memphis.producer(name, "p")
    for partition in station.partitions:
        for _ in range(30):
            await producer.produce(
                b"x" * 1000, nonblocking=True, producer_partition_number=partition
            )
    await producer.flush()
    share = -(-limit // partitions)
    for partition in (await station.info()).partitions:
        assert share - 1500 < partition.bytes <= share
        assert partition.last_sequence == 30


async def test_retention_by_acknowledgements(memphis, name):
    """A message goes when every group has acknowledged it, and not before."""
    station = await memphis.station(name, Retention.ACK_BASED, partitions_number=2)
    first = await memphis.consumer(name, "c", "first")
    second = await memphis.consumer(name, "c", "second")
    await fill(await memphis.producer(name, "p"), range(10))
    await read(first, 10)
    await until_settled(memphis, name, "first")
    assert sum(await held(station)) == 10
    await read(second, 10)

    async def is_empty() -> bool:
        return sum(await held(station)) == 0

    await eventually(is_empty, SOON_S)


@pytest.mark.parametrize("how", ["restart", "kill_engine"])
async def test_memory(fresh_broker, name, how):
    """What is kept in memory is gone with the engine; the station is empty and works on.

    Its producers and consumers notice nothing but that.
    """
    async with await connect(fresh_broker) as memphis:
        volatile = await memphis.station(
            name, storage_type=Storage.MEMORY, partitions_number=2, retention_value=60
        )
        lasting = await memphis.station(f"{name}-2", storage_type=Storage.DISK)
        producer = await memphis.producer(name, "p")
        consumer = await memphis.consumer(name, "c", last_messages=0)
        await fill(producer, range(4))
        await memphis.produce(lasting.name, "p", b"")
        assert await held(volatile) == [2, 2]
        assert sorted(numbers_of(await read(consumer, 4))) == [0, 1, 2, 3]
        await asyncio.to_thread(getattr(fresh_broker, how))
        await eventually(memphis.is_connected, SOON_S)
        for number in range(10, 14):
            await producer.produce(str(number), msg_id=str(number), ack_wait_sec=60)
        assert sorted(numbers_of(await read(consumer, 4))) == [10, 11, 12, 13]
        assert await held(lasting) == [1]
        assert sum(await held(volatile)) == 4


async def test_the_idempotency_window_ends(memphis, name):
    """An id is known within the window, and new after it."""
    station = await memphis.station(name, idempotency_window_ms=1000)
    first = await memphis.produce(name, "p", b"", msg_id="a")
    again = await memphis.produce(name, "p", b"", msg_id="a")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.sequence == first.sequence

    async def is_stored_again() -> bool:
        return not (await memphis.produce(name, "p", b"", msg_id="a")).duplicate

    await eventually(is_stored_again, SOON_S)
    assert await held(station) == [2]


# What a station tells, purging, destroying.


async def test_info(memphis, name):
    """Messages, bytes, partitions, and for each group what waits and what is unacknowledged."""
    station = await memphis.station(name, partitions_number=2)
    producer = await memphis.producer(name, "p")
    await fill(producer, range(6), 1)
    await fill(producer, range(4), 2)
    consumer = await memphis.consumer(name, "c", "g")
    await memphis.consumer(name, "c", "untouched")
    messages = await consumer.fetch(5)
    assert len(messages) == 5
    await ack_all(messages[:2])

    async def numbers() -> bool:
        group = await group_info(memphis, name, "g")
        return (group.pending, group.unacknowledged, group.redelivered) == (5, 3, 0)

    await eventually(numbers)
    info = await station.info()
    assert info.messages == 10
    assert info.bytes == sum(partition.bytes for partition in info.partitions) > 0
    assert [p.messages for p in info.partitions] == [6, 4]
    assert [p.first_sequence for p in info.partitions] == [1, 1]
    assert [p.last_sequence for p in info.partitions] == [6, 4]
    assert [(g.name, g.pending) for g in info.groups] == [("g", 5), ("untouched", 10)]


async def test_purge(memphis, name):
    """The messages go, the station and its groups stay and work on."""
    station = await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "c")
    await fill(producer, range(10))
    assert await station.purge() == 10
    assert await station.purge() == 0
    assert await consumer.fetch(10) == []
    await fill(producer, range(10, 13))
    assert sorted(numbers_of(await read(consumer, 3))) == [10, 11, 12]


async def test_destroy(memphis, name):
    """The station goes with its messages and groups; its name can be used again."""
    station = await memphis.station(name)
    await memphis.produce(name, "p", b"old")
    await memphis.consumer(name, "c")
    await station.destroy()
    assert name not in [s.name for s in await memphis.stations()]
    for call in (station.info(), station.purge()):
        with pytest.raises(MemphisNotFoundError):
            await call
    info = await (await memphis.station(name)).info()
    assert (info.messages, info.groups) == (0, [])


async def test_destroy_without_awaiting(memphis, name):
    """It begins at once, and the same task comes back for whoever asks again."""
    station = await memphis.station(name)
    task = station.destroy()
    assert station.destroy() is task
    await task
    with pytest.raises(MemphisNotFoundError):
        await memphis.existing_station(name)


async def test_destroying_what_is_gone(memphis, name):
    """Through a second handle one is told that there is no such station."""
    first, second = await memphis.station(name), await memphis.station(name)
    await first.destroy()
    with pytest.raises(MemphisNotFoundError) as missing:
        await second.destroy()
    assert missing.value.code == ErrorCode.STATION_NOT_FOUND == 2001


async def test_a_handler_may_destroy_its_station(memphis, name):
    """Destroying from inside a handler ends its consumer and waits for nobody."""
    station = await memphis.station(name)
    destroyed = asyncio.Event()

    async def handler(*_) -> None:
        await station.destroy()
        destroyed.set()

    (await memphis.consumer(name, "c")).consume(handler)
    await asyncio.wait_for(destroyed.wait(), SOON_S)
    assert name not in [s.name for s in await memphis.stations()]
