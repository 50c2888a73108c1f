"""What the engine says about one delivery, in the subject that acknowledges it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

_NANOSECONDS: Final = 1_000_000_000
_SHORT_FORM_TOKENS: Final = 9


class Delivery(NamedTuple):
    """One delivery of one message."""

    delivery_count: int
    sequence: int
    time_ns: int
    pending: int
    prefix: bytes
    """The subject up to the count: the same for all deliveries of one durable."""

    @property
    def sent_at(self) -> datetime:
        """When the engine stored the message, to the microsecond."""
        seconds, nanoseconds = divmod(self.time_ns, _NANOSECONDS)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)


def parse_delivery(ack_subject: bytes) -> Delivery:
    """Read an acknowledgement subject of the engine, in either of its two forms.

    ``$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>``,
    or, from a server that adds them, with domain and account hash before the stream and possibly a
    token at the end (nats-server, ADR-15).
    """
    tokens = ack_subject.split(b".")
    first = 4 if len(tokens) == _SHORT_FORM_TOKENS else 6
    return Delivery(
        int(tokens[first]),
        int(tokens[first + 1]),
        int(tokens[first + 3]),
        int(tokens[first + 4]),
        b".".join(tokens[:first]) + b".",
    )
