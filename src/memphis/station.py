"""The handle of a station."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from memphis.wire.models import (
    Done,
    Purged,
    StationInfo,
    StationInfoGet,
    StationOptions,
    StationPurge,
    StationRemove,
    StationSummary,
)

if TYPE_CHECKING:
    from memphis._core.rpc import Rpc
    from memphis._core.station_state import StationState
    from memphis._core.tasks import TaskOwner

__all__ = ["Station", "StationInfo", "StationOptions", "StationSummary"]


class Station:
    """A station that exists. Made by ``Memphis.station``."""

    def __init__(
        self,
        state: StationState,
        rpc: Rpc,
        tasks: TaskOwner,
        end_users: Callable[[str], Awaitable[None]],
    ) -> None:
        self._state = state
        self._rpc = rpc
        self._tasks = tasks
        self._end_users = end_users
        self._destroying: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Station {self.name}>"

    @property
    def name(self) -> str:
        """The station's name, in lower case."""
        return str(self._state.name)

    @property
    def options(self) -> StationOptions:
        """The options that the station has, whatever was asked for."""
        return self._state.description.options

    @property
    def partitions(self) -> list[int]:
        """The numbers of its partitions, from 1."""
        return list(self._state.partitions)

    async def info(self) -> StationInfo:
        """Count what the station holds now: messages, bytes, partitions, and each group's progress.

        Raises:
            MemphisNotFoundError: The station is gone.
            MemphisConnectError: No broker answered.
        """
        return await self._rpc.call(StationInfoGet(name=self._state.name), StationInfo)

    async def purge(self) -> int:
        """Delete all messages of the station, and return how many; groups go on with new ones.

        Raises: As :meth:`info`.
        """
        return (await self._rpc.call(StationPurge(name=self._state.name), Purged)).messages

    def destroy(self, timeout_retries: int = 5) -> asyncio.Task[None]:
        """Delete the station with its messages and groups; this connection's users of it end too.

        It begins at once, whether or not the returned task is awaited; awaiting it raises what went
        wrong, MemphisNotFoundError if there was no such station. Calling it again returns the same task.

        Args:
            timeout_retries: How often the broker is asked again when it does not answer.
        """
        if self._destroying is None:
            self._destroying = self._tasks.start(
                self._destroy(timeout_retries), f"destroy station {self.name}"
            )
        return self._destroying

    async def _destroy(self, retries: int) -> None:
        # This life of the station, not one that somebody has created since.
        request = StationRemove(name=self._state.name, id=self._state.description.id)
        await self._rpc.call(request, Done, retries=retries, if_gone=Done())
        self._state.apply(None)
        await self._end_users(self.name)
