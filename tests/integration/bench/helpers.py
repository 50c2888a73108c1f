"""What the tests of the measurements share: running one of the programs as a person does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
DEADLINE_S = 180
"""Only so that a hanging program ends the test; none comes near it."""


def run_program(name: str, *arguments: str | Path, **environment: str) -> str:
    """What ``python benchmarks/NAME.py`` prints; it must succeed, and no warning is let pass."""
    done = subprocess.run(
        [sys.executable, "-W", "error", f"benchmarks/{name}.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
