"""What a mirror asks of an original's broker: its stations, a group of its own, and how far that is.

The group is made by the request that the original's SDKs send for a consumer, so the original takes the
mirror for one of them. Everything else is JetStream's own API, which the original's engine has as well.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, Final, NamedTuple

from memphis.exceptions import MemphisTimeoutError
from memphis.transport import Connection, NoRespondersError
from memphis.wire import legacy
from memphis.wire.names import GroupName, StationName, UserName
from memphis_broker.move_in.counts import StreamCount
from memphis_broker.move_in.model import MoveInError

_DELIVERIES_MAX: Final = 10
"""The most that an original takes."""
_NANOSECONDS: Final = 1_000_000_000
_REQUEST_TIMEOUT_S: Final = 20.0
_ENGINE_TIMEOUT_S: Final = 5.0
_REQUEST_VERSION: Final = 4
_PARTITION_STREAM: Final = re.compile(r"(?P<station>[^$]+)\$(?P<number>[1-9][0-9]*)")
_STREAM_NOT_FOUND: Final = 10059
_CONSUMER_NOT_FOUND: Final = 10014

UNPARTITIONED: Final = 0
"""Stands for the one stream of a station from before there were partitions."""


class SourcePartition(NamedTuple):
    """One partition of a station there, as the mirror's group reads it."""

    station: StationName
    number: int
    stream: str
    group: GroupName

    @property
    def pull_subject(self) -> bytes:
        """Where messages of the group are asked for."""
        return f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.group.internal}".encode()

    def __str__(self) -> str:
        if self.number == UNPARTITIONED:
            return f"station {self.station}"
        return f"station {self.station}, partition {self.number}"


class GroupProgress(NamedTuple):
    """How far the mirror's group is in one partition."""

    created: str
    """When the group was made, in the engine's words: unique to this life of it."""
    is_fresh: bool
    """Whether it was never given a message."""
    pending: int
    """Messages that it was not given yet."""
    unacknowledged: int
    """Messages that it was given and did not acknowledge."""
    ack_wait_s: float

    @property
    def waiting(self) -> int:
        """What is not known to be here yet."""
        return self.pending + self.unacknowledged


