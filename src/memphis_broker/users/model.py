"""What a user is, and the rules what a client may do: a native one, and an SDK of the original.

Pure. Invariants: nothing here knows how permissions reach the engine; no hash shows in a ``repr``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from memphis.wire import legacy, subjects
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.names import UserName
from memphis.wire.users import UserSummary, UserType
from memphis_broker.engine.logins import Permissions

ROOT: Final = UserName.parse("root")


class UserRecord(BaseModel):
    """The one durable fact about a user.

    Attributes:
        type: Kept for whoever lists users; both may do the same.
        password_hash: By argon2id, with its parameters and salt, in the usual form.
    """

    # An error that quotes what it was made of would quote the hash.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    format: int = 1
    name: str
    type: UserType
    password_hash: str = Field(repr=False)
    created_at: datetime
    password_set_at: datetime

    def summarize(self) -> UserSummary:
        """The user as root sees it in a list."""
        return UserSummary(
            name=self.name,
            type=self.type,
            created_at=self.created_at,
            password_set_at=self.password_set_at,
        )


def key_of(name: UserName) -> str:
    """The key of a user's record. A dot would split the key, and ``#`` is not allowed in one."""
    return name.replace(".", "/")


def check_not_root(name: UserName) -> None:
    """Refuse to make root a user like others.

    Raises:
        Refusal: ``INVALID_OPTION``.
    """
    if name == ROOT:
        raise Refusal(
            ErrorCode.INVALID_OPTION,
            "root is no user that can be created, removed or given a password here: every broker has it, "
            "and its password is a setting of `memphis serve`, --root-password",
        )


def not_found(name: UserName) -> Refusal:
    """The refusal for a user that is not there."""
    return Refusal(ErrorCode.USER_NOT_FOUND, f"there is no user {name}")


def exists(name: UserName) -> Refusal:
    """The refusal to create a user that is there."""
    return Refusal(
        ErrorCode.USER_EXISTS,
        f"the user {name} exists, with another password or of another type, and stays as it is; to give "
        f"it a new password: memphis user password {name}",
    )


def native_permissions(user: UserName, connection_id: str | None) -> Permissions:
    """What a client that speaks the native protocol needs, and nothing else.

    No wider inbox than the connection's own, so that nobody reads another's replies; no stream or
    KV subjects of the engine, so that every change goes through the broker.

    Args:
        user: Who.
        connection_id: The connection's own random id, checked. None grants the inboxes of all
            connections of this user, which only a user who has proved to be that one may have.
    """
    if connection_id is None:
        inbox = subjects.inbox_prefix(user)
    else:
        inbox = subjects.connection_inbox_prefix(user, connection_id)
    return Permissions(
        publish=(
            subjects.API_ALL,
            subjects.INGEST_ALL,
            subjects.PULL_ALL,
            subjects.ACK_ALL,
            subjects.SCHEMA_FAILURES_ALL,
            subjects.POISON_ALL,
        ),
        publish_denied=subjects.NOT_FOR_CLIENTS,
        subscribe=(
            f"{inbox}.>",
            subjects.MEMBERS_ALL,
            subjects.UPDATES_ALL,
        ),
    )


def original_permissions(user: UserName, connection_id: str | None) -> Permissions:
    """What a client needs that is, or may be, an SDK of the original; the native protocol as well.

    Such a client listens for replies wherever its NATS library likes, so these clients can read each
    other's, but none of a native client. Messages outside of a group stay closed to it. The subjects of
    its pushes have a station's name inside of a word, where no wildcard reaches: so it may listen to all
    subjects of one and two words, which to the engine includes ``>``, but for what is forbidden by name.
    A new subject of the clients' account must be forbidden here as well.
    """
    native = native_permissions(user, connection_id)
    return Permissions(
        publish=(
            *native.publish,
            *legacy.REQUESTS,
            *legacy.REPORTS,
            *legacy.TOLERATED,
            legacy.PRODUCED_ALL,
            legacy.INGEST_ALL,
            legacy.JETSTREAM_INFO,
            legacy.STREAM_BY_SUBJECT,
            legacy.STREAM_INFO,
            legacy.CONSUMER_INFO,
        ),
        publish_denied=native.publish_denied,
        subscribe=(*native.subscribe, "_INBOX.>", "*", "*.*"),
        subscribe_denied=(
            *legacy.REQUESTS,
            *legacy.REPORTS,
            *legacy.TOLERATED,
            *subjects.PRIVATE,
        ),
    )
