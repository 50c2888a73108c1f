"""Is memory flat? ``python benchmarks/memory.py``, or with ``--help``.

One process produces, another consumes, side by side with a broker, for millions of messages: once
plain, and once with the engine stopped for a while in the middle. The run is cut into fifths; of
each, the peak of every process is kept. Printed is the peak of the last fifth in terms of the
first's, which stays near 1 where nothing piles up. It also says whether every message arrived.

The functions about processes serve the other measurements as well. They read ``/proc``, so this
file is for Linux. Invariant: no figure includes what a process held before its own fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from memphis import Memphis

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = Path(__file__).parent / "results"
PARTS: Final = 5
WANTED_RATIO: Final = 1.1
MESSAGES: Final = 5_000_000
PAYLOAD_BYTES: Final = 256
STOP_SECONDS: Final = 10.0
RUNS: Final = ("plain", "stopped")
_STATION: Final = "memory"
_BATCH: Final = 500
_NUMBER_BYTES: Final = 8
_SILENCE_SECONDS: Final = 60.0
"""A consumer that gets nothing for so long reports what is missing."""
_STOP_AFTER_PART: Final = 2
_RUN_SECONDS_MAX: Final = 3600.0
_RESET_PEAK: Final = "5"
_KIB: Final = 1024.0


# What /proc knows about a process.


def resident_mib(pid: int) -> float:
    """The memory that a process holds now."""
    return _from_status(pid, "VmRSS")


def peak_mib(pid: int) -> float:
    """The most that a process has held since it started, or since :func:`reset_peak`."""
    return _from_status(pid, "VmHWM")


def reset_peak(pid: int) -> None:
    """Begin a new peak of memory, at what the process holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK, encoding="ascii")


def proportional_mib(pid: int) -> float:
    """The memory of a process, with what it shares with others divided among them."""
    return _field(Path(f"/proc/{pid}/smaps_rollup"), "Pss")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used since it started; it moves in hundredths."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    # The 14th and 15th field of the line; the name, which may hold blanks, ends the second.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _from_status(pid: int, field: str) -> float:
    return _field(Path(f"/proc/{pid}/status"), field)


def _field(path: Path, field: str) -> float:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / _KIB
    raise ValueError(f"{path} says nothing about {field}")


# The two clients, each in a process of its own. They print a line of JSON per fifth.


class _Marks:
    """Prints the memory of this process after each fifth of the messages."""

    def __init__(self, messages: int) -> None:
        self._messages = messages
        self._part = 0
        self.next = self._place(1)
        reset_peak(os.getpid())

    def _place(self, part: int) -> int:
        return self._messages * part // PARTS

    def pass_one(self, done: int) -> None:
        """Call it when ``done`` has reached ``next``."""
        pid = os.getpid()
        _say(messages=done, peak_mib=peak_mib(pid), resident_mib=resident_mib(pid))
        reset_peak(pid)
        self._part += 1
        self.next = self._place(self._part + 1) if self._part < PARTS else sys.maxsize


def _say(**figures: object) -> None:
    print(json.dumps(figures), flush=True)


async def _connected(port: int) -> Memphis:
    memphis = Memphis()
    await memphis.connect("127.0.0.1", "root", password="memphis", port=port)
    return memphis


async def produce(port: int, messages: int) -> None:
    """Every message is confirmed, and none is waited for; each begins with its number."""
    memphis = await _connected(port)
    producer = await memphis.producer(_STATION, "memory")
    filler = b"0" * (PAYLOAD_BYTES - _NUMBER_BYTES)
    marks = _Marks(messages)
    for number in range(messages):
        if number == marks.next:
            marks.pass_one(number)
        await producer.produce(number.to_bytes(_NUMBER_BYTES, "big") + filler, nonblocking=True)
    await producer.flush()
    marks.pass_one(messages)
    await memphis.close()
    _say(confirmed=messages)


async def consume(port: int, messages: int) -> None:
    """Fetch and acknowledge, and keep one bit per message to know which have come."""
    memphis = await _connected(port)
    consumer = await memphis.consumer(_STATION, "memory", batch_size=_BATCH, pull_interval_ms=0)
    seen = bytearray(messages // 8 + 1)
    distinct = repeated = 0
    marks = _Marks(messages)
    last = time.monotonic()
    while distinct < messages and time.monotonic() - last < _SILENCE_SECONDS:
        for message in await consumer.fetch(_BATCH):
            number = int.from_bytes(message.get_data()[:_NUMBER_BYTES], "big")
            bit = 1 << (number & 7)
            if seen[number >> 3] & bit:
                repeated += 1
            else:
                seen[number >> 3] |= bit
                distinct += 1
            await message.ack()
            last = time.monotonic()
            if distinct == marks.next:
                marks.pass_one(distinct)
    await memphis.close()
    _say(received=distinct, lost=messages - distinct, repeated=repeated)


# One run: a broker, the two clients, and what all of them hold.


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
    async with await _connected(run.port) as memphis:
        # Kept for longer than the default hour: a slow machine must not lose what it has not read.
        await memphis.station(_STATION, retention_value=86_400)
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
    command = (sys.executable, "-m", "benchmarks.memory", name, str(run.port), str(run.messages))
    client = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield client
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()


async def _stop_for(pid: int, seconds: float) -> None:
    with _stopped(pid):
        await asyncio.sleep(seconds)


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def measure_on_new_broker(messages: int, stop_seconds: float) -> dict[str, Any]:
    """One run on a broker and engine of its own."""
    # The clients, which are this module as well, must not hold the broker's code.
    from memphis_broker.testing import BrokerProcess  # noqa: PLC0415

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
    from benchmarks.figures import machine  # noqa: PLC0415 - it imports what the clients do not need

    runs: dict[str, Any] = {}
    for name in arguments.only:
        stop_seconds = arguments.stop_seconds if name == "stopped" else 0.0
        runs[name] = measure_on_new_broker(arguments.messages, stop_seconds)
        print_run(name, runs[name])
    on = machine()
    out = arguments.out / f"memory-{on['commit']}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        json.dumps({"on": on, "wanted_ratio": WANTED_RATIO, "runs": runs}, indent=1) + "\n"
    )
    print(f"kept in {out.name}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["producer"]:
        asyncio.run(produce(*map(int, sys.argv[2:])))
    elif sys.argv[1:2] == ["consumer"]:
        asyncio.run(consume(*map(int, sys.argv[2:])))
    else:
        main()
