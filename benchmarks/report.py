"""From figures to tables that a person can read, and a plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.contenders import OURS
from benchmarks.figures import Summary
from benchmarks.plot import draw_bars
from benchmarks.ratios import Reached

_WIDTH_OF_A_FILE = 120


def print_table(summary: Summary, names: Mapping[str, str]) -> None:
    """One table per row of the benchmark, the fastest first, sizes in their order."""
    console = _console()
    for row, clients in summary.items():
        table = Table(title=row.replace("_", " "), title_justify="left")
        for heading in ("client", "messages/s or p50", "spread or p99", "ours is", "CPU s/million",
                        "peak MiB"):  # fmt: skip
            table.add_column(heading, justify="left" if heading == "client" else "right")
        are_clients = names.keys() >= clients.keys()
        lines = sorted(clients.items(), key=_speed) if are_clients else clients.items()
        for client, figures in lines:
            table.add_row(names.get(client, client), *_cells(figures, clients.get(OURS, {})))
        console.print(table)


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    return console


def _speed(item: tuple[str, Mapping[str, float]]) -> float:
    figures = item[1]
    return -figures["rate"] if "rate" in figures else figures["p50_us"]


def _cells(figures: Mapping[str, float], ours: Mapping[str, float]) -> list[str]:
    if "rate" in figures:
        speed = f"{figures['rate']:,.0f}"
        spread = f"{figures['rate_min']:,.0f} to {figures['rate_max']:,.0f}"
        ratio = ours["rate"] / figures["rate"] if ours else None
    else:
        speed = f"{figures['p50_us']:,.0f} us"
        spread = f"{figures['p99_us']:,.0f} us"
        ratio = figures["p50_us"] / ours["p50_us"] if ours else None
    compared = "" if ratio is None else f"{ratio:.2f} x"
    cpu = 1e6 * figures["cpu_seconds"] / figures["messages"]
    return [speed, spread, compared, f"{cpu:.1f}", f"{figures['memory_mib']:.0f}"]


def print_ratios(ratios: list[Reached]) -> None:
    """What was wanted and what was reached, one line each."""
    table = Table(title="what must be reached", title_justify="left")
    for heading in ("what", "reached", "rounds", "wanted", ""):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for one in ratios:
        wanted = f"{'at most' if one.is_upper_limit else 'at least'} {one.wanted:g}"
        if one.ratio is None:
            table.add_row(one.what, "not measured", "", wanted, "")
        else:
            rounds = f"{one.least:.2f} to {one.most:.2f}"
            table.add_row(
                one.what, f"{one.ratio:.2f}", rounds, wanted, "" if one.is_met else "missed"
            )
    _console().print(table)


def draw_plots(path: Path, summary: Summary, names: Mapping[str, str]) -> None:
    """Bars in SVG: messages a second at ``path``, and beside it the latency and the sizes."""
    by_client = {row: found for row, found in summary.items() if names.keys() >= found.keys()}
    sizes = {row: found for row, found in summary.items() if row not in by_client}
    by_size = "This SDK by size of the payload"
    drawn = (
        (path, "rate", by_client, "Messages a second", "messages/s"),
        (_beside(path, "latency"), "p50_us", by_client, "From producer to consumer", "us"),
        (_beside(path, "sizes"), "rate", sizes, by_size, "messages/s"),
    )
    for file, figure, rows, title, unit in drawn:
        groups = _groups(rows, names, figure)
        spreads = {
            group: {bar: (one[f"{figure}_min"], one[f"{figure}_max"]) for bar, one in bars.items()}
            for group, bars in groups.items()
        }
        values = {
            group: {bar: one[figure] for bar, one in bars.items()} for group, bars in groups.items()
        }
        if values:
            draw_bars(file, f"{title}: median and spread", values, unit, spreads)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.stem}-{what}{path.suffix}")


def _groups(
    rows: Summary, names: Mapping[str, str], figure: str
) -> dict[str, dict[str, dict[str, float]]]:
    """The rows that have the figure, their bars under the names that people read."""
    return {
        row.partition(" by size")[0]: {names.get(bar, bar): one for bar, one in bars.items()}
        for row, bars in rows.items()
        if all(figure in one for one in bars.values())
    }
