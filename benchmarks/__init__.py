"""Measurements: this SDK beside what people would use instead, in one run on one machine.

Each program is started as ``python benchmarks/NAME.py``, where only its own folder can be imported
from; so each begins by adding the folder above, which finds this package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
"""Where ``python -m benchmarks.NAME`` finds this package."""

RESULTS: Final = ROOT / "benchmarks" / "results"
"""Where figures go that nobody sends elsewhere."""
