"""Messages that a stream stores together or not at all: JetStream's atomic batches (ADR-50).

Place in the flow: ``Producer.produce_batch(atomic=True) → store_together → Connection → stream``.

The first message is a request that the engine answers at once, so a stream that takes no batches is
found out before the others are sent; the last one asks for the commit, and only its answer says that
anything is stored. Until then the engine holds the batch apart and forgets it when nothing more comes
for ten seconds, so whatever goes wrong before the commit is sent has changed nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Final

from memphis.exceptions import (
    MemphisConnectError,
    MemphisError,
    MemphisNotConfirmedError,
    MemphisProduceError,
    MemphisTimeoutError,
)
from memphis.transport.acknowledgement import PublishResult, Refused, parse_acknowledgement
from memphis.transport.connection import Connection
from memphis.transport.errors import NoRespondersError, bare_text
from memphis.transport.publisher import TOO_LARGE_CODE
from memphis.wire.headers import BATCH_COMMIT, BATCH_ID, BATCH_SEQUENCE, add_lines

BATCH_MAX: Final = 1000
"""Messages that a stock engine takes in one batch."""

_COMMIT_BYTES: Final = 32
"""What the commit adds to the last message's headers, rounded up."""
_PIECE_BYTES: Final = 1024 * 1024
"""About what is handed to the socket before the engine is waited for."""


async def store_together(
    connection: Connection,
    subject: bytes,
    messages: Sequence[tuple[bytes, bytes]],
    *,
    deadline_s: float,
) -> int:
    """Store these messages, each a header block and a payload, or none of them.

    Args:
        connection: Carries them.
        subject: Where to; of one stream.
        messages: 1 to :data:`BATCH_MAX`.
        deadline_s: Seconds for all of it.

    Returns:
        The sequence of the last; the others come right before it.

    Raises:
        MemphisProduceError: None is stored.
        MemphisNotConfirmedError: The commit was sent and not answered: all may be stored, or none.
    """
    deadline = time.monotonic() + deadline_s
    batch_id = secrets.token_hex(16)
    numbered = [
        (add_lines(header, {BATCH_ID: batch_id, BATCH_SEQUENCE: str(number)}), payload)
        for number, (header, payload) in enumerate(messages, 1)
    ]
    for number, (header, payload) in enumerate(numbered):
        if len(header) + len(payload) + _COMMIT_BYTES > connection.max_payload:
            raise MemphisProduceError(
                f"nothing of the batch is stored: its message {number} has {len(payload)} bytes and "
                f"{len(header)} of headers; the engine takes {connection.max_payload} in all",
                TOO_LARGE_CODE,
            )
    try:
        if len(numbered) > 1:
            await _begin(connection, subject, numbered[0], deadline)
        await _go_on(connection, subject, numbered[1:-1], deadline)
        await connection.wait_connected(_left(deadline))
    except (MemphisConnectError, MemphisTimeoutError) as error:
        raise MemphisProduceError(f"nothing of the batch is stored: {bare_text(error)}") from error
    return await _commit(connection, subject, numbered[-1], len(messages), deadline)


async def _begin(
    connection: Connection, subject: bytes, message: tuple[bytes, bytes], deadline: float
) -> None:
    header, payload = message
    try:
        reply = await connection.request(
            subject.decode(), payload, timeout_s=_left(deadline), header=header
        )
    except NoRespondersError as error:
        raise MemphisProduceError(
            f"nothing of the batch is stored: no stream takes {subject.decode()}; does the station "
            "exist?"
        ) from error
    if isinstance(parse_acknowledgement(reply.payload), PublishResult):
        raise MemphisNotConfirmedError(
            "the engine knows no atomic batches: the first message is stored by itself, the others are "
            "not"
        )
    if reply.payload:
        raise _refused(reply.payload)


async def _go_on(
    connection: Connection,
    subject: bytes,
    messages: Sequence[tuple[bytes, bytes]],
    deadline: float,
) -> None:
    waiting = 0
    for header, payload in messages:
        connection.publish(subject, payload, header=header)
        waiting += len(header) + len(payload)
        if waiting > _PIECE_BYTES:
            await connection.flush(_left(deadline))
            waiting = 0


async def _commit(
    connection: Connection,
    subject: bytes,
    message: tuple[bytes, bytes],
    count: int,
    deadline: float,
) -> int:
    header, payload = message
    if time.monotonic() >= deadline:
        raise MemphisProduceError(
            "nothing of the batch is stored: its deadline passed before it was sent"
        )
    try:
        reply = await connection.request(
            subject.decode(),
            payload,
            timeout_s=_left(deadline),
            header=add_lines(header, {BATCH_COMMIT: "1"}),
        )
    except MemphisError as error:
        raise MemphisNotConfirmedError(
            f"the batch of {count} messages was sent and not confirmed: all of it may be stored, or "
            f"nothing: {bare_text(error)}"
        ) from error
    answer = parse_acknowledgement(reply.payload)
    if isinstance(answer, PublishResult):
        return answer.sequence
    raise _refused(reply.payload)


def _refused(payload: bytes) -> MemphisProduceError:
    answer = parse_acknowledgement(payload)
    if isinstance(answer, Refused):
        return MemphisProduceError(
            f"the engine refused the batch, nothing of it is stored: {answer.text}", answer.code
        )
    return MemphisNotConfirmedError("the engine's answer to the batch cannot be understood")


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())
