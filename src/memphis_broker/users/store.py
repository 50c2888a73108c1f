"""Users with passwords of their own, in records. Keeps no state: requests and logins have one each."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from memphis.wire.names import UserName
from memphis_broker.engine.records import Record, RecordStore
from memphis_broker.users.model import UserRecord, key_of

BUCKET: Final = "memphis_users"


class StoredUser(NamedTuple):
    """A user with the revision of its record; ``user`` is None where there is none."""

    user: UserRecord | None
    revision: int


class KnownUsers(Protocol):
    """Tells who has a password of their own."""

    async def find(self, name: UserName, /) -> StoredUser:
        """The user as it is stored now.

        Raises:
            Refusal: It cannot be told.
        """


class NoUsers:
    """Of a broker that has none but root."""

    async def find(self, _: UserName) -> StoredUser:
        """Nobody."""
        return StoredUser(None, 0)


class UserStore:
    """The records. Safe for many tasks and many brokers at once."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    async def open(self) -> None:
        """Make sure that the bucket is there. Until then there are no users."""
        await self._records.open()

    async def find(self, name: UserName) -> StoredUser:
        """See :class:`KnownUsers`."""
        return _parsed(await self._records.read(key_of(name)))

    async def write(self, user: UserRecord, revision: int) -> int:
        """Write a user whose record still has this revision; the new one.

        Raises:
            RecordConflictError: It has changed; nothing was written.
        """
        key = key_of(UserName.parse(user.name))
        return await self._records.write(key, user.model_dump_json().encode(), revision)

    async def erase(self, name: UserName, revision: int) -> None:
        """Remove a user whose record still has this revision.

        Raises:
            RecordConflictError: It has changed; nothing was removed.
        """
        await self._records.erase(key_of(name), revision)

    async def all(self) -> list[UserRecord]:
        """All users, in the order of their names."""
        found = [_parsed(record).user for record in await self._records.scan()]
        return sorted((user for user in found if user), key=lambda user: user.name)


def _parsed(record: Record) -> StoredUser:
    if record.value is None:
        return StoredUser(None, record.revision)
    return StoredUser(UserRecord.model_validate_json(record.value), record.revision)
