"""The pure rules of stations, groups, schemas and dead letters."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memphis.types import Retention, Storage
from memphis.wire.dead_letters import Failure, Label
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import GroupJoin, StationOptions
from memphis.wire.names import GroupName, InvalidNameError, SchemaName, StationName
from memphis_broker.dead_letters import model as dead_letters
from memphis_broker.engine import durables, streams
from memphis_broker.engine.streams import StoredMessage
from memphis_broker.groups import model as groups
from memphis_broker.schemas import model as schemas
from memphis_broker.stations import model as stations
from memphis_broker.stations.model import StationRecord, StationState

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9_.-]{0,126}[a-z0-9])?", fullmatch=True)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
# What the bucket of records accepts as a key (NATS ADR-8), without a dot at either end.
VALID_KEY = re.compile(r"[-/_=a-zA-Z0-9]+")


def record(name: str = "s.x", **options: Any) -> StationRecord:
    return StationRecord(
        name=name,
        id="life",
        state=StationState.READY,
        options=StationOptions(**options),
        created_at=LONG_AGO,
    )


@given(NAMES)
def test_names_and_keys_are_one_to_one(text: str):
    """Every name has a key that the bucket accepts as one token, and it leads back."""
    name = StationName.parse(text)
    key = stations.key_of(name)
    assert VALID_KEY.fullmatch(key)
    assert StationName.parse(key.replace("/", ".")) == name


@given(st.builds(StationOptions), st.sampled_from(StationState))
def test_a_record_survives_storing(options: StationOptions, state: StationState):
    """What is written as JSON is read as the same."""
    written = record().model_copy(update={"options": options, "state": state})
    assert StationRecord.model_validate_json(written.model_dump_json()) == written


@given(
    st.sampled_from(Retention),
    st.integers(1, 9_000_000_000),
    st.sampled_from(Storage),
    st.integers(1, 5),
    st.integers(100, 86_400_000),
    st.integers(1, 10_000),
    st.booleans(),
)
def test_every_valid_station_maps_to_streams(
    kind: Retention,
    value: int,
    storage: Storage,
    replicas: int,
    window_ms: int,
    partitions: int,
    early: bool,
):
    """Limits add up to at least what was asked and at most one more for each partition."""
    name = StationName.parse("s.x")
    options = stations.check_options(
        name,
        StationOptions(
            retention_type=kind,
            retention_value=value,
            storage_type=storage,
            replicas=replicas,
            idempotency_window_ms=window_ms,
            partitions_number=partitions,
        ),
    )
    made = record().model_copy(update={"options": options})
    spec = stations.partition_stream(made, partitions, acknowledge_early=early)
    assert spec.name == f"s#x${partitions}"
    limits = ((spec.messages_per_subject_max, "messages"), (spec.bytes_max, "bytes"))
    for limit, wanted in limits:
        assert (limit is not None) == (kind.value == wanted)
        if limit is not None:
            assert value <= limit * partitions < value + partitions
    assert spec.until_acknowledged == (kind is Retention.ACK_BASED)
    config = streams.engine_config(spec).as_dict()
    duplicate_window, max_age = config["duplicate_window"], config["max_age"]
    assert isinstance(duplicate_window, int)
    assert isinstance(max_age, int)
    assert duplicate_window >= 100_000_000
    assert max_age == 0 or duplicate_window <= max_age < 2**63
    assert not (config.get("persist_mode") and config.get("allow_atomic"))
    if config.get("persist_mode"):
        assert (early, storage, replicas) == (True, Storage.DISK, 1)


@pytest.mark.parametrize("kind", Retention)
@pytest.mark.parametrize("value", [0, -1])
def test_retention_values_below_one_are_refused_except_for_acks(kind: Retention, value: int):
    """Ack-based retention ignores its value; for all others it must be at least 1."""
    options = StationOptions(retention_type=kind, retention_value=value)
    if kind is Retention.ACK_BASED:
        stations.check_options(StationName.parse("s"), options)
        return
    with pytest.raises(Refusal) as refused:
        stations.check_options(StationName.parse("s"), options)
    assert refused.value.code is ErrorCode.INVALID_OPTION


def test_names_within_options_are_parsed():
    """They are lowered, and a wrong one is refused with the number for its kind."""
    name = StationName.parse("s")
    options = stations.check_options(name, StationOptions(schema_name="A", dls_station="B.c"))
    assert (options.schema_name, options.dls_station) == ("a", "b.c")
    with pytest.raises(InvalidNameError):
        stations.check_options(name, StationOptions(schema_name="a b"))
    for wrong in ("S", "a b"):
        with pytest.raises(Refusal) as refused:
            stations.check_options(name, StationOptions(dls_station=wrong))
        assert refused.value.code is ErrorCode.INVALID_DLS_STATION


@given(st.lists(st.integers(1, 4), max_size=60), st.integers(1, 70), st.data())
async def test_the_newest_messages_are_found_as_by_brute_force(
    order: list[int], wanted: int, data: st.DataObject
):
    """Times apart: exactly the newest N. Equal times: as many, and none older than one left out."""
    gaps = data.draw(st.lists(st.integers(0, 3), min_size=len(order), max_size=len(order)))
    times = [1000 + sum(gaps[: place + 1]) for place in range(len(order))]
    first = {p: data.draw(st.integers(1, 50)) for p in range(1, 5)}
    stored: dict[int, list[int]] = {p: [] for p in first}
    for partition, time in zip(order, times, strict=True):
        stored[partition].append(time)
    held = {
        p: groups.Held(
            groups.Point(first[p], len(stored[p])), groups.Point(first[p] + len(stored[p]), 0)
        )
        for p in first
    }

    async def points_at(open_ones: Any, time_ns: int) -> dict[int, groups.Point]:
        older = {p: sum(t < time_ns for t in stored[p]) for p in open_ones}
        return {p: groups.Point(first[p] + n, len(stored[p]) - n) for p, n in older.items()}

    between = (min(times, default=0) - 5, max(times, default=0) + 5)
    starts = await groups.starts_of_newest(held, wanted, between, points_at)
    taken = [t for p in first for t in stored[p][starts[p] - first[p] :]]
    assert all(h.first.sequence <= starts[p] <= h.end.sequence for p, h in held.items())
    assert sorted(taken) == sorted(times)[max(0, len(times) - wanted) :]


def test_two_starts_exclude_each_other():
    """A sequence and a number of messages cannot both say where to begin."""
    groups.check_start(GroupJoin(station="s", group="g", last_messages=0))
    groups.check_start(GroupJoin(station="s", group="g", start_consume_from_sequence=9))
    with pytest.raises(Refusal) as refused:
        groups.check_start(
            GroupJoin(station="s", group="g", last_messages=1, start_consume_from_sequence=9)
        )
    assert refused.value.code is ErrorCode.INVALID_OPTION


@pytest.mark.parametrize(
    ("start", "policy", "sequence"),
    [(None, "new", None), (1, "all", None), (7, "by_start_sequence", 7)],
)
def test_a_start_becomes_a_deliver_policy(start: int | None, policy: str, sequence: int | None):
    """Behind the end, from the first, from a sequence."""
    spec = groups.durable(
        StationName.parse("s.x"),
        2,
        GroupName.parse("g.y"),
        groups.limits_asked(GroupJoin(station="s.x", group="g.y")),
        start,
        {},
    )
    config = durables.engine_config(spec)
    assert (config.deliver_policy, config.opt_start_seq) == (policy, sequence)
    assert config.filter_subjects == ["s#x$2.final", "s#x$2.redrive.g#y.*"]


def test_schema_versions_are_numbered_and_found_by_content():
    """The same content is the same version, whatever came between; messages are told apart."""
    head = schemas.SchemaHead(name="s", id="x", type="protobuf")
    one, two, three = (schemas.digest_of(content, {}) for content in "abc")
    head = head.with_version(one, "shop.A", LONG_AGO, by_default=True)
    head = head.with_version(two, "shop.A", LONG_AGO, by_default=True)
    head = head.with_version(one, "shop.B", LONG_AGO, by_default=False)
    found = {
        (digest, name): getattr(head.version_with(digest, name), "version", None)
        for digest in (one, two, three)
        for name in ("", "A", "shop.A", "B", "C")
    }
    assert [found[one, name] for name in ("", "A", "shop.A", "B", "C")] == [1, 1, 1, 3, None]
    assert [found[two, name] for name in ("", "A", "shop.A", "B", "C")] == [2, 2, 2, None, None]
    assert {found[three, name] for name in ("", "A", "shop.A", "B", "C")} == {None}
    assert head.active == 1
    assert schemas.SchemaHead.model_validate_json(head.model_dump_json()) == head
    assert one != schemas.digest_of("a", {"b": "c"})


@given(NAMES, NAMES)
def test_keys_of_schemas_are_their_own(one: str, other: str):
    """Two schemas have two keys, and each is one that the engine takes."""
    first, second = SchemaName.parse(one), SchemaName.parse(other)
    assert (schemas.head_key(first) == schemas.head_key(second)) == (first == second)
    assert "." not in schemas.head_key(first)


def test_a_dead_letter_carries_no_header_of_the_engine():
    """The original's message id and schedule spoke of another stream."""
    label = Label(
        station="s", station_id="life", partition=1, sequence=4, group="g", kind="poison",
        failures=[Failure(reason="ü", at=LONG_AGO)],
    )  # fmt: skip
    original = {"Nats-TTL": "1s", "nats-x": "y", "k": "v", "$memphis_deadLetter": "old"}
    found = dead_letters.headers_of(label, original)
    assert {key for key in found if key.lower().startswith("nats-")} == {"Nats-Msg-Id"}
    assert (found["k"], found["Nats-Msg-Id"]) == ("v", "life/1/4/g//0/0")
    stored = StoredMessage(dead_letters.subject_of(label), 9, found, b"x", "2026-01-01T00:00:00.5Z")
    letter = dead_letters.read(stored)
    assert (letter.label, letter.headers, letter.id) == (label, {"k": "v"}, 9)


