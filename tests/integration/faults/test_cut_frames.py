"""Frames that are cut anywhere, or come byte by byte: nothing is lost, and nothing stored twice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from memphis.exceptions import MemphisConnectError
from memphis.transport import Connection, ConnectionLostError, Publisher, PullEnd, Puller, Reply
from memphis.transport.protocol import MessageFrame
from tests.fixtures.engine import Engine
from tests.fixtures.faults import FaultyProxy
from tests.fixtures.transport import (
    Connect,
    create_consumer,
    create_stream,
    id_header,
    jetstream,
    send,
    send_numbers,
    stored_payloads,
)
from tests.waiting import eventually

BATCH = 25
SOON_S = 30.0


class PullLoop:
    """Pulls batch after batch whatever happens to the connection, and acknowledges everything."""

    def __init__(self, connection: Connection, subject: bytes) -> None:
        self._connection = connection
        self._puller = Puller(connection, on_stray=lambda frame: self._arrived([frame]))
        self._subject = subject
        self.frames: list[MessageFrame] = []
        self.ends: list[PullEnd] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Pull for as long as the block lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait({task})
            self._puller.close()

    async def _run(self) -> None:
        while True:
            await self._connection.wait_connected(SOON_S)
            ended = asyncio.Event()

            def over(end: PullEnd, ended: asyncio.Event = ended) -> None:
                self.ends.append(end)
                ended.set()

            self._puller.pull(
                self._subject,
                batch=BATCH,
                bytes_max=1 << 25,
                expires_s=1,
                on_messages=self._arrived,
                on_end=over,
            )
            await ended.wait()

    def _arrived(self, frames: Sequence[MessageFrame]) -> None:
        self.frames += frames
        try:
            for frame in frames:
                self._connection.publish(frame[3], b"+ACK")
        except MemphisConnectError:
            return  # it is closed; what is not acknowledged is not missed

    @property
    def numbers(self) -> set[int]:
        """Which of the numbered messages have come."""
        return {int(frame[5]) for frame in self.frames}


async def _until_acknowledged(connection: Connection, stream: str) -> None:
    async def is_done() -> bool:
        info = await jetstream(connection, f"CONSUMER.INFO.{stream}.d")
        return info["num_ack_pending"] == info["num_pending"] == 0

    await eventually(is_done, SOON_S, "all messages are acknowledged")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_cut_anywhere(
    engine_wire: FaultyProxy, shared_engine: Engine, connect: Connect, seed: int
) -> None:
    """Cut within the handshake, answers or messages: stored once, in order, and none is missed."""
    chance = random.Random(seed)
    name = f"cut-anywhere-{seed}"
    connection = await connect(engine_wire.address, reconnect_interval_s=0.01)
    steady = await connect(shared_engine.address, inbox_prefix="_INBOX.root.steady")
    await create_stream(steady, name, allow_direct=True)
    subject = await create_consumer(
        steady, name, "d", ack_wait=500_000_000, max_ack_pending=100_000
    )
    pulling = PullLoop(connection, subject)
    publisher = Publisher(connection)
    rounds = 40
    async with pulling.running():
        for number in range(rounds):
            # The handshake takes some 600 bytes, a round's answers and messages some 5,000. Two cuts
            # in one round: what is sent again is cut, too.
            engine_wire.cuts.extend([chance.randrange(1, 5000), chance.randrange(1, 1500)])
            numbers = range(number * BATCH, (number + 1) * BATCH)
            await asyncio.gather(
                *send_numbers(publisher, f"{name}.in".encode(), numbers, resend_s=60)
            )
        engine_wire.cuts.clear()
        everything = set(range(rounds * BATCH))
        await eventually(lambda: pulling.numbers == everything, SOON_S, "every message has come")
        await _until_acknowledged(steady, name)
    assert await stored_payloads(steady, name) == [b"%d" % n for n in range(rounds * BATCH)]
    assert engine_wire.cuts_made > rounds / 2
    assert PullEnd.LOST in pulling.ends
    assert connection.statistics().callback_errors == 0


async def test_cut_at_every_byte(
    engine_wire: FaultyProxy, shared_engine: Engine, connect: Connect
) -> None:
    """A short conversation, cut after each of its bytes in turn, is always completed."""
    steady = await connect(shared_engine.address, inbox_prefix="_INBOX.root.steady")
    await create_stream(steady, "every-byte", allow_direct=True)
    connection = await connect(engine_wire.address, reconnect_interval_s=0.001)
    publisher = Publisher(connection)
    for position in itertools.count(1):
        engine_wire.cuts.append(position)
        header = id_header(position)
        result = await send(
            publisher, b"every-byte.in", b"PING\r\n", header=header, resend_s=60, deadline_s=SOON_S
        )
        assert result.sequence == position
        stored = await _read_back(connection, "every-byte", position)
        assert (stored.payload, id_header(position)[10:-2] in stored.header) == (b"PING\r\n", True)
        if engine_wire.cuts:
            break  # all of it was within the bytes up to here, so every one of them had its cut
        await eventually(lambda p=position: connection.statistics().reconnects == p, SOON_S)
    assert position > 200, "an acknowledgement and a message with headers have more bytes"
    info = await jetstream(steady, "STREAM.INFO.every-byte")
    assert info["state"]["messages"] == position


async def _read_back(connection: Connection, stream: str, sequence: int) -> Reply:
    """Ask for a stored message until the answer arrives whole."""
    while True:
        try:
            return await connection.request(
                f"$JS.API.DIRECT.GET.{stream}", b'{"seq":%d}' % sequence, timeout_s=SOON_S
            )
        except ConnectionLostError:
            continue


def _sizes(sizes: Sequence[int]) -> Callable[[], int]:
    return itertools.cycle(sizes).__next__


@pytest.mark.parametrize(
    "sizes",
    [[1], [2], [3], [1, 2, 3, 5, 8, 13, 21, 34], random.Random(4).choices(range(1, 400), k=97)],
    ids=["1", "2", "3", "growing", "random"],
)
async def test_pieces_of_every_size(
    engine_wire: FaultyProxy, connect: Connect, request: pytest.FixtureRequest, sizes: list[int]
) -> None:
    """However the engine's bytes come, answers and messages are read as they were sent."""
    name = f"pieces-{request.node.callspec.id}"
    connection = await connect(engine_wire.address)
    await create_stream(connection, name)
    subject = await create_consumer(connection, name, "d", max_ack_pending=1000)
    chance = random.Random(5)
    payloads = [chance.randbytes(chance.randrange(200)) for _ in range(150)]
    header = b"NATS/1.0\r\nPing: PING\r\nempty:\r\n\r\n"
    pulling = PullLoop(connection, subject)
    publisher = Publisher(connection)
    engine_wire.next_piece = _sizes(sizes)
    async with pulling.running():
        futures = [
            send(
                publisher,
                f"{name}.in".encode(),
                payload,
                header=header if number % 2 else b"",
                resend_s=0,
                deadline_s=SOON_S,
            )
            for number, payload in enumerate(payloads)
        ]
        results = await asyncio.gather(*futures)
        assert [result.sequence for result in results] == list(range(1, len(payloads) + 1))
        await eventually(lambda: len(pulling.frames) >= len(payloads), SOON_S, "all have come")
        await _until_acknowledged(connection, name)
    engine_wire.next_piece = None
    assert [frame[5] for frame in pulling.frames] == payloads
    assert [frame[4] for frame in pulling.frames] == [
        header if number % 2 else b"" for number in range(len(payloads))
    ]
    assert connection.statistics().reconnects == 0
