"""The types that users see, as a type checker sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "tests" / "typing").glob("[!_]*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_type_checker_agrees(file: Path, monkeypatch: pytest.MonkeyPatch):
    """Every ``assert_type`` holds, and every line that must be refused is."""
    monkeypatch.setenv("MYPYPATH", f"{ROOT / 'src'}:{ROOT}")
    report, errors, status = api.run(
        [
            "--config-file=",
            "--strict",
            "--explicit-package-bases",
            "--warn-unused-ignores",
            str(file),
        ]
    )
    assert (status, errors) == (0, ""), report
