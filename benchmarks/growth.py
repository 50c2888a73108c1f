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
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.memory import peak_mib
from memphis import Memphis, Producer

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = Path(__file__).parent / "results"
MESSAGES: Final = 100_000
"""Of a point, unless they would be more than BYTES_MAX."""
BYTES_MAX: Final = 200_000_000
DEPTH: Final = 5_000_000
_SLICES: Final = 10
_HEADER_ROOM: Final = 1024
"""The engine's largest message counts the headers that the SDK adds."""
_BATCH: Final = 500
_LOOKS_MAX: Final = 50
_LISTS: Final = 5
_WORK_SECONDS_MAX: Final = 900
_SILENCE_SECONDS: Final = 30.0
_WORKER: Final = "point"


class Point(NamedTuple):
    """One place on the x axis."""

    x: int
    messages: int = 0
    size: int = 256
    partitions: int = 1
    producers: int = 1
    stations: int = 0
    """How many there are at the end; 0 where messages are measured."""
    stations_before: int = 0


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


# The measured process: one piece of work at one point, printed as one line of JSON.


async def produce(memphis: Memphis, station: str, point: Point) -> dict[str, float]:
    """All messages, from as many tasks as there are producers."""
    # A day, not the default hour: what the first slice stored must still be there at the last.
    await memphis.station(station, retention_value=86_400, partitions_number=point.partitions)
    producers = [
        await memphis.producer(station, f"producer-{number}") for number in range(point.producers)
    ]
    payload, share = b"0" * point.size, point.messages // point.producers

    async def one(producer: Producer) -> None:
        for _ in range(share):
            await producer.produce(payload, nonblocking=True)
        await producer.flush()

    before = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for producer in producers:
            group.create_task(one(producer))
    return _rate(share * point.producers, before)


async def fetch(memphis: Memphis, station: str, point: Point) -> dict[str, float]:
    """As many messages as were produced, each acknowledged."""
    consumer = await memphis.consumer(station, "reader", batch_size=_BATCH, pull_interval_ms=0)
    done = 0
    before = last = time.perf_counter()
    while done < point.messages:
        # Never more than there is: a batch that cannot fill waits for its time to pass.
        for message in await consumer.fetch(min(_BATCH, point.messages - done)):
            message.get_data()
            await message.ack()
            done += 1
            last = time.perf_counter()
        if time.perf_counter() - last > _SILENCE_SECONDS:
            raise TimeoutError(f"{station}: only {done} of {point.messages} messages came")
    return _rate(done, before)


async def manage(memphis: Memphis, station: str, point: Point) -> dict[str, float]:
    """Create stations, one after another, up to the point's number; list all, look at some."""
    before = time.perf_counter()
    for number in range(point.stations_before, point.stations):
        await memphis.station(f"{station}-{number}")
    created = time.perf_counter() - before

    lists = []
    for _ in range(_LISTS):
        before = time.perf_counter()
        found = len(await memphis.stations())
        lists.append(time.perf_counter() - before)

    looked = range(0, point.stations, max(1, point.stations // _LOOKS_MAX))
    handles = [await memphis.existing_station(f"{station}-{number}") for number in looked]
    before = time.perf_counter()
    for handle in handles:
        await handle.info()
    return {
        "stations": found,
        "created": point.stations - point.stations_before,
        "create_seconds": created / (point.stations - point.stations_before),
        "list_seconds": statistics.median(lists),
        "info_seconds": (time.perf_counter() - before) / len(handles),
    }


WORK: Final = {"produce": produce, "fetch": fetch, "manage": manage}


def _rate(messages: int, before: float) -> dict[str, float]:
    seconds = time.perf_counter() - before
    return {"messages": messages, "seconds": seconds, "rate": messages / seconds}


async def work(kind: str, port: int, station: str, point: Point) -> dict[str, float]:
    """Connect, do one piece of work, and say what it took; connecting is not part of it."""
    async with Memphis() as memphis:
        await memphis.connect("127.0.0.1", "root", password="memphis", port=port)
        found = await WORK[kind](memphis, station, point)
        if point.messages:
            info = await (await memphis.existing_station(station)).info()
            found["station_messages"] = info.messages
    return {**found, "memory_mib": peak_mib(os.getpid())}


# The measuring process: rounds of questions of points.


def measure_question(question: Question, port: int) -> Iterator[dict[str, Any]]:
    """Every piece of work of every point, once, on an engine without stations."""
    for number, point in enumerate(question.points):
        shared = question.one_station or point.stations
        station = "growth" if shared else f"growth-{number}"
        for kind in ("manage",) if point.stations else ("produce", "fetch"):
            found = _run_worker(kind, port, station, point)
            yield {"x": point.x, "work": kind, **found}


def _run_worker(kind: str, port: int, station: str, point: Point) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth", _WORKER]
    done = subprocess.run(
        [*command, kind, str(port), station, json.dumps(point._asdict())],
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
    from benchmarks.plot import draw_panels  # noqa: PLC0415 - the measured process goes without

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


def measure_all(arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """All rounds of all chosen questions."""
    from benchmarks.engine import running_engine  # noqa: PLC0415 - as in draw

    asked = questions(arguments.scale, arguments.points)
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.only}
    for number in range(arguments.rounds):
        for name in arguments.only:
            with running_engine() as engine:
                for found in measure_question(asked[name], engine.port):
                    rounds[name].append({"round": number, **found})
            print(f"round {number + 1}: {name} is done")
    return rounds


def main() -> None:
    """Measure, print, keep the figures, and draw them where that can be done."""
    from benchmarks.figures import machine  # noqa: PLC0415 - as in draw
    from benchmarks.plot import missing  # noqa: PLC0415 - as in draw

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
    rounds = measure_all(arguments)
    for name in arguments.only:
        question, points = (
            questions(arguments.scale, arguments.points)[name],
            summarize(rounds[name]),
        )
        kept = {
            "on": on, "question": name, "title": question.title, "x": question.x_label,
            "scale": arguments.scale, "points": points, "rounds": rounds[name],
        }  # fmt: skip
        file = arguments.out / f"growth-{name}-{on['commit']}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(kept, indent=1) + "\n")
        print_table(question, points)
        print(f"kept in {file.name}")
        if not lacks:
            draw(file.with_suffix(".svg"), question, points)
            print(f"drawn in {file.stem}.svg")


def _main_of_worker(kind: str, port: str, station: str, point: str) -> None:
    print(json.dumps(asyncio.run(work(kind, int(port), station, Point(**json.loads(point))))))


if __name__ == "__main__":
    if sys.argv[1:2] == [_WORKER]:
        _main_of_worker(*sys.argv[2:])
    else:
        main()
