"""From what an original has to what this broker is asked for."""

from __future__ import annotations

import pytest

from memphis.types import Retention, Storage
from memphis_broker.move_in import model
from memphis_broker.move_in.model import (
    Export,
    ExportedSchema,
    ExportedStation,
    ExportedUser,
    ExportedVersion,
    MoveInError,
)


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (Retention.MAX_MESSAGE_AGE_SECONDS, 86_400, 86_400),
        (Retention.MESSAGES, 1_000, 3_000),
        (Retention.BYTES, 500, 1_500),
        (Retention.ACK_BASED, 0, 1),
        (Retention.MESSAGES, 2**63 - 1, 2**63 - 1),
    ],
)
def test_nothing_is_kept_for_less(kind: Retention, value: int, wanted: int) -> None:
    """What the original bounds for each partition bounds the whole station here."""
    station = ExportedStation(name="s", retention_type=kind, retention_value=value, partitions=3)
    options = model.wanted_options(station)
    assert (options.retention_type, options.retention_value) == (kind, wanted)


def test_every_option_is_asked_for() -> None:
    """None of them is forgotten, and names are lowered."""
    station = ExportedStation(
        name="s",
        storage_type=Storage.MEMORY,
        replicas=3,
        partitions=4,
        idempotency_window_ms=500,
        schema_name="Order",
        poison_to_dls=False,
        schema_failed_to_dls=False,
        dls_station="Failed",
        tiered_storage=True,
    )
    options = model.wanted_options(station)
    assert options.storage_type is Storage.MEMORY
    assert (options.replicas, options.partitions_number) == (3, 4)
    assert (options.schema_name, options.dls_station) == ("order", "failed")
    assert (options.send_poison_msg_to_dls, options.send_schema_failed_msg_to_dls) == (False, False)
    assert (options.idempotency_window_ms, options.tiered_storage_enabled) == (500, False)
    assert model.wanted_options(station, replicas=1).replicas == 1


def test_a_station_from_before_partitions_gets_one() -> None:
    """The original has such; its limits are those of its one stream."""
    station = ExportedStation(
        name="s", retention_type=Retention.MESSAGES, retention_value=9, partitions=0
    )
    options = model.wanted_options(station)
    assert (options.partitions_number, options.retention_value) == (1, 9)


def test_what_no_station_can_be_is_named() -> None:
    """The option and its value."""
    with pytest.raises(MoveInError, match=r"idempotency_window_ms is 90000000"):
        model.wanted_options(ExportedStation(name="s", idempotency_window_ms=90_000_000))


def test_dead_letter_stations_come_first() -> None:
    """Also over several steps; two that have each other come in some order, and each once."""
    stations = [
        ExportedStation(name="a", dls_station="B"),
        ExportedStation(name="b", dls_station="c"),
        ExportedStation(name="c"),
        ExportedStation(name="x", dls_station="y"),
        ExportedStation(name="y", dls_station="x"),
        ExportedStation(name="z", dls_station="elsewhere"),
    ]
    names = [station.name for station in model.in_order(stations)]
    assert names == ["c", "b", "a", "y", "x", "z"]


def test_a_content_that_came_again_is_one_version() -> None:
    """The earlier one, which is active if the later was."""
    schema = ExportedSchema(
        name="s",
        type="json",
        versions=[
            ExportedVersion(number=3, content="one", active=True),
            ExportedVersion(number=1, content="one"),
            ExportedVersion(number=2, content="two"),
        ],
    )
    found = [(v.number, v.content, v.active) for v in model.distinct_versions(schema)]
    assert found == [(1, "one", True), (2, "two", False)]


def test_differences_are_those_of_what_the_original_knows() -> None:
    """Limits of dead letters are this broker's own, and the value of ack_based has no meaning."""
    wanted = model.wanted_options(ExportedStation(name="s", retention_type=Retention.ACK_BASED))
    here = wanted.model_copy(update={"retention_value": 7, "dead_letter_count_max": 5})
    assert model.differences(here, wanted) == []
    here = wanted.model_copy(update={"partitions_number": 2})
    assert model.differences(here, wanted) == [("partitions_number", 2, 1)]


def test_an_export_survives_the_file() -> None:
    """What is read is what was written."""
    export = Export(
        source="http://old:9000",
        stations=[ExportedStation(name="s", retention_type=Retention.BYTES)],
        schemas=[
            ExportedSchema(name="o", type="json", versions=[ExportedVersion(number=1, content="{")])
        ],
        users=[ExportedUser(name="app", kind="application", read=["orders.*"])],
        assumptions=["something"],
    )
    assert model.read_export(model.write_export(export), "f") == export


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "export.json is no export"),
        ('{"format": 2, "source": "s"}', "format"),
        ('{"source": "s", "stations": [{"name": "s", "retention_type": "moon"}]}', "stations.0"),
        ('{"source": "s", "stations": [{"name": "s", "color": "red"}]}', "color"),
    ],
)
def test_a_file_that_is_no_export_is_refused(text: str, words: str) -> None:
    """With the place of what is wrong."""
    with pytest.raises(MoveInError) as refused:
        model.read_export(text, "export.json")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "kind", [Retention.MESSAGES, Retention.BYTES, Retention.MAX_MESSAGE_AGE_SECONDS]
)
def test_a_retention_that_cannot_be_is_named(kind):
    """By its own name, not by what would follow from it."""
    station = ExportedStation(name="s", retention_type=kind, retention_value=-4)
    with pytest.raises(MoveInError, match="retention_value is -"):
        model.wanted_options(station)
