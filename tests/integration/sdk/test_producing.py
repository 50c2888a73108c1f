"""Producing: payloads, headers, ids, partitions, and what comes back."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import graphql
import pytest
from google.protobuf.struct_pb2 import Struct

from memphis import (
    Headers,
    MemphisHeaderError,
    MemphisNotConfirmedError,
    MemphisNotFoundError,
    MemphisProduceError,
    MemphisSchemaError,
    MemphisUsageError,
    Producer,
    ProduceResult,
    Storage,
)
from memphis.wire.headers import CONNECTION_ID, MESSAGE_ID, ORIGINAL_MESSAGE_ID, PRODUCED_BY
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import SOON_S, fill, numbers_of, read, read_one
from tests.waiting import eventually

# Payloads.


def protobuf_message() -> Struct:
    message = Struct()
    message.update({"carrier": "UA", "flight": 1545})
    return message


DOCUMENT = graphql.parse("query { flight(id: 5) { carrier } }")


@pytest.mark.parametrize(
    ("message", "stored"),
    [
        (b"\x00\xff\r\n", b"\x00\xff\r\n"),
        (b"", b""),
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abcdef")[::2], b"ace"),
        ("naïve ✈", "naïve ✈".encode()),
        ("", b""),
        (protobuf_message(), protobuf_message().SerializeToString()),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_payloads(memphis, name, message, stored):
    """Bytes of every kind, text and protobuf messages arrive as the bytes they stand for."""
    await memphis.produce(name, "p", message)
    received = await read_one(await memphis.consumer(name, "c"))
    assert bytes(received.get_data()) == stored


@pytest.mark.parametrize("message", [{"a": [1, None, "ü"], "b": {}}, {}, [], [1, {"x": 2.5}]])
async def test_json_payloads(memphis, name, message):
    """A dict or list is stored as JSON."""
    await memphis.produce(name, "p", message)
    received = await read_one(await memphis.consumer(name, "c"))
    assert json.loads(received.get_data()) == message


async def test_a_graphql_document(memphis, name):
    """A document is stored as text that parses to the same document."""
    await memphis.produce(name, "p", DOCUMENT)
    received = await read_one(await memphis.consumer(name, "c"))
    text = received.get_data().decode()
    assert graphql.print_ast(graphql.parse(text)) == graphql.print_ast(DOCUMENT)


@pytest.mark.parametrize(
    "message",
    [None, 5, 1.5, {1, 2}, object(), (1,), {"a": object()}, {"a": float("nan")}, "\ud800"],
    ids=["None", "int", "float", "set", "object", "tuple", "object inside", "NaN", "surrogate"],
)
async def test_what_cannot_be_produced(memphis, name, message):
    """Anything else is refused with the type of it, and nothing is stored."""
    producer = await memphis.producer(name, "p")
    with pytest.raises(MemphisUsageError):
        await producer.produce(message)
    assert (await (await memphis.existing_station(name)).info()).messages == 0


class OfAnotherLibrary:
    """What all classes of messages that protobuf libraries generate have in common."""

    def SerializeToString(self) -> bytearray:  # noqa: N802 - the name they have in common
        return bytearray(b"\x08\x01")


async def test_a_protobuf_message_of_another_library(memphis, name):
    """It is asked for its bytes; with a schema, these are checked."""
    await memphis.produce(name, "p", OfAnotherLibrary())
    assert (await read_one(await memphis.consumer(name, "c"))).get_data() == b"\x08\x01"
    for field, fits in (("int64 id = 1", True), ("int64 id = 2", False)):
        station, schema = f"{name}-{fits}".lower(), f"{name}-{fits}".lower()
        content = f'syntax = "proto3"; message M {{ {field}; }}'
        await memphis.create_schema(schema, "protobuf", content=content)
        await memphis.station(station, schema_name=schema)
        if fits:
            await memphis.produce(station, "p", OfAnotherLibrary())
            message = await read_one(await memphis.consumer(station, "c"))
            assert (await message.get_data_deserialized()).id == 1
        else:
            with pytest.raises(MemphisSchemaError):
                await memphis.produce(station, "p", OfAnotherLibrary())


async def test_a_payload_is_a_snapshot(memphis, name):
    """Changing a mutable payload after produce has returned does not change the message."""
    producer = await memphis.producer(name, "p")
    payload = bytearray(b"before")
    pending = await producer.produce(payload, nonblocking=True)
    payload[:] = b"after!"
    await pending
    assert (await read_one(await memphis.consumer(name, "c"))).get_data() == b"before"


async def test_a_payload_over_the_limit(memphis, name):
    """More than the engine takes is refused here, and the producer goes on."""
    producer = await memphis.producer(name, "p")
    with pytest.raises(MemphisProduceError) as refused:
        await producer.produce(b"x" * (64 * 1024 * 1024 + 1))
    assert refused.value.code
    assert producer.in_flight == 0
    assert (await producer.produce(b"small")).sequence == 1


# What comes back.


async def test_the_result(memphis, name):
    """Station, partition, sequence and whether it was there already."""
    producer = await memphis.producer(name, "p")
    result = await producer.produce(b"")
    assert result == ProduceResult(station=name, partition=1, sequence=1, duplicate=False)
    pending = await producer.produce(b"", nonblocking=True)
    assert await pending == ProduceResult(name, 1, 2, duplicate=False)
    assert pending.done()
    assert await pending == await pending


async def test_a_missing_station_is_created(memphis, name):
    """Producing to no station makes one with the defaults."""
    producer = await memphis.producer(name.upper(), "P")
    assert producer.station_name == name
    assert producer.producer_name == "p"
    station = await memphis.existing_station(name)
    assert (station.options.retention_value, station.partitions) == (3600, [1])


async def test_a_removed_station(broker, memphis, name):
    """The producer of a station that somebody else removes is told, and so is the next."""
    producer = await memphis.producer(name, "p")
    await producer.produce(b"")
    async with await connect(broker) as other:
        await (await other.existing_station(name)).destroy()
    await eventually(lambda: producer.is_stale)
    with pytest.raises(MemphisNotFoundError):
        await producer.produce(b"")
    assert (await (await memphis.producer(name, "p")).produce(b"")).sequence == 1


async def test_memphis_produce_makes_one_producer(memphis, name):
    """The shorthand keeps its producer, also when many tasks begin at the same time."""
    await memphis.station(name, partitions_number=3)
    results = await asyncio.gather(*(memphis.produce(name, "p", b"") for _ in range(30)))
    assert [result.partition for result in results] == [1, 2, 3] * 10


async def test_memphis_produce_takes_all_arguments(memphis, name):
    """Several stations, headers, an id, a partition, nonblocking: as with a producer."""
    names = [name, f"{name}-2"]
    await memphis.station(name, partitions_number=2)
    await memphis.station(names[1], partitions_number=2)
    pending = await memphis.produce(
        names,
        "p",
        b"",
        headers={"k": "v"},
        nonblocking=True,
        msg_id="1",
        producer_partition_number=2,
        concurrent_task_limit=5,
    )
    assert await asyncio.gather(*pending) == [(each, 2, 1, False) for each in names]
    with pytest.raises(MemphisUsageError):
        await memphis.produce(name, "p", b"", producer_partition_key="a", async_produce=True,
                              producer_partition_number=1)  # fmt: skip


async def test_memphis_produce_after_the_station_was_removed(broker, memphis, name):
    """The shorthand makes the station again, whoever removed it."""
    await memphis.produce(name, "p", b"")
    await (await memphis.existing_station(name)).destroy()
    assert (await memphis.produce(name, "p", b"")).sequence == 1
    async with await connect(broker) as other:
        await (await other.existing_station(name)).destroy()

    async def is_made_again() -> bool:
        try:
            return (await memphis.produce(name, "p", b"", ack_wait_sec=0.2)).sequence == 1
        except MemphisProduceError:
            return False  # the news of the removal is still on its way

    await eventually(is_made_again, SOON_S)


# Headers.


@pytest.mark.parametrize("as_dict", [True, False])
async def test_headers(memphis, name, as_dict):
    """They arrive; the caller's object stays as it was, so the next message has no more of them."""
    given = {"key": "value", "Umlaut": "ä ö: ü", "empty": ""}
    headers = dict(given)
    if not as_dict:
        headers = Headers()
        for key, value in given.items():
            headers.add(key, value)
    producer = await memphis.producer(name, "p")
    await producer.produce(b"", headers=headers, msg_id="first")
    await producer.produce(b"", headers=headers)
    assert (headers if as_dict else headers.headers) == given
    first, second = await read(await memphis.consumer(name, "c"), 2)
    assert given.items() <= first.get_headers().items()
    assert given.items() <= second.get_headers().items()
    assert first.get_headers()[ORIGINAL_MESSAGE_ID] == "first"
    assert first.get_headers()[MESSAGE_ID] == "first"
    assert set(second.get_headers()) == {*given, PRODUCED_BY, CONNECTION_ID}
    assert second.get_headers()[PRODUCED_BY] == "p"


