"""What waits to be written: collected during one turn of the event loop, written together.

Place in the flow: ``publish → Outbox → Link``. While the connection is away, or the server does
not read, frames stay here, up to a limit.

Invariant: frames put here leave in the order they came, acknowledgements among them; at most ``bytes_max``
wait. What sources have comes after, a piece at a time; a single urgent frame may go before everything.
"""

from __future__ import annotations

import asyncio
from typing import Final

from memphis.exceptions import MemphisConnectError
from memphis.transport.link import Link
from memphis.transport.options import FrameSource

_EMPTY_MESSAGE_BYTES: Final = len(b"PUB  0\r\n\r\n")


class Outbox:
    """The frames of one connection on their way out.

    Args:
        loop: Where the write at the end of the turn is scheduled.
        bytes_max: What may wait while nothing can be written.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, bytes_max: int) -> None:
        self._loop = loop
        self._frames: list[bytes] = []
        self._acknowledged: list[bytes] = []
        self._sources: list[FrameSource] = []
        self._is_scheduled = False
        self._link: Link | None = None
        self.bytes = 0
        self.bytes_max = bytes_max

    def add_source(self, source: FrameSource) -> None:
        """Ask this source too, after the frames put here, whenever something is written."""
        self._sources.append(source)

    def remove_source(self, source: FrameSource) -> None:
        """Ask it no longer."""
        if source in self._sources:
            self._sources.remove(source)

    def use(self, link: Link | None) -> None:
        """Write to this link from now on; None while there is none."""
        self._link = link

    def put(self, frame: bytes) -> None:
        """Write a frame at the end of this turn, or when there is a link again.

        Raises:
            MemphisConnectError: Too much waits already.
        """
        size = self.bytes + len(frame)
        if size > self.bytes_max:
            size = self._make_room(len(frame))
        if self._acknowledged:
            self._join_acknowledged()
        self._frames.append(frame)
        self.bytes = size
        if not self._is_scheduled:
            self.schedule()

    def acknowledge(self, subject: bytes) -> None:
        """As :meth:`put` with an empty message, which is written together with others like it.

        Raises: As :meth:`put`.
        """
        size = self.bytes + len(subject) + _EMPTY_MESSAGE_BYTES
        if size > self.bytes_max:
            size = self._make_room(len(subject) + _EMPTY_MESSAGE_BYTES)
        self._acknowledged.append(subject)
        self.bytes = size
        if not self._is_scheduled:
            self.schedule()

    def schedule(self) -> None:
        """See to it that :meth:`flush` runs at the end of this turn."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush_scheduled)

    def flush(self) -> None:
        """Write what waits, as long as the link takes it."""
        link = self._link
        while link is not None and link.is_writable and (frames := self._take()):
            link.write(b"".join(frames))

    def write_all(self, link: Link, *, first: bytes = b"", last: bytes = b"") -> None:
        """Write everything that was put here between these two, also to a link whose buffer is full.

        Then, what the sources have is left to :meth:`flush`: it would pile up in the socket's buffer.
        """
        frames = self._take() if link.is_writable else self._take_own()
        written = b"".join((first, *frames, last))
        if written:
            link.write(written)

    def _take_own(self) -> list[bytes]:
        self._join_acknowledged()
        frames, self._frames = self._frames, []
        self.bytes = 0
        return frames

    def _take(self) -> list[bytes]:
        frames = self._take_own()
        for source in self._sources:
            frames += source.take_frames()
        return frames

    def clear(self) -> int:
        """Drop everything that waits, and say how many frames that was."""
        dropped = len(self._frames) + len(self._acknowledged)
        self._frames = []
        self._acknowledged = []
        self.bytes = 0
        return dropped

    def _join_acknowledged(self) -> None:
        if self._acknowledged:
            self._frames.append(b"PUB %b 0\r\n\r\n" % b" 0\r\n\r\nPUB ".join(self._acknowledged))
            self._acknowledged = []

    def _flush_scheduled(self) -> None:
        self._is_scheduled = False
        self.flush()

    def _make_room(self, needed: int) -> int:
        self.flush()
        if self.bytes + needed > self.bytes_max and self.bytes:
            raise MemphisConnectError(
                f"{self.bytes} bytes already wait to be sent, at most {self.bytes_max} may: the "
                "connection is away or the server does not read; send less or wait"
            )
        return self.bytes + needed
