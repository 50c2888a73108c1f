"""Messages from a file or standard input, one per line, without holding up the event loop.

A thread reads, because a terminal, a pipe and a file each block in their own way; a small queue
hands its lines over. Invariant: never more than the queue's limit and one chunk are held in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError
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
        async for chunk in self._chunks():
            for line in self._split(chunk):
                if stripped := line.rstrip(b"\r\n"):
                    yield stripped

    async def everything(self) -> bytes:
        """The whole input, line ends included.

        Raises:
            LineTooLongError: It has more than 64 MiB.
            OSError: The input cannot be read.
        """
        async for chunk in self._chunks():
            self._keep(chunk)
        return bytes(self._rest)

    async def _chunks(self) -> AsyncIterator[bytes]:
        """The input as it comes in; the last chunk is empty."""
        chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue(_CHUNKS_MAX)
        loop = asyncio.get_running_loop()
        # A daemon: nothing can interrupt a read from a terminal, and the process must still end.
        threading.Thread(
            target=_read, args=(self.descriptor, chunks, loop), name="line reader", daemon=True
        ).start()
        while True:
            chunk = await chunks.get()
            if isinstance(chunk, OSError):
                raise chunk
            self.bytes_read += len(chunk)
            yield chunk
            if not chunk:
                return

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


def _read(
    descriptor: int, chunks: asyncio.Queue[bytes | OSError], loop: asyncio.AbstractEventLoop
) -> None:
    """Put chunks into the queue, then an empty one; runs in a thread of its own."""
    # The loop may end while this thread waits for input; then nobody wants the chunk any more.
    with contextlib.suppress(RuntimeError, CancelledError):
        while True:
            try:
                chunk: bytes | OSError = os.read(descriptor, _CHUNK_BYTES)
            except OSError as error:
                chunk = error
            asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
            if not chunk or isinstance(chunk, OSError):
                return
