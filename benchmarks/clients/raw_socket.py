"""The limit: ready-made frames through a socket, answers counted and not understood.

No Python object per message, so this is what engine and kernel do when the client costs nothing.
"""

from __future__ import annotations

import asyncio
import json

from benchmarks.clients import BATCH, HEADERS, Target

NAME = "raw socket (the limit)"
LIBRARIES = ()
_WINDOW = 8000
_PULLS_AHEAD = 4
_READ_BYTES = 1 << 20
_ANSWER_END = b"}\r\n"
_MESSAGE_START = b"HMSG "


class Client:
    """One socket that has said CONNECT."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Target
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._target = target
        lines = "".join(f"{key}: {value}\r\n" for key, value in HEADERS.items())
        header = f"NATS/1.0\r\n{lines}\r\n".encode()
        payload = header + target.payload
        self._frame = b"HPUB %s$1.in _INBOX.raw.1 %d %d\r\n%s\r\n" % (
            target.station.encode(), len(header), len(payload), payload,
        )  # fmt: skip

    async def close(self) -> None:
        """Disconnect."""
        self._writer.close()
        await self._writer.wait_closed()

    async def produce_awaited(self) -> int:
        """One frame, one answer."""
        for _ in range(self._target.messages):
            self._writer.write(self._frame)
            await self._reader.readuntil(_ANSWER_END)
        return self._target.messages

    async def produce_nonblocking(self) -> int:
        """Frames by the 500, at most 8000 without an answer."""
        room = asyncio.Semaphore(_WINDOW // BATCH)
        chunks = self._target.messages // BATCH
        block = self._frame * BATCH
        counting = asyncio.create_task(self._free_room(chunks, room))
        for _ in range(chunks):
            await room.acquire()
            self._writer.write(block)
            await self._writer.drain()
        await counting
        return chunks * BATCH

    produce_unsynced = produce_nonblocking

    async def _free_room(self, chunks: int, room: asyncio.Semaphore) -> None:
        counter = _Counter(self._reader, _ANSWER_END)
        released = 0
        while released < chunks:
            await counter.read()
            while released < counter.seen // BATCH:
                released += 1
                room.release()

    async def fetch_ack(self) -> int:
        """Pulls of 500, four under way; as many acknowledgements, made without being told which."""
        stream = f"{self._target.station}$1"
        config = {"durable_name": "raw", "ack_policy": "explicit", "max_ack_pending": -1}
        create = json.dumps({"stream_name": stream, "config": config}).encode()
        self._writer.write(
            b"PUB $JS.API.CONSUMER.DURABLE.CREATE.%s.raw _INBOX.raw.1 %d\r\n%s\r\n"
            % (stream.encode(), len(create), create)
        )
        await self._reader.readuntil(_ANSWER_END)
        chunks = self._target.messages // BATCH
        ask = b'{"batch":%d}' % BATCH
        pull = b"PUB $JS.API.CONSUMER.MSG.NEXT.%s.raw _INBOX.raw.2 %d\r\n%s\r\n"
        pull %= stream.encode(), len(ask), ask
        self._writer.write(pull * _PULLS_AHEAD)
        counter = _Counter(self._reader, _MESSAGE_START)
        acknowledged = 0
        while acknowledged < chunks:
            await counter.read()
            while acknowledged < counter.seen // BATCH:
                self._writer.write(pull + _acknowledgements(stream, acknowledged))
                acknowledged += 1
            await self._writer.drain()
        # What the last ones did is known when the engine has answered something after them.
        self._writer.write(b"PING\r\n")
        await self._reader.readuntil(b"PONG\r\n")
        return chunks * BATCH


class _Counter:
    """Counts how often some bytes came, in whatever pieces."""

    def __init__(self, reader: asyncio.StreamReader, mark: bytes) -> None:
        self.seen = 0
        self._reader = reader
        self._mark = mark
        self._tail = b""

    async def read(self) -> None:
        """Wait for more bytes and count in them."""
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise ConnectionError("the engine closed the connection")
        text = self._tail + data
        self.seen += text.count(self._mark)
        # A mark may fall into two reads, but one that was counted must not be counted again.
        uncounted = text.rpartition(self._mark)[2]
        self._tail = uncounted[1 - len(self._mark) :]


def _acknowledgements(stream: str, chunk: int) -> bytes:
    # A first delivery's numbers are the order in which it was stored; the engine looks at no more.
    numbers = range(chunk * BATCH + 1, (chunk + 1) * BATCH + 1)
    return b"".join(
        b"PUB $JS.ACK.%s.raw.1.%d.%d.0.0 4\r\n+ACK\r\n" % (stream.encode(), number, number)
        for number in numbers
    )


async def open_client(target: Target) -> Client:
    """Connect and subscribe to the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=_READ_BYTES)
    await reader.readline()
    options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
    writer.write(b"CONNECT %s\r\nSUB _INBOX.raw.* 1\r\nPING\r\n" % json.dumps(options).encode())
    await reader.readuntil(b"PONG\r\n")
    return Client(reader, writer, target)
