"""Dead letters on the wire: the label that each carries, and the requests about them.

A dead letter is stored by whoever found that it is one, a member of a group or a producer, with its
payload, its headers and a :class:`Label`. Given back to its group it keeps the label, so that a second
failure comes with its history.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Final

from pydantic import Field, ValidationError

from memphis.wire.headers import one_line
from memphis.wire.models import SEQUENCE_MAX, NameText, Reply, Request

REASON_LENGTH_MAX: Final = 4096
FAILURES_KEPT_MAX: Final = 10
_EARLIER_REASON_LENGTH_MAX: Final = 200
BATCH_MAX: Final = 1000
"""Dead letters that one request names or moves."""
PREVIEW_BYTES_MAX: Final = 64 * 1024
CHUNK_BYTES: Final = 512 * 1024
"""How much of a payload one reply carries."""


Id = Annotated[int, Field(ge=1, le=SEQUENCE_MAX)]
IdOrNone = Annotated[int, Field(ge=0, le=SEQUENCE_MAX)]


class Failure(Reply):
    """One time that a message was given up."""

    reason: str
    deliveries: int = 0
    """How often its group had been given it; 0 where no group was concerned."""
    at: datetime


class Label(Reply):
    """Which message a dead letter is, whose, and why. It names where the message was at first."""

    station: str
    station_id: str
    partition: IdOrNone = 0
    sequence: IdOrNone = 0
    group: str = ""
    group_life: str = ""
    """Unique to this life of the group: one that is made again gives up messages of its own."""
    kind: str
    sent_at: datetime | None = None
    """When the station stored it; None for one that never got in."""
    failures: list[Failure]
    """Oldest first; the last is why it is here now. Of many, the newest are kept."""
    round: IdOrNone = 0
    """How often it was given back before."""
    edits: IdOrNone = 0
    replaces: IdOrNone = 0
    """The id of the dead letter that this one is an edited form of."""
    payload_is_left: bool = False
    """It is too large to be copied with its label, so only the station has it, as long as it keeps it."""
    payload_is_gone: bool = False
    """Retention took the message before it could be copied."""

    @property
    def identity(self) -> str:
        """The message id by which the engine knows a second attempt to store the same dead letter."""
        whose = f"{self.group}/{self.group_life}"
        place = f"{self.station_id}/{self.partition}/{self.sequence}"
        return f"{place}/{whose}/{self.round}/{self.edits}"

    def failed_again(self, failure: Failure) -> Label:
        """The label after another failure; earlier reasons are cut to what a header has room for."""
        earlier = [
            kept.model_copy(update={"reason": kept.reason[:_EARLIER_REASON_LENGTH_MAX]})
            for kept in self.failures
        ]
        return self.model_copy(update={"failures": [*earlier, failure][-FAILURES_KEPT_MAX:]})


def write_label(label: Label) -> str:
    """The value of the header :data:`memphis.wire.headers.DEAD_LETTER`: one line of JSON."""
    return label.model_dump_json(exclude_defaults=True)


def read_label(text: str | None) -> Label | None:
    """What :func:`write_label` wrote; None for anything else."""
    try:
        label = Label.model_validate_json(text or "")
    except ValidationError:
        return None
    return label if label.failures else None


def is_reason(text: str) -> bool:
    """Whether an application may give this text as a reason: not too long, and UTF-8 can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return len(text) <= REASON_LENGTH_MAX


def as_reason(text: str) -> str:
    """A reason as a label can carry it."""
    return one_line(text)[:REASON_LENGTH_MAX]


class Selection(Request):
    """Some of the dead letters: those with all of these properties; empty: of any.

    The base of requests, and a value in them.
    """

    noun: ClassVar[str] = ""
    verb: ClassVar[str] = ""
    station: NameText = ""
    group: NameText = ""
    kind: Annotated[str, Field(max_length=32)] = ""
    since: datetime | None = None
    """Only those that became dead letters at this time or later."""
    ids: Annotated[list[Id], Field(max_length=BATCH_MAX, default_factory=list)]
    """Only these; then the other properties must be empty."""


class DeadLetterList(Selection):
    """A page: newest first, or, with ``after``, oldest first. Reply: :class:`DeadLetterPage`."""

    noun = "dead_letter"
    verb = "list"
    before: IdOrNone = 0
    """Newest first, only ids below this; 0: from the newest on."""
    after: IdOrNone | None = None
    """Oldest first, only ids above this."""
    limit: Annotated[int, Field(ge=1, le=BATCH_MAX)] = 100
    preview_bytes: Annotated[int, Field(ge=0, le=PREVIEW_BYTES_MAX)] = 0
    """How much of each payload to send along."""


class DeadLetterInfo(Reply):
    """One dead letter."""

    id: int
    station: str
    partition: int
    sequence: int
    group: str
    kind: str
    reason: str
    deliveries: int
    failed_at: datetime
    sent_at: datetime | None = None
    producer: str = ""
    redriven: int = 0
    """How often it was given back before."""
    edited: int = 0
    history: list[Failure] = Field(default_factory=list)
    """The failures before this one, oldest first."""
    headers: dict[str, str] = Field(default_factory=dict)
    size: int
    """Bytes of the payload."""
    payload_is_gone: bool = False
    payload: str = ""
    """The payload's beginning, in base64."""


class DeadLetterPage(Reply):
    """Dead letters, and whether others follow the last; of many large ones, fewer come than asked for."""

    letters: list[DeadLetterInfo]
    more: bool
    newest: int
    """The id of the newest dead letter there was, selected or not."""


class DeadLetterGet(Request):
    """A dead letter with a part of its payload. Reply: :class:`DeadLetterInfo`. Refused with 4003."""

    noun = "dead_letter"
    verb = "get"
    id: Id
    offset: IdOrNone = 0
    """Where in the payload to begin; up to 512 KiB come."""


class DeadLetterRedrive(Selection):
    """Give back the oldest of the selected dead letters. Reply: :class:`DeadLettersMoved`.

    Each goes to its group, or, one that failed its schema, into its station if it fits now. Made again
    with the reply's ``reached`` as ``after`` until ``more`` is false, it gives back all.
    """

    noun = "dead_letter"
    verb = "redrive"
    after: IdOrNone = 0
    through: IdOrNone = 0
    """Only ids up to this; 0: all."""
    limit: Annotated[int, Field(ge=1, le=BATCH_MAX)] = BATCH_MAX
    target: NameText = ""
    """Another station to put them into as new messages."""


class DeadLetterRefused(Reply):
    """A dead letter that could not be given back, and stays."""

    id: int
    code: int
    reason: str


class DeadLettersMoved(Reply):
    """How many were given back, which were not, and how far this got."""

    moved: int
    refused: list[DeadLetterRefused]
    reached: int
    more: bool


class DeadLetterDrop(Selection):
    """Delete the selected dead letters for good. Reply: :class:`DeadLettersDropped`."""

    noun = "dead_letter"
    verb = "drop"
    through: IdOrNone = 0
    """Only ids up to this; 0: all there are now."""


class DeadLettersDropped(Reply):
    """How many there were."""

    dropped: int


class DeadLetterEdit(Request):
    """Replace payload or headers of a dead letter. Reply: :class:`DeadLetterEdited`.

    What results must fit the station's schema. The edited form is a dead letter with an id of its own.
    """

    noun = "dead_letter"
    verb = "edit"
    id: Id
    payload: str | None = None
    """In base64; None: as it is."""
    headers: dict[str, str] | None = None
    """All of the application's headers; None: as they are."""


class DeadLetterEdited(Reply):
    """The id of the edited form."""

    id: int
