"""Gives messages of the original's SDKs the header that a stock engine knows duplicates by.

Those SDKs write a message's id into ``msg-id``, which the original's own engine looked at. Here the engine
sends what they publish to this worker first (a subject mapping of the clients' account), and the worker sends
it on, with the id in the engine's own header and with the client's reply subject, so that the stream confirms
it to the client directly. Native producers do not pass through here.

Invariant: nothing is confirmed here. A message that this worker loses, because it is killed or the
engine does not read, is not confirmed to anybody, and its producer gets a time-out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from memphis.exceptions import MemphisConnectError, MemphisUsageError
from memphis.transport.connection import Connection
from memphis.transport.protocol import MessageFrame
from memphis.wire import headers, legacy

logger = logging.getLogger(__name__)

_QUEUE: Final = "memphis-ingest"
"""Of several brokers one gets each message."""
_FLUSH_S: Final = 5.0
_ID_LINE: Final = f"\r\n{headers.ORIGINAL_MESSAGE_ID}:".encode()
_ENGINE_ID_LINE: Final = f"\r\n{headers.MESSAGE_ID}:".encode()
_TOO_LARGE: Final = json.dumps(
    {
        "type": "io.nats.jetstream.api.v1.pub_ack_response",
        "error": {
            "code": 400,
            "err_code": 10054,
            "description": "message size exceeds maximum allowed",
        },
        "stream": "",
        "seq": 0,
    }
).encode()
"""The engine's own answer to a message that is too large for a stream."""


class Ingest:
    """Serves between :meth:`start` and :meth:`stop`."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        """Args: ``connect`` opens the connection that messages come in and go out by."""
        self._connect = connect
        self._connection: Connection | None = None
        self._dropped = 0

    async def start(self) -> None:
        """Begin to serve; returns when the engine knows.

        Raises:
            Refusal: ``ENGINE_UNAVAILABLE``.
        """
        self._connection = await self._connect()
        self._connection.subscribe_runs(legacy.INGEST_ALL, self._pass_on, queue=_QUEUE)
        await self._connection.flush(_FLUSH_S)

    async def stop(self) -> None:
        """Serve no more. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _pass_on(self, run: Sequence[MessageFrame]) -> None:
        connection = self._connection
        if connection is None:
            return
        for _, _, subject, reply, block, payload in run:
            try:
                connection.publish(
                    legacy.ingested_subject(subject),
                    payload,
                    reply=reply,
                    header=with_engine_id(block) if block else b"",
                )
            except MemphisUsageError:
                if reply:
                    connection.publish(reply, _TOO_LARGE)
            except MemphisConnectError:
                self._drop(len(payload))

    def _drop(self, size: int) -> None:
        self._dropped += 1
        if self._dropped.bit_count() == 1:  # the 1st, 2nd, 4th, 8th ...
            logger.warning(
                "the engine does not read: %d messages of original SDKs were not stored so far, nor "
                "confirmed (the last had %d bytes)",
                self._dropped, size,
            )  # fmt: skip


def with_engine_id(block: bytes) -> bytes:
    """The header block with the producer's id also where the engine looks for it.

    A block without such an id, or with the engine's header already, comes back as it is.
    """
    start = block.find(_ID_LINE)
    if start < 0 or _ENGINE_ID_LINE in block:
        return block
    start += len(_ID_LINE)
    message_id = block[start : block.index(b"\r\n", start)].strip()
    if not message_id:
        return block
    end = len(block) - len(headers.BLOCK_END)
    return b"%b%b: %b\r\n\r\n" % (block[:end], headers.MESSAGE_ID.encode(), message_id)
