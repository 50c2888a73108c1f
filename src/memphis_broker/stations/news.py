"""Who is told when a station changes or goes: clients that use it, and parts of the broker that asked.

What is told is a hint to look again, and may be lost with the broker that was about to tell it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from memphis.wire import subjects
from memphis.wire.models import StationUpdate
from memphis_broker.engine.messaging import ClientMessaging
from memphis_broker.stations.model import StationRecord


class StationListener(Protocol):
    """A part of the broker that is told."""

    async def changed(self, station: StationRecord, about: Collection[str]) -> None:
        """The station has these options now; ``about`` names those that somebody has set.

        They may be what they were: whoever set them before may have been killed before he could tell.
        """

    async def removed(self, station: StationRecord) -> None:
        """The station is going, with all it holds."""


class StationNews:
    """Tells clients of the native protocol, then the listeners. Safe for many tasks."""

    def __init__(self, messaging: ClientMessaging) -> None:
        self._messaging = messaging
        self._listeners: list[StationListener] = []

    def add(self, listener: StationListener) -> None:
        """Tell this one from now on."""
        self._listeners.append(listener)

    async def changed(self, station: StationRecord, about: Collection[str] = ()) -> None:
        """Have the clients of this station ask how it is now, as to these options."""
        await self._push(station, "changed")
        for listener in self._listeners:
            await listener.changed(station, about)

    async def removed(self, station: StationRecord) -> None:
        """Have the clients of this station forget it."""
        await self._push(station, "removed")
        for listener in self._listeners:
            await listener.removed(station)

    async def _push(self, station: StationRecord, event: str) -> None:
        update = StationUpdate(event=event, station_id=station.id)
        await self._messaging.push(
            subjects.updates_subject(station.station), update.model_dump_json().encode()
        )
