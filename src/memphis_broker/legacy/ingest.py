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
from contextlib import suppress
from typing import Final

from memphis.exceptions import MemphisConnectError, MemphisTimeoutError, MemphisUsageError
from memphis.transport.connection import Connection
from memphis.transport.protocol import MessageFrame
from memphis.transport.subscriptions import Subscription
from memphis.wire import headers, legacy
from memphis.wire.subjects import INBOX_ROOTS

logger = logging.getLogger(__name__)

_QUEUE: Final = "memphis-ingest"
"""Of several brokers one gets each message."""
_FLUSH_S: Final = 5.0
_ID_LINE: Final = f"\r\n{headers.ORIGINAL_MESSAGE_ID}:".encode()
_ENGINE_ID_LINE: Final = f"\r\n{headers.MESSAGE_ID}:".encode()
_LAST_LINES: Final = 2 * headers.BLOCK_END
_INBOXES: Final = tuple(root.encode() for root in INBOX_ROOTS)
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
        self._subscription: Subscription | None = None
        self._dropped = 0

    async def start(self) -> None:
        """Begin to serve; returns when the engine knows.

        Raises:
            Refusal: ``ENGINE_UNAVAILABLE``.
        """
        connection = self._connection = await self._connect()
        self._subscription = connection.subscribe_runs(
            legacy.INGEST_ALL, lambda run: self._pass_on(connection, run), queue=_QUEUE
        )
        await connection.flush(_FLUSH_S)

    async def stop(self) -> None:
        """Serve no more; what the engine has given us already is passed on. Idempotent."""
        connection, self._connection = self._connection, None
        subscription, self._subscription = self._subscription, None
        if connection is None:
            return
        if subscription is not None and connection.is_connected:
            subscription.unsubscribe()
            with suppress(MemphisConnectError, MemphisTimeoutError):
                # What was given before comes before the answer to this, and goes out with the closing.
                await connection.flush(_FLUSH_S)
        await connection.close()

    def _pass_on(self, connection: Connection, run: Sequence[MessageFrame]) -> None:
        for frame in run:
            try:
                self._pass_one(connection, frame)
            except MemphisConnectError:
                self._drop(len(frame[5]))

    @staticmethod
    def _pass_one(connection: Connection, frame: MessageFrame) -> None:
        _, _, subject, reply, block, payload = frame
        header = with_engine_id(block) if block else b""
        try:
            connection.publish(
                legacy.ingested_subject(subject), payload, reply=reply, header=header
            )
        except MemphisUsageError:
            # Only to an inbox: the broker may publish where the producer may not.
            if reply.startswith(_INBOXES):
                connection.publish(reply, _TOO_LARGE)

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

    A block without such an id, with the engine's header already, or that does not end as blocks do (the
    engine takes any bytes), comes back as it is.
    """
    start = block.find(_ID_LINE)
    if start < 0 or _ENGINE_ID_LINE in block or not block.endswith(_LAST_LINES):
        return block
    start += len(_ID_LINE)
    message_id = block[start : block.index(b"\r\n", start)].strip()
    if not message_id:
        return block
    end = len(block) - len(headers.BLOCK_END)
    return b"%b%b: %b\r\n\r\n" % (block[:end], headers.MESSAGE_ID.encode(), message_id)
