"""The rule what a native client may do.

Pure. Invariant: nothing here knows how permissions reach the engine.
"""

from __future__ import annotations

from memphis.wire import subjects
from memphis.wire.names import UserName
from memphis_broker.engine.logins import Permissions


def native_permissions(user: UserName) -> Permissions:
    """What a client that speaks the native protocol needs, and nothing else.

    No wider inbox than the user's own, so that nobody reads another user's replies; no stream or
    KV subjects of the engine, so that every change goes through the broker.
    """
    return Permissions(
        publish=(subjects.API_ALL, subjects.INGEST_ALL, subjects.PULL_ALL, subjects.ACK_ALL),
        subscribe=(
            f"{subjects.inbox_prefix(user)}.>",
            subjects.MEMBERS_ALL,
            subjects.UPDATES_ALL,
        ),
    )
