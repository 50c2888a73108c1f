"""Measures this SDK and its peers side by side: ``make bench``, or ``make bench ARGS=--help``.

All clients use one engine, one after another, in rounds: every round runs each client once in each
row, so that a slow minute of the machine hurts all alike. Printed are medians, the spread of the
rounds, and each client's ratio to this SDK *in this run*; only the ratios are worth quoting.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clients import ROWS
from benchmarks.engine import running_engine
from benchmarks.report import print_table
from memphis import Memphis

RESULTS = Path(__file__).parent / "results"
CLIENTS = ("raw_socket", "memphis_sdk", "nats_py")
COUNTS = {
    "produce_awaited": 3_000,
    "produce_nonblocking": 100_000,
    "fetch_ack": 100_000,
    "consume_handler": 100_000,
    "latency": 3_000,
}
_WORKER_DEADLINE_S = 300


async def measure_all(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every round of every row of every client, in the order in which they ran."""
    found: list[dict[str, Any]] = []
    with running_engine() as engine:
        async with Memphis() as memphis:
            await memphis.connect("127.0.0.1", "root", password="memphis", port=engine.port)
            for number in range(arguments.rounds):
                for row in arguments.rows:
                    for client in arguments.clients:
                        station = f"bench-{len(found)}"
                        async with _station(memphis, station, row, arguments):
                            outcome = _run_worker(client, row, station, engine.port, arguments)
                        if outcome is None:
                            continue
                        found.append({"round": number, "client": client, "row": row, **outcome})
                        print(f"round {number + 1}: {row:20} {client:12} {_short(outcome)}")
    return found


@contextlib.asynccontextmanager
async def _station(
    memphis: Memphis, name: str, row: str, arguments: argparse.Namespace
) -> AsyncIterator[None]:
    """A fresh station, already filled for the rows that consume."""
    station = await memphis.station(name)
    if row in ("fetch_ack", "consume_handler"):
        producer = await memphis.producer(name, "filler")
        payload = b"0" * arguments.size
        for _ in range(_count(row, arguments)):
            await producer.produce(payload, headers={"source": "filler"}, nonblocking=True)
        await producer.destroy()
    yield
    await station.destroy()


def _count(row: str, arguments: argparse.Namespace) -> int:
    return max(500, int(COUNTS[row] * arguments.scale) // 500 * 500)


def _run_worker(
    client: str, row: str, station: str, port: int, arguments: argparse.Namespace
) -> dict[str, Any] | None:
    target = {
        "port": port,
        "station": station,
        "size": arguments.size,
        "count": _count(row, arguments),
        "rate": 1000,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", client, row, json.dumps(target)],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        timeout=_WORKER_DEADLINE_S,
        check=False,
    )
    if "has no attribute" in done.stderr.rpartition("AttributeError")[2]:
        return None  # this client has no such row
    if done.returncode:
        raise SystemExit(f"{client} failed in {row}:\n{done.stderr}")
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def _short(outcome: dict[str, Any]) -> str:
    if "rate" in outcome:
        return f"{outcome['rate']:>10,.0f} messages/s"
    return f"p50 {outcome['p50_us']:,.0f} us, p99 {outcome['p99_us']:,.0f} us"


def summarize(found: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """For each row and client: the median and the spread of every figure."""
    summary: dict[str, dict[str, dict[str, float]]] = {}
    for row in ROWS:
        for client in dict.fromkeys(one["client"] for one in found if one["row"] == row):
            rounds = [one for one in found if (one["row"], one["client"]) == (row, client)]
            figures: dict[str, float] = {}
            for figure in ("rate", "p50_us", "p99_us", "cpu_seconds", "memory_mib", "messages"):
                values = [one[figure] for one in rounds if figure in one]
                if values:
                    figures[figure] = statistics.median(values)
                    figures[f"{figure}_min"] = min(values)
                    figures[f"{figure}_max"] = max(values)
            summary.setdefault(row, {})[client] = figures
    return summary


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "commit": commit,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    """Measure, print a table, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--size", type=int, default=256, help="bytes of a payload, from 20")
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer messages per row")
    parser.add_argument("--out", type=Path, help="where the JSON goes; default benchmarks/results")
    arguments = parser.parse_args()
    found = asyncio.run(measure_all(arguments))
    result = {"on": machine(), "size": arguments.size, "summary": summarize(found), "rounds": found}
    out = arguments.out or RESULTS / f"{result['on']['commit']}-{arguments.size}b.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print_table(result["summary"])
    print(f"kept in {out.name}")


if __name__ == "__main__":
    main()
