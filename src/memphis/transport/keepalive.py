"""Finds out that a server has fallen silent.

Invariant: a link from which nothing at all came for three intervals has been failed by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from memphis.transport.link import Link

SILENT_TICKS_MAX: Final = 2
"""Questions that may stay without an answer; one more interval of silence ends the link."""


class Keepalive:
    """Asks for a sign of life at every interval. Any byte from the server counts as one.

    Args:
        loop: Where the timer runs.
        interval_s: Time between two questions.
        ask: Sends a PING; called only while the link is open.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, interval_s: float, ask: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._interval_s = interval_s
        self._ask = ask
        self._timer: asyncio.TimerHandle | None = None
        self._bytes_seen = 0
        self._silent_ticks = 0

    def start(self, link: Link) -> None:
        """Watch over this link, and over no other any more."""
        self.stop()
        self._silent_ticks = 0
        self._bytes_seen = link.bytes_in
        self._timer = self._loop.call_later(self._interval_s, self._tick, link)

    def stop(self) -> None:
        """Watch over nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self, link: Link) -> None:
        self._timer = None
        if not link.is_open:
            return
        if link.bytes_in == self._bytes_seen:
            self._silent_ticks += 1
        else:
            self._silent_ticks = 0
            self._bytes_seen = link.bytes_in
        if self._silent_ticks > SILENT_TICKS_MAX:
            link.fail(
                f"the server was silent for {self._silent_ticks * self._interval_s:g} seconds"
            )
            return
        self._timer = self._loop.call_later(self._interval_s, self._tick, link)
        self._ask()
