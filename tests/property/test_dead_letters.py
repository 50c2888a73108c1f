"""Labels of dead letters, and what goes with a message from stream to stream, for all inputs."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from memphis.wire import headers, subjects
from memphis.wire.dead_letters import (
    REASON_LENGTH_MAX,
    Failure,
    Label,
    as_reason,
    is_reason,
    read_label,
    write_label,
)
from memphis.wire.names import GroupName
from memphis_broker.dead_letters import model
from memphis_broker.engine.streams import StoredMessage

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9_.-]{0,126}[a-z0-9])?", fullmatch=True)
IDS = st.uuids().map(lambda life: life.hex)
REASONS = st.text(max_size=5000)
TIMES = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - likewise
    timezones=st.just(UTC),
)
FAILURES = st.builds(
    Failure, reason=REASONS.map(as_reason), deliveries=st.integers(0, 10**6), at=TIMES
)
LABELS = st.builds(
    Label,
    station=NAMES,
    station_id=IDS,
    partition=st.integers(1, 10_000),
    sequence=st.integers(1, 2**63 - 1),
    group=NAMES,
    kind=st.just(subjects.KIND_POISON),
    sent_at=st.none() | TIMES,
    failures=st.lists(FAILURES, min_size=1, max_size=3),
    round=st.integers(0, 100),
    edits=st.integers(0, 100),
    replaces=st.integers(0, 2**62),
    payload_is_left=st.booleans(),
    payload_is_gone=st.booleans(),
)
KEYS = st.from_regex(r"[!-9;-~]{1,30}", fullmatch=True)
VALUES = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n"), max_size=40
)
LINES = st.dictionaries(KEYS, VALUES.map(lambda text: text.strip(" \t")), max_size=8)


@given(LABELS)
def test_a_label_survives_a_header(label: Label):
    """It is one line that a header can carry, and reads back as it was."""
    block = headers.encode_block({headers.DEAD_LETTER: write_label(label), "other": "x"})
    assert block.count(b"\r\n") == 4
    assert read_label(headers.decode_block(block)[headers.DEAD_LETTER]) == label


@given(LABELS)
def test_a_stored_label_says_where_it_is_stored(label: Label):
    """What a member writes is read as what it is, and its id knows no other message's."""
    subject = subjects.dead_letter_subject(
        label.station_id, label.partition, GroupName.parse(label.group), label.kind
    )
    assert model.subject_of(label) == subject
    place = subjects.parse_dead_letter_subject(subject)
    assert place == (label.station_id, label.partition, label.group, label.kind)
    stored = StoredMessage(subject, 5, model.headers_of(label, {}), b"", "2026-01-01T00:00:00Z")
    assert model.read(stored).label == label
    assert label.identity != label.model_copy(update={"round": label.round + 1}).identity


@given(LABELS, st.lists(FAILURES, min_size=1, max_size=30))
def test_a_history_stays_small(label: Label, failures: list[Failure]):
    """However often and with whatever words a message fails, its label fits into a header."""
    for failure in failures:
        label = label.failed_again(failure)
        assert label.failures[-1] == failure
    assert len(write_label(label).encode()) < headers.HEADER_BYTES_MAX // 2


@given(st.text())
def test_anything_else_is_no_label(text: str):
    """It is told apart, never an error."""
    label = read_label(text)
    assert label is None or label.failures


@given(REASONS)
def test_reasons(text: str):
    """What may be given as a reason can be kept, on one line."""
    kept = as_reason(text)
    assert len(kept) <= REASON_LENGTH_MAX
    assert "\n" not in kept
    assert "\r" not in kept
    assert is_reason(kept)
    assert is_reason(text) == (len(text) <= REASON_LENGTH_MAX and _is_utf8(text))


@given(LINES)
def test_what_goes_along(lines: dict[str, str]):
    """All headers but the engine's and the label; the two forms of the rule agree."""
    carried = headers.carried_lines(headers.encode_block(lines))
    found = headers.decode_block(headers.BLOCK_START + carried + headers.BLOCK_END)
    assert found == {key: value for key, value in lines.items() if headers.is_carried(key)}
    assert not any(key.lower().startswith("nats-") for key in found)


@given(st.text(max_size=80))
def test_other_subjects_are_no_places(text: str):
    """Whatever is published somewhere else, or deeper, is no dead letter."""
    assert subjects.parse_dead_letter_subject(text) is None
    assert subjects.parse_dead_letter_subject(f"$memphis.dead_letters.a.1.g.poison.{text}") is None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
