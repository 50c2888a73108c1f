"""From figures to a table that a person can read."""

from __future__ import annotations

import importlib

from rich.console import Console
from rich.table import Table

OURS = "memphis_sdk"


def print_table(summary: dict[str, dict[str, dict[str, float]]]) -> None:
    """One table per row of the benchmark, the fastest client first."""
    console = Console()
    for row, clients in summary.items():
        table = Table(title=row.replace("_", " "), title_justify="left")
        for heading in ("client", "messages/s or p50", "spread or p99", "ours is", "CPU s/million",
                        "memory MiB"):  # fmt: skip
            table.add_column(heading, justify="left" if heading == "client" else "right")
        for client, figures in sorted(clients.items(), key=lambda item: _order(item[1])):
            table.add_row(_name(client), *_cells(figures, clients.get(OURS, {})))
        console.print(table)


def _order(figures: dict[str, float]) -> float:
    return -figures["rate"] if "rate" in figures else figures["p50_us"]


def _cells(figures: dict[str, float], ours: dict[str, float]) -> list[str]:
    if "rate" in figures:
        speed = f"{figures['rate']:,.0f}"
        spread = f"{figures['rate_min']:,.0f} to {figures['rate_max']:,.0f}"
        ratio = ours.get("rate", 0) / figures["rate"]
    else:
        speed = f"{figures['p50_us']:,.0f} us"
        spread = f"{figures['p99_us']:,.0f} us"
        ratio = figures["p50_us"] / ours["p50_us"] if ours else 0
    cpu = 1e6 * figures["cpu_seconds"] / figures["messages"]
    return [speed, spread, f"{ratio:.2f} x", f"{cpu:.1f}", f"{figures['memory_mib']:.0f}"]


def _name(client: str) -> str:
    # The module of a client may need libraries that are not here; its name does not.
    try:
        return str(importlib.import_module(f"benchmarks.clients.{client}").NAME)
    except ImportError:
        return client
