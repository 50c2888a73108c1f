"""Draws measurements as plain pictures; the numbers themselves are in the JSON beside them.

At the end of the flow: figures > here > a file. Pure but for that file. Whoever draws asks
:func:`missing` first, because the figures are worth keeping without a picture as well. Invariant:
the same figures give the same bytes, so a picture changes only when its figures did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = Sequence[tuple[float, float]]
"""Points from left to right."""
Spread = tuple[float, float]
"""Lowest and highest of the rounds."""

_COLOURS = ("#0b5fa5", "#d1640a", "#2c8a4b", "#8a3fa0", "#b3261e", "#6b6b6b", "#008c95", "#a88400")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "figure.titlesize": 13,
    "font.size": 10,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    # Element ids would otherwise be random, and text would be drawn as outlines.
    "svg.fonttype": "none",
    "svg.hashsalt": "memphis",
}
_WIDTH_INCHES = 8.0
_SMALL = 10.0
"""Below this a figure is written with a digit after the point."""


def missing() -> str | None:
    """Why nothing can be drawn here, and what to do; None if it can."""
    try:
        import matplotlib.figure  # noqa: F401, PLC0415 - only whether it can be imported counts
    except ModuleNotFoundError as error:
        return (
            f"{error.name} is not installed "
            "(pip install matplotlib; the environment that `make bench` makes has it)"
        )
    return None


def draw_bars(
    path: Path,
    title: str,
    groups: Mapping[str, Mapping[str, float]],
    unit: str,
    spreads: Mapping[str, Mapping[str, Spread]] | None = None,
) -> None:
    """One group of bars per row, one bar per client.

    Args:
        path: Where the picture goes; its suffix chooses the format.
        title: Above the picture.
        groups: Row to client to figure. A client that lacks a row leaves a gap there.
        unit: What the figures are, for the axis.
        spreads: Row to client to lowest and highest; drawn as error bars where given.
    """
    clients = list(dict.fromkeys(client for row in groups.values() for client in row))
    width = 0.8 / max(1, len(clients))
    with _figure(path, title, (max(_WIDTH_INCHES, 1.6 * len(groups)), 4.5)) as figure:
        axes = figure.add_subplot()
        for number, client in enumerate(clients):
            rows = [row for row, figures in groups.items() if client in figures]
            places = [list(groups).index(row) - 0.4 + width * (number + 0.5) for row in rows]
            heights = [groups[row][client] for row in rows]
            bars = axes.bar(
                places,
                heights,
                width * 0.92,
                label=client,
                color=_COLOURS[number % len(_COLOURS)],
                yerr=_error_bars(rows, heights, client, spreads or {}),
                error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#222222"},
            )
            axes.bar_label(bars, [_short(height) for height in heights], fontsize=7, padding=3)
        axes.set_xticks(range(len(groups)), [row.replace("_", " ") for row in groups])
        axes.set_ylabel(unit)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(_short_ticks())
        figure.legend(loc="outside lower center", ncols=min(4, max(1, len(clients))))


def draw_panels(
    path: Path,
    title: str,
    x_label: str,
    panels: Mapping[str, Mapping[str, Line]],
    *,
    log_x: bool = True,
) -> None:
    """Several line charts, one below the other, over one x axis.

    Args:
        path: Where the picture goes; its suffix chooses the format.
        title: Above the picture.
        x_label: What the points are measured against, with its unit.
        panels: The label of a y axis to the lines above it, by name. Every y axis begins at 0.
        log_x: Whether equal steps of x are equal factors.
    """
    ticks = sorted({x for lines in panels.values() for line in lines.values() for x, _ in line})
    with _figure(path, title, (_WIDTH_INCHES, 1.0 + 2.9 * len(panels))) as figure:
        for number, (y_label, lines) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(len(panels), 1, number)
            for place, (name, line) in enumerate(lines.items()):
                axes.plot(
                    [x for x, _ in line],
                    [y for _, y in line],
                    label=name,
                    color=_COLOURS[place % len(_COLOURS)],
                    marker=_MARKERS[place % len(_MARKERS)],
                    markersize=5,
                )
            _label_x(axes, ticks, log_x=log_x)
            axes.set_ylabel(y_label)
            highest = max((y for line in lines.values() for _, y in line), default=0.0)
            axes.set_ylim(0, 1.1 * highest or 1.0)
            axes.yaxis.set_major_formatter(_short_ticks())
            if lines:
                axes.legend(loc="best")
        axes.set_xlabel(x_label)


@contextmanager
def _figure(path: Path, title: str, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure to draw on; it is written on leaving."""
    # Only drawing needs matplotlib: whoever only measures goes without.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        # A figure of its own, never pyplot: nothing opens a window or is kept.
        figure = Figure(size, layout="constrained")
        figure.suptitle(title, x=0.01, horizontalalignment="left")
        yield figure
        # None leaves an entry out.
        metadata = {"Creator": None, "Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata, facecolor="white")


def _label_x(axes: Axes, ticks: Sequence[float], *, log_x: bool) -> None:
    if log_x and ticks and ticks[0] > 0:
        axes.set_xscale("log")
        axes.set_xticks(ticks, [_short(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
    else:
        axes.xaxis.set_major_formatter(_short_ticks())
        axes.set_xlim(left=0)


def _error_bars(
    rows: Sequence[str],
    heights: Sequence[float],
    client: str,
    spreads: Mapping[str, Mapping[str, Spread]],
) -> list[list[float]] | None:
    if not spreads:
        return None
    below, above = [], []
    for row, height in zip(rows, heights, strict=True):
        low, high = spreads.get(row, {}).get(client, (height, height))
        below.append(max(0.0, height - low))
        above.append(max(0.0, high - height))
    return [below, above]


def _short_ticks() -> Any:
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415 - as in _figure

    return FuncFormatter(lambda value, _: _short(value))


def _short(value: float) -> str:
    """A figure as a person would write it: 950, 12 k, 1.5 M."""
    for factor, letter in ((1e6, " M"), (1e3, " k"), (1.0, "")):
        if abs(value) >= factor:
            scaled = value / factor
            text = f"{scaled:.1f}".removesuffix(".0") if scaled < _SMALL else f"{scaled:.0f}"
            return text + letter
    return f"{value:.3g}"
