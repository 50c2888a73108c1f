"""What the broker itself costs: ``python benchmarks/control_plane.py``, or with ``--help``.

On a broker as ``memphis serve`` starts it, with its own engine: how fast stations are created and
listed, what a login takes beyond the check of the password, what an idle broker uses, and how soon
one is ready. Printed is a line per figure, with what is wanted of it; nothing here fails.

The idle broker is a second one that has served nobody. Invariant: whatever is timed runs alone.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import RESULTS
from benchmarks.connecting import PASSWORD, connected
from benchmarks.figures import keep, machine
from benchmarks.process_memory import cpu_seconds, proportional_mib, resident_mib
from memphis_broker.engine.logins import LoginAttempt
from memphis_broker.testing import BrokerProcess
from memphis_broker.users.logins import LoginService
from memphis_broker.users.passwords import Passwords
from memphis_broker.users.store import NoUsers

STATIONS: Final = 1000
AT_ONCE: Final = 32
CREATIONS_WANTED: Final = 200.0
LIST_SECONDS_WANTED: Final = 1.0
LOGIN_MS_WANTED: Final = 5.0
IDLE_CPU_WANTED: Final = 1.0
IDLE_MIB_WANTED: Final = 80.0
IDLE_SECONDS: Final = 20.0
_SETTLE_SECONDS: Final = 2.0
"""A broker that has just started still tidies up; that is not idle."""
START_SECONDS_WANTED: Final = 1.5
_STARTS: Final = 5
_LISTS: Final = 5
_LOGINS: Final = 100
_CHECKS: Final = 1000


class Figure(NamedTuple):
    """One measured number, and what is wanted of it."""

    what: str
    measured: float
    unit: str
    wanted: float | None = None
    at_least: bool = False
    """Whether more is better."""

    @property
    def reached(self) -> bool | None:
        """Whether it is as wanted; None where nothing is."""
        if self.wanted is None:
            return None
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted

    def as_json(self) -> dict[str, object]:
        """All of it."""
        return {**self._asdict(), "reached": self.reached}


async def measure_stations(port: int, count: int) -> list[Figure]:
    """Create half of the stations one after another and half 32 at once, then list them."""
    in_turn = max(1, count // 2)
    at_once = max(1, count - in_turn)
    async with await connected(port) as memphis:
        before = time.perf_counter()
        for number in range(in_turn):
            await memphis.station(f"turn-{number}")
        turn_rate = in_turn / (time.perf_counter() - before)

        numbers = iter(range(at_once))

        async def create() -> None:
            for number in numbers:
                await memphis.station(f"once-{number}")

        before = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(create())
        once_rate = at_once / (time.perf_counter() - before)

        lists: list[float] = []
        found = 0
        for _ in range(_LISTS):
            before = time.perf_counter()
            found = len(await memphis.stations())
            lists.append(time.perf_counter() - before)
    wanted = CREATIONS_WANTED
    return [
        Figure(f"stations created in turn ({in_turn:,})", turn_rate, "a second", wanted, True),
        Figure(f"stations created {AT_ONCE} at once ({at_once:,})", once_rate, "a second", wanted, True),
        Figure(f"stations() over {found:,}", statistics.median(lists), "s", LIST_SECONDS_WANTED),
    ]  # fmt: skip


async def measure_logins(port: int, count: int) -> list[Figure]:
    """The median of a whole ``connect``, and the same without the check of the password."""
    logins = []
    for _ in range(count):
        before = time.perf_counter()
        memphis = await connected(port)
        logins.append(time.perf_counter() - before)
        await memphis.close()
    login_ms, check_ms = 1000 * statistics.median(logins), 1000 * await check_seconds()
    return [
        Figure(f"login, median of {count:,}", login_ms, "ms"),
        Figure("the check of the password alone", check_ms, "ms"),
        Figure("login without that check", login_ms - check_ms, "ms", LOGIN_MS_WANTED),
    ]


async def check_seconds() -> float:
    """What the broker's own decision about root's right password takes; the median."""
    logins = LoginService(PASSWORD, NoUsers(), Passwords(), None)
    attempt = LoginAttempt(user="root", password=PASSWORD)
    times = []
    for _ in range(_CHECKS):
        before = time.perf_counter()
        await logins.log_in(attempt)
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def measure_starts(count: int) -> list[Figure]:
    """The median of a start in an empty directory until it is ready, and of its processor time."""
    starts, used = [], []
    for _ in range(count):
        before = time.perf_counter()
        with BrokerProcess() as broker:
            starts.append(time.perf_counter() - before)
            used.append(cpu_seconds(broker.pid) + cpu_seconds(broker.engine_pid))
    what = f"broker start, median of {count:,}"
    return [
        Figure(what, statistics.median(starts), "s", START_SECONDS_WANTED),
        Figure(f"{what}: processor time", statistics.median(used), "s"),
    ]


def measure_idle(what: str, broker: BrokerProcess, seconds: float) -> list[Figure]:
    """Processor and memory of a broker that nobody uses, and of its engine."""
    time.sleep(min(_SETTLE_SECONDS, seconds))
    pids = {"broker": broker.pid, "engine": broker.engine_pid}
    used, before = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - before
    figures = []
    for name, pid in pids.items():
        # The engine is not ours, and what it needs grows with what it stores.
        cpu_wanted = IDLE_CPU_WANTED if name == "broker" else None
        mib_wanted = IDLE_MIB_WANTED if name == "broker" else None
        share = 100 * (cpu_seconds(pid) - used[name]) / passed
        figures += [
            Figure(f"{what}: {name}'s share of a core", share, "%", cpu_wanted),
            Figure(f"{what}: {name}'s resident memory", resident_mib(pid), "MiB", mib_wanted),
            Figure(f"{what}: {name}'s proportional memory", proportional_mib(pid), "MiB"),
        ]
    return figures


def together(figures: Sequence[Figure]) -> list[Figure]:
    """Broker and engine as one, from the figures of a broker that is new."""
    sums = dict.fromkeys(("share of a core", "resident memory"), 0.0)
    for one in figures:
        for what in sums:
            if one.what.endswith(what):
                sums[what] += one.measured
    cpu, memory = sums.values()
    return [
        Figure("new, idle: both, share of a core", cpu, "%", IDLE_CPU_WANTED),
        Figure("new, idle: both, resident memory", memory, "MiB", IDLE_MIB_WANTED),
    ]


def print_figures(figures: Sequence[Figure]) -> None:
    """A line each: what | measured | wanted."""
    for one in figures:
        wanted = "-"
        if one.wanted is not None:
            sign = ">=" if one.at_least else "<="
            wanted = f"{sign} {one.wanted:g}" + ("" if one.reached else "   MISSED")
        print(f"{one.what:54} | {one.measured:>10,.3f} {one.unit:8} | {wanted}")


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=STATIONS)
    parser.add_argument("--logins", type=int, default=_LOGINS)
    parser.add_argument("--starts", type=int, default=_STARTS)
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS)
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the JSON")
    arguments = parser.parse_args()
    numbers = (arguments.stations, arguments.logins, arguments.starts, arguments.idle_seconds)
    if min(numbers) <= 0:
        parser.error("every number must be above 0")
    on = machine()
    starts = measure_starts(arguments.starts)
    figures: list[Figure] = []
    with BrokerProcess() as idle:
        figures += measure_idle("new, idle", idle, arguments.idle_seconds)
        figures += together(figures)
    figures += starts
    with BrokerProcess() as broker:
        figures += asyncio.run(measure_logins(broker.port, arguments.logins))
        figures += asyncio.run(measure_stations(broker.port, arguments.stations))
        what = f"{arguments.stations:,} stations, idle"
        figures += measure_idle(what, broker, arguments.idle_seconds)
    print_figures(figures)
    out = arguments.out / f"control-plane-{on['commit']}.json"
    measured = [one.as_json() for one in figures]
    keep(out, {"on": on, "stations": arguments.stations, "figures": measured})
    print(f"kept in {out.name}")


if __name__ == "__main__":
    main()
