"""What a dead letter is in the broker: how it is stored, read, given back, and copied. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from memphis.wire import headers, legacy, subjects
from memphis.wire.dead_letters import DeadLetterInfo, Failure, Label, read_label, write_label
from memphis.wire.names import GroupName, InvalidNameError, StationName
from memphis_broker.engine.streams import StoredMessage, StreamSpec

DUPLICATE_WINDOW_MS: Final = 24 * 3600 * 1000
"""How late the same dead letter may be stored again without being another."""
GIVEN_UP_KEPT_S: Final = 7 * 24 * 3600
_PRODUCER_UNKNOWN: Final = "unknown"


def stream(replicas: int, age_max_s: int, count_max: int | None) -> StreamSpec:
    """The stream that keeps the dead letters of all stations."""
    return StreamSpec(
        name=subjects.DEAD_LETTER_STREAM,
        subjects=(subjects.DEAD_LETTERS_ALL,),
        replicas=replicas,
        age_max_s=age_max_s,
        messages_max=count_max,
        duplicate_window_ms=min(DUPLICATE_WINDOW_MS, age_max_s * 1000),
    )


def given_up_stream(replicas: int) -> StreamSpec:
    """The stream that holds what the engine says of messages it gave up, until a broker has read it."""
    return StreamSpec(
        name=subjects.GIVEN_UP_STREAM,
        subjects=(subjects.GIVEN_UP_ALL,),
        replicas=replicas,
        until_done=True,
        age_max_s=GIVEN_UP_KEPT_S,
    )


class DeadLetter(NamedTuple):
    """A dead letter as it is stored."""

    id: int
    label: Label
    subject: str
    headers: Mapping[str, str]
    """Those that the message had, without what the engine and the label say."""
    payload: bytes
    stored_at: str

    @property
    def producer(self) -> str:
        """Who produced it, by its own word."""
        return self.headers.get(headers.PRODUCED_BY, _PRODUCER_UNKNOWN)


def read(message: StoredMessage) -> DeadLetter:
    """A stored message as a dead letter; what does not say what it is, is a malformed one."""
    place = _place_of(message.subject)
    label = read_label(message.headers.get(headers.DEAD_LETTER))
    if label is None or place is None or not _agree(label, place):
        label = _malformed(message, label)
    carried = {key: value for key, value in message.headers.items() if headers.is_carried(key)}
    return DeadLetter(
        message.sequence, label, message.subject, carried, message.payload, message.stored_at
    )


def _agree(label: Label, place: subjects.DeadLetterPlace) -> bool:
    """Whether a label says what its subject says, by which it is found; and nothing that cannot be."""
    said = (label.station_id, label.partition, label.group, label.kind)
    if not _are_names(label.station, label.group):
        return False
    is_whole = label.kind != subjects.KIND_POISON or bool(label.group and label.sequence > 0)
    return is_whole and said == tuple(place)


# The same few come again and again, and hundreds of thousands of times in one redrive.
_place_of = lru_cache(4096)(subjects.parse_dead_letter_subject)


@lru_cache(4096)
def _are_names(station: str, group: str) -> bool:
    try:
        StationName.parse(station)
        if group:
            GroupName.parse(group)
    except InvalidNameError:
        return False
    return True


def _malformed(message: StoredMessage, label: Label | None) -> Label:
    """Of a stranger's label nothing is kept but the reason of one that the broker put aside."""
    is_aside = label is not None and label.kind == subjects.KIND_MALFORMED
    if label is not None and is_aside and message.subject == subjects.MALFORMED:
        return malformed_label(label.failures[-1].reason, label.failures[-1].at)
    return malformed_label(
        "this has no label of a dead letter, or one that contradicts its subject",
        time_of(message.stored_at),
    )


def malformed_label(reason: str, now: datetime) -> Label:
    """The label of something that was put aside because nobody can understand it."""
    failure = Failure(reason=reason, at=now)
    return Label(station="", station_id="", kind=subjects.KIND_MALFORMED, failures=[failure])


def subject_of(label: Label) -> str:
    """Where a dead letter with this label is stored."""
    if label.kind == subjects.KIND_SCHEMA:
        return subjects.schema_failure_subject(label.station_id)
    if label.kind == subjects.KIND_MALFORMED:
        return subjects.MALFORMED
    group = GroupName.parse(label.group)
    return subjects.dead_letter_subject(label.station_id, label.partition, group, label.kind)


def headers_of(label: Label, carried: Mapping[str, str], message_id: str = "") -> dict[str, str]:
    """The headers of a dead letter with this label.

    Args:
        label: The label.
        carried: The message's own headers; those that do not go along are left out.
        message_id: By which the engine knows a second attempt; empty: the label's identity.
    """
    own = {key: value for key, value in carried.items() if headers.is_carried(key)}
    return {
        headers.MESSAGE_ID: message_id or label.identity,
        headers.DEAD_LETTER: write_label(label),
        **own,
    }