BAD_HEADERS = [
    {"$memphis_producedBy": "me"},
    {"$memphis": "me"},
    {"Nats-Msg-Id": "1"},
    {"nats-expected-stream": "x"},
    {"": "v"},
    {"a b": "v"},
    {"a:b": "v"},
    {"a\r\nb": "v"},
    {"ä": "v"},
    {"k": "a\r\nb"},
    {"k": "a\nb"},
    {"k": "\ud800"},
    {"k": 5},
    {5: "v"},
    {"k": None},
    {"k": b"v"},
]


@pytest.mark.parametrize("headers", BAD_HEADERS, ids=repr)
async def test_bad_headers(memphis, name, headers):
    """Reserved keys and what cannot be sent are refused, in a dict and in Headers."""
    producer = await memphis.producer(name, "p")
    with pytest.raises(MemphisHeaderError):
        await producer.produce(b"", headers=headers)
    [(key, value)] = headers.items()
    with pytest.raises(MemphisHeaderError):
        Headers().add(key, value)
    assert (await (await memphis.existing_station(name)).info()).messages == 0


async def test_headers_that_are_none(memphis, name):
    """Something that is no mapping is refused; None is no headers."""
    producer = await memphis.producer(name, "p")
    with pytest.raises(MemphisHeaderError):
        await producer.produce(b"", headers=[("k", "v")])
    await producer.produce(b"", headers=None)


