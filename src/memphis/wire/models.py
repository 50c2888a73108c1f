"""Requests and replies of the native protocol, ``$memphis.api.v1.<noun>.<verb>``.

Requests are strict: an unknown field or a value of the wrong type is refused, because a field that
is silently ignored is a wish silently not granted. Replies are lenient, so that an older client
can read a newer broker. A reply is an :class:`Envelope` in JSON: ``{"ok": {...}}`` or
``{"error": {"code": 2001, "message": "..."}}``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from memphis.types import Retention, Storage
from memphis.wire.partitions import PARTITIONS_MAX

IDEMPOTENCY_WINDOW_MS_MIN = 100
IDEMPOTENCY_WINDOW_MS_MAX = 86_400_000
SEQUENCE_MAX = 2**63 - 1
LIST_LIMIT_MAX = 1000
DEAD_LETTER_AGE_MAX_S = 10 * 366 * 86_400

# Names travel as plain text and are parsed by the service, which says precisely what is wrong.
NameText = Annotated[str, Field(max_length=1024)]
Count = Annotated[int, Field(ge=0, le=SEQUENCE_MAX)]


class Request(BaseModel):
    """The base of every request: strict, and closed to unknown fields.

    Each subclass names its own place in the protocol, so there is no second table to keep.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    noun: ClassVar[str]
    verb: ClassVar[str]


class Reply(BaseModel):
    """The base of every reply: fields that this version does not know are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ErrorBody(Reply):
    """A refusal on the wire."""

    code: int
    message: str


class Envelope(Reply):
    """What every reply is wrapped in: exactly one of the two is set."""

    ok: dict[str, Any] | None = None
    error: ErrorBody | None = None


class StationOptions(BaseModel):
    """Everything that can be chosen about a station, with the specification's defaults.

    ``messages`` and ``bytes`` retention bound the whole station; each partition gets its share,
    rounded up. An idempotency window longer than the age retention is cut to it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    retention_type: Retention = Retention.MAX_MESSAGE_AGE_SECONDS
    retention_value: int = Field(default=3600, le=SEQUENCE_MAX, strict=True)
    storage_type: Storage = Storage.DISK
    replicas: int = Field(default=1, ge=1, le=5, strict=True)
    idempotency_window_ms: int = Field(
        default=120_000, ge=IDEMPOTENCY_WINDOW_MS_MIN, le=IDEMPOTENCY_WINDOW_MS_MAX, strict=True
    )
    schema_name: str = Field(default="", max_length=1024, strict=True)
    send_poison_msg_to_dls: bool = Field(default=True, strict=True)
    send_schema_failed_msg_to_dls: bool = Field(default=True, strict=True)
    tiered_storage_enabled: bool = Field(default=False, strict=True)
    partitions_number: int = Field(default=1, ge=1, le=PARTITIONS_MAX, strict=True)
    dls_station: str = Field(default="", max_length=1024, strict=True)
    dead_letter_age_max_s: int = Field(default=0, ge=0, le=DEAD_LETTER_AGE_MAX_S, strict=True)
    """0: as long as the broker keeps any."""
    dead_letter_count_max: int = Field(default=0, ge=0, le=SEQUENCE_MAX, strict=True)
    """0: as many as the broker keeps."""

    def as_kept(self) -> StationOptions:
        """The options as a station has them: names in lower case, the window cut to the age."""
        window_ms = self.idempotency_window_ms
        if self.retention_type is Retention.MAX_MESSAGE_AGE_SECONDS:
            window_ms = min(window_ms, self.retention_value * 1000)
        return self.model_copy(
            update={
                "idempotency_window_ms": window_ms,
                "schema_name": self.schema_name.lower(),
                "dls_station": self.dls_station.lower(),
            }
        )


class AttachedSchema(Reply):
    """The version of a schema that a station's messages have to fit now."""

    name: str
    id: str
    version: int


class StationDescription(Reply):
    """A station as clients need to know it."""

    name: str
    id: str
    """Unique to this life of the station: a station created again under its name gets another."""
    options: StationOptions
    partitions: list[int]
    created_at: datetime
    attached_schema: AttachedSchema | None = None
    """None where the station has no schema."""


class PartitionInfo(Reply):
    """One partition, as the engine counts it."""

    number: int
    messages: int
    bytes: int
    first_sequence: int
    last_sequence: int


class GroupInfo(Reply):
    """One consumer group, summed over the partitions."""

    name: str
    pending: int
    """Messages not yet delivered to the group."""
    unacknowledged: int
    """Messages delivered and not yet acknowledged."""
    redelivered: int
    """Of those, messages delivered more than once."""
    dead_letters: int = 0


class DeadLetterCounts(Reply):
    """How many dead letters a station has, by kind."""

    poison: int = 0
    """That a group could not process; one for each group."""
    schema_failed: int = 0
    """That failed the station's schema."""