def given_back(letter: DeadLetter) -> dict[str, str]:
    """The headers of a dead letter that goes back to its group, with its story."""
    label = letter.label.model_copy(update={"round": letter.label.round + 1, "replaces": 0})
    return {
        headers.MESSAGE_ID: f"redrive/{_key(letter)}",
        headers.DEAD_LETTER: write_label(label),
        **letter.headers,
    }


def anew(letter: DeadLetter, schema_mark: str) -> dict[str, str]:
    """The headers of a dead letter that becomes a new message of a station.

    The id that its producer gave it is its id again: if the producer has sent it once more since, and it
    got in, this is a copy of that.
    """
    own = {key: value for key, value in letter.headers.items() if key != headers.SCHEMA}
    if schema_mark:
        own[headers.SCHEMA] = schema_mark
    producers_id = own.get(headers.ORIGINAL_MESSAGE_ID)
    if letter.label.kind == subjects.KIND_SCHEMA and producers_id:
        own[headers.MESSAGE_ID] = producers_id
    else:
        own[headers.MESSAGE_ID] = f"redrive/{_key(letter)}"
    return own


def copied(letter: DeadLetter) -> dict[str, str]:
    """The headers of a copy for a dls_station, which say what it is a copy of.

    Also as the original said it, unless the message has headers of these names itself.
    """
    label = letter.label
    is_schema = label.kind == subjects.KIND_SCHEMA
    return {
        legacy.COPY_STATION: label.station,
        legacy.COPY_TYPE: legacy.COPY_FAILED_SCHEMA if is_schema else legacy.COPY_UNACKED,
        **letter.headers,
        headers.MESSAGE_ID: f"copy/{_key(letter)}",
        headers.ORIGIN_STATION: label.station,
        headers.ORIGIN_PARTITION: str(label.partition),
        headers.ORIGIN_SEQUENCE: str(label.sequence),
        headers.ORIGIN_GROUP: label.group,
        headers.ORIGIN_KIND: label.kind,
        headers.ORIGIN_REASON: headers.one_line(label.failures[-1].reason),
    }


def edited(
    letter: DeadLetter, own_headers: Mapping[str, str] | None
) -> tuple[Label, Mapping[str, str]]:
    """Label and headers of a dead letter that replaces this one."""
    label = letter.label.model_copy(
        update={
            "edits": letter.label.edits + 1,
            "replaces": letter.id,
            "payload_is_left": False,
            "payload_is_gone": False,
        }
    )
    if own_headers is None:
        return label, letter.headers
    reserved = {
        key: value
        for key, value in letter.headers.items()
        if key.startswith(headers.RESERVED_PREFIX) or key == headers.ORIGINAL_MESSAGE_ID
    }
    return label, {**reserved, **own_headers}


def _key(letter: DeadLetter) -> str:
    # A schema failure has no place that it could be known by, but its id in the stream.
    if letter.label.kind == subjects.KIND_POISON:
        return letter.label.identity
    return f"{letter.label.station_id}/{letter.id}/{letter.label.edits}"


def describe(letter: DeadLetter, offset: int, length: int) -> DeadLetterInfo:
    """A dead letter as clients get it, with a part of its payload."""
    label, latest = letter.label, letter.label.failures[-1]
    return DeadLetterInfo(
        id=letter.id,
        station=label.station,
        partition=label.partition,
        sequence=label.sequence,
        group=label.group,
        kind=label.kind,
        reason=latest.reason,
        deliveries=latest.deliveries,
        failed_at=latest.at,
        sent_at=label.sent_at,
        producer=letter.producer,
        redriven=label.round,
        edited=label.edits,
        history=label.failures[:-1],
        headers=dict(letter.headers),
        size=len(letter.payload),
        payload_is_gone=label.payload_is_gone,
        payload=base64.b64encode(letter.payload[offset : offset + length]).decode(),
    )


def time_of(stored_at: str) -> datetime:
    """The time that the engine wrote, to the microsecond; it writes up to nine digits."""
    seconds, _, fraction = stored_at.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    return moment.replace(microsecond=int(fraction[:6].ljust(6, "0") or 0))


def is_edited_form(letter: DeadLetter, old: DeadLetter) -> bool:
    """Whether this dead letter says, and may say, that it replaces that one."""
    new_label, old_label = letter.label, old.label
    same = ("station_id", "partition", "sequence", "group", "group_life", "kind", "round")
    return (
        new_label.kind != subjects.KIND_MALFORMED
        and new_label.replaces == old.id < letter.id
        and new_label.edits == old_label.edits + 1
        and all(getattr(new_label, field) == getattr(old_label, field) for field in same)
    )
