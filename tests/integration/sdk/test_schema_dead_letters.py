"""Messages that failed their schema are kept as dead letters, before the producer is told.

What is kept is read with a client of the engine itself, on an open engine that the test runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import nats
import pytest
from google.protobuf import descriptor_pb2
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from memphis import Headers, Memphis, MemphisSchemaError
from memphis.wire.dead_letters import read_label
from memphis_broker.testing import BrokerProcess
from tests.fixtures.broker import BrokerFactory
from tests.fixtures.engine import Engine
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import SOON_S
from tests.integration.sdk.schema_samples import samples
from tests.waiting import eventually

STREAM = "memphis_dead_letters"


@pytest.fixture
async def attached(open_engine: Engine, broker_factory: BrokerFactory) -> BrokerProcess:
    """A broker on it."""
    process = broker_factory(options=["--engine", open_engine.url], embedded=False)
    await asyncio.to_thread(process.start)
    process.port = open_engine.port
    return process


@pytest.fixture
async def memphis(attached: BrokerProcess) -> AsyncIterator[Memphis]:
    """A connection to that broker."""
    async with await connect(attached) as connection:
        yield connection


@pytest.fixture
async def stream(open_engine: Engine) -> AsyncIterator[JetStreamContext]:
    """The engine, as another client sees it."""
    client = await nats.connect(open_engine.url)
    yield client.jetstream()
    await client.close()


async def kept(stream: JetStreamContext) -> list[Msg]:
    """All dead letters, oldest first."""
    last = (await stream.stream_info(STREAM)).state.last_seq
    found = [await stream.get_msg(STREAM, sequence) for sequence in range(1, last + 1)]
    return [
        Msg(None, message.subject or "", data=message.data or b"", headers=message.headers)
        for message in found
    ]


async def test_it_is_kept_whole_before_the_error_is_raised(memphis: Memphis, stream):
    """The bytes that were given, the application's headers, who, why; stored when the error comes."""
    await memphis.create_schema("orders", "json", content=samples("json")[0].content)
    await memphis.station("s.one", schema_name="orders")
    producer = await memphis.producer("s.one", "shop")
    headers = Headers()
    headers.add("colour", "blue")
    with pytest.raises(MemphisSchemaError) as refused:
        await producer.produce({"nope": "ü"}, headers=headers, msg_id="7")
    (letter,) = await kept(stream)
    assert letter.data == '{"nope":"ü"}'.encode()
    assert letter.headers is not None
    assert letter.headers["colour"] == "blue"
    assert letter.headers["msg-id"] == "7"
    assert letter.headers["$memphis_producedBy"] == "shop"
    label = read_label(letter.headers["$memphis_deadLetter"])
    assert label is not None
    assert (label.station, label.kind) == ("s.one", "schema")
    assert label.failures[0].reason in str(refused.value)
    assert "$memphis_schema" not in letter.headers
    assert (await (await memphis.existing_station("s.one")).info()).messages == 0


async def test_bytes_of_any_kind_are_kept_as_they_were_given(memphis: Memphis, stream):
    """Also those that are no text, a message object of another type, and nonblocking ones."""
    await memphis.create_schema("orders", "protobuf", content=samples("protobuf")[0].content)
    await memphis.station("s", schema_name="orders")
    producer = await memphis.producer("s", "p")
    other = descriptor_pb2.FileDescriptorProto(name="x.proto")
    for given in (b"\xff\xfe\x00", bytearray(b"\x80"), memoryview(b"\x81"), other):
        with pytest.raises(MemphisSchemaError):
            await producer.produce(given, nonblocking=True)
    assert [letter.data for letter in await kept(stream)] == [
        b"\xff\xfe\x00",
        b"\x80",
        b"\x81",
        other.SerializeToString(),
    ]


async def test_every_way_to_produce_keeps_them(memphis: Memphis, stream):
    """Kept producers, several stations, batches: one dead letter for each refusal."""
    await memphis.create_schema("orders", "json", content=samples("json")[0].content)
    await memphis.station("s", schema_name="orders")
    with pytest.raises(MemphisSchemaError):
        await memphis.produce("s", "p", "{}")
    several = await memphis.producer(["s", "lax"], "p")
    with pytest.raises(Exception, match="1 of 2"):
        await several.produce("[]")
    producer = await memphis.producer("s", "p")
    for atomic in (True, False):
        with pytest.raises(MemphisSchemaError):
            await producer.produce_batch([b'{"first":1}', b"2"], atomic=atomic)
    assert [letter.data for letter in await kept(stream)] == [b"{}", b"[]", b"2", b"2"]


async def test_a_station_that_keeps_none(memphis: Memphis, stream):
    """With the option off the error is raised as before, and nothing is stored."""
    await memphis.create_schema("orders", "json", content=samples("json")[0].content)
    await memphis.station("s", schema_name="orders", send_schema_failed_msg_to_dls=False)
    producer = await memphis.producer("s", "p")
    with pytest.raises(MemphisSchemaError):
        await producer.produce("[]")
    assert await kept(stream) == []


async def test_a_message_that_cannot_be_kept_says_so(memphis: Memphis, stream):
    """The refusal comes all the same, with a note of what else went wrong."""
    await memphis.create_schema("orders", "json", content=samples("json")[0].content)
    await memphis.station("s", schema_name="orders")
    producer = await memphis.producer("s", "p")
    await stream.delete_stream(STREAM)
    with pytest.raises(MemphisSchemaError) as refused:
        await producer.produce("[]", ack_wait_sec=0.5)
    assert any("could not be kept" in note for note in refused.value.__notes__)


async def test_it_is_kept_while_the_broker_is_away(
    memphis: Memphis, stream, attached: BrokerProcess
):
    """The engine alone stores it: a broker that is down loses no dead letter."""
    await memphis.create_schema("orders", "json", content=samples("json")[0].content)
    await memphis.station("s", schema_name="orders")
    producer = await memphis.producer("s", "p")
    await asyncio.to_thread(attached.kill)
    with pytest.raises(MemphisSchemaError) as refused:
        await producer.produce("[]")
    assert not getattr(refused.value, "__notes__", [])
    assert await eventually(lambda: kept(stream), SOON_S)
