"""The rule what a native client may do.

Pure. Invariant: nothing here knows how permissions reach the engine.
"""

from __future__ import annotations

from memphis.wire import subjects
from memphis.wire.names import UserName
from memphis_broker.engine.logins import Permissions


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
        subscribe=(
            f"{inbox}.>",
            subjects.MEMBERS_ALL,
            subjects.UPDATES_ALL,
        ),
    )