class OriginalBroker:
    """An original's broker, over one connection.

    Args:
        connection: Logged in there.
        connection_id: As the connection's name has it.
        user: Who is logged in.
        group: The mirror's group, and the name of its member.
        ack_time_s: After which time the group is given a message again that was not acknowledged.
    """

    def __init__(
        self,
        connection: Connection,
        connection_id: str,
        user: UserName,
        group: GroupName,
        *,
        ack_time_s: int,
    ) -> None:
        self.connection = connection
        self._connection_id = connection_id
        self._user = user
        self._group = group
        self._ack_time_ms = ack_time_s * 1000
        self._tells_counts = True

    async def stations(self) -> dict[StationName, list[str]]:
        """The names of all stations there, each with those of its streams.

        A stream whose name could be that of a station from before partitions is among them; it may be
        anything.

        Raises:
            MoveInError: The engine there has no JetStream, or refuses to tell.
        """
        found: dict[StationName, list[str]] = {}
        offset = 0
        while True:
            page = await self._engine("STREAM.NAMES", {"offset": offset})
            names = page.get("streams") or []
            for name in names:
                parts = _PARTITION_STREAM.fullmatch(name)
                station = parts["station"] if parts else name
                if "$" not in station:
                    found.setdefault(_station_name(station), []).append(name)
            offset += len(names)
            if not names or offset >= int(page.get("total") or 0):
                return found

    async def join(self, station: StationName) -> list[SourcePartition]:
        """Make the mirror's group on a station that is there, or find it; its partitions.

        The original would create a station that is not there, so look for it before.

        Raises:
            MoveInError: The original refused.
        """
        request = {
            "name": self._group,
            "station_name": station,
            "connection_id": self._connection_id,
            "consumer_type": "application",
            "consumers_group": self._group,
            "max_ack_time_ms": self._ack_time_ms,
            "max_msg_deliveries": _DELIVERIES_MAX,
            "start_consume_from_sequence": 1,
            "last_messages": -1,
            "req_version": _REQUEST_VERSION,
            "username": self._user,
            "app_id": str(uuid.uuid4()),
            "sdk_lang": "python",
        }
        try:
            reply = await self.connection.request(
                legacy.CONSUMER_CREATIONS,
                json.dumps(request).encode(),
                timeout_s=_REQUEST_TIMEOUT_S,
            )
        except NoRespondersError as error:
            raise MoveInError(
                "no broker answers at the source: its engine is up, the broker is not, or it is no "
                "original's"
            ) from error
        return self._partitions(station, reply.payload)

    async def progress(self, partition: SourcePartition) -> GroupProgress:
        """How far the group is in one partition.

        Raises:
            MoveInError: The group or the stream is gone.
        """
        info = await self._engine(
            f"CONSUMER.INFO.{partition.stream}.{partition.group.internal}", about=str(partition)
        )
        return GroupProgress(
            created=str(info["created"]),
            is_fresh=not info["delivered"]["consumer_seq"],
            pending=int(info["num_pending"]),
            unacknowledged=int(info["num_ack_pending"]),
            ack_wait_s=int(info["config"]["ack_wait"]) / _NANOSECONDS,
        )

    async def count(self, partition: SourcePartition) -> StreamCount | None:
        """What the partition holds there; None where this user is not told.

        Raises:
            MoveInError: The stream is gone.
        """
        if not self._tells_counts:
            return None
        subject = f"{partition.stream}.final"
        try:
            info = await self._engine(
                f"STREAM.INFO.{partition.stream}",
                {"subjects_filter": subject},
                about=str(partition),
            )
        except MemphisTimeoutError:
            # What a user may not ask is not answered; once is enough to wait for that.
            self._tells_counts = False
            return None
        state = info["state"]
        by_subject = state.get("subjects") or {}
        messages = by_subject.get(subject, 0)
        if not isinstance(messages, int):
            messages = int(state["messages"])  # a fork's own way to say more
        return StreamCount(messages, int(state["messages"]) == int(state["last_seq"]))

    def _partitions(self, station: StationName, reply: bytes) -> list[SourcePartition]:
        """What the reply to a consumer's creation says: JSON, or plain text for a refusal."""
        try:
            answer = legacy.decode_object(reply)
            updates = legacy.lower_keys(answer.get("partitions_update") or {})
            numbers = updates.get("partitions_list") or []
        except (ValueError, AttributeError) as error:
            words = reply.decode("utf-8", "replace").strip()
            raise MoveInError(
                f"the source refused a group for station {station}: {words}"
            ) from error
        if answer.get("error"):
            raise MoveInError(
                f"the source refused a group for station {station}: {answer['error']}"
            )
        if not numbers:
            stream = station.internal
            return [SourcePartition(station, UNPARTITIONED, stream, self._group)]
        return [
            SourcePartition(station, int(n), f"{station.internal}${int(n)}", self._group)
            for n in numbers
        ]

    async def _engine(
        self, request: str, body: dict[str, Any] | None = None, *, about: str = ""
    ) -> dict[str, Any]:
        """One request to JetStream there."""
        try:
            reply = await self.connection.request(
                f"$JS.API.{request}",
                json.dumps(body).encode() if body else b"",
                timeout_s=_ENGINE_TIMEOUT_S,
            )
            answer = json.loads(reply.payload)
        except NoRespondersError as error:
            raise MoveInError("the engine at the source has no JetStream") from error
        except ValueError as error:
            raise MoveInError(f"the source's answer to {request} is no JSON") from error
        failure = answer.get("error")
        if not failure:
            return dict(answer)
        if failure.get("err_code") in {_STREAM_NOT_FOUND, _CONSUMER_NOT_FOUND}:
            raise MoveInError(f"{about}: the mirror's group, or the station, is gone at the source")
        raise MoveInError(f"the source refused {request}: {failure.get('description', '')}")


def _station_name(internal: str) -> StationName:
    # Names from there; one that is none by our grammar cannot be found here, which is said then.
    return StationName(internal.replace("#", "."))
