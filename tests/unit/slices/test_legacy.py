"""The original's words and ours: what is missing or too small, and older requests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from memphis.types import Retention
from memphis.wire import legacy
from memphis.wire.errors import Refusal
from memphis.wire.names import GroupName
from memphis_broker.legacy import translate
from memphis_broker.legacy.requests import ConsumerCreation, StationCreation
from memphis_broker.legacy.upgrades import NEWEST, OLDEST, upgrade

NUMBERS = st.integers(-(2**63), 2**63 - 1)


def _options(**asked: Any) -> Any:
    return translate.station_options(StationCreation(name="s", **asked))


@pytest.mark.parametrize(
    ("asked", "kind", "value"),
    [
        ({}, Retention.MAX_MESSAGE_AGE_SECONDS, 3600),
        ({"retention_value": 5}, Retention.MAX_MESSAGE_AGE_SECONDS, 3600),
        (
            {"retention_type": "messages", "retention_value": 0},
            Retention.MAX_MESSAGE_AGE_SECONDS,
            3600,
        ),
        ({"retention_type": "BYTES", "retention_value": 7}, Retention.BYTES, 7),
        ({"retention_type": "ack_based", "retention_value": -3}, Retention.ACK_BASED, 0),
    ],
)
def test_retention_that_makes_no_sense_is_an_hour(asked, kind, value):
    """As the original had it; by acknowledgements there is no value."""
    options = _options(**asked)
    assert (options.retention_type, options.retention_value) == (kind, value)


@pytest.mark.parametrize(
    ("asked", "given"), [(-1, 1), (0, 1), (2, 3), (3, 3), (4, 3), (5, 5), (99, 5)]
)
def test_replicas_are_odd(asked, given):
    """One, three or five."""
    assert _options(replicas=asked).replicas == given


@pytest.mark.parametrize(
    ("asked", "given"),
    [(-1, 120_000), (0, 120_000), (1, 100), (100, 100), (86_400_000, 86_400_000)],
)
def test_the_window_has_bounds(asked, given):
    """Below the least it is the least; nothing is the usual."""
    assert _options(idempotency_window_in_ms=asked).idempotency_window_ms == given


@pytest.mark.parametrize(
    "asked",
    [
        {"retention_type": "for ever"},
        {"storage_type": "tape"},
        {"partitions_number": -1},
        {"partitions_number": 10_001},
        {"idempotency_window_in_ms": 86_400_001},
    ],
)
def test_what_cannot_be_is_refused(asked):
    """With its name."""
    with pytest.raises(Refusal, match=next(iter(asked))):
        _options(**asked)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_any_numbers_are_options_or_refused(value, replicas, window_ms, partitions):
    """Never an accident."""
    try:
        options = _options(
            retention_type="messages",
            retention_value=value,
            replicas=replicas,
            idempotency_window_in_ms=window_ms,
            partitions_number=partitions,
        )
    except Refusal:
        return
    assert options.replicas in (1, 3, 5)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_any_numbers_are_a_group_or_refused(ack_ms, deliveries, start, last):
    """As the original bounded them."""
    request = ConsumerCreation(
        name="c",
        station_name="s",
        max_ack_time_ms=ack_ms,
        max_msg_deliveries=deliveries,
        start_consume_from_sequence=start,
        last_messages=last,
    )
    try:
        join = translate.group_join(request, GroupName.parse("g"))
    except Refusal:
        assert ack_ms > 86_400_000 or start < 1 or last < -1
        return
    assert 1 <= join.max_msg_deliveries <= 10
    assert join.max_ack_time_ms == (ack_ms if ack_ms > 0 else 30_000)


@given(st.integers(OLDEST, 100))
def test_every_version_that_is_served_becomes_the_newest(version):
    """And says so; what newer ones say is left as it is."""
    upgraded = upgrade({"req_version": version, "connection_id": "c", "name": "n"})
    assert upgraded["name"] == "n"
    assert upgraded["req_version"] == max(version, NEWEST)
    if version < NEWEST:
        assert upgraded["app_id"] == "c"


@pytest.mark.parametrize("version", [-1, 0, 1, "4", None, True, 4.0, [4]])
def test_versions_that_are_not(version):
    """Too old, or no version at all."""
    with pytest.raises(Refusal):
        upgrade({"req_version": version})


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_none(body):
    """One kind of error for whatever is wrong."""
    try:
        members = legacy.decode_object(body)
    except ValueError:
        return
    assert all(key == key.lower() for key in members)


@given(st.dictionaries(st.sampled_from(["poison", "Schemaverse", "POISON", "x"]), st.booleans()))
def test_switches_have_no_case(switches):
    """The last of two that differ only in that counts."""
    options = _options(dls_configuration=switches)
    lowered = {key.lower(): value for key, value in switches.items()}
    assert options.send_poison_msg_to_dls == lowered.get("poison", True)
    assert options.send_schema_failed_msg_to_dls == lowered.get("schemaverse", True)


def test_a_switch_of_another_type_is_refused():
    """It is no truth."""
    with pytest.raises(ValidationError):
        StationCreation(name="s", dls_configuration={"poison": "yes"})
