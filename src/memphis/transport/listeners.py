"""Who is told how a connection fares.

Invariant: one listener that fails does not keep the news from the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from memphis.transport.options import ConnectionListener

_logger = logging.getLogger(__name__)


class Listeners:
    """The listeners of one connection, told in the order they were added."""

    def __init__(self) -> None:
        self._listeners: list[ConnectionListener] = []

    def add(self, listener: ConnectionListener) -> None:
        """Tell it from now on."""
        self._listeners.append(listener)

    def remove(self, listener: ConnectionListener) -> None:
        """Tell it no more. Idempotent."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def lost(self, reason: str) -> None:
        """The connection broke."""
        self._tell(lambda listener: listener.connection_lost(reason))

    def restored(self) -> None:
        """It is back."""
        self._tell(lambda listener: listener.connection_restored())

    def closed(self, reason: str) -> None:
        """It will not come back."""
        self._tell(lambda listener: listener.connection_closed(reason))

    def _tell(self, news: Callable[[ConnectionListener], None]) -> None:
        """A supervisor: what a listener raises is logged."""
        for listener in tuple(self._listeners):
            try:
                news(listener)
            except Exception:
                _logger.exception("a listener of the connection failed")
