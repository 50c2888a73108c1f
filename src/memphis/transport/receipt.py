"""What a publisher keeps for each message on its way, and the numbers it keeps for all of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from memphis.exceptions import MemphisProduceError
from memphis.transport.acknowledgement import PublishResult, parse_acknowledgement


class Receipt:
    """A message on its way, and who is told when it has arrived or failed: exactly one of the two.

    One object per message, which the sender subclasses, is what this path can afford. The methods
    are called while answers are being read: they must be quick and must not raise.
    """

    __slots__ = ("deadline", "frame", "resend_until", "subject", "token")

    token: int
    frame: bytes
    subject: bytes
    resend_until: float
    deadline: float

    def confirmed(self, sequence: int, duplicate: bool, answer: bytes) -> None:
        """The engine has stored it. ``answer`` is what the engine said, unread."""
        raise NotImplementedError

    def failed(self, error: MemphisProduceError) -> None:
        """It was refused, or never confirmed."""
        raise NotImplementedError


class FutureReceipt(Receipt):
    """Tells an asyncio future, for callers that want one."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[PublishResult]) -> None:
        self.future = future

    def confirmed(self, sequence: int, duplicate: bool, answer: bytes) -> None:
        """The engine has stored it."""
        if not self.future.done():
            read = parse_acknowledgement(answer)
            stream = read.stream if isinstance(read, PublishResult) else ""
            self.future.set_result(PublishResult(stream, sequence, duplicate))

    def failed(self, error: MemphisProduceError) -> None:
        """It was refused, or never confirmed."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherStatistics:
    """The numbers of a publisher so far."""

    in_flight: int
    in_flight_max: int
    in_flight_bytes: int
    in_flight_bytes_max: int
    waiting_for_room: int
    confirmed: int
    refused: int
    not_confirmed: int
    """Ended without an answer: at the deadline, with the connection, or not understood."""
    sent_again: int
    late_answers: int
