"""What a caller holds while a message is under way, and what is counted meanwhile.

Invariant: every message belongs to one flight from the moment it has a place in its sender's window
until it is confirmed or has failed, so the flights' counts are the messages in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, NamedTuple, Protocol

from memphis.exceptions import MemphisError
from memphis.transport.receipt import Receipt


class ProduceResult(NamedTuple):
    """Where a message is stored.

    Attributes:
        station: The station's name.
        partition: The partition's number, from 1.
        sequence: Its place in the partition, from 1.
        duplicate: True if the engine had a message with this ``msg_id`` already; the place is that
            message's, and nothing new was stored.
    """

    station: str
    partition: int
    sequence: int
    duplicate: bool


class Sender(Protocol):
    """Who sent a message, as its pending result knows it."""

    station_name: str

    def flight_changed(self, flight: Flight) -> None:
        """A message of a watched flight has left it."""

    def note_failure(self, pending: PendingProduce, error: MemphisError) -> bool:
        """A nonblocking message failed: see to it that somebody hears; True if it is only counted."""

    def failure_seen(self, pending: PendingProduce, *, was_counted: bool) -> None:
        """Whoever awaits it has heard."""


class Flight:
    """The messages sent between two flushes: a flush waits for those before it and for no others."""

    __slots__ = ("count", "is_watched", "landed", "sender")

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.count = 0
        self.is_watched = False
        """Whether somebody waits for messages to leave; else they are only counted."""
        self.landed = asyncio.Event()

    def leave(self) -> None:
        """One message is confirmed, has failed, or could not be sent."""
        self.count -= 1
        if self.is_watched:
            self.sender.flight_changed(self)


class PendingProduce(Receipt):
    """The result of a nonblocking produce: await it, now or later, or leave it to ``flush()``.

    Awaiting gives a :class:`ProduceResult` or raises what went wrong. It may be awaited more than
    once. Cancelling the awaiting task does not take the message back.
    """

    __slots__ = (
        "_duplicate",
        "_error",
        "_flight",
        "_is_counted",
        "_nonblocking",
        "_partition",
        "_sequence",
        "_waiters",
    )

    # One is made for every message, so nothing is set here that a usual message does not need, and
    # a future is made only when somebody awaits: it would be the dearest part of the way.
    _is_counted: bool

    def __init__(self, flight: Flight, partition: int, nonblocking: bool) -> None:
        self._flight = flight
        self._partition = partition
        self._nonblocking = nonblocking
        self._sequence = 0
        self._error: MemphisError | None = None
        self._waiters: list[asyncio.Future[None]] | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether somebody awaits it at this moment, and so will see how it ends."""
        return bool(self._waiters)

    def done(self) -> bool:
        """Whether the message is confirmed or failed."""
        return self._sequence > 0 or self._error is not None

    def error(self) -> MemphisError | None:
        """What went wrong; None while it is under way or if all went well."""
        return self._error

    def __await__(self) -> Generator[Any, None, ProduceResult]:
        sender = self._flight.sender
        if not self.done():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            try:
                yield from waiter
            finally:
                self._waiters.remove(waiter)
        if self._error is not None:
            # Only now: whoever stops awaiting before the end has seen nothing.
            if self._nonblocking:
                was_counted, self._is_counted = self._is_counted, False
                sender.failure_seen(self, was_counted=was_counted)
            raise self._error
        return ProduceResult(sender.station_name, self._partition, self._sequence, self._duplicate)

    def confirmed(self, sequence: int, duplicate: bool) -> None:
        """For the publisher: it is stored."""
        self._sequence = sequence
        self._duplicate = duplicate
        self.frame = b""  # kept for sending it again, which is over
        flight = self._flight
        flight.count -= 1  # as Flight.leave, which would be a call more
        if flight.is_watched:
            flight.sender.flight_changed(flight)
        if self._waiters is not None:
            self._wake()

    def failed(self, error: MemphisError) -> None:
        """For the publisher: it is not stored, or nobody knows."""
        self._error = error
        self.frame = b""
        if self._nonblocking:
            self._is_counted = self._flight.sender.note_failure(self, error)
        self._flight.leave()
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)
