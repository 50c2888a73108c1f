"""Many messages with one call: checked as a whole first, then sent each for itself or all together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import BaseModel

from memphis._core.pending import PendingProduce, ProduceResult
from memphis._core.sending import NO_CHOICE, WINDOW_DEFAULT, Choice, StationSender
from memphis.exceptions import (
    MemphisBatchError,
    MemphisError,
    MemphisSchemaError,
    MemphisUsageError,
)
from memphis.headers import Headers
from memphis.transport.atomic import BATCH_MAX, store_together
from memphis.transport.errors import bare_text

if TYPE_CHECKING:
    from memphis._core.enforcement import EnforcedSchema
    from memphis.transport.connection import Connection

_ATOMIC_BYTES_MAX: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchMessage:
    """A message of a batch that has more than its content.

    Attributes:
        message: As in ``Producer.produce``.
        headers: ``Headers`` or a dict of strings.
        msg_id: As in ``Producer.produce``.
        partition_key: As ``producer_partition_key`` there; not in an atomic batch.
        partition_number: As ``producer_partition_number`` there; not in an atomic batch.
    """

    message: Any
    headers: Headers | Mapping[str, str] | None = None
    msg_id: str | None = None
    partition_key: str | None = None
    partition_number: int = -1


class Prepared(NamedTuple):
    """A message that was checked and encoded, and by which schema."""

    payload: bytes
    header: bytes
    choice: Choice
    given: BatchMessage
    schema: EnforcedSchema | None


async def prepare(
    sender: StationSender, messages: Iterable[Any], partition: Choice, deadline_s: float
) -> list[Prepared]:
    """Check and encode all messages, for this partition where they choose none; nothing is sent.

    Raises:
        MemphisUsageError: As ``Producer.produce``; the text says which message, from 0.
        MemphisHeaderError: Likewise.
        MemphisSchemaError: A message does not fit the schema; it is kept as a dead letter.
    """
    _check_many(messages)
    prepared: list[Prepared] = []
    for index, item in enumerate(messages):
        try:
            prepared.append(await _prepare_one(sender, item, partition, deadline_s))
        except (MemphisUsageError, MemphisSchemaError) as error:
            raise _numbered(error, index) from error
    return prepared


def encode_each(messages: Iterable[Any], encode: Callable[[Any], bytes]) -> list[Any]:
    """The messages with each content encoded.

    Raises:
        MemphisUsageError, MemphisSchemaError: Those of ``encode``; the text says which message, from 0.
    """
    _check_many(messages)
    encoded: list[Any] = []
    for index, item in enumerate(messages):
        try:
            if isinstance(item, BatchMessage):
                encoded.append(replace(item, message=encode(item.message)))
            else:
                encoded.append(encode(item))
        except (MemphisUsageError, MemphisSchemaError) as error:
            raise _numbered(error, index) from error
    return encoded


def _check_many(messages: Any) -> None:
    # A pydantic model can be iterated, too: over its fields.
    is_one = isinstance(messages, str | bytes | bytearray | memoryview | Mapping | BaseModel)
    if is_one or not isinstance(messages, Iterable):
        raise MemphisUsageError(
            f"messages must be a list of messages, not one {type(messages).__name__}"
        )


def _numbered(
    error: MemphisUsageError | MemphisSchemaError, index: int
) -> MemphisUsageError | MemphisSchemaError:
    """The same error with the number of its message."""
    text = f"message {index} of the batch: {bare_text(error)}"
    if isinstance(error, MemphisSchemaError):
        return _with_notes(MemphisSchemaError(text, error.path, error.expected), error)
    return type(error)(text)


def _with_notes(error: MemphisSchemaError, noted: MemphisSchemaError) -> MemphisSchemaError:
    for note in getattr(noted, "__notes__", ()):
        error.add_note(note)
    return error


async def _prepare_one(
    sender: StationSender, item: Any, partition: Choice, deadline_s: float
) -> Prepared:
    given = item if isinstance(item, BatchMessage) else BatchMessage(message=item)
    key, number = given.partition_key, given.partition_number
    if key is None and number == -1:
        key, number = partition.key, partition.number
    choice = Choice(None if given.msg_id == "" else given.msg_id, key, number)
    if choice == NO_CHOICE:
        choice = NO_CHOICE  # the very object, by which the sender knows it
    else:
        sender.check(choice)
    try:
        payload, header = await sender.frame_when_known(
            given.message, given.headers, choice.message_id, deadline_s
        )
    except MemphisSchemaError as error:
        await _keep(sender, given, choice, error, deadline_s)
        raise
    return Prepared(payload, header, choice, given, sender.schema)


async def _keep(
    sender: StationSender,
    given: BatchMessage,
    choice: Choice,
    error: MemphisSchemaError,
    deadline_s: float,
) -> None:
    await sender.keep_refused(given.message, given.headers, choice.message_id, error, deadline_s)


async def store_each(
    sender: StationSender, messages: Sequence[Prepared], deadline_s: float
) -> list[ProduceResult]:
    """Send every message for itself and wait for all.

    Raises:
        MemphisNotFoundError: The station was removed.
        MemphisBatchError: At least one failed; it has the results of all.
    """
    sender.check_present()
    outcomes: list[PendingProduce | MemphisError] = []
    for prepared in messages:
        try:
            outcomes.append(await _send(sender, prepared, deadline_s))
        except MemphisError as error:
            outcomes.append(error)
            if isinstance(error, MemphisSchemaError):
                await _keep(sender, prepared.given, prepared.choice, error, deadline_s)
    results: list[ProduceResult | MemphisError] = []
    for outcome in outcomes:
        if isinstance(outcome, MemphisError):
            results.append(outcome)
            continue
        try:
            results.append(await outcome)
        except MemphisError as error:
            results.append(error)
    stored = [result for result in results if isinstance(result, ProduceResult)]
    if len(stored) == len(results):
        return stored
    first = next(result for result in results if isinstance(result, MemphisError))
    raise MemphisBatchError(
        f"{len(results) - len(stored)} of {len(results)} messages of the batch failed; the first: "
        f"{bare_text(first)}",
        results,
    ) from first


async def _send(sender: StationSender, prepared: Prepared, deadline_s: float) -> PendingProduce:
    """Send a message as it was prepared; anew if it has to wait, because the schema may change then."""
    payload, header, choice, given, schema = prepared
    flight = sender.enter(WINDOW_DEFAULT) if sender.schema is schema else None
    if flight is None:
        return await sender.send(
            given.message, given.headers, choice, WINDOW_DEFAULT, deadline_s, nonblocking=False
        )
    return sender.post(flight, payload, header, choice, deadline_s, nonblocking=False)


async def store_all_or_none(
    connection: Connection,
    sender: StationSender,
    messages: Sequence[Prepared],
    partition: Choice,
    deadline_s: float,
) -> list[ProduceResult]:
    """Store all messages in one partition, or none.

    Raises:
        MemphisUsageError: Too many or too large for one batch, or a message chooses a partition.
        MemphisSchemaError: The schema changed meanwhile, and a message does not fit any more.
        MemphisProduceError: None is stored.
        MemphisNotConfirmedError: All may be stored, or none.
    """
    size = sum(len(message.header) + len(message.payload) for message in messages)
    if len(messages) > BATCH_MAX or size > _ATOMIC_BYTES_MAX:
        raise MemphisUsageError(
            f"an atomic batch may have at most {BATCH_MAX} messages and {_ATOMIC_BYTES_MAX} bytes, "
            f"not {len(messages)} and {size}; make several of it"
        )
    if any(message.choice[1:] != partition[1:] for message in messages):
        raise MemphisUsageError(
            "an atomic batch goes to one partition: give its key or number to produce_batch, not to "
            "single messages"
        )
    number, subject = sender.place(partition)
    # A place in the window, so that flush() and destroy() wait for the batch.
    flight = sender.enter(WINDOW_DEFAULT) or await sender.wait_turn(WINDOW_DEFAULT)
    try:
        if any(message.schema is not sender.schema for message in messages):
            again = [message.given for message in messages]
            messages = await prepare(sender, again, partition, deadline_s)
        last = await store_together(
            connection,
            subject,
            [(message.header, message.payload) for message in messages],
            deadline_s=deadline_s,
        )
    finally:
        flight.leave()
    first = last - len(messages) + 1
    return [
        ProduceResult(sender.station_name, number, first + index, duplicate=False)
        for index in range(len(messages))
    ]
