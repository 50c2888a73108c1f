"""Messages of one partition that have arrived and were not taken yet. Pure: time is an argument.

The engine counts the time of a delivery from when it sent the message, so what waits here for long is
either told to be in progress, or forgotten because the engine delivers it again by itself.

Invariant: arrivals are kept in the order they came; each has at least one message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from memphis.transport.protocol import MessageFrame

if TYPE_CHECKING:
    from memphis.transport.puller import Pull, PullEnd


class _Arrival:
    """Messages that came together; when, and until when the engine takes them for ours."""

    __slots__ = ("arrived", "frames", "until")

    def __init__(self, frames: Sequence[MessageFrame], arrived: float, until: float) -> None:
        self.frames = deque(frames)
        self.arrived = arrived
        self.until = until


class Arrivals:
    """The messages of one partition, first come, first taken.

    Args:
        expiry_s: For how long after an arrival, or a renewal, the messages are certainly ours.
    """

    __slots__ = ("_arrivals", "_expiry_s", "count")

    def __init__(self, expiry_s: float) -> None:
        self._expiry_s = expiry_s
        self._arrivals: deque[_Arrival] = deque()
        self.count = 0
        """Messages that wait here."""

    def keep(self, frames: Sequence[MessageFrame], now: float) -> None:
        """These have come."""
        if frames:
            self._arrivals.append(_Arrival(frames, now, now + self._expiry_s))
            self.count += len(frames)

    def take(self, count: int) -> Iterator[tuple[Sequence[MessageFrame], float]]:
        """Up to ``count`` messages, in groups that have the same time left; with until when."""
        while count > 0 and self._arrivals:
            arrival = self._arrivals[0]
            frames = arrival.frames
            if len(frames) <= count:
                self._arrivals.popleft()
                taken: Sequence[MessageFrame] = frames
            else:
                taken = [frames.popleft() for _ in range(count)]
            count -= len(taken)
            self.count -= len(taken)
            yield taken, arrival.until

    def drop_expired(self, now: float) -> None:
        """Forget what has run out of its time."""
        arrivals = self._arrivals
        while arrivals and arrivals[0].until <= now:
            self.count -= len(arrivals.popleft().frames)

    def renew(self, now: float, arrived_after: float) -> Iterator[MessageFrame]:
        """Give a new time to what came after a moment, message by message; its owner tells the engine."""
        for arrival in self._arrivals:
            if arrival.arrived > arrived_after:
                arrival.until = now + self._expiry_s
                yield from arrival.frames


class Partition:
    """One partition as the reader sees it: where to ask, what is under way, what has arrived."""

    __slots__ = ("buffer", "end", "number", "outstanding", "pull", "subject", "until")

    def __init__(self, number: int, subject: str, expiry_s: float) -> None:
        self.number = number
        self.subject = subject.encode()
        self.buffer = Arrivals(expiry_s)
        self.outstanding = 0
        self.until = 0.0
        self.pull: Pull | None = None
        """The pull that waits in the engine for messages to come, if one does."""
        self.end: PullEnd | None = None
