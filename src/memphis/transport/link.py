"""One socket to one server: bytes to frames, flow control, and the news that it broke.

Place in the flow: ``asyncio transport → Link → sink``, where the sink is first the handshake and
then the connection. A link is used once; a reconnect makes another.

Invariant: the sink hears of the end exactly once, and from that moment ``is_open`` is false and
no more frames come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol, cast

from memphis.transport.acknowledgement import AnswerRuns
from memphis.transport.errors import ProtocolError, bare_text
from memphis.transport.protocol import Frame, Parser

WRITE_BUFFER_MAX: Final = 1024 * 1024
"""Bytes the operating system did not take yet, above which writing is paused."""

_logger = logging.getLogger(__name__)


class LinkSink(Protocol):
    """Who a link talks to."""

    def frames_received(self, frames: Sequence[Frame]) -> None:
        """Frames came."""

    def link_lost(self, reason: str) -> None:
        """The link is over."""

    def link_writable(self) -> None:
        """Writing may go on after a pause."""


class Link(asyncio.Protocol):
    """The asyncio protocol of one socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sink: LinkSink) -> None:
        self._sink = sink
        self._parser = Parser()
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._is_over = False
        self._ended: asyncio.Future[None] = loop.create_future()
        self.bytes_in = 0
        self.bytes_out = 0

    @property
    def is_open(self) -> bool:
        """Whether bytes written now have a chance to arrive."""
        transport = self._transport
        return transport is not None and not self._is_over and not transport.is_closing()

    @property
    def is_writable(self) -> bool:
        """Open, and the peer reads fast enough."""
        return not self._paused and self.is_open

    def attach(self, sink: LinkSink) -> None:
        """From now on another sink gets the frames."""
        self._sink = sink

    def expect_answers(self, sid: int, runs: AnswerRuns) -> None:
        """See :meth:`memphis.transport.protocol.Parser.expect_answers`."""
        self._parser.expect_answers(sid, runs)

    def use_transport(self, transport: asyncio.Transport) -> None:
        """Write through another transport: TLS was started on top of the first."""
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_MAX)

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket at once."""
        if self._transport is not None and not self._is_over:
            self.bytes_out += len(data)
            self._transport.write(data)

    def fail(self, reason: str) -> None:
        """End the link now; what the socket has not taken yet is dropped."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    async def close(self, timeout_s: float) -> None:
        """End the link after what was written is sent, or after ``timeout_s`` without that."""
        self._end("closed")
        if self._transport is None:
            return
        self._transport.close()
        await asyncio.wait([self._ended], timeout=timeout_s)
        if not self._ended.done():
            self._transport.abort()
            await self._ended

    def leave(self, reason: str) -> None:
        """End the link for the sink now, and close the socket when what was written is sent."""
        self._end(reason)
        if self._transport is not None:
            self._transport.close()

    def _end(self, reason: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._sink.link_lost(reason)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the socket is there."""
        self.use_transport(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes came.

        This is a supervisor: whatever goes wrong in the read path ends the link, because a link
        that no longer reads must not look connected.
        """
        if self._is_over:
            return
        self.bytes_in += len(data)
        try:
            self._sink.frames_received(self._parser.feed(data))
        except ProtocolError as error:
            self.fail(bare_text(error))
        except Exception:
            _logger.exception("reading from the server failed; the connection is dropped")
            self.fail("reading from the server failed, see the log")

    def eof_received(self) -> bool:
        """Asyncio: the server sends no more. A half-open connection is of no use."""
        self.fail("the server closed the connection")
        return False

    def pause_writing(self) -> None:
        """Asyncio: the socket takes no more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """Asyncio: the socket takes bytes again."""
        self._paused = False
        if not self._is_over:
            self._sink.link_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the socket is gone."""
        if not self._ended.done():
            self._ended.set_result(None)
        self._end(f"the connection broke: {exc}" if exc else "the server closed the connection")
