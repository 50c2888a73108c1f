"""Every subject, stream name and inbox of the protocol, each built in one place.

Where a builder takes ``station`` or ``group`` it wants the typed name and writes the internal form.
The letters I$p below stand for "internal station name, dollar, partition number".
"""

from __future__ import annotations

from typing import Final

from memphis.wire.names import GroupName, StationName, UserName

API_PREFIX: Final = "$memphis.api.v1"
"""All native requests: ``$memphis.api.v1.<noun>.<verb>``."""

API_ALL: Final = API_PREFIX + ".>"

INGEST_ALL: Final = "*.in"
"""What a producing user may publish to: the ingest subject of any partition."""

PULL_ALL: Final = "$JS.API.CONSUMER.MSG.NEXT.*.*"
"""What a consuming user may ask of the engine: messages of a group. (nats-server, JetStream API)"""

ACK_ALL: Final = "$JS.ACK.>"
"""Acknowledgements. (nats-server, JetStream API)"""

MEMBERS_ALL: Final = "$memphis.members.*.*"
UPDATES_ALL: Final = "$memphis.updates.*"
DEAD_LETTERS_ALL: Final = "$memphis.dead_letters.>"

KIND_POISON: Final = "poison"
"""A dead letter that a group could not process."""
KIND_SCHEMA: Final = "schema"
"""A dead letter that never got in, because it failed its station's schema."""
_NO_PARTITION: Final = 0
_NO_GROUP: Final = "-"
"""No group can be called so."""

SCHEMA_FAILURES_ALL: Final = f"$memphis.dead_letters.*.{_NO_PARTITION}.{_NO_GROUP}.{KIND_SCHEMA}"
"""What a producing user may store among the dead letters."""


def stream_name(station: StationName, partition: int) -> str:
    """The engine stream that holds one partition: ``I$p``."""
    return f"{station.internal}${partition}"


def stream_subjects(station: StationName, partition: int) -> str:
    """Everything that the stream of a partition captures: ``I$p.>``."""
    return f"{stream_name(station, partition)}.>"


def ingest_subject(station: StationName, partition: int) -> str:
    """Where native producers publish; the stream stores it under :func:`final_subject`."""
    return f"{stream_name(station, partition)}.in"


def final_subject(station: StationName, partition: int) -> str:
    """Under which a message is stored, and what groups read."""
    return f"{stream_name(station, partition)}.final"


def redrive_subject(station: StationName, partition: int, group: GroupName) -> str:
    """Where a dead letter is given back to one group."""
    return f"{stream_name(station, partition)}.redrive.{group.internal}"


def pull_subject(station: StationName, partition: int, group: GroupName) -> str:
    """Where a member asks for messages of its group in one partition."""
    return f"$JS.API.CONSUMER.MSG.NEXT.{stream_name(station, partition)}.{group.internal}"


def api_subject(noun: str, verb: str) -> str:
    """A native request."""
    return f"{API_PREFIX}.{noun}.{verb}"


def members_subject(station: StationName, group: GroupName) -> str:
    """Every live member of a group listens here; the broker asks to learn whether any is left."""
    return f"$memphis.members.{station.internal}.{group.internal}"


def updates_subject(station: StationName) -> str:
    """Where the broker tells clients that a station changed or went."""
    return f"$memphis.updates.{station.internal}"


def dead_letter_subject(station: StationName, partition: int, group: GroupName, kind: str) -> str:
    """Under which a dead letter is stored in the broker's dead-letter stream."""
    return f"$memphis.dead_letters.{station.internal}.{partition}.{group.internal}.{kind}"


def schema_failure_subject(station: StationName) -> str:
    """Where a producer stores a message that failed the station's schema: it has no place and no group."""
    return f"$memphis.dead_letters.{station.internal}.{_NO_PARTITION}.{_NO_GROUP}.{KIND_SCHEMA}"


def inbox_prefix(user: UserName) -> str:
    """The only place a user may listen for replies, so that no user reads another's."""
    return f"_INBOX.{user.internal}"


def connection_inbox_prefix(user: UserName, connection_id: str) -> str:
    """The only place where one connection listens for replies, among those of its user."""
    return f"{inbox_prefix(user)}.{connection_id}"
