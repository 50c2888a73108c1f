"""Publishes that each end in a confirmation, a refusal or an error at their deadline.

Place in the flow: ``Producer → Publisher → Connection → stream``, and back through one inbox.

What is known of a message decides what may happen to it. The send queue knows which messages were
ever handed to a socket: those may be stored, the others certainly are not. ``_held`` names
exceptions: messages the engine answered with "no responders", which it certainly did not store.

Invariant: a message that may be stored is sent again only if it is resendable. Messages to one
subject are written in the order of :meth:`Publisher.post`, also those that are sent again.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import Final

from memphis.exceptions import (
    MemphisConnectError,
    MemphisNotConfirmedError,
    MemphisProduceError,
    MemphisTimeoutError,
)
from memphis.transport.acknowledgement import (
    AnswerRun,
    PublishResult,
    Refused,
    parse_acknowledgement,
)
from memphis.transport.connection import Connection
from memphis.transport.deadlines import DeadlineTimer
from memphis.transport.options import MEBIBYTE
from memphis.transport.protocol import Frame, MessageFrame
from memphis.transport.receipt import PublisherStatistics, Receipt
from memphis.transport.requests import NO_RESPONDERS
from memphis.transport.room import Room
from memphis.transport.send_queue import SendQueue
from memphis.transport.stalls import Stalls
from memphis.wire.headers import status_of

TOO_LARGE_CODE: Final = 10054
"""The engine's own number for "message size exceeds maximum allowed"."""

_HARD_LIMIT_FACTOR: Final = 2
_FLUSH_BYTES: Final = 48 * 1024


