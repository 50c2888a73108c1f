"""Messages that failed their station's schema, kept as dead letters before the producer is told."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from memphis._core.dead_letters import RESEND_S, AwaitedReceipt
from memphis._core.payload import encode_payload
from memphis.exceptions import MemphisError, MemphisSchemaError
from memphis.transport.errors import bare_text
from memphis.wire.dead_letters import Failure, Label, as_reason, write_label
from memphis.wire.headers import (
    BLOCK_END,
    BLOCK_START,
    DEAD_LETTER,
    MESSAGE_ID,
    carried_lines,
    encode_lines,
)
from memphis.wire.subjects import KIND_SCHEMA, schema_failure_subject

if TYPE_CHECKING:
    from memphis._core.station_state import StationState
    from memphis.transport.publisher import Publisher

_REASON_LENGTH_MAX: Final = 1000


async def keep_refused(
    publisher: Publisher,
    state: StationState,
    header: bytes,
    message: Any,
    error: MemphisSchemaError,
    deadline_s: float,
) -> None:
    """Store a message that failed the schema, as the bytes that were given.

    Does nothing where the station keeps none, or its schema could not be had, which is no fault of the
    message. Whatever keeps it from being stored is noted on ``error``, which the caller then raises.

    Args:
        publisher: Carries it.
        state: The station.
        header: The header block that the message would have had.
        message: What the application gave.
        error: Why it failed.
        deadline_s: Seconds after which it counts as not stored.
    """
    schema = state.enforced
    if not state.description.options.send_schema_failed_msg_to_dls:
        return
    if schema is None or schema.version is None:
        return
    try:
        await _store(
            publisher, state, header, encode_payload(message, partial=True), error, deadline_s
        )
    except MemphisError as failure:
        error.add_note(f"It could not be kept as a dead letter: {bare_text(failure)}")


async def _store(
    publisher: Publisher,
    state: StationState,
    header: bytes,
    payload: bytes,
    error: MemphisSchemaError,
    deadline_s: float,
) -> None:
    failure = Failure(reason=as_reason(bare_text(error))[:_REASON_LENGTH_MAX], at=datetime.now(UTC))
    label = Label(
        station=str(state.name),
        station_id=state.description.id,
        kind=KIND_SCHEMA,
        failures=[failure],
    )
    said = {MESSAGE_ID: uuid.uuid4().hex, DEAD_LETTER: write_label(label)}
    await publisher.wait_room()
    stored = AwaitedReceipt()
    publisher.post(
        stored,
        schema_failure_subject(state.description.id).encode(),
        payload,
        BLOCK_START + encode_lines(said) + carried_lines(header) + BLOCK_END,
        RESEND_S,
        deadline_s,
    )
    await stored.future
