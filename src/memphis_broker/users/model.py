"""The rules what a client may do: one that speaks the native protocol, and an SDK of the original.

Pure. Invariant: nothing here knows how permissions reach the engine.
"""

from __future__ import annotations

from memphis.wire import legacy, subjects
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
