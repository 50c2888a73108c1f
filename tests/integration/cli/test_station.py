"""`memphis station`, against a real broker."""

from __future__ import annotations

import json

from tests.integration.cli.conftest import CommandLine


def test_all_options_reach_the_broker(memphis: CommandLine, station: str) -> None:
    """What was chosen at creation is what info shows."""
    created = memphis(
        "station", "create", station,
        "--retention-type", "messages", "--retention-value", "5000",
        "--storage-type", "memory", "--replicas", "1", "--partitions", "3",
        "--idempotency-window-ms", "60000", "--no-poison-to-dls", "--no-schema-failed-to-dls",
    )  # fmt: skip
    assert created.returncode == 0, created.stderr
    shown = memphis("station", "info", station, "--json")
    found = json.loads(shown.stdout)
    assert found["name"] == station
    assert [partition["number"] for partition in found["partitions"]] == [1, 2, 3]
    options = found["options"]
    assert options["retention_type"] == "messages"
    assert options["retention_value"] == 5000
    assert options["storage_type"] == "memory"
    assert options["idempotency_window_ms"] == 60000
    assert options["send_poison_msg_to_dls"] is False
    assert options["send_schema_failed_msg_to_dls"] is False


def test_creating_twice_changes_nothing_and_says_so(memphis: CommandLine, station: str) -> None:
    """The second create leaves the first station's options alone and names those that differ."""
    memphis("station", "create", station, "--partitions", "2")
    same = memphis("station", "create", station, "--partitions", "2")
    assert same.returncode == 0
    assert b"exists already" in same.stdout
    others = ("-p", "5", "-r", "bytes", "--no-poison-to-dls", "--storage-type", "memory")
    again = memphis("station", "create", station, *others, "--dls-station", "x" * 2000)
    assert again.returncode == 1
    assert again.stdout == b""
    text = again.stderr.decode()
    for difference in (
        "partitions is 2, not 5", "retention-type is age, not bytes", "poison-to-dls is on, not off",
        "storage-type is disk, not memory", "dls-station is none, not xxx",
    ):  # fmt: skip
        assert difference in text
    assert len(text.splitlines()) == 1
    assert "retention-value" not in text
    found = json.loads(memphis("station", "info", station, "--json").stdout)
    assert len(found["partitions"]) == 2


def test_creating_twice_with_what_the_broker_made_of_it(memphis: CommandLine, station: str) -> None:
    """Options that take effect in another form do not count as different."""
    for options in (["-v", "60"], ["--schema-name", "", "-v", "60"]):
        assert memphis("station", "create", station, *options).returncode == 0
    until_acknowledged = ("station", "create", f"{station}-acks", "-r", "acks")
    assert memphis(*until_acknowledged).returncode == 0
    assert memphis(*until_acknowledged, "-v", "77").returncode == 0


def test_ls_lists_for_people_and_for_programs(memphis: CommandLine, station: str) -> None:
    """Both forms name the station; the form for programs is one JSON list."""
    memphis("station", "create", station)
    assert station.encode() in memphis("station", "ls").stdout
    listed = json.loads(memphis("station", "ls", "--json").stdout)
    assert station in {item["name"] for item in listed}


def test_a_table_in_a_pipe_is_not_folded(memphis: CommandLine, station: str) -> None:
    """A long name stays on its line where the output has no width."""
    memphis("station", "create", station)
    lines = memphis("station", "ls", COLUMNS="20").stdout.decode().splitlines()
    [line] = [line for line in lines if station in line]
    assert line.endswith("1")


def test_info_for_people_shows_partitions_and_groups(memphis: CommandLine, station: str) -> None:
    """Someone who asks sees how much there is and who reads it."""
    memphis("produce", station, "one", "two")
    assert b"no group reads it yet" in memphis("station", "info", station).stdout
    memphis("consume", station, "--group", "readers", "--count", "1")
    text = memphis("station", "info", station).stdout.decode()
    assert "2 messages" in text
    assert "readers" in text


def test_purge_and_rm_ask_first(memphis: CommandLine, station: str) -> None:
    """Without --yes and without a person to ask, nothing is deleted."""
    memphis("produce", station, "one")
    for verb in ("purge", "rm"):
        refused = memphis("station", verb, station, stdin=b"y\n")
        assert refused.returncode == 1
        assert b"--yes" in refused.stderr
    assert json.loads(memphis("station", "info", station, "--json").stdout)["messages"] == 1


def test_purge_and_rm_with_yes(memphis: CommandLine, station: str) -> None:
    """Purge empties the station, rm ends it."""
    memphis("produce", station, "one", "two")
    purged = memphis("station", "purge", station, "--yes")
    assert purged.returncode == 0
    assert json.loads(memphis("station", "info", station, "--json").stdout)["messages"] == 0
    assert memphis("station", "rm", station, "--yes").returncode == 0
    gone = memphis("station", "info", station)
    assert gone.returncode == 1
    assert station.encode() in gone.stderr
