"""Another client as the oracle: what one writes, the other reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from memphis.transport import Publisher
from memphis.transport.protocol import MessageFrame
from memphis.wire.headers import decode_block, encode_block
from tests.fixtures.engine import Engine
from tests.fixtures.transport import Connect, create_stream, send
from tests.oracle import settled
from tests.waiting import eventually

HEADERS = {"key": "value", "$memphis_producedBy": "p-1", "empty": "", "sign": "ünï:cödé "}
PAYLOADS = [b"", b"x", b"\r\n", b"MSG a 1 3\r\nabc\r\n", bytes(range(256)) * 200]


@pytest.fixture
async def oracle(shared_engine: Engine) -> AsyncIterator[Client]:
    """The other client, connected."""
    client = await nats.connect(shared_engine.url)
    yield client
    await client.close()


async def test_the_other_client_reads_what_we_write(
    shared_engine: Engine, connect: Connect, oracle: Client
) -> None:
    """Payloads, headers and reply subjects of ours arrive there unchanged."""
    connection = await connect(shared_engine.address)
    received: list[Msg] = []

    async def keep(message: Msg) -> None:
        received.append(message)

    await oracle.subscribe("to.oracle", cb=keep)
    await settled(oracle)
    for payload in PAYLOADS:
        connection.publish(b"to.oracle", payload)
        connection.publish(b"to.oracle", payload, header=encode_block(HEADERS), reply=b"re.ply")
    await eventually(lambda: len(received) == 2 * len(PAYLOADS))
    assert [message.data for message in received[::2]] == PAYLOADS
    assert [message.data for message in received[1::2]] == PAYLOADS
    for plain, rich in zip(received[::2], received[1::2], strict=True):
        assert plain.headers is None
        assert plain.reply == ""
        assert rich.reply == "re.ply"
        assert rich.headers == {key: value.strip() for key, value in HEADERS.items()}


async def test_we_read_what_the_other_client_writes(
    shared_engine: Engine, connect: Connect, oracle: Client
) -> None:
    """Payloads, headers and reply subjects from there arrive here unchanged."""
    connection = await connect(shared_engine.address)
    received: list[MessageFrame] = []
    connection.subscribe("from.oracle", received.append)
    await connection.flush(5)
    for payload in PAYLOADS:
        await oracle.publish("from.oracle", payload)
        await oracle.publish("from.oracle", payload, reply="re.ply", headers=HEADERS)
    await settled(oracle)
    await eventually(lambda: len(received) == 2 * len(PAYLOADS))
    assert [frame[5] for frame in received[::2]] == PAYLOADS
    assert [frame[5] for frame in received[1::2]] == PAYLOADS
    for plain, rich in zip(received[::2], received[1::2], strict=True):
        assert plain[3:5] == (b"", b"")
        assert rich[3] == b"re.ply"
        assert decode_block(rich[4]) == {key: value.strip() for key, value in HEADERS.items()}


async def test_requests_both_ways(shared_engine: Engine, connect: Connect, oracle: Client) -> None:
    """Each side answers the other's requests."""
    connection = await connect(shared_engine.address)
    connection.subscribe("ours", lambda frame: connection.publish(frame[3], b"from us"))

    async def answer(message: Msg) -> None:
        await message.respond(b"from the oracle")

    await oracle.subscribe("theirs", cb=answer)
    await asyncio.gather(settled(oracle), connection.flush(5))
    assert (await oracle.request("ours", b"", timeout=5)).data == b"from us"
    assert (await connection.request("theirs", b"", timeout_s=5)).payload == b"from the oracle"


async def test_the_other_client_reads_our_stored_messages(
    shared_engine: Engine, connect: Connect, oracle: Client
) -> None:
    """A stored message of ours is fetched there with its headers."""
    connection = await connect(shared_engine.address)
    await create_stream(connection, "oracle-stream")
    publisher = Publisher(connection)
    header = encode_block({"a": "b"})
    for payload in PAYLOADS:
        send(publisher, b"oracle-stream.in", payload, header=header, resend_s=0, deadline_s=5)
    await publisher.drain(5)
    subscription = await oracle.jetstream().pull_subscribe("", durable="d", stream="oracle-stream")
    messages = await subscription.fetch(len(PAYLOADS), timeout=5)
    assert [message.data for message in messages] == PAYLOADS
    assert all(message.headers == {"a": "b"} for message in messages)
    await subscription.unsubscribe()
