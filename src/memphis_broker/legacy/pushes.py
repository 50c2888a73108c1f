"""Tells the original's SDKs, in their words, what has changed about a station."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from memphis.wire import legacy
from memphis.wire.errors import Refusal
from memphis_broker.engine.messaging import ClientMessaging
from memphis_broker.legacy import translate
from memphis_broker.legacy.calls import LegacyCalls
from memphis_broker.stations.model import StationRecord

logger = logging.getLogger(__name__)

_SCHEMA_FAILURES: Final = "schemaverse_to_dls"
_REMOVED: Final = "remove_station"


class LegacyPushes:
    """A listener of the stations' news."""

    def __init__(self, calls: LegacyCalls, messaging: ClientMessaging) -> None:
        self._calls = calls
        self._messaging = messaging

    async def changed(self, station: StationRecord, about: Collection[str]) -> None:
        """Push a schema that was attached or detached, and the switch for what fails it.

        Nothing is pushed when a version is activated: SDKs in Python would refuse every message then.
        """
        if "schema_name" in about:
            await self._push_schema(station)
        if "send_schema_failed_msg_to_dls" in about:
            keeps = station.options.send_schema_failed_msg_to_dls
            update = translate.client_update(station, _SCHEMA_FAILURES, keeps)
            await self._messaging.push(legacy.CLIENT_UPDATES, update)

    async def removed(self, station: StationRecord) -> None:
        """Have them drop what they know of the station."""
        update = translate.client_update(station, _REMOVED, None)
        await self._messaging.push(legacy.CLIENT_UPDATES, update)

    async def _push_schema(self, station: StationRecord) -> None:
        try:
            schema = await self._calls.schema_of(station)
        except Refusal as refusal:
            logger.warning(
                "the original's SDKs go on without the new schema of station %s: %s",
                station.name, refusal.text,
            )  # fmt: skip
            return
        await self._messaging.push(
            legacy.schema_updates_subject(station.station), translate.schema_changed(schema)
        )
