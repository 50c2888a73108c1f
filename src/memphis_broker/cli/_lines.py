"""Messages from a file or standard input, one per line, without holding up the event loop.

A thread reads, because a terminal, a pipe and a file each block in their own way; a small queue
hands its lines over. Invariant: never more than the queue's limit and one chunk are held in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

_CHUNK_BYTES = 64 * 1024
_CHUNKS_MAX = 16
_LINE_BYTES_MAX = 64 * 1024 * 1024


class LineTooLongError(Exception):
    """A line, or an input taken as a whole, is longer than any engine takes."""


@dataclass
class LineReader:
    """Reads a file descriptor; of its lines, empty ones are left out and line ends removed.

    Use it once, from one task.
    """

    descriptor: int
    bytes_read: int = 0
    """How much of the input has been handed over."""
    _rest: bytearray = field(default_factory=bytearray)

    async def lines(self) -> AsyncIterator[bytes]:
        """One line after another, as they come in; ends with the input.

        Raises:
            LineTooLongError: A line has more than 64 MiB.
            OSError: The input cannot be read.
        """
        async with contextlib.aclosing(self._chunks()) as chunks:
            async for chunk in chunks:
                for line in self._split(chunk):
                    if stripped := line.rstrip(b"\r\n"):
                        yield stripped

    async def everything(self) -> bytes:
        """The whole input, line ends included.

        Raises:
            LineTooLongError: It has more than 64 MiB.
            OSError: The input cannot be read.
        """
        async with contextlib.aclosing(self._chunks()) as chunks:
            async for chunk in chunks:
                self._keep(chunk)
        return bytes(self._rest)

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        """The input as it comes in; the last chunk is empty."""
        source = _Source(self.descriptor, asyncio.get_running_loop())
        source.start()
        try:
            while True:
                chunk = await source.next_chunk()
                self.bytes_read += len(chunk)
                yield chunk
                if not chunk:
                    return
        finally:
            source.stop()

    def _split(self, chunk: bytes) -> list[bytes]:
        """The lines that are whole with this chunk; an empty chunk is the end of the input."""
        # Searched in the chunk alone, so that a long line costs no second look at its beginning.
        last_end = chunk.rfind(b"\n") + 1
        if chunk and not last_end:
            self._keep(chunk)
            return []
        whole = bytes(self._rest) + chunk[:last_end]
        self._rest = bytearray(chunk[last_end:])
        return whole.split(b"\n")

    def _keep(self, chunk: bytes) -> None:
        self._rest += chunk
        if len(self._rest) > _LINE_BYTES_MAX:
            raise LineTooLongError(f"one message is longer than {_LINE_BYTES_MAX:,} bytes")


class _Source:
    """A thread that reads a descriptor, at most :data:`_CHUNKS_MAX` chunks ahead of who takes them."""

    def __init__(self, descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = descriptor
        self._loop = loop
        self._chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
        self._room = threading.Semaphore(_CHUNKS_MAX)
        self._stopped = False

    def start(self) -> None:
        """Begin to read."""
        # A daemon: nothing can interrupt a read from a terminal, and the process must still end.
        threading.Thread(target=self._read, name="line reader", daemon=True).start()

    def stop(self) -> None:
        """Read no more; a read that waits for input ends with its next chunk, which is dropped."""
        self._stopped = True
        self._room.release()

    async def next_chunk(self) -> bytes:
        """The next chunk; empty at the end of the input."""
        chunk = await self._chunks.get()
        self._room.release()
        if isinstance(chunk, OSError):
            raise chunk
        return chunk

    def _read(self) -> None:
        while True:
            self._room.acquire()
            if self._stopped:
                return
            try:
                chunk: bytes | OSError = os.read(self._descriptor, _CHUNK_BYTES)
            except OSError as error:
                chunk = error
            # The loop may have ended meanwhile; then nobody wants the chunk any more.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
            if not chunk or isinstance(chunk, OSError):
                return