@pytest.mark.parametrize(
    ("subject", "change"),
    [
        ("$memphis.dead_letters.life.1.g.poison", {"station_id": "other"}),
        ("$memphis.dead_letters.life.1.g.poison", {"partition": 2}),
        ("$memphis.dead_letters.life.1.g.poison", {"group": ""}),
        ("$memphis.dead_letters.life.1.g.poison", {"group": "no good"}),
        ("$memphis.dead_letters.life.1.g.poison", {"station": "no good"}),
        ("$memphis.dead_letters.life.1.g.poison", {"kind": "schema"}),
        ("$memphis.dead_letters.life.1.-.poison", {"group": ""}),
        ("$memphis.dead_letters.life.1.g.poison", {"sequence": 0}),
        ("$memphis.dead_letters.life.x.g.poison", {}),
        ("$memphis.dead_letters.life.1.g.odd", {}),
        ("$memphis.dead_letters.life.1.g", {}),
    ],
    ids=str,
)
def test_what_contradicts_itself_is_malformed(subject: str, change: dict[str, Any]):
    """A label has to say what the subject says, by which it is found."""
    label = Label(
        station="s", station_id="life", partition=1, sequence=4, group="g", kind="poison",
        failures=[Failure(reason="r", at=LONG_AGO)],
    ).model_copy(update=change)  # fmt: skip
    headers = dead_letters.headers_of(label, {})
    letter = dead_letters.read(StoredMessage(subject, 1, headers, b"", "2026-01-01T00:00:00Z"))
    assert (letter.label.kind, letter.label.group) == ("malformed", "")
