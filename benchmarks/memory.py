"""Is memory flat? ``python benchmarks/memory.py``, or with ``--help``.

One process produces, another consumes, side by side with a broker, for millions of messages: once
plain, and once with the engine stopped for a while in the middle. The run is cut into fifths; of
each, the peak of every process is kept. Printed is the peak of the last fifth in terms of the
first's, which stays near 1 where nothing piles up. It also says whether every message arrived.

It reads ``/proc``, so it is for Linux. Invariant: no figure includes what a process held before its
own fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import RESULTS, ROOT
from benchmarks.connecting import connected
from benchmarks.figures import keep, machine
from benchmarks.memory_clients import PARTS, STATION
from benchmarks.process_memory import peak_mib, reset_peak, resident_mib
from memphis_broker.testing import BrokerProcess

WANTED_RATIO: Final = 1.1
MESSAGES: Final = 5_000_000
STOP_SECONDS: Final = 10.0
RUNS: Final = ("plain", "stopped")
_STOP_AFTER_PART: Final = 2
_RUN_SECONDS_MAX: Final = 3600.0


class Track:
    """The peaks of one process, fifth by fifth."""

    def __init__(self) -> None:
        self.fifths: list[dict[str, float]] = []

    def add(self, messages: int, peak: float, resident: float) -> None:
        """Take the figures of one more fifth."""
        self.fifths.append({"messages": messages, "peak_mib": peak, "resident_mib": resident})

    def sample(self, messages: int, pid: int) -> None:
        """Read them from a process that does not know it is watched."""
        self.add(messages, peak_mib(pid), resident_mib(pid))
        reset_peak(pid)

    @property
    def ratio(self) -> float:
        """The peak of the last fifth in terms of the first's."""
        return self.fifths[-1]["peak_mib"] / self.fifths[0]["peak_mib"]

    def as_json(self) -> dict[str, object]:
        """All of it."""
        return {"fifths": self.fifths, "ratio": self.ratio}


class ClientFailedError(Exception):
    """A client process ended badly; it has said why on standard error."""


class _Run(NamedTuple):
    port: int
    pids: dict[str, int]
    """The processes that are watched from outside, by name."""
    messages: int
    stop_seconds: float
    """How long the engine is stopped; 0 for not at all."""


class _Meter:
    """Follows the clients of one run, and writes down what they and the broker hold."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self.tracks = {name: Track() for name in ("producer", "consumer", *run.pids)}
        self.outcome: dict[str, int] = {}

    async def follow(self, name: str) -> None:
        """Start a client and read it to its end."""
        async with _client(name, self._run) as client:
            assert client.stdout is not None
            async for line in client.stdout:
                await self._take(name, json.loads(line))
            if await client.wait():
                raise ClientFailedError(f"the {name} failed; its words are above")

    async def _take(self, name: str, figures: dict[str, Any]) -> None:
        if "peak_mib" not in figures:
            self.outcome.update(figures)
            return
        track = self.tracks[name]
        track.add(figures["messages"], figures["peak_mib"], figures["resident_mib"])
        if name == "consumer":
            # What the consumer has was produced and stored before, so all have done their fifth.
            for watched, pid in self._run.pids.items():
                self.tracks[watched].sample(figures["messages"], pid)
        elif len(track.fifths) == _STOP_AFTER_PART and self._run.stop_seconds:
            await _stop_for(self._run.pids["engine"], self._run.stop_seconds)


async def measure(run: _Run) -> dict[str, Any]:
    """Both clients to their ends; each process's fifths, and how many messages arrived."""
    async with await connected(run.port) as memphis:
        # Kept for longer than the default hour: a slow machine must not lose what it has not read.
        await memphis.station(STATION, retention_value=86_400)
    meter = _Meter(run)
    for pid in run.pids.values():
        reset_peak(pid)
    async with asyncio.timeout(_RUN_SECONDS_MAX), asyncio.TaskGroup() as group:
        for name in ("consumer", "producer"):
            group.create_task(meter.follow(name))
    return {
        "messages": run.messages,
        "stopped_seconds": run.stop_seconds,
        **meter.outcome,
        "processes": {name: track.as_json() for name, track in meter.tracks.items()},
    }


@contextlib.asynccontextmanager
async def _client(name: str, run: _Run) -> AsyncIterator[asyncio.subprocess.Process]:
    module, numbers = "benchmarks.memory_clients", (str(run.port), str(run.messages))
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, name, *numbers, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield client
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()


async def _stop_for(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def measure_on_new_broker(messages: int, stop_seconds: float) -> dict[str, Any]:
    """One run on a broker and engine of its own."""
    with BrokerProcess() as broker:
        pids = {"broker": broker.pid, "engine": broker.engine_pid}
        return asyncio.run(measure(_Run(broker.port, pids, messages, stop_seconds)))


def print_run(name: str, found: dict[str, Any]) -> None:
    """A line per process: its peaks, and the ratio that is wanted."""
    stopped = f", engine stopped for {found['stopped_seconds']:g} s" if name == "stopped" else ""
    print(
        f"{name}: {found['messages']:,} messages{stopped}; confirmed {found['confirmed']:,}, "
        f"received {found['received']:,}, lost {found['lost']:,}, repeated {found['repeated']:,}"
    )
    print(f"{'process':10}{'peak MiB of each fifth':>45}  last/first  wanted")
    for process, track in found["processes"].items():
        peaks = "".join(f"{fifth['peak_mib']:9.1f}" for fifth in track["fifths"])
        # The engine is not ours, and keeps what it likes in memory.
        wanted = "-" if process == "engine" else f"<= {WANTED_RATIO}"
        print(f"{process:10}{peaks:>45}  {track['ratio']:10.3f}  {wanted}")


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--stop-seconds", type=float, default=STOP_SECONDS, help="of the engine")
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the JSON")
    arguments = parser.parse_args()
    if arguments.messages < PARTS:
        parser.error(f"--messages: at least {PARTS}")
    runs: dict[str, Any] = {}
    for name in arguments.only:
        stop_seconds = arguments.stop_seconds if name == "stopped" else 0.0
        runs[name] = measure_on_new_broker(arguments.messages, stop_seconds)
        print_run(name, runs[name])
    on = machine()
    out = arguments.out / f"memory-{on['commit']}.json"
    keep(out, {"on": on, "wanted_ratio": WANTED_RATIO, "runs": runs})
    print(f"kept in {out.name}")


if __name__ == "__main__":
    main()
