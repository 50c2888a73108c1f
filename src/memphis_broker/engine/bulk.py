"""Reads and stores many messages at once, in the clients' account, with the SDK's own transport.

The client library that serves the rest of the broker takes twice as long for each message as all else
that is done with it. The connection is opened when it is first needed, because most brokers never give
a dead letter back.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from memphis.exceptions import MemphisError, MemphisNotConfirmedError, MemphisProduceError
from memphis.transport.connection import Connection
from memphis.transport.protocol import MessageFrame
from memphis.transport.publisher import Publisher
from memphis.transport.receipt import Receipt
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.headers import HEADER_BYTES_MAX, encode_block, status_of
from memphis_broker.engine.accounts import EngineTargets
from memphis_broker.engine.direct import PAGE_BYTES, PAGE_MESSAGES
from memphis_broker.engine.failures import (
    MESSAGE_NOT_THERE,
    unavailable,
)
from memphis_broker.engine.fast import open_fast
from memphis_broker.engine.streams import StoredMessage

logger = logging.getLogger(__name__)

_PAGE_DEADLINE_S: Final = 10.0
_APPEND_DEADLINE_S: Final = 15.0
_RESEND_S: Final = 10.0
"""All that is stored here carries an id, which the engine knows for longer."""
_SEQUENCE: Final = b"Nats-Sequence:"
_ENGINES_OWN: Final = frozenset(
    ("Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending")
)
_DELETED_AT_ONCE: Final = 1000
_END: Final = 204
_NONE: Final = 404


class NewMessage(NamedTuple):
    """A message to store."""

    subject: str
    payload: bytes
    headers: Mapping[str, str]


class StoredPage(NamedTuple):
    """Some messages in their order, and the sequence from which to read on; 0: these are the last."""

    messages: list[StoredMessage]
    following: int


class Bulk:
    """Many messages at once. Safe for many tasks.

    Args:
        targets: Where the engine is, and as whom to enter the clients' account.
    """

    def __init__(self, targets: EngineTargets) -> None:
        self._targets = targets
        self._connection: Connection | None = None
        self._publisher: Publisher | None = None
        self._opening = asyncio.Lock()

    async def page(self, stream: str, subject: str, start: int, count: int) -> StoredPage:
        """Up to ``count`` messages on ``subject`` from a sequence on, oldest first; of large ones, fewer.

        Raises:
            Refusal: ``ENGINE_UNAVAILABLE``.
        """
        doing = f"reading the stream {stream}"
        connection, _ = await self._open(doing)
        frames: list[MessageFrame] = []
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def arrived(run: Sequence[MessageFrame]) -> None:
            for frame in run:
                # Whatever headers a message has, the engine adds its own to it, and to nothing else.
                if _SEQUENCE in frame[4]:
                    frames.append(frame)
                elif not ended.done():
                    ended.set_result(_following(frame[4], frames))

        query = {
            "seq": start,
            "next_by_subj": subject,
            "batch": min(count, PAGE_MESSAGES),
            "max_bytes": PAGE_BYTES,
        }
        inbox = connection.new_inbox("page")
        try:
            subscription = connection.subscribe_runs(inbox.decode(), arrived)
            try:
                connection.publish(
                    f"$JS.API.DIRECT.GET.{stream}".encode(), json.dumps(query).encode(), reply=inbox
                )
                async with asyncio.timeout(_PAGE_DEADLINE_S):
                    following = await ended
            finally:
                subscription.unsubscribe()
        except (MemphisError, TimeoutError) as error:
            raise unavailable(doing) from error
        if following < 0:
            raise unavailable(doing)
        return StoredPage([_stored(frame) for frame in frames], following)

    async def append_all(self, messages: Sequence[NewMessage]) -> list[Refusal | None]:
        """Store many messages, in no order, each with an id; for each, why it was refused, or None.

        Raises:
            Refusal: ``ENGINE_UNAVAILABLE``: it is not known which of them are stored.
        """
        doing = f"storing {len(messages)} messages"
        _, publisher = await self._open(doing)
        batch = _Batch(len(messages))
        try:
            for index, (subject, payload, headers) in enumerate(messages):
                block = encode_block(headers)
                receipt = _Stored(batch, index)
                if len(block) > HEADER_BYTES_MAX:
                    receipt.failed(MemphisProduceError("its headers are too large to be stored"))
                    continue
                await publisher.wait_room()
                try:
                    publisher.post(
                        receipt, subject.encode(), payload, block, _RESEND_S, _APPEND_DEADLINE_S
                    )
                except MemphisProduceError as error:
                    receipt.failed(error)
            await batch.ended.wait()
        except MemphisError as error:
            raise unavailable(doing) from error
        if batch.is_in_doubt:
            raise unavailable(doing)
        return batch.outcomes

    async def delete_all(self, stream: str, sequences: Sequence[int]) -> None:
        """Delete these messages; those that are not there (any more) are as good.

        Raises:
            Refusal: ``ENGINE_UNAVAILABLE``: it is not known which of them are deleted.
        """
        doing = f"deleting {len(sequences)} messages of the stream {stream}"
        connection, _ = await self._open(doing)
        subject = f"$JS.API.STREAM.MSG.DELETE.{stream}".encode()
        for start in range(0, len(sequences), _DELETED_AT_ONCE):
            part = sequences[start : start + _DELETED_AT_ONCE]
            answers = _Answers(len(part))
            inbox = connection.new_inbox("delete")
            try:
                subscription = connection.subscribe_runs(inbox.decode(), answers.take)
                try:
                    for sequence in part:
                        body = b'{"seq":%d,"no_erase":true}' % sequence
                        connection.publish(subject, body, reply=inbox)
                    async with asyncio.timeout(_PAGE_DEADLINE_S):
                        await answers.complete.wait()
                finally:
                    subscription.unsubscribe()
            except (MemphisError, TimeoutError) as error:
                raise unavailable(doing) from error
            if answers.is_in_doubt:
                raise unavailable(doing)

    async def close(self) -> None:
        """End the connection, if there is one. Idempotent."""
        connection, self._connection, self._publisher = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _open(self, doing: str) -> tuple[Connection, Publisher]:
        async with self._opening:
            if self._connection is None or self._publisher is None or self._connection.is_closed:
                self._connection = await open_fast(self._targets, "memphis-bulk", doing)
                self._publisher = Publisher(self._connection)
            return self._connection, self._publisher


class _Answers:
    """The engine's answers to deletions; somebody waits for the last."""

    def __init__(self, count: int) -> None:
        self.complete = asyncio.Event()
        self.is_in_doubt = False
        self._left = count

    def take(self, run: Sequence[MessageFrame]) -> None:
        for frame in run:
            # The usual answer is not taken apart: an error is rare, and has this word in it.
            if b'"error"' in frame[5] or not frame[5]:
                self.is_in_doubt = self.is_in_doubt or not _is_gone(bytes(frame[5]))
        self._left -= len(run)
        if self._left <= 0:
            self.complete.set()


