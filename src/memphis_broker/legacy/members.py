"""Who of the original's SDKs is a member of which group.

Those SDKs do not answer where ours do, and say of a consumer only its name when they end it. So a record is
kept for each, and whether its connection lives is asked of the engine. A record is written before the
group is joined, says ``leaving`` before the group is left, and goes last, so that whoever is killed in
between leaves something that is finished by :class:`~memphis_broker.legacy.leaving.Leaving`.
"""

from __future__ import annotations

import logging
import uuid
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from memphis.wire import legacy
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.names import ConsumerName, GroupName, StationName
from memphis_broker.engine.presence import Presence
from memphis_broker.engine.records import Record, RecordConflictError, RecordStore
from memphis_broker.stations.model import StationRecord, key_of

logger = logging.getLogger(__name__)

_NAME_SEPARATOR: Final = "::"


class Member(BaseModel):
    """A consumer of an SDK of the original."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    station: str
    station_id: str
    group: str
    connection_id: str
    leaving: bool = False


class StoredMember(NamedTuple):
    """A member with its record."""

    record: Record
    member: Member


class MemberKey(NamedTuple):
    """What an SDK says of a consumer whenever it speaks of it."""

    station: StationName
    connection_id: str
    consumer: ConsumerName

    @property
    def prefix(self) -> str:
        """What the keys of its records begin with: one for each group that it is in."""
        own = self.consumer.replace(".", "/")
        return f"{key_of(self.station)}.{self.connection_id}.{own}"

    def within(self, group: GroupName) -> str:
        """The key of its record as a member of one group."""
        return f"{self.prefix}.{group.replace('.', '/')}"


def checked_connection(connection_id: str) -> str:
    """The id of a connection, which becomes a part of a key.

    Raises:
        Refusal: ``MALFORMED_REQUEST`` unless it is a uuid as those SDKs write it.
    """
    try:
        if str(uuid.UUID(connection_id)) == connection_id:
            return connection_id
    except ValueError:
        pass
    raise Refusal(
        ErrorCode.MALFORMED_REQUEST, "the connection is not named '<uuid>::<user>', as SDKs name it"
    )


class Members:
    """The records. Safe for many tasks and many brokers at once."""

    def __init__(self, records: RecordStore, presence: Presence) -> None:
        self._records = records
        self._presence = presence

    async def open(self) -> None:
        """Make sure that the bucket is there."""
        await self._records.open()

    async def enter(
        self, key: MemberKey, station: StationRecord, group: GroupName
    ) -> StoredMember | None:
        """Write down a member. Returns None if it was there already: the request was made again."""
        member = Member(
            station=station.name,
            station_id=station.id,
            group=group,
            connection_id=key.connection_id,
        )
        return await self._write(key.within(group), member)

    async def mark_leaving(self, key: MemberKey) -> StoredMember | None:
        """Write down that a member is about to go; None if there is none.

        Of several groups that a consumer of this name is in, it is one; one that it is leaving already
        comes last, so that a request made again does not end another.
        """
        while True:
            found = [_parsed(record) for record in await self._records.scan(key.prefix)]
            if not found:
                return None
            chosen = min(found, key=lambda f: (f.member.leaving, f.record.key))
            if chosen.member.leaving:
                return chosen
            marked = await self._rewrite(chosen, chosen.member.model_copy(update={"leaving": True}))
            if marked is not None:
                return marked  # else somebody else wrote it meanwhile: look again

    async def erase(self, found: StoredMember) -> None:
        """Forget a member, unless it has come back since it was read."""
        try:
            await self._records.erase(found.record.key, found.record.revision)
        except RecordConflictError:
            logger.debug("the member %s has come back, or is gone already", found.record.key)

    async def is_in_doubt(self) -> bool:
        """Whether it cannot be told at this moment which connections live, though it can as a rule."""
        return self._presence.can_be_asked and await self.living() is None

    async def is_any_there(self, station: StationRecord, group: GroupName) -> bool:
        """Whether a group has a member that is not leaving and whose connection lives.

        Where it cannot be told which connections live, every member that was not ended counts.
        """
        members = [
            found.member
            for found in await self.all(station.station)
            if found.member.station_id == station.id
            and found.member.group == group
            and not found.member.leaving
        ]
        if not members:
            return False
        living = await self.living()
        return living is None or any(member.connection_id in living for member in members)

    async def living(self) -> frozenset[str] | None:
        """The ids of the connections of such SDKs; None if it cannot be told."""
        names = await self._presence.names(legacy.CLIENT_UPDATES)
        if names is None:
            return None
        return frozenset(name.partition(_NAME_SEPARATOR)[0] for name in names)

    async def all(self, station: StationName | None = None) -> list[StoredMember]:
        """All members, or those of one station."""
        records = await self._records.scan(key_of(station) if station else "")
        return [_parsed(record) for record in records]

    async def _write(self, key: str, member: Member) -> StoredMember | None:
        while True:
            record = await self._records.read(key)
            if record.value is not None and _parsed(record).member == member:
                return None
            written = await self._rewrite(StoredMember(record, member), member)
            if written is not None:
                return written  # else somebody else wrote it meanwhile: look again

    async def _rewrite(self, found: StoredMember, member: Member) -> StoredMember | None:
        """Write over what was found; None if that has changed."""
        key, value = found.record.key, member.model_dump_json().encode()
        try:
            revision = await self._records.write(key, value, found.record.revision)
        except RecordConflictError:
            return None
        return StoredMember(Record(key, value, revision), member)


def _parsed(record: Record) -> StoredMember:
    return StoredMember(record, Member.model_validate_json(record.value or b""))
