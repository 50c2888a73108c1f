"""Ends the groups whose last member has gone, and forgets members that went without a word.

A request that ends a consumer may not wait for it: one of the original's SDKs takes a second of silence for a
failure, and a group that others share is only ended after a while.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Final

from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import GroupLeave
from memphis.wire.names import GroupName, StationName
from memphis_broker.engine.concurrency import for_each
from memphis_broker.groups.service import GroupService
from memphis_broker.legacy.members import Member, MemberKey, Members, StoredMember

logger = logging.getLogger(__name__)

_LOOK_S: Final = 20.0
"""How soon what another broker left behind is seen to."""
_FORGET_S: Final = 24 * 3600.0
"""How long the connection of a member may be gone before the member is forgotten: it may come back."""
_ANSWER_S: Final = 0.6
_END_S: Final = 15.0


class Leaving:
    """:meth:`step` is one round of work; :meth:`stop` ends what is under way."""

    def __init__(self, members: Members, groups: GroupService) -> None:
        self._members = members
        self._groups = groups
        self._wake = asyncio.Event()
        self._ending: dict[str, tuple[Member, asyncio.Task[None]]] = {}
        self._gone_since: dict[str, float] = {}

    async def leave(self, key: MemberKey) -> bool:
        """A member goes, and its group with it if no other is left; that may end after this returns.

        It is not cut off: a group that is ended on some partitions only would be completed by whoever
        joins it next.

        Returns:
            False if there is no such member.
        """
        found = await self._members.mark_leaving(key)
        if found is None:
            return False
        await asyncio.wait({self._end_soon(found)}, timeout=_ANSWER_S)
        return True

    async def wait_until_ended(self, station: StationName, group: GroupName) -> None:
        """Return when this broker is not ending the group, or after a while.

        Whoever destroys the last consumer of a group and makes it again wants it made anew.
        """
        ending = {
            task for member, task in self._ending.values()
            if (member.station, member.group) == (station, group)
        }  # fmt: skip
        if ending:
            await asyncio.wait(ending, timeout=_END_S)

    async def step(self) -> None:
        """See to those who are leaving, and to those who went without a word."""
        self._wake.clear()
        members = await self._members.all()
        tasks = [self._end_soon(found) for found in members if found.member.leaving]
        if tasks:
            await asyncio.wait(tasks, timeout=_END_S)
        await self._forget([found for found in members if not found.member.leaving])
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await self._wake.wait()

    async def stop(self) -> None:
        """End what is under way; the next broker finishes it. Idempotent."""
        tasks = [task for _, task in self._ending.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_END_S)

    def _end_soon(self, found: StoredMember) -> asyncio.Task[None]:
        """The one task that ends this member."""
        key = found.record.key
        if key not in self._ending:
            task = asyncio.create_task(self._end(found), name=f"memphis leaving {key}")
            self._ending[key] = (found.member, task)
            task.add_done_callback(lambda done: self._ended(key, done))
        return self._ending[key][1]

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        del self._ending[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the member %s is not ended yet", key, exc_info=error)

    async def _end(self, found: StoredMember) -> None:
        member = found.member
        try:
            left = await self._groups.leave(
                GroupLeave(station=member.station, group=member.group), station_id=member.station_id
            )
            if not left.removed and await self._members.is_in_doubt():
                return  # somebody may be there: look again later
        except Refusal as refusal:
            # Without its station there is no group either.
            if refusal.code is not ErrorCode.STATION_NOT_FOUND:
                logger.warning("the group %s is not ended yet: %s", member.group, refusal.text)
                return
        await self._members.erase(found)

    async def _forget(self, members: list[StoredMember]) -> None:
        """Their groups stay, with their positions: a client that crashed comes back under another id."""
        living = await self._members.living() if members else frozenset[str]()
        if living is None:
            return
        now = time.monotonic()
        gone = {f.record.key: f for f in members if f.member.connection_id not in living}
        self._gone_since = {key: self._gone_since.get(key, now) for key in gone}
        late = [found for key, found in gone.items() if now - self._gone_since[key] > _FORGET_S]
        await for_each(late, self._members.erase)
