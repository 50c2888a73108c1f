"""The measurement of dead letters, on the smallest scale that shows all."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.bench.helpers import run_program


def test_it_measures_captures_redrives_and_lists(tmp_path: Path) -> None:
    """Each part leaves its figures, and no dead letter is lost or comes twice."""
    out = tmp_path / "dead-letters.json"
    run_program(
        "dead_letters", "--out", out, "--slice", "0.5", "--redrive", "500", "--list", "5000"
    )
    found = json.loads(out.read_text())
    assert found["redrive"]["moved"] == 500
    assert (found["redrive"]["left"], found["redrive"]["repeated"]) == (0, 0)
    assert found["capture"]["ratio"] > 0
    assert found["capture"]["captured_per_minute"] > 0
    assert set(found["list"]["newest_100"]) == {
        "all", "a station", "a group", "a group of a station", "the oldest few",
    }  # fmt: skip
