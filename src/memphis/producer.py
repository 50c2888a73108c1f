"""Producers: from application code to confirmed messages.

The flow: ``Producer.produce`` → window → payload → partition → publisher → the engine's stream.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic

from memphis._core.batches import BatchMessage, encode_each, prepare, store_all_or_none, store_each
from memphis._core.models import Encoded, ModelMisfit, ModelT
from memphis._core.payload import encode_payload
from memphis._core.pending import PendingProduce, ProduceResult
from memphis._core.sending import (
    NO_CHOICE,
    WINDOW_DEFAULT,
    Choice,
    StationSender,
    summarize_failures,
)
from memphis.exceptions import (
    MemphisClosedError,
    MemphisError,
    MemphisPartlyProducedError,
    MemphisSchemaError,
    MemphisUsageError,
)
from memphis.headers import Headers, as_mapping
from memphis.wire.headers import check_user_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from memphis._core.models import Model
    from memphis._core.session import Session

__all__ = ["BatchMessage", "PendingProduce", "ProduceResult", "Producer"]

_ACK_WAIT_DEFAULT_S: Final = 15
_ACK_WAIT_MAX_S: Final = 86_400


class Producer(Generic[ModelT]):
    """Sends messages to one station or several. Made by ``Memphis.producer`` and ``Station.producer``.

    Safe to use from any number of tasks of one event loop. Messages keep, per partition, the order in
    which the calls of ``produce`` were made from one task.

    ``Producer[Order]`` was made with ``model=Order`` and sends nothing else.
    """

    def __init__(
        self,
        name: str,
        senders: Sequence[StationSender],
        session: Session,
        forget: Callable[[Producer], None],
        model: Model | None = None,
    ) -> None:
        self.producer_name = name
        self._senders = list(senders)
        self._connection = session.connection
        self._tasks = session.tasks
        self._forget = forget
        self._model = model
        self._latest_headers: Mapping[str, str] = {}
        self._destroying: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def station_name(self) -> str | list[str]:
        """The station's name, or the list of names of a producer for several."""
        names = [sender.station_name for sender in self._senders]
        return names[0] if len(names) == 1 else names

    @property
    def is_stale(self) -> bool:
        """Whether it was destroyed, or one of its stations removed: it will not produce again."""
        return self._closed or any(sender.station_removed for sender in self._senders)

    @property
    def in_flight(self) -> int:
        """Messages that are neither confirmed nor failed yet."""
        return sum(sender.in_flight for sender in self._senders)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is in flight and no failure waits to be reported."""
        return all(sender.is_settled for sender in self._senders)

    async def produce(
        self,
        message: ModelT | Mapping[str, Any],
        ack_wait_sec: float = 15,
        headers: Headers | Mapping[str, str] | None = None,
        async_produce: bool | None = None,
        nonblocking: bool = False,
        msg_id: str | None = None,
        concurrent_task_limit: int | None = None,
        producer_partition_key: str | None = None,
        producer_partition_number: int = -1,
        limit_concurrent_tasks: int | None = None,
    ) -> Any:
        """Send a message to the station, or to each of the stations.

        Args:
            message: ``bytes``, ``bytearray``, ``memoryview``, ``str`` (as UTF-8), ``dict``, ``list``
                or a pydantic model (as JSON), a protobuf message or a GraphQL document. With a schema,
                in the form that the schema says. With a model, an object of it, or a mapping that is
                valid as one; sent as JSON. Copied before this returns.
            ack_wait_sec: Seconds until a message without confirmation counts as failed.
            headers: ``Headers`` or a dict of strings; not changed.
            async_produce: The original's older name of ``nonblocking``.
            nonblocking: Return as soon as the message is written, with an awaitable for its result.
            msg_id: The engine stores a message with this id once within the station's idempotency
                window. Such a message also survives a lost connection: it is sent again. Unless
                a partition is chosen, the id chooses it, so that a repeat meets the first.
            concurrent_task_limit: At most this many messages unconfirmed; more wait here.
                Default 5000.
            producer_partition_key: Messages with one key go to one partition, in order.
            producer_partition_number: The partition, from 1; -1 for none. Without key, number and
                ``msg_id``, partitions are taken in turn.
            limit_concurrent_tasks: Another name of ``concurrent_task_limit``.

        Returns:
            A ``ProduceResult``; with ``nonblocking`` a ``PendingProduce`` that is awaited for one. For
            several stations, a list of these in the order of the stations.

        Raises:
            MemphisUsageError: A bad argument, or a message of a type that cannot be sent.
            MemphisHeaderError: A header that cannot be sent.
            MemphisSchemaError: It does not fit the station's schema; ``path`` and ``expected`` say
                where and what. Where the station says so, it was stored as a dead letter before. Or it
                would not be read back as the producer's model; then it is with the caller alone.
            MemphisClosedError: The producer was destroyed, or the connection closed, before.
            MemphisNotFoundError: The station was removed.
            MemphisProduceError: The engine refused the message.
            MemphisNotConfirmedError: No confirmation came: it may or may not be stored.
            MemphisPartlyProducedError: Of several stations, some stored it and some did not.
            MemphisConnectError: The connection was given up.

        Failures of nonblocking messages appear when the result is awaited, through the producer's
        error callback, or else at the next ``flush()``, ``destroy()`` or ``Memphis.close()``.
        Cancelling takes back a message that still waits for room, and no other.
        """
        if self._closed:
            raise MemphisClosedError(f"the producer {self.producer_name!r} was destroyed")
        payload: Any = message if self._model is None else _encoded(self._model, message)
        window = WINDOW_DEFAULT
        if concurrent_task_limit is not None or limit_concurrent_tasks is not None:
            window = _window(concurrent_task_limit, limit_concurrent_tasks)
        if ack_wait_sec != _ACK_WAIT_DEFAULT_S:
            _check_wait(ack_wait_sec)
        if msg_id == "":
            msg_id = None  # the original's callers pass "" for "none"
        nonblocking = bool(nonblocking or async_produce)
        choice = NO_CHOICE
        if (
            msg_id is not None
            or producer_partition_key is not None
            or producer_partition_number != -1
        ):
            choice = Choice(msg_id, producer_partition_key, producer_partition_number)
            for sender in self._senders:  # all are asked before any sends
                sender.check(choice)
        if len(self._senders) > 1:
            pending = await self._send_to_all(
                payload, headers, choice, window, ack_wait_sec, nonblocking
            )
            return pending if nonblocking else await _all_results(self._senders, pending)
        sender = self._senders[0]
        try:
            sent = await sender.send(payload, headers, choice, window, ack_wait_sec, nonblocking)
        except MemphisSchemaError as error:
            await sender.keep_refused(payload, headers, msg_id, error, ack_wait_sec)
            raise
        return sent if nonblocking else await sent

    async def produce_batch(
        self,
        messages: Iterable[ModelT | Mapping[str, Any] | BatchMessage],
        *,
        atomic: bool = False,
        ack_wait_sec: float = 15,
        producer_partition_key: str | None = None,
        producer_partition_number: int = -1,
    ) -> list[ProduceResult]:
        """Send many messages to the station and wait until all are confirmed.

        All are checked before any is sent. Each message has its own result; with ``atomic`` they are
        stored together, one right after another in one partition, or not at all.

        Args:
            messages: Each as in :meth:`produce`, or a :class:`BatchMessage` where one has headers, an
                id or a partition of its own. Copied at once.
            atomic: Store all or none: at most 1,000 messages and 64 MiB. Not for stations of a broker
                that runs with ``--durability fast``. An id that the engine knows refuses the batch.
            ack_wait_sec: Seconds until a message without confirmation counts as failed; for an atomic
                batch as a whole.
            producer_partition_key: One partition for all; as in :meth:`produce`.
            producer_partition_number: Likewise.

        Returns:
            The results in the order of the messages.

        Raises:
            MemphisUsageError: A bad argument or message, or a producer for several stations.
            MemphisHeaderError: A header that cannot be sent.
            MemphisSchemaError: A message does not fit the station's schema, or the producer's model; none
                is sent, and the text says which it is, from 0.
            MemphisClosedError: The producer was destroyed.
            MemphisNotFoundError: The station was removed.
            MemphisBatchError: Some messages failed; its ``results`` tell of each. Not with ``atomic``.
            MemphisProduceError: With ``atomic``: nothing of the batch is stored.
            MemphisNotConfirmedError: With ``atomic``: all may be stored, or nothing.

        Cancelling leaves messages that were sent on their way; of an atomic batch, all or none.
        """
        if self._closed:
            raise MemphisClosedError(f"the producer {self.producer_name!r} was destroyed")
        if len(self._senders) > 1:
            raise MemphisUsageError("a batch goes to one station; make a producer for each")
        _check_wait(ack_wait_sec)
        sender = self._senders[0]
        partition = Choice(None, producer_partition_key, producer_partition_number)
        sender.check(partition)
        if self._model is not None:
            encode = functools.partial(_encoded, self._model)
            messages = encode_each(messages, encode)
        prepared = await prepare(sender, messages, partition, ack_wait_sec)
        if atomic and prepared:
            return await store_all_or_none(
                self._connection, sender, prepared, partition, ack_wait_sec
            )
        return await store_each(sender, prepared, ack_wait_sec)

    async def _send_to_all(
        self,
        message: Any,
        headers: Headers | Mapping[str, str] | None,
        choice: Choice,
        window: int,
        deadline_s: float,
        nonblocking: bool,
    ) -> list[PendingProduce]:
        """Send to every station; one that fails does not keep the others from having it.

        What a schema refused is kept when the others have been sent.
        """
        pending: list[PendingProduce] = []
        refused: list[tuple[StationSender, MemphisSchemaError]] = []
        for sender in self._senders:
            try:
                sent = await sender.send(message, headers, choice, window, deadline_s, nonblocking)
            except MemphisError as error:
                if not pending and isinstance(error, MemphisUsageError):
                    raise  # no fault of a station, and nothing is sent yet
                if isinstance(error, MemphisSchemaError):
                    refused.append((sender, error))
                sent = sender.fail(error, nonblocking=nonblocking)
            pending.append(sent)
        for sender, refusal in refused:
            await sender.keep_refused(message, headers, choice.message_id, refusal, deadline_s)
        return pending

    async def flush(self) -> None:
        """Wait until every message sent so far is confirmed or has failed.

        Raises:
            MemphisProduceError: Messages failed whose results nobody awaited and no error callback
                was told of; a single failure is raised itself. Each is raised once.
        """
        for sender in self._senders:
            await sender.flush()
        error = self.take_error()
        if error is not None:
            raise error

    def destroy(self, timeout_retries: int = 5) -> asyncio.Task[None]:  # noqa: ARG002 - the original's parameter; ending a producer needs no request
        """End the producer: pending messages are confirmed or reported, further ones refused.

        It begins at once, whether or not the returned task is awaited; awaiting it raises what
        :meth:`flush` raises. Calling it again returns the same task.
        """
        if self._destroying is None:
            self._closed = True
            self._destroying = self._tasks.start(
                self._destroy(), f"destroy producer {self.producer_name}"
            )
        return self._destroying

    async def _destroy(self) -> None:
        for sender in self._senders:
            await sender.drain()
        error = self.take_error()
        self._forget(self)
        if error is not None:
            raise error

    def made_ready(self, message: Any, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """For ``memphis.sync``, in any thread: what :meth:`produce` is to be called with in the loop.

        Args:
            message: As there.
            arguments: All its other arguments, by name.

        Returns:
            The arguments with the message, which is encoded and cannot be changed by its owner any more, and
            the headers, likewise. None where only the loop knows how: with a schema, for several stations.

        Raises: What :meth:`produce` would raise before it sends.
        """
        if self._closed:
            raise MemphisClosedError(f"the producer {self.producer_name!r} was destroyed")
        sender = self._senders[0]
        if len(self._senders) > 1 or sender.schema is not None:
            return None
        sender.check_present()
        if arguments["ack_wait_sec"] != _ACK_WAIT_DEFAULT_S:
            _check_wait(arguments["ack_wait_sec"])
        _window(arguments["concurrent_task_limit"], arguments["limit_concurrent_tasks"])
        message_id = arguments["msg_id"] or None
        key, number = arguments["producer_partition_key"], arguments["producer_partition_number"]
        if message_id is not None or key is not None or number != -1:
            sender.check(Choice(message_id, key, number))
        headers = arguments["headers"]
        if headers:
            headers = self._snapshot(headers)
        payload: Any
        if self._model is None:
            payload = message if type(message) is bytes else encode_payload(message)
        else:
            payload = Encoded(_encoded(self._model, message))
        return {**arguments, "headers": headers, "message": payload}

    def _snapshot(self, headers: Headers | Mapping[str, str]) -> Mapping[str, str]:
        """Headers that were checked, and that nobody changes; those of the last message are kept."""
        given = as_mapping(headers)
        kept = self._latest_headers
        if given == kept:
            return kept
        copied = dict(given)
        for header, value in copied.items():
            check_user_header(header, value)
        self._latest_headers = copied
        return copied

    def fail(self, error: MemphisError) -> PendingProduce:
        """For ``memphis.sync``: the result of a nonblocking message that :meth:`produce` has refused."""
        return self._senders[0].fail(error, nonblocking=True)

    def take_error(self) -> MemphisError | None:
        """For ``Memphis.close``: the failures that nobody was told of, as one; each is given once."""
        errors: list[MemphisError] = []
        dropped = 0
        for sender in self._senders:
            taken, more = sender.take_failures()
            errors += taken
            dropped += more
        return summarize_failures(errors, dropped, f"producer {self.producer_name!r}")


def _encoded(model: Model, message: Any) -> bytes:
    try:
        return model.encode(message)
    except ModelMisfit as misfit:
        raise MemphisSchemaError(
            f"the message is no {model.name} that could be read back: {misfit}",
            misfit.path,
            misfit.expected,
        ) from misfit


def _check_wait(ack_wait_sec: float) -> None:
    if isinstance(ack_wait_sec, bool) or not isinstance(ack_wait_sec, int | float):
        raise MemphisUsageError(f"ack_wait_sec must be a number, not {type(ack_wait_sec).__name__}")
    if not 0 < ack_wait_sec <= _ACK_WAIT_MAX_S:
        raise MemphisUsageError(
            f"ack_wait_sec must be above 0 and at most {_ACK_WAIT_MAX_S}, not {ack_wait_sec}"
        )


def _window(limit: int | None, other_limit: int | None) -> int:
    if limit is None:
        limit = other_limit
    if limit is None:
        return WINDOW_DEFAULT
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise MemphisUsageError(f"concurrent_task_limit must be an int from 1, not {limit!r}")
    return limit


async def _all_results(
    senders: Sequence[StationSender], pending: Sequence[PendingProduce]
) -> list[ProduceResult]:
    """The results of one message in several stations: all, or an error that has each of them."""
    outcomes: list[ProduceResult | MemphisError] = []
    for one in pending:
        try:
            outcomes.append(await one)
        except MemphisError as error:
            outcomes.append(error)
    errors = [outcome for outcome in outcomes if isinstance(outcome, MemphisError)]
    if not errors:
        return [outcome for outcome in outcomes if not isinstance(outcome, MemphisError)]
    if len(errors) == len(outcomes):
        raise errors[0]
    raise MemphisPartlyProducedError(
        f"the message was stored in {len(outcomes) - len(errors)} of {len(outcomes)} stations; "
        f"the first failure: {errors[0]}",
        dict(zip((sender.station_name for sender in senders), outcomes, strict=True)),
    ) from errors[0]