class Publisher:
    """Publishes with acknowledgements over one connection. Not thread-safe.

    Args:
        connection: Carries it; the publisher lives until :meth:`close` or as long as it.
        in_flight_max: Messages without an answer, above which :meth:`wait_room` makes wait.
        in_flight_bytes_max: The same in bytes, headers and protocol included.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        in_flight_max: int = 10_000,
        in_flight_bytes_max: int = 32 * MEBIBYTE,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._connection = connection
        self.has_room = True
        """Whether a message may be sent at once; if not, :meth:`wait_room` looks closer."""
        self._in_flight_max = in_flight_max
        self._in_flight_bytes_max = in_flight_bytes_max
        self._hard_count = _HARD_LIMIT_FACTOR * in_flight_max
        self._hard_bytes = _HARD_LIMIT_FACTOR * in_flight_bytes_max
        self._in_flight: dict[int, Receipt] = {}
        self._bytes = 0
        self._queue = SendQueue()
        self._next_token = 0
        self._held: set[int] = set()
        self._stalls = Stalls(loop, send=self._send_held, is_in_flight=self._in_flight.__contains__)
        self._stalled = self._stalls.by_subject
        self._timer = DeadlineTimer(loop, self._expire)
        self._room = Room(self._fits)
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._closed_reason = ""
        self._confirmed = self._refused = self._not_confirmed = 0
        self._sent_again = self._late_answers = 0
        inbox = connection.new_inbox("publish")
        self._reply_prefix = inbox + b"."
        self._reply_prefix_length = len(self._reply_prefix)
        self._subscription = connection.subscribe((inbox + b".*").decode(), self._answered)
        connection.expect_answers(self._subscription, self._reply_prefix, self._answered_many)
        self._is_connected = connection.is_connected
        connection.add_listener(self)
        connection.add_source(self)

    @property
    def in_flight(self) -> int:
        """Messages without an answer."""
        return len(self._in_flight)

    def statistics(self) -> PublisherStatistics:
        """The numbers so far."""
        return PublisherStatistics(
            in_flight=len(self._in_flight),
            in_flight_max=self._in_flight_max,
            in_flight_bytes=self._bytes,
            in_flight_bytes_max=self._in_flight_bytes_max,
            waiting_for_room=self._room.waiting,
            confirmed=self._confirmed,
            refused=self._refused,
            not_confirmed=self._not_confirmed,
            sent_again=self._sent_again,
            late_answers=self._late_answers,
        )

    # Sending.

    def post(
        self,
        receipt: Receipt,
        subject: bytes,
        payload: bytes,
        header: bytes,
        resend_s: float,
        deadline_s: float,
    ) -> None:
        """Send a message; the order of calls is the order on the wire.

        While the connection is away the message waits for it.

        Args:
            receipt: Told how it ends: confirmed, or failed with MemphisProduceError (refused, or
                certainly never stored) or MemphisNotConfirmedError (it may be stored or not). If this
                raises, it is told nothing.
            subject: Where to; the caller vouches that it has no spaces and no line breaks.
            payload: The content.
            header: A whole header block with its final line end, or nothing.
            resend_s: For how many seconds from now it may be sent again after a disconnect, because
                it carries an id by which the engine then still tells a second copy; 0: never.
            deadline_s: Seconds from now after which it fails without an answer.

        Raises:
            MemphisConnectError: The connection is closed or given up.
            MemphisProduceError: Larger than the engine takes, or far more messages in flight than
                allowed because the caller did not use :meth:`wait_room`.
        """
        size = len(header) + len(payload)
        if not self.has_room or size > self._connection.max_payload:
            self._check_sendable(size)
        token = self._next_token
        self._next_token = token + 1
        if header:
            frame = b"HPUB %b %b%d %d %d\r\n%b%b\r\n" % (
                subject, self._reply_prefix, token, len(header), size, header, payload,
            )  # fmt: skip
        else:
            frame = b"PUB %b %b%d %d\r\n%b\r\n" % (
                subject, self._reply_prefix, token, size, payload,
            )  # fmt: skip
        now = monotonic()
        deadline = now + deadline_s
        receipt.token = token
        receipt.frame = frame
        receipt.subject = subject
        receipt.resend_until = now + resend_s if resend_s else 0
        receipt.deadline = deadline
        in_flight = self._in_flight
        in_flight[token] = receipt
        self._bytes = in_flight_bytes = self._bytes + len(frame)
        count = len(in_flight)
        if count >= self._in_flight_max or in_flight_bytes >= self._in_flight_bytes_max:
            self.has_room = False
        if deadline < self._timer.due:
            self._timer.note(deadline)
        if self._stalled and self._stalls.add(subject, token):
            self._held.add(token)
        elif self._is_connected:
            queue = self._queue
            queue.new.append(receipt)
            queue.bytes += len(frame)
            # A message on its own goes at once, for its sender may be waiting. And the engine should
            # work while a caller that never pauses is still producing.
            if count == 1 or queue.bytes >= _FLUSH_BYTES:
                self._connection.flush_now()
            elif len(queue.new) == 1:
                self._connection.schedule_flush()

    def _check_sendable(self, size: int) -> None:
        self._check_open()
        if size > self._connection.max_payload:
            raise MemphisProduceError(
                f"the message has {size} bytes with its headers; the engine takes at most "
                f"{self._connection.max_payload}",
                TOO_LARGE_CODE,
            )
        if len(self._in_flight) >= self._hard_count or self._bytes >= self._hard_bytes:
            raise MemphisProduceError(
                f"{len(self._in_flight)} messages wait for their acknowledgement; wait for room "
                "before sending more"
            )

    def take_frames(self) -> list[bytes]:
        """For the connection: what is to be written now."""
        return self._queue.take()

    # Answers.

    def _answered(self, frame: MessageFrame) -> None:
        token = int(frame[2][self._reply_prefix_length :])
        header = frame[4]
        if header and status_of(header) == NO_RESPONDERS:
            self._no_responders(token)
            return
        publish = self._in_flight.pop(token, None)
        if publish is None:
            self._late_answers += 1
            return
        self._bytes -= len(publish.frame)
        if self._stalled:
            self._held.discard(token)
            self._stalls.release(publish.subject)
        answer = parse_acknowledgement(frame[5])
        if type(answer) is PublishResult:
            self._confirmed += 1
            publish.confirmed(answer.sequence, answer.duplicate)
        elif type(answer) is Refused:
            self._refused += 1
            publish.failed(
                MemphisProduceError(f"the engine refused the message: {answer.text}", answer.code)
            )
        else:
            self._not_confirmed += 1
            publish.failed(MemphisNotConfirmedError("the engine's answer cannot be understood"))
        if not self.has_room or not self._in_flight:
            self._progressed()

    def _answered_many(self, frame: Frame) -> None:
        """Many messages were stored: the same as :meth:`_answered` for each, at less cost."""
        run: AnswerRun = frame[2]
        pop = self._in_flight.pop
        freed = confirmed = 0
        for token, sequence, duplicate in zip(
            map(int, run.tokens), map(int, run.sequences), run.duplicates, strict=True
        ):
            receipt = pop(token, None)
            if receipt is None:
                self._late_answers += 1
                continue
            freed += len(receipt.frame)
            confirmed += 1
            if self._stalled:
                self._held.discard(token)
                self._stalls.release(receipt.subject)
            receipt.confirmed(sequence, duplicate != b"")
        self._bytes -= freed
        self._confirmed += confirmed
        if not self.has_room or not self._in_flight:
            self._progressed()

    def _no_responders(self, token: int) -> None:
        """The engine has no stream for the subject (yet, or for a moment): nothing was stored."""
        publish = self._in_flight.get(token)
        if publish is None:
            self._late_answers += 1
            return
        self._held.add(token)
        self._stalls.hold(publish.subject, token)

    def _send_held(self, tokens: list[int]) -> None:
        """The pause of a stalled subject is over: send these, in this order."""
        if not self._is_connected:
            return
        for token in tokens:
            publish = self._in_flight.get(token)
            if publish is not None:
                self._held.discard(token)
                self._sent_again += token < self._queue.first_unwritten
                self._queue.add_again(publish)
        self._connection.schedule_flush()

    def _remove(self, token: int, error: MemphisProduceError) -> None:
        publish = self._in_flight.pop(token)
        self._bytes -= len(publish.frame)
        self._held.discard(token)
        self._not_confirmed += 1
        publish.failed(error)

    def _may_be_stored(self, token: int) -> bool:
        return token < self._queue.first_unwritten and token not in self._held

    def _expire(self, now: float) -> float:
        earliest = inf
        due = []
        for token, publish in self._in_flight.items():
            if publish.deadline <= now:
                due.append(token)
            elif publish.deadline < earliest:
                earliest = publish.deadline
        for token in due:
            self._remove(token, self._expired(token))
        if due:
            self._queue.drop(set(due))
            self._progressed()
        return earliest

    def _expired(self, token: int) -> MemphisProduceError:
        if token in self._held:
            subject = self._in_flight[token].subject.decode()
            return MemphisProduceError(
                f"the message is not stored: no stream takes {subject}; does the station exist?"
            )
        if self._may_be_stored(token):
            return MemphisNotConfirmedError(
                "no acknowledgement came before the deadline; the message may or may not be stored"
            )
        return MemphisProduceError(
            "the message is not stored: before its deadline there was no connection to send it, or "
            "the engine did not read"
        )

    # How the connection fares.

    def connection_lost(self, reason: str) -> None:
        """What may be stored and must not be sent twice fails; the rest waits."""
        self._is_connected = False
        self._queue.clear()
        self._stalls.clear()
        self._fail_unsafe(0, f"has no id to send it again safely: {reason}")

    def connection_restored(self) -> None:
        """Send what waits, in the order of the first time; newer messages come after."""
        self._is_connected = True
        self._fail_unsafe(
            monotonic(),
            "the engine may have forgotten its id, so a copy could be stored twice",
        )
        written = self._queue.first_unwritten
        self._sent_again += sum(token < written for token in self._in_flight)
        self._queue.restart(self._in_flight.values())
        self._held.clear()
        self._connection.schedule_flush()

    def _fail_unsafe(self, now: float, why: str) -> None:
        """Give up the messages that may be stored and must not be sent a second time any more."""
        for token, publish in list(self._in_flight.items()):
            if self._may_be_stored(token) and publish.resend_until <= now:
                self._remove(
                    token,
                    MemphisNotConfirmedError(
                        "the connection broke before the acknowledgement came; the message may or "
                        f"may not be stored, and {why}"
                    ),
                )
        self._progressed()

    def connection_closed(self, reason: str) -> None:
        """Everything ends."""
        self._closed_reason = reason
        self._is_connected = False
        self._queue.clear()
        self._stalls.clear()
        self._timer.cancel()
        for token in list(self._in_flight):
            if self._may_be_stored(token):
                error: MemphisProduceError = MemphisNotConfirmedError(
                    "the connection was closed before the acknowledgement came; the message may or "
                    f"may not be stored: {reason}"
                )
            else:
                error = MemphisProduceError(f"the message was not sent: {reason}")
            self._remove(token, error)
        self._progressed()

    def close(self) -> None:
        """End without the connection ending. What is in flight fails; drain before. Idempotent."""
        self._connection.remove_listener(self)
        self._connection.remove_source(self)
        if not self._closed_reason:
            self.connection_closed("the publisher was closed")
            self._subscription.unsubscribe()

    # Back-pressure.

    async def wait_room(self) -> None:
        """Wait for one's turn to send one message, in the order of arrival.

        The place is kept until the caller's next ``await``: send before it.

        Raises:
            MemphisConnectError: The connection is closed or given up.
        """
        self._check_open()
        if not self.has_room:
            await self._room.wait()
            self._check_open()

    async def drain(self, timeout_s: float) -> None:
        """Wait until nothing is in flight.

        Raises:
            MemphisTimeoutError: Something still was after ``timeout_s``; it stays in flight.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self._in_flight:
                    waiter: asyncio.Future[None] = self._loop.create_future()
                    self._idle_waiters.append(waiter)
                    await waiter
        except TimeoutError as error:
            raise MemphisTimeoutError(
                f"{len(self._in_flight)} messages were not acknowledged within {timeout_s:g} seconds"
            ) from error

    def _check_open(self) -> None:
        if self._closed_reason:
            raise MemphisConnectError(f"the connection is closed: {self._closed_reason}")

    def _fits(self, expected: int) -> bool:
        count = len(self._in_flight)
        if count + expected >= self._in_flight_max:
            return False
        # Who was let in and has not sent yet will probably send a message of the usual size.
        expected_bytes = expected * (self._bytes // count) if count else 0
        return self._bytes + expected_bytes < self._in_flight_bytes_max

    def _progressed(self) -> None:
        """Something left: let in who waits, as far as there is room."""
        self._room.let_in(everyone=bool(self._closed_reason))
        self.has_room = self._room.is_deserted and self._fits(0) and not self._closed_reason
        if not self._in_flight:
            idle, self._idle_waiters = self._idle_waiters, []
            for waiter in idle:
                if not waiter.done():
                    waiter.set_result(None)
