"""What more of something costs: ``python benchmarks/growth.py``, or with ``--help``.

Five questions, each with a few points: more partitions, more producers, larger payloads, more
stations, and a deeper station. Each round starts an engine per question and runs its points in
order; the median of the rounds counts. Every measurement is a process of its own, so that its peak
of memory is nobody else's. Out come a table, and per question a JSON file and, where matplotlib
is installed, a picture.

At a point with messages, one process produces them without waiting, each confirmed, and another
fetches them by the 500 and acknowledges each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import RESULTS, ROOT
from benchmarks.engine import running_engine
from benchmarks.figures import keep, machine
from benchmarks.growth_work import Point
from benchmarks.plot import draw_panels, missing

MESSAGES: Final = 100_000
"""Of a point, unless they would be more than BYTES_MAX."""
BYTES_MAX: Final = 200_000_000
DEPTH: Final = 5_000_000
_SLICES: Final = 10
_HEADER_ROOM: Final = 1024
"""The engine's largest message counts the headers that the SDK adds."""
_WORK_SECONDS_MAX: Final = 900


class Question(NamedTuple):
    """What grows."""

    title: str
    x_label: str
    points: tuple[Point, ...]
    one_station: bool = False
    """Whether all points are slices of one station, which grows."""
    in_bytes: bool = False
    """Whether x is the size of a payload."""


