"""What a publisher keeps for each message on its way, and the numbers it keeps for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from memphis.exceptions import MemphisProduceError


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

    def confirmed(self, sequence: int, duplicate: bool) -> None:
        """The engine has stored it at this place; as a duplicate, it had its id already."""
        raise NotImplementedError

    def failed(self, error: MemphisProduceError) -> None:
        """It was refused, or never confirmed."""
        raise NotImplementedError


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
