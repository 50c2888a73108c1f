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
from memphis_broker.engine.concurrency import for_each
from memphis_broker.groups.service import GroupService
from memphis_broker.legacy.members import MemberKey, Members, StoredMember

logger = logging.getLogger(__name__)

_LOOK_S: Final = 20.0
"""How soon what another broker left behind is seen to."""
_FORGET_S: Final = 600.0
"""How long the connection of a member may be gone before the member is forgotten."""
_ANSWER_S: Final = 0.6


class Leaving:
    """:meth:`step` is one round of work."""

    def __init__(self, members: Members, groups: GroupService) -> None:
        self._members = members
        self._groups = groups
        self._wake = asyncio.Event()
        self._gone_since: dict[str, float] = {}

    async def leave(self, key: MemberKey) -> bool:
        """A member goes, and its group with it if no other is left; that may end after this returns.

        Returns:
            False if there is no such member.
        """
        found = await self._members.mark_leaving(key)
        if found is None:
            return False
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._end(found)
        except TimeoutError:
            self._wake.set()
        return True

    async def step(self) -> None:
        """See to those who are leaving, and to those who went without a word."""
        self._wake.clear()
        members = await self._members.all()
        await for_each([found for found in members if found.member.leaving], self._end)
        await self._forget([found for found in members if not found.member.leaving])
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await self._wake.wait()

    async def _end(self, found: StoredMember) -> None:
        member = found.member
        try:
            await self._groups.leave(
                GroupLeave(station=member.station, group=member.group), station_id=member.station_id
            )
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