# Ids.


async def test_an_id_is_stored_once(memphis, name):
    """The second message with an id is a duplicate, across partitions and producers."""
    station = await memphis.station(name, partitions_number=5)
    one, other = [await memphis.producer(name, p) for p in ("one", "other")]
    for number in range(20):
        first = await one.produce(b"1", msg_id=str(number))
        again = await other.produce(b"2", msg_id=str(number))
        assert not first.duplicate
        assert again == first._replace(duplicate=True)
    info = await station.info()
    assert info.messages == 20
    assert sum(1 for partition in info.partitions if partition.messages) > 1


async def test_an_id_with_a_chosen_partition(memphis, name):
    """A key or number decides where it goes; there, the id is known, and elsewhere it is not."""
    await memphis.station(name, partitions_number=2)
    producer = await memphis.producer(name, "p")
    by_number = [
        await producer.produce(b"", msg_id="a", producer_partition_number=number)
        for number in (1, 2, 1, 2)
    ]
    assert [r.partition for r in by_number] == [1, 2, 1, 2]
    assert [r.duplicate for r in by_number] == [False, False, True, True]
    by_key = [
        await producer.produce(b"", msg_id="b", producer_partition_key="key") for _ in range(2)
    ]
    assert [r.duplicate for r in by_key] == [False, True]


@pytest.mark.parametrize("bad", [5, b"a", "a\nb", "\ud800", "a\x00"], ids=repr)
async def test_bad_ids(memphis, name, bad):
    """An id that cannot be sent is refused."""
    producer = await memphis.producer(name, "p")
    with pytest.raises(MemphisUsageError):
        await producer.produce(b"", msg_id=bad)


async def test_an_empty_id_is_none(memphis, name):
    """Callers of the original pass an empty id for none: nothing is de-duplicated."""
    producer = await memphis.producer(name, "p")
    results = [await producer.produce(b"", msg_id="") for _ in range(2)]
    assert [result.sequence for result in results] == [1, 2]


# Partitions.


async def test_round_robin(memphis, name):
    """Without a choice partitions are taken in turn, beginning with the first, per producer."""
    await memphis.station(name, partitions_number=3)
    for producer in [await memphis.producer(name, p) for p in ("one", "two")]:
        taken = [(await producer.produce(b"")).partition for _ in range(7)]
        assert taken == [1, 2, 3, 1, 2, 3, 1]


