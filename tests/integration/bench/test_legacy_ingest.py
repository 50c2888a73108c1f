"""The measurement of what passing the broker costs, on the smallest scale that shows all."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.bench.helpers import run_program


def test_it_measures_both_ways_with_and_without_ids(tmp_path: Path) -> None:
    """Four runs in a round, each with its rate; the broker works for one of the ways only."""
    out = tmp_path / "legacy-ingest.json"
    run_program("legacy_ingest", "--out", out, "--messages", "2000", "--rounds", "1")
    runs = json.loads(out.read_text())["runs"]
    assert [(run["way"], run["ids"]) for run in runs] == [
        ("native", False), ("original", False), ("native", True), ("original", True),
    ]  # fmt: skip
    assert all(run["rate"] > 0 and run["in_turn_us"] > 0 for run in runs)
