"""Subjects that no stream answers at the moment, and the messages that wait for one.

The engine says "no responders" when a stream is just being created, is restarting, or is gone.
Nothing was stored, so the messages can be sent again; but in order. Therefore a stalled subject
holds everything, new messages too, and after a pause only the first is sent, as a probe. It comes
after all earlier ones on the wire, so when it is answered nothing older is unresolved, and the
rest follows in order.

Invariant: a token is in at most one stall, and tokens of a subject are let go in ascending order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

FIRST_PAUSE_S: Final = 0.05
PAUSE_MAX_S: Final = 1.0


class _Stall:
    __slots__ = ("pause_s", "probe", "timer", "tokens")

    def __init__(self) -> None:
        self.tokens: set[int] = set()
        self.probe: int | None = None
        self.pause_s = FIRST_PAUSE_S
        self.timer: asyncio.TimerHandle | None = None


class Stalls:
    """The stalled subjects of one publisher.

    Args:
        loop: Where the pauses are timed.
        send: Sends messages again, given their tokens in order.
        is_in_flight: Whether a token still waits for its answer; it may have met its deadline.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        send: Callable[[list[int]], None],
        is_in_flight: Callable[[int], bool],
    ) -> None:
        self._loop = loop
        self._send = send
        self._is_in_flight = is_in_flight
        self.by_subject: dict[bytes, _Stall] = {}
        """The stalled subjects; looked at for every message, and changed only here."""

    def add(self, subject: bytes, token: int) -> bool:
        """Hold a new message if its subject is stalled; say whether it is."""
        stall = self.by_subject.get(subject)
        if stall is None:
            return False
        stall.tokens.add(token)
        return True

    def hold(self, subject: bytes, token: int) -> None:
        """A message was answered with "no responders"."""
        stall = self.by_subject.get(subject)
        if stall is None:
            stall = self.by_subject[subject] = _Stall()
            self._pause(subject, stall)
        stall.tokens.add(token)
        if stall.probe == token:
            stall.probe = None

    def release(self, subject: bytes) -> None:
        """A stream answers at this subject again: let everything go."""
        stall = self.by_subject.pop(subject, None)
        if stall is None:
            return
        if stall.timer is not None:
            stall.timer.cancel()
        self._send(sorted(stall.tokens))

    def clear(self) -> None:
        """Forget everything: the connection broke, and the publisher sends all again."""
        for stall in self.by_subject.values():
            if stall.timer is not None:
                stall.timer.cancel()
        self.by_subject.clear()

    def _pause(self, subject: bytes, stall: _Stall) -> None:
        stall.timer = self._loop.call_later(stall.pause_s, self._probe, subject, stall)
        stall.pause_s = min(2 * stall.pause_s, PAUSE_MAX_S)

    def _probe(self, subject: bytes, stall: _Stall) -> None:
        if stall.probe is None or not self._is_in_flight(stall.probe):
            stall.tokens = {token for token in stall.tokens if self._is_in_flight(token)}
            if not stall.tokens:
                # All of its messages met their deadline.
                del self.by_subject[subject]
                return
            stall.probe = min(stall.tokens)
            stall.tokens.remove(stall.probe)
            self._send([stall.probe])
        self._pause(subject, stall)