class StationInfo(Reply):
    """What a station holds now, and how far its groups are."""

    name: str
    options: StationOptions
    created_at: datetime
    messages: int
    bytes: int
    partitions: list[PartitionInfo]
    groups: list[GroupInfo]
    dead_letters: DeadLetterCounts = DeadLetterCounts()


class StationSummary(Reply):
    """One line in a list of stations."""

    name: str
    partitions: int
    retention_type: Retention
    retention_value: int
    storage_type: Storage
    replicas: int
    schema_name: str
    messages: int
    bytes: int
    created_at: datetime


class StationCreate(Request):
    """Create a station; one that exists is returned unchanged. Reply: :class:`StationOpened`."""

    noun = "station"
    verb = "create"
    name: NameText
    options: StationOptions = StationOptions()


class StationOpened(Reply):
    """The station, and whether this request created it."""

    station: StationDescription
    created: bool


class StationGet(Request):
    """Describe a station. Reply: :class:`StationDescription`. Refused with 2001 if missing."""

    noun = "station"
    verb = "get"
    name: NameText


class StationInfoGet(Request):
    """What a station holds. Reply: :class:`StationInfo`."""

    noun = "station"
    verb = "info"
    name: NameText


class StationList(Request):
    """A page of stations in the order of their names. Reply: :class:`StationPage`."""

    noun = "station"
    verb = "list"
    after: NameText = ""
    """Only names that come after this one."""
    limit: Annotated[int, Field(ge=1, le=LIST_LIMIT_MAX)] = 500


class StationPage(Reply):
    """A page of stations; ``more`` says whether another follows the last name."""

    stations: list[StationSummary]
    more: bool


class StationPurge(Request):
    """Delete a station's messages, not the station. Reply: :class:`Purged`."""

    noun = "station"
    verb = "purge"
    name: NameText


class Purged(Reply):
    """How many messages went."""

    messages: int


class StationConfigure(Request):
    """Change what becomes of a station's dead letters. Reply: :class:`StationDescription`.

    Fields that are None stay as they are. Clients that use the station follow at once.
    """

    noun = "station"
    verb = "configure"
    name: NameText
    send_poison_msg_to_dls: bool | None = None
    send_schema_failed_msg_to_dls: bool | None = None
    dls_station: NameText | None = None
    """Empty: none any more. One that does not exist is created."""
    dead_letter_age_max_s: Annotated[int, Field(ge=0, le=DEAD_LETTER_AGE_MAX_S)] | None = None
    dead_letter_count_max: Count | None = None


class StationRemove(Request):
    """Delete a station and all it holds. Reply: :class:`Done`. Refused with 2001 if missing."""

    noun = "station"
    verb = "remove"
    name: NameText
    id: Annotated[str, Field(max_length=64)] = ""
    """Only this life of the station, from its description; a later one is refused like a missing
    one. Empty: whichever is there. With an id, a request made again cannot do more than once."""


class Done(Reply):
    """It is done, and there is nothing to tell."""


class GroupJoin(Request):
    """Make sure that a group exists on every partition. Reply: :class:`GroupJoined`.

    A group that exists keeps its position. Its ack time and delivery limit are set anew only while
    it has no other live member; the reply says which hold.
    """

    noun = "group"
    verb = "join"
    station: NameText
    group: NameText
    max_ack_time_ms: Annotated[int, Field(ge=1, le=86_400_000)] = 30_000
    max_msg_deliveries: Annotated[int, Field(ge=1, le=1_000_000)] = 2
    start_consume_from_sequence: Annotated[int, Field(ge=1, le=SEQUENCE_MAX)] = 1
    last_messages: Annotated[int, Field(ge=-1, le=SEQUENCE_MAX)] = -1
    listening: bool = False
    """Whether whoever joins listens on the group's members subject already: then one of the answers
    there is its own, and does not count as another member."""


class GroupJoined(Reply):
    """The station that the group reads, whether this request created the group, and its limits.

    The limits are those of the group, which need not be those that were asked for. A broker that
    does not tell them leaves them None.
    """

    station: StationDescription
    created: bool
    max_ack_time_ms: int | None = None
    max_msg_deliveries: int | None = None
    life: str = ""
    """Unique to this life of the group; empty where it is not known."""


class GroupLeave(Request):
    """A member has gone: end the group if no live member is left. Reply: :class:`GroupLeft`."""

    noun = "group"
    verb = "leave"
    station: NameText
    group: NameText


class GroupLeft(Reply):
    """Whether the group ended with this member."""

    removed: bool


class StationUpdate(Reply):
    """Pushed on :func:`memphis.wire.subjects.updates_subject` when a station changes."""

    event: str
    """``removed``, or ``changed``."""
    station_id: str