def questions(scale: float, points_max: int = _SLICES) -> dict[str, Question]:
    """All questions by name.

    Args:
        scale: How many times as many messages, and up to as many stations.
        points_max: At most so many points each, the first and the last among them.
    """

    def messages(size: int = 256) -> int:
        return max(32, int(scale * min(MESSAGES, BYTES_MAX // size)))

    def some(values: Sequence[int]) -> list[int]:
        count = min(points_max, len(values))
        return [values[n * (len(values) - 1) // max(1, count - 1)] for n in range(count)]

    kib = [1024 * n for n in (1, 4, 16, 64, 256)]
    sizes = [64, 256, *kib, 1024 * 1024 - _HEADER_ROOM]
    stations = some(sorted({max(1, round(n * min(1.0, 10 * scale))) for n in (1, 10, 100, 1000)}))
    slices = min(points_max, _SLICES)
    deep = max(32, int(scale * DEPTH / slices))
    return {
        "partitions": Question(
            "More partitions, 256 B", "partitions",
            tuple(Point(n, messages(), partitions=n) for n in some((1, 4, 16))),
        ),
        "producers": Question(
            "More producers on one connection, 256 B", "producers",
            tuple(Point(n, messages() // n * n, producers=n) for n in some((1, 4, 16))),
        ),
        "sizes": Question(
            "Larger payloads", "payload (bytes)",
            tuple(Point(n, messages(n), size=n) for n in some(sizes)), in_bytes=True,
        ),
        "stations": Question(
            "More stations", "stations",
            tuple(
                Point(n, stations=n, stations_before=before)
                for before, n in zip([0, *stations], stations, strict=False)
            ),
        ),
        "depth": Question(
            "A station that grows, 256 B", "messages in it",
            tuple(Point(deep * n, deep) for n in range(1, slices + 1)),
            one_station=True,
        ),
    }  # fmt: skip


def measure_question(question: Question, port: int) -> Iterator[dict[str, Any]]:
    """Every piece of work of every point, once, on an engine without stations."""
    for number, point in enumerate(question.points):
        shared = question.one_station or point.stations
        station = "growth" if shared else f"growth-{number}"
        for kind in ("manage",) if point.stations else ("produce", "fetch"):
            found = _run_worker(kind, port, station, point)
            yield {"x": point.x, "work": kind, **found}


def _run_worker(kind: str, port: int, station: str, point: Point) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth_work", kind, str(port), station]
    done = subprocess.run(
        [*command, json.dumps(point._asdict())],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=_WORK_SECONDS_MAX, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{kind} failed at {point}; its words are above")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def summarize(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each point and work: the median of every figure, and the spread of rates."""
    points: dict[int, dict[str, Any]] = {}
    for x, kind in dict.fromkeys((one["x"], one["work"]) for one in rounds):
        same = [one for one in rounds if (one["x"], one["work"]) == (x, kind)]
        figures = {
            name: statistics.median(one[name] for one in same)
            for name in same[0]
            if name not in {"x", "work", "round"}
        }
        if "rate" in figures:
            figures["rate_min"] = min(one["rate"] for one in same)
            figures["rate_max"] = max(one["rate"] for one in same)
        points.setdefault(x, {"x": x})[kind] = figures
    return list(points.values())


# What a person sees.

_CELLS: Final = {
    "messages": ("messages", "{:,.0f}"),
    "rate": ("messages/s", "{:,.0f}"),
    "created": ("created", "{:,.0f}"),
    "create_seconds": ("ms a create", "{:,.2f}"),
    "list_seconds": ("ms a list", "{:,.2f}"),
    "info_seconds": ("ms an info", "{:,.2f}"),
    "memory_mib": ("peak MiB", "{:,.1f}"),
}


def print_table(question: Question, points: list[dict[str, Any]]) -> None:
    """A line per point, the works side by side."""
    print(f"\n{question.title}")
    works = [kind for kind in points[0] if kind != "x"]
    columns = [(kind, name) for kind in works for name in _CELLS if name in points[0][kind]]
    heads = [f"{kind} {_CELLS[name][0]}" for kind, name in columns]
    print("  ".join(f"{head:>20}" for head in [question.x_label, *heads]))
    for point in points:
        cells = [f"{point['x']:,}"]
        for kind, name in columns:
            factor = 1000 if name.endswith("seconds") else 1
            cells.append(_CELLS[name][1].format(factor * point[kind][name]))
        print("  ".join(f"{cell:>20}" for cell in cells))
    if question.one_station:
        for kind in works:
            ratio = points[0][kind]["rate"] / points[-1][kind]["rate"]
            print(f"{kind}: a message at the end costs {ratio:.2f} x one at the beginning")


def draw(path: Path, question: Question, points: list[dict[str, Any]]) -> None:
    """A picture with a panel per unit."""

    def line(kind: str, name: str, factor: float = 1.0) -> list[tuple[float, float]]:
        return [(point["x"], factor * point[kind][name]) for point in points]

    if "manage" in points[0]:
        panels = {
            "milliseconds each": {
                "create": line("manage", "create_seconds", 1000),
                "info": line("manage", "info_seconds", 1000),
            },
            "milliseconds for all": {"list": line("manage", "list_seconds", 1000)},
            "client's peak memory (MiB)": {"create, list, info": line("manage", "memory_mib")},
        }
    else:
        names = {"produce": "produce", "fetch": "fetch + ack"}
        panels = {
            "messages a second": {name: line(kind, "rate") for kind, name in names.items()},
            "client's peak memory (MiB)": {
                name: line(kind, "memory_mib") for kind, name in names.items()
            },
        }
        if question.in_bytes:
            panels["megabytes a second"] = {
                name: [(x, x * rate / 1e6) for x, rate in line(kind, "rate")]
                for kind, name in names.items()
            }
    draw_panels(path, question.title, question.x_label, panels, log_x=not question.one_station)


def measure_all(asked: Mapping[str, Question], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """All rounds of these questions."""
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in asked}
    for number in range(rounds):
        for name, question in asked.items():
            with running_engine() as engine:
                for found in measure_question(question, engine.port):
                    measured[name].append({"round": number, **found})
            print(f"round {number + 1}: {name} is done")
    return measured


def main() -> None:
    """Measure, print, keep the figures, and draw them where that can be done."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = list(questions(1.0))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer messages")
    parser.add_argument("--points", type=int, default=_SLICES, help="at most, of each question")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME",
                        help=f"some of: {', '.join(names)}")  # fmt: skip
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the results")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.points < 1 or arguments.scale <= 0:
        parser.error("--rounds, --points and --scale must be above 0")
    on, lacks = machine(), missing()
    if lacks:
        print(f"nothing will be drawn: {lacks}", flush=True)
    known = questions(arguments.scale, arguments.points)
    asked = {name: known[name] for name in arguments.only}
    for name, rounds in measure_all(asked, arguments.rounds).items():
        question, points = asked[name], summarize(rounds)
        kept = {
            "on": on, "question": name, "title": question.title, "x": question.x_label,
            "scale": arguments.scale, "points": points, "rounds": rounds,
        }  # fmt: skip
        file = arguments.out / f"growth-{name}-{on['commit']}.json"
        keep(file, kept)
        print_table(question, points)
        print(f"kept in {file.name}")
        if not lacks:
            draw(file.with_suffix(".svg"), question, points)
            print(f"drawn in {file.stem}.svg")


if __name__ == "__main__":
    main()
