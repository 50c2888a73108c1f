"""The handle of a station."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

from memphis._core.arguments import checked
from memphis.dead_letters import DeadLetters
from memphis.wire.models import (
    Done,
    Purged,
    StationConfigure,
    StationDescription,
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

    def dead_letters(
        self,
        kind: str | None = None,
        group: str | None = None,
        since: datetime | None = None,
    ) -> DeadLetters:
        """The station's dead letters: to look at, give back, or drop; see :class:`DeadLetters`.

        ``async for letter in station.dead_letters(group="billing")`` gives them newest first.

        Args:
            kind: ``poison`` (a group could not process it) or ``schema`` (it failed the schema).
            group: Only those of this group.
            since: Only those that became dead letters at this time or later; with a time zone.

        Raises:
            MemphisUsageError: An argument that cannot be.
        """
        return DeadLetters(self._rpc, station=self._state.name, kind=kind, group=group, since=since)

    async def configure(
        self,
        *,
        send_poison_msg_to_dls: bool | None = None,
        send_schema_failed_msg_to_dls: bool | None = None,
        dls_station: str | None = None,
        dead_letter_age_max_s: int | None = None,
        dead_letter_count_max: int | None = None,
    ) -> None:
        """Change what becomes of the station's dead letters; None leaves an option as it is.

        Producers and consumers of the station follow within moments, those of this connection at once.

        Args:
            send_poison_msg_to_dls: Whether what a group cannot process is kept.
            send_schema_failed_msg_to_dls: Whether what fails the schema is kept.
            dls_station: A station that gets a copy of each from now on; created if missing; empty: none.
            dead_letter_age_max_s: For how long they are kept; 0: as long as the broker keeps any.
            dead_letter_count_max: How many are kept, the newest; 0: as many as the broker keeps.

        Raises:
            MemphisUsageError: A value of the wrong type or out of its range.
            MemphisNotFoundError: The station is gone.
            MemphisRequestError: The broker refused, for example the station itself as its dls_station.
            MemphisConnectError: No broker answered.
        """
        request = checked(
            StationConfigure,
            name=self._state.name,
            send_poison_msg_to_dls=send_poison_msg_to_dls,
            send_schema_failed_msg_to_dls=send_schema_failed_msg_to_dls,
            dls_station=dls_station,
            dead_letter_age_max_s=dead_letter_age_max_s,
            dead_letter_count_max=dead_letter_count_max,
        )
        self._state.apply(await self._rpc.call(request, StationDescription))

    async def purge(self) -> int:
        """Delete all messages of the station, and return how many; groups go on with new ones.

        Dead letters stay, also those that were given back to a group and wait for it.

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
