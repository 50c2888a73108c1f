"""The limit: ready-made frames through a socket, answers counted and not understood.

No Python object per message, so this is what engine and kernel do when the client costs nothing.
"""

from __future__ import annotations

import asyncio
import json

from benchmarks.clients import HEADERS, Target

NAME = "raw socket (the limit)"
_CHUNK = 500
_WINDOW = 8000
_READ = 1 << 20


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
        for _ in range(self._target.count):
            self._writer.write(self._frame)
            await self._reader.readuntil(b"}\r\n")
        return self._target.count

    async def produce_nonblocking(self) -> int:
        """Frames by the 500, at most 8000 without an answer."""
        room = asyncio.Semaphore(_WINDOW // _CHUNK)
        chunks = self._target.count // _CHUNK
        block = self._frame * _CHUNK

        counting = asyncio.create_task(self._count(chunks, room))
        for _ in range(chunks):
            await room.acquire()
            self._writer.write(block)
            await self._writer.drain()
        await counting
        return chunks * _CHUNK

    async def _count(self, chunks: int, room: asyncio.Semaphore) -> None:
        seen = released = 0
        tail = b""
        while released < chunks:
            data = await self._reader.read(_READ)
            if not data:
                raise ConnectionError("the engine closed the connection")
            text = tail + data
            # A frame's end is counted; its three bytes may fall into two reads.
            seen += text.count(b"}\r\n")
            tail = text[-2:] if not text.endswith(b"}\r\n") else b""
            while released < seen // _CHUNK:
                released += 1
                room.release()


async def open_client(target: Target) -> Client:
    """Connect and subscribe to the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=_READ)
    await reader.readline()
    options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
    writer.write(b"CONNECT %s\r\nSUB _INBOX.raw.* 1\r\nPING\r\n" % json.dumps(options).encode())
    await reader.readuntil(b"PONG\r\n")
    return Client(reader, writer, target)
