"""Opening and listing stations, on behalf of the public face."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from memphis._core.arguments import checked
from memphis._core.rpc import TIMEOUT_S
from memphis.exceptions import MemphisUsageError
from memphis.types import Retention, Storage
from memphis.wire.models import (
    StationCreate,
    StationList,
    StationOpened,
    StationOptions,
    StationPage,
    StationSummary,
)

if TYPE_CHECKING:
    from memphis._core.rpc import Rpc
    from memphis._core.session import Session
    from memphis._core.station_state import StationState
    from memphis.wire.names import StationName

_log = logging.getLogger(__name__)

_TIMEOUT_PER_PARTITION_S: Final = 0.01
"""The engine makes about a thousand streams a second; ten times that is patience enough."""


def station_options(**given: Any) -> StationOptions:
    """The options as a checked value.

    Raises:
        MemphisUsageError: An option of the wrong type or out of its range; names it.
    """
    if not isinstance(given["retention_type"], Retention):
        raise MemphisUsageError("retention_type must be a memphis.types.Retention")
    if not isinstance(given["storage_type"], Storage):
        raise MemphisUsageError("storage_type must be a memphis.types.Storage")
    options = checked(StationOptions, **given)
    if options.retention_type is not Retention.ACK_BASED and options.retention_value < 1:
        raise MemphisUsageError(f"retention_value must be from 1, not {options.retention_value}")
    return options


async def open_station(
    session: Session, name: StationName, options: StationOptions | None, retries: int
) -> StationState:
    """The station of this name, created if there is none; None: with the defaults, as it may be."""
    wanted = options or StationOptions()
    with session.states.opening(name):
        opened = await session.rpc.call(
            StationCreate(name=name, options=wanted),
            StationOpened,
            timeout_s=TIMEOUT_S + _TIMEOUT_PER_PARTITION_S * wanted.partitions_number,
            retries=retries,
        )
        state = session.states.open(opened.station)
    if options is not None and not opened.created:
        _log_differences(name, options.as_kept(), opened.station.options)
    return state


def _log_differences(name: StationName, wanted: StationOptions, actual: StationOptions) -> None:
    differing = [
        f"{field} is {getattr(actual, field)!r}, not {getattr(wanted, field)!r}"
        for field in StationOptions.model_fields
        if getattr(actual, field) != getattr(wanted, field)
    ]
    if differing:
        _log.warning("the station %s exists and stays as it is: %s", name, "; ".join(differing))


async def list_stations(rpc: Rpc) -> list[StationSummary]:
    """All stations, page by page."""
    stations: list[StationSummary] = []
    more = True
    while more:
        after = stations[-1].name if stations else ""
        page = await rpc.call(StationList(after=after), StationPage)
        stations += page.stations
        more = page.more and bool(page.stations)
    return stations
