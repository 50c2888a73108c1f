"""From measurements to medians and spreads, what they were measured on, and where they are kept."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import ROOT

Measurement = dict[str, Any]
"""One client, one row, one size, one round."""

Summary = dict[str, dict[str, dict[str, float]]]
"""By row, then by client or size: each figure's median, and its least and most over the rounds."""

_FIGURES = ("rate", "p50_us", "p99_us", "cpu_seconds", "memory_mib", "messages")


def summarize(found: list[Measurement], usual_size: int) -> Summary:
    """For each row and client: the median and the spread of every figure.

    A client that was measured with several sizes of a payload has a row of its own for them, in
    which the sizes stand in the place of clients.
    """
    grouped: dict[str, dict[str, list[Measurement]]] = {}
    for one in found:
        if one["size"] == usual_size:
            grouped.setdefault(one["row"], {}).setdefault(one["client"], []).append(one)
    for row, client in sorted({(one["row"], one["client"]) for one in found}):
        of_client = [one for one in found if (one["row"], one["client"]) == (row, client)]
        sizes = sorted({one["size"] for one in of_client})
        if len(sizes) > 1:
            grouped[f"{row} by size, {client}"] = {
                f"{size} B": [one for one in of_client if one["size"] == size] for size in sizes
            }
    return {
        row: {column: _figures_of(rounds) for column, rounds in columns.items()}
        for row, columns in grouped.items()
    }


def _figures_of(rounds: list[Measurement]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for figure in _FIGURES:
        values = [one[figure] for one in rounds if figure in one]
        if values:
            figures[figure] = statistics.median(values)
            figures[f"{figure}_min"] = min(values)
            figures[f"{figure}_max"] = max(values)
    return figures


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "commit": commit or "no-commit",
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "processor": _processor(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def keep(file: Path, result: Mapping[str, object]) -> None:
    """Write figures as JSON, into a folder that is made if need be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")


def _processor() -> str:
    details = Path("/proc/cpuinfo")
    if details.exists():
        for line in details.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor()
