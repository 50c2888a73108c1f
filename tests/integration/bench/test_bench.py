"""The benchmark's runner, in a very short form: that it measures, not what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.bench.helpers import run_program

ROWS_OF_THE_LIMIT = {"produce_awaited", "produce_nonblocking", "fetch_ack", "produce_unsynced"}
ALL_ROWS = {*ROWS_OF_THE_LIMIT, "consume_handler", "latency"}
ORDER_ROWS = {
    f"{row}{checked}"
    for row in ("produce_orders", "produce_order_bytes")
    for checked in ("", "_checked")
}
OUR_ROWS = {*ALL_ROWS, *ORDER_ROWS, "fetch_ahead_ack"}
MESSAGES = 500
"""The least that a row has."""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One round of every row, with the least messages, of the clients that need no other server."""
    out = tmp_path_factory.mktemp("bench") / "short.json"
    few = ["--rounds", "1", "--scale", "0", "--sizes", "64"]
    run_program("run", *few, "--clients", "raw_socket", "memphis_sdk", "nats_py", "--out", out)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def rows_of(result: dict[str, Any], client: str, size: int = 256) -> dict[str, dict[str, Any]]:
    return {
        one["row"]: one
        for one in result["rounds"]
        if one["client"] == client and one["size"] == size
    }


@pytest.mark.parametrize(
    ("client", "rows"),
    [("raw_socket", ROWS_OF_THE_LIMIT), ("memphis_sdk", OUR_ROWS), ("nats_py", ALL_ROWS)],
)
def test_each_row_of_a_client_did_its_messages(
    result: dict[str, Any], client: str, rows: set[str]
) -> None:
    """Every row that a client can do is in the figures, with the messages it was given."""
    found = rows_of(result, client)
    assert found.keys() == rows
    assert {one["messages"] for one in found.values()} == {MESSAGES}
    for row, one in found.items():
        wanted = {"p50_us", "p99_us"} if row == "latency" else {"rate"}
        assert {*wanted, "cpu_seconds", "memory_mib"} <= one.keys()
        assert one.keys() <= result["summary"][row][client].keys() | {
            "round", "client", "row", "size", "seconds",
        }  # fmt: skip


def test_other_sizes_are_measured_for_this_sdk_alone(result: dict[str, Any]) -> None:
    """The second payload size has rows of ours, and of nobody else's."""
    assert rows_of(result, "memphis_sdk", 64)
    assert not rows_of(result, "nats_py", 64)
    assert result["summary"]["fetch_ack by size, memphis_sdk"].keys() == {"64 B", "256 B"}


def test_the_figures_say_what_they_were_measured_on(result: dict[str, Any]) -> None:
    """Machine, commit and the versions of all libraries are kept beside the figures."""
    assert result["on"].keys() >= {"commit", "cores", "machine", "python", "when"}
    assert result["clients"]["nats_py"]["versions"].keys() == {"nats-py"}


def test_a_goal_whose_rival_was_not_measured_is_left_open(result: dict[str, Any]) -> None:
    """Ratios are there for who was measured, and empty for who was not."""
    ratios = {one["what"]: one["ratio"] for one in result["ratios"]}
    assert ratios["fetch + ack / nats-py"] > 0
    assert ratios["fetch + ack / memphis-py"] is None


def test_validation_measures_every_type(tmp_path: Path) -> None:
    """Its own program, in rounds as short as they can be: a rate for each row, and the library's."""
    out = tmp_path / "validation.json"
    run_program("validation", "--round-seconds", "0.005", "--json", out)
    found = json.loads(out.read_text())
    types = {row.split(",")[0].split()[0] for row in found["rows"]}
    assert types == {"json", "protobuf", "avro", "graphql"}
    assert all(row["rate"] > 0 and row["plain"] > 0 for row in found["rows"].values())