@pytest.mark.parametrize(
    ("key", "hashed"),
    [("a", 3387765255), ("b", 279955767), ("abc", 339830091), ("héé", 2252030545)],
)
async def test_by_key(memphis, name, key, hashed):
    """The key's hash is an index into the partitions, as the original's clients place it."""
    await memphis.station(name, storage_type=Storage.MEMORY, partitions_number=7)
    result = await memphis.produce(name, "p", b"", producer_partition_key=key)
    assert result.partition == hashed % 7 + 1


async def test_one_key_keeps_its_order(memphis, name):
    """Messages of a key come out of one partition in the order they were produced."""
    await memphis.station(name, partitions_number=4)
    producer = await memphis.producer(name, "p")
    for number in range(100):
        await producer.produce(
            str(number), nonblocking=True, producer_partition_key=f"key-{number % 5}"
        )
    await producer.flush()
    consumer = await memphis.consumer(name, "c")
    received = numbers_of(await read(consumer, 100))
    for key in range(5):
        assert [n for n in received if n % 5 == key] == list(range(key, 100, 5))


async def test_by_number(memphis, name):
    """The number is the partition."""
    await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "p")
    for number in (3, 1, 2):
        assert (await producer.produce(b"", producer_partition_number=number)).partition == number


@pytest.mark.parametrize(
    "choice",
    [
        {"producer_partition_key": "a", "producer_partition_number": 1},
        {"producer_partition_number": 0},
        {"producer_partition_number": 4},
        {"producer_partition_number": -2},
        {"producer_partition_number": "1"},
        {"producer_partition_key": 5},
        {"producer_partition_key": "\ud800"},
        {"ack_wait_sec": 0},
        {"ack_wait_sec": -1},
        {"ack_wait_sec": "15"},
        {"concurrent_task_limit": 0},
        {"concurrent_task_limit": 1.5},
    ],
    ids=repr,
)
async def test_bad_arguments(memphis, name, choice):
    """Each is refused before anything is sent."""
    await memphis.station(name, partitions_number=3)
    producer = await memphis.producer(name, "p")
    with pytest.raises(MemphisUsageError):
        await producer.produce(b"", **choice)
    assert producer.in_flight == 0


# Deadlines.


async def test_the_deadline_of_a_silent_engine(fresh_broker):
    """A message that is never confirmed fails after ack_wait_sec as not confirmed."""
    async with await connect(fresh_broker) as memphis:
        producer = await memphis.producer("s", "p")
        os.kill(fresh_broker.engine_pid, signal.SIGSTOP)
        try:
            await eventually(lambda: _is_silent(producer), SOON_S)
            assert producer.in_flight == 0
        finally:
            os.kill(fresh_broker.engine_pid, signal.SIGCONT)

        async def is_alive() -> bool:
            try:
                await producer.produce(b"", ack_wait_sec=1)
            except MemphisProduceError:
                return False
            return True

        await eventually(is_alive, SOON_S)


async def _is_silent(producer: Producer) -> bool:
    """Whether a message meets its deadline; the signal may need a moment to take effect."""
    try:
        await producer.produce(b"", ack_wait_sec=0.2)
    except MemphisNotConfirmedError:
        return True
    return False


async def test_destroy(memphis, name):
    """A destroyed producer sends nothing more; the station and other producers go on."""
    producer, other = [await memphis.producer(name, p) for p in ("one", "other")]
    await fill(producer, range(3))
    task = producer.destroy()
    assert producer.destroy() is task
    await task
    with pytest.raises(MemphisUsageError):
        await producer.produce(b"")
    assert (await other.produce(b"")).sequence == 4


async def test_a_random_suffix(memphis, name):
    """The deprecated option gives different names, with a warning, and destroy works."""
    with pytest.warns(DeprecationWarning, match="generate_random_suffix"):
        producers = [
            await memphis.producer(name, "p", generate_random_suffix=True) for _ in range(2)
        ]
    assert producers[0].producer_name != producers[1].producer_name
    for producer in producers:
        assert producer.producer_name.startswith("p_")
        await producer.destroy()


async def test_several_producers_of_one_name(memphis, name):
    """A producer's name need not be unique."""
    one, other = [await memphis.producer(name, "p") for _ in range(2)]
    await one.destroy()
    assert (await other.produce(b"")).sequence == 1
