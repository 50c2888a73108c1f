"""The answers of the original's management API, in the shapes that they may have."""

from __future__ import annotations

from typing import Any

import pytest

from memphis.types import Retention, Storage
from memphis_broker.move_in import answers
from memphis_broker.move_in.model import MoveInError

WHOLE: dict[str, Any] = {
    "name": "orders",
    "retention_type": "messages",
    "retention_value": 1000,
    "storage_type": "memory",
    "replicas": 3,
    "idempotency_window_in_ms": 5000,
    "partitions_list": [1, 2, 3],
    "dls_station": "failed",
    "dls_configuration": {"poison": False, "Schemaverse": True},
    "schema_name": "order",
    "tags": [{"name": "shop", "color": "blue"}],
    "tiered_storage_enabled": True,
}


def test_a_station_with_everything() -> None:
    """Nothing is assumed, and everything is understood."""
    station, assumed = answers.read_station(WHOLE)
    assert assumed == []
    assert (station.retention_type, station.retention_value) == (Retention.MESSAGES, 1000)
    assert (station.storage_type, station.replicas) == (Storage.MEMORY, 3)
    assert (station.idempotency_window_ms, station.partitions) == (5000, 3)
    assert (station.dls_station, station.schema_name) == ("failed", "order")
    assert (station.poison_to_dls, station.schema_failed_to_dls) == (False, True)
    assert (station.tags, station.tiered_storage) == (["shop"], True)


def test_other_spellings_mean_the_same() -> None:
    """Flat switches, another name of the window, a schema as an object, a number of partitions."""
    other = {
        **{key: WHOLE[key] for key in ("name", "retention_type", "retention_value", "replicas")},
        "storage_type": "MEMORY",
        "idempotency_window_ms": 5000,
        "partitions_number": 3,
        "dls_station": "Failed",
        "dls_configuration_poison": False,
        "dls_configuration_schemaverse": True,
        "schema": {"name": "Order"},
        "tags": ["shop"],
        "tiered_storage_enabled": True,
    }
    assert answers.read_station(other) == answers.read_station(WHOLE)


def test_what_is_not_told_is_assumed_and_said() -> None:
    """The original's own defaults."""
    station, assumed = answers.read_station({"name": "s"})
    assert (station.retention_type, station.retention_value) == (
        Retention.MAX_MESSAGE_AGE_SECONDS,
        3600,
    )
    assert (station.partitions, station.replicas, station.idempotency_window_ms) == (1, 1, 120_000)
    assert len(assumed) == 7
    assert all("station s" in text for text in assumed)


def test_a_station_from_before_partitions() -> None:
    """Its list of partitions is empty."""
    assert answers.read_station({**WHOLE, "partitions_list": []})[0].partitions == 0


def test_a_retention_of_nothing_is_what_the_original_took_it_for() -> None:
    """An hour; but acknowledgements have no value."""
    station, _ = answers.read_station({**WHOLE, "retention_value": 0})
    assert (station.retention_type, station.retention_value) == (
        Retention.MAX_MESSAGE_AGE_SECONDS,
        3600,
    )
    station, _ = answers.read_station(
        {**WHOLE, "retention_type": "ack_based", "retention_value": 0}
    )
    assert station.retention_type is Retention.ACK_BASED


def test_the_originals_own_stations_are_left_out() -> None:
    """Those that begin with a dollar; wrapped or not."""
    assert answers.station_name({"name": "$memphis_syslogs"}) == ""
    assert answers.station_name({"station": {"name": "orders"}}) == "orders"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"retention_type": "moonlight"}, "moonlight"),
        ({"replicas": "three"}, "replicas"),
        ({"storage_type": "tape"}, "tape"),
    ],
)
def test_a_value_that_cannot_be_understood_is_named(changes: dict[str, Any], words: str) -> None:
    """With the station that has it."""
    with pytest.raises(MoveInError, match="station orders") as refused:
        answers.read_station({**WHOLE, **changes})
    assert words in str(refused.value)


def version(number: int, **more: Any) -> dict[str, Any]:
    return {"version_number": number, "schema_content": f"content {number}", **more}


def test_versions_come_in_order_with_the_active_one() -> None:
    """However they were listed."""
    schema, assumed = answers.read_schema(
        {
            "schema_name": "order",
            "type": "Protobuf",
            "versions": [
                version(2, active=True, message_struct_name="Order"),
                version(1, active=False),
            ],
        }
    )
    assert assumed == []
    assert schema.type == "protobuf"
    assert [(v.number, v.active) for v in schema.versions] == [(1, False), (2, True)]
    assert schema.versions[1].message_struct_name == "Order"


@pytest.mark.parametrize(
    ("more", "active", "assumptions"), [({"active_version_number": 1}, 1, 0), ({}, 2, 1)]
)
def test_the_active_version_may_be_told_elsewhere(
    more: dict[str, Any], active: int, assumptions: int
) -> None:
    """In the list of schemas; else the newest is assumed."""
    entry = {"name": "order", "type": "json", "versions": [version(1), version(2)], **more}
    schema, assumed = answers.read_schema(entry)
    assert [v.number for v in schema.versions if v.active] == [active]
    assert len(assumed) == assumptions


def test_users_of_both_lists() -> None:
    """With their kinds and patterns; no patterns is every station."""
    users = answers.read_users(
        {
            "management_users": [{"username": "Root", "user_type": "root"}],
            "application_users": [
                {"username": "app", "allow_read_permissions": ["orders.*"], "description": "it"}
            ],
        }
    )
    assert [(u.name, u.kind, u.read, u.write) for u in users] == [
        ("root", "root", ["*"], ["*"]),
        ("app", "application", ["orders.*"], ["*"]),
    ]


@pytest.mark.parametrize("answer", [None, [], {"stations": None}, {"stations": []}, {}])
def test_a_list_of_nothing(answer: object) -> None:
    """Whatever way an original has to say that there is none."""
    assert answers.told(answer, "the list", "stations") == []


@pytest.mark.parametrize("answer", ["text", 7, ["text"], {"other": 1}, {"stations": "text"}])
def test_an_unknown_shape_is_said(answer: object) -> None:
    """With what was asked, and what to do."""
    with pytest.raises(MoveInError, match=r"the list has an unknown shape: .*--file"):
        answers.told(answer, "the list", "stations")
