"""Every subject, stream name and inbox of the protocol, each built in one place.

Where a builder takes ``station`` or ``group`` it wants the typed name and writes the internal form.
The letters I$p below stand for "internal station name, dollar, partition number".
"""

from __future__ import annotations

from typing import Final, NamedTuple

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

_OWN_INBOXES: Final = "_MBOX"
INBOX_ROOTS: Final = ("_INBOX.", f"{_OWN_INBOXES}.")
"""What every subject for replies begins with: of other NATS clients, and of this SDK."""

MEMBERS_ALL: Final = "$memphis.members.*.*"
UPDATES_ALL: Final = "$memphis.updates.*"

_DEAD_LETTERS: Final = "$memphis.dead_letters"
DEAD_LETTERS_ALL: Final = f"{_DEAD_LETTERS}.>"

KIND_POISON: Final = "poison"
"""A dead letter that a group could not process."""
KIND_SCHEMA: Final = "schema"
"""A dead letter that never got in, because it failed its station's schema."""
KIND_MALFORMED: Final = "malformed"
"""Something that was taken for a dead letter, or for word of one, and cannot be understood."""
KINDS: Final = (KIND_POISON, KIND_SCHEMA, KIND_MALFORMED)
NO_PARTITION: Final = 0
_PLACE_TOKENS: Final = 4
_NOTHING: Final = "-"
"""No group and no station's id can be called so."""

SCHEMA_FAILURES_ALL: Final = f"{_DEAD_LETTERS}.*.{NO_PARTITION}.{_NOTHING}.{KIND_SCHEMA}"
"""What a producing user may store among the dead letters."""
POISON_ALL: Final = f"{_DEAD_LETTERS}.*.*.*.{KIND_POISON}"
"""What a consuming user may store among the dead letters."""
MALFORMED: Final = f"{_DEAD_LETTERS}.{_NOTHING}.{NO_PARTITION}.{_NOTHING}.{KIND_MALFORMED}"
"""Where the broker puts aside what it cannot understand."""

DEAD_LETTER_STREAM: Final = "memphis_dead_letters"
"""The engine stream that keeps the dead letters of all stations."""
GIVEN_UP_STREAM: Final = "memphis_given_up"
"""The engine stream that holds the engine's word of messages it gave up, until a broker has seen to them."""
REPORT_STREAM: Final = "memphis_legacy_reports"
"""The engine stream that holds what SDKs of the original report, until a broker has seen to it."""
GIVEN_UP_ALL: Final = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"
"""Where the engine says so, for consumers that have a limit of deliveries. (nats-server, JetStream)"""


NOT_FOR_CLIENTS: Final = tuple(
    subject
    for stream in (DEAD_LETTER_STREAM, GIVEN_UP_STREAM, REPORT_STREAM)
    for subject in (
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.>",
        f"$JS.ACK.{stream}.>",
        f"$JS.ACK.*.*.{stream}.>",
    )
)
"""Work of the broker that waits in the clients' account: no client may take any of it, or call it done."""

PRIVATE: Final = (
    INGEST_ALL,
    "*.final",
    "*.redrive.>",
    f"{_OWN_INBOXES}.>",
    API_ALL,
    "$memphis.ingest.>",
    DEAD_LETTERS_ALL,
    "$JS.>",
    "$KV.>",
    "$SYS.>",
)
"""What no client may listen to but by a permission of its own: messages, replies, requests, records."""


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


def redrive_subject(station: StationName, partition: int, group: GroupName, letter_id: int) -> str:
    """Where a dead letter is given back to one group.

    Each has a subject of its own: retention by messages is a limit for a subject, and takes none of them.
    """
    return f"{stream_name(station, partition)}.redrive.{group.internal}.{letter_id}"


def group_redrives_filter(station: StationName, partition: int, group: GroupName) -> str:
    """Every dead letter that was given back to one group in one partition."""
    return f"{stream_name(station, partition)}.redrive.{group.internal}.*"


def redrives_filter(station: StationName, partition: int) -> str:
    """Every dead letter that was given back to any group in one partition."""
    return f"{stream_name(station, partition)}.redrive.*.*"


def redrive_group(subject: str) -> str:
    """The internal name of the group that a :func:`redrive_subject` is for; empty for other subjects."""
    _, _, rest = subject.partition("$")
    _, _, found = rest.partition(".redrive.")
    return found.partition(".")[0]


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


def dead_letter_subject(station_id: str, partition: int, group: GroupName, kind: str) -> str:
    """Under which a dead letter is stored in the broker's dead-letter stream.

    By the station's id, not its name: a later life of the station has other dead letters.
    """
    return f"{_DEAD_LETTERS}.{station_id}.{partition}.{group.internal}.{kind}"


def schema_failure_subject(station_id: str) -> str:
    """Where a producer stores a message that failed the station's schema: it has no place and no group."""
    return f"{_DEAD_LETTERS}.{station_id}.{NO_PARTITION}.{_NOTHING}.{KIND_SCHEMA}"


def dead_letters_filter(
    station_id: str = "", group: GroupName | None = None, kind: str = ""
) -> str:
    """The subjects of all dead letters with these properties; empty: of any."""
    middle = group.internal if group is not None else "*"
    return f"{_DEAD_LETTERS}.{station_id or '*'}.*.{middle}.{kind or '*'}"


class DeadLetterPlace(NamedTuple):
    """What the subject of a dead letter says; ``group`` is empty where it has none."""

    station_id: str
    partition: int
    group: str
    kind: str


def parse_dead_letter_subject(subject: str) -> DeadLetterPlace | None:
    """What :func:`dead_letter_subject` and its like have written; None for any other subject."""
    tokens = subject.removeprefix(f"{_DEAD_LETTERS}.").split(".")
    if len(tokens) != _PLACE_TOKENS or not subject.startswith(f"{_DEAD_LETTERS}."):
        return None
    station_id, partition, group, kind = tokens
    if not (partition.isascii() and partition.isdigit()) or kind not in KINDS:
        return None
    name = "" if group == _NOTHING else group.replace("#", ".")
    return DeadLetterPlace(station_id, int(partition), name, kind)


def broker_inbox_prefix() -> str:
    """Where the broker listens for replies; no user's name begins with a dollar."""
    return f"{_OWN_INBOXES}.$broker"


def inbox_prefix(user: UserName) -> str:
    """Where a user of another NATS client may listen for replies, so that no user reads another's."""
    return f"_INBOX.{user.internal}"


def connection_inbox_prefix(user: UserName, connection_id: str) -> str:
    """The only place where one connection of this SDK listens for replies.

    Not below the common ``_INBOX``, all of which SDKs of the original have to be permitted.
    """
    return f"{_OWN_INBOXES}.{user.internal}.{connection_id}"