class _Batch:
    """The outcomes of messages that are stored together; somebody waits for the last."""

    def __init__(self, count: int) -> None:
        self.outcomes: list[Refusal | None] = [None] * count
        self.is_in_doubt = False
        self.ended = asyncio.Event()
        self._left = count
        if not count:
            self.ended.set()

    def end_one(self) -> None:
        self._left -= 1
        if not self._left:
            self.ended.set()


class _Stored(Receipt):
    """One of them."""

    __slots__ = ("_batch", "_index")

    def __init__(self, batch: _Batch, index: int) -> None:
        self._batch = batch
        self._index = index

    def confirmed(self, sequence: int, duplicate: bool) -> None:  # noqa: ARG002 - stored is stored
        self.frame = b""
        self._batch.end_one()

    def failed(self, error: MemphisProduceError) -> None:
        self.frame = b""
        if isinstance(error, MemphisNotConfirmedError):
            self._batch.is_in_doubt = True
        # The publisher's own words, for people: the engine's largest message, or no stream.
        self._batch.outcomes[self._index] = Refusal(
            ErrorCode.ENGINE_REFUSED, f"it cannot be stored: {error}"
        )
        self._batch.end_one()


def _is_gone(answer: bytes) -> bool:
    """Whether a deletion was refused because there is no such message."""
    try:
        code = json.loads(answer)["error"]["err_code"]
    except (ValueError, KeyError, TypeError):
        return False
    return code in MESSAGE_NOT_THERE


def _following(status_block: bytes, frames: Sequence[MessageFrame]) -> int:
    """From where to read on, by the status that ends a page; 0: nowhere; -1: it is no page."""
    status = status_of(status_block)
    if status == _NONE:
        return 0
    if status != _END:
        return -1
    pending = _headers(status_block).get("Nats-Num-Pending", "0")
    if int(pending) == 0 or not frames:
        return 0
    return _stored(frames[-1]).sequence + 1


def _stored(frame: MessageFrame) -> StoredMessage:
    headers = _headers(frame[4])
    return StoredMessage(
        subject=headers["Nats-Subject"],
        sequence=int(headers["Nats-Sequence"]),
        headers=headers,
        payload=bytes(frame[5]),
        stored_at=headers["Nats-Time-Stamp"],
    )


def _headers(block: bytes) -> dict[str, str]:
    """The first of each key, as everywhere; of the engine's own the last, which are behind all others."""
    headers: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\r\n")[1:]:
        key, colon, value = line.partition(":")
        if colon and (key in _ENGINES_OWN or key.strip() not in headers):
            headers[key.strip()] = value.strip(" \t")
    return headers
