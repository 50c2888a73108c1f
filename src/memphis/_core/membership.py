"""A consumer's membership of its group: joining, being counted, leaving.

Whether a group has live members is not written down anywhere that could be out of date: every member
listens on the group's members subject, and the broker asks there before it ends a group.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from memphis._core.arguments import checked
from memphis.exceptions import MemphisError, MemphisNotFoundError, MemphisUsageError
from memphis.types import Storage
from memphis.wire.models import (
    GroupJoin,
    GroupJoined,
    GroupLeave,
    GroupLeft,
    StationInfo,
    StationInfoGet,
)
from memphis.wire.names import GroupName, StationName
from memphis.wire.subjects import members_subject, pull_subject

if TYPE_CHECKING:
    from memphis._core.session import Session
    from memphis._core.station_state import StationState
    from memphis.transport.protocol import MessageFrame
    from memphis.transport.subscriptions import Subscription

_log = logging.getLogger(__name__)

_PRESENT = b"+"


def check_join(
    max_ack_time_ms: int, max_msg_deliveries: int, start_sequence: int, last_messages: int
) -> None:
    """Check how a group is to read.

    Raises:
        MemphisUsageError: A value out of its range, or two starting points.
    """
    for name, value, low in (
        ("max_ack_time_ms", max_ack_time_ms, 1),
        ("max_msg_deliveries", max_msg_deliveries, 1),
        ("start_consume_from_sequence", start_sequence, 1),
        ("last_messages", last_messages, -1),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise MemphisUsageError(f"{name} must be an int from {low}, not {value!r}")
    if start_sequence > 1 and last_messages > -1:
        raise MemphisUsageError(
            "give start_consume_from_sequence or last_messages, not both: each says where to begin"
        )


class Membership:
    """One member of one group. Counted from :meth:`join` until :meth:`leave`."""

    def __init__(
        self, session: Session, state: StationState, request: GroupJoin, subscription: Subscription
    ) -> None:
        self._session = session
        self._request = request
        self._subscription = subscription
        self.state = state
        self.group = GroupName.parse(request.group)
        self.max_ack_time_ms = request.max_ack_time_ms
        self.max_msg_deliveries = request.max_msg_deliveries
        self.life = ""

    @classmethod
    async def join(
        cls,
        session: Session,
        station: StationName,
        group: GroupName,
        *,
        max_ack_time_ms: int,
        max_msg_deliveries: int,
        start_sequence: int,
        last_messages: int,
        retries: int,
    ) -> Membership:
        """Join, creating group and station where they do not exist.

        Raises:
            MemphisUsageError: An option out of its range.
            MemphisRequestError: The broker refused.
            MemphisConnectError: No broker answered.
        """
        request = checked(
            GroupJoin,
            station=station,
            group=group,
            max_ack_time_ms=max_ack_time_ms,
            max_msg_deliveries=max_msg_deliveries,
            start_consume_from_sequence=start_sequence,
            last_messages=last_messages,
            listening=True,
        )

        def answer(frame: MessageFrame) -> None:
            if frame[3]:
                session.connection.publish(frame[3], _PRESENT)

        # Before the group is joined: from its first moment on, nobody may find it without members.
        subscription = session.connection.subscribe(members_subject(station, group), answer)
        try:
            joined = await session.rpc.call(request, GroupJoined, retries=retries)
        except BaseException:
            subscription.unsubscribe()
            raise
        membership = cls(session, session.states.open(joined.station), request, subscription)
        if joined.max_ack_time_ms is not None:
            membership.max_ack_time_ms = joined.max_ack_time_ms
        membership.life = joined.life
        if joined.max_msg_deliveries is not None:
            membership.max_msg_deliveries = joined.max_msg_deliveries
        return membership

    def pull_subjects(self) -> dict[int, str]:
        """For each partition, where its messages are asked for."""
        return {p: pull_subject(self.state.name, p, self.group) for p in self.state.partitions}

    async def is_gone(self) -> bool:
        """Whether there is nothing to read any more: the station was removed, or the group ended.

        A group that was kept in memory is missing after the engine ended while its station stands; it
        is made again. A group on disk that is missing was ended by somebody, and its position with it:
        to begin anew is for the application to decide. In doubt (no broker answers) it is not gone.
        """
        if self.state.removed:
            return True
        try:
            rpc = self._session.rpc
            info = await rpc.call(StationInfoGet(name=self.state.name), StationInfo, retries=0)
            if any(group.name == self.group for group in info.groups):
                return False
            if info.options.storage_type is Storage.DISK:
                return True
            # Whatever the partitions hold now came after they were emptied: all of it is new.
            anew = {"start_consume_from_sequence": 1, "last_messages": -1}
            request = self._request.model_copy(update=anew)
            joined = await rpc.call(request, GroupJoined, retries=0)
        except MemphisNotFoundError:
            return True
        except MemphisError as error:
            _log.debug("whether the group %s is gone is not known: %s", self.group, error)
            return False
        _log.warning("the group %s of station %s was gone and begins anew", self.group, info.name)
        return self._session.states.open(joined.station) is not self.state

    def end(self) -> None:
        """Be counted no more. The group stays."""
        self._subscription.unsubscribe()

    async def leave(self, retries: int) -> None:
        """Be counted no more, and have the group ended if nobody else is left in it.

        The engine reads the end of the listening before the request, because both go the same way.
        """
        self.end()
        try:
            await self._session.rpc.call(
                GroupLeave(station=self.state.name, group=self.group), GroupLeft, retries=retries
            )
        except MemphisNotFoundError:
            return  # the station went before, and the group with it
