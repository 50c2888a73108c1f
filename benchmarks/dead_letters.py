"""What dead letters cost: ``python benchmarks/dead_letters.py``, or with ``--help``.

Three measurements, each against a broker of its own, and the broker's memory in all of them:

- *capture*: the rate of a producer that never pauses, in slices by turns: while another process has a
  group give up so many messages a minute, and while the same messages are acknowledged. What counts is the
  ratio of the two, slice beside slice.
- *redrive*: so many dead letters are given back with one call.
- *list*: the newest 100 are asked for, of all, a station, a group, and of a station whose few are the oldest.

It reads ``/proc``, so it is for Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import RESULTS
from benchmarks.connecting import connected
from benchmarks.figures import keep, machine
from benchmarks.process_memory import cpu_seconds, peak_mib, reset_peak
from memphis import Memphis
from memphis.transport.publisher import Publisher
from memphis.transport.receipt import Receipt
from memphis.wire.dead_letters import Failure, Label, write_label
from memphis.wire.headers import DEAD_LETTER, MESSAGE_ID, encode_block
from memphis.wire.names import GroupName
from memphis.wire.subjects import dead_letter_subject
from memphis_broker.testing import BrokerProcess

PARTS: Final = ("capture", "redrive", "list")
PAYLOAD: Final = b"x" * 256
_FIFTHS: Final = 5
_SLICES: Final = 6
_WARM_UP_S: Final = 1.0
_LOOKS: Final = 15
_SPARSE: Final = 50
_RUN_MAX_S: Final = 1800.0


class _Memory:
    """The broker's peak of memory, fifth by fifth."""

    def __init__(self, broker: BrokerProcess) -> None:
        self._pid = broker.pid
        self.peaks: list[float] = []
        reset_peak(self._pid)

    def fifth_is_over(self) -> None:
        """Read the peak, and begin another."""
        self.peaks.append(peak_mib(self._pid))
        reset_peak(self._pid)

    def as_json(self) -> dict[str, Any]:
        """The peaks, and that of the last fifth in terms of the first's."""
        return {"peaks_mib": self.peaks, "last_to_first": self.peaks[-1] / self.peaks[0]}


# Capture.


async def measure_capture(per_minute: int, seconds: float) -> dict[str, Any]:
    """See the module's text; ``seconds`` is the length of a slice."""
    async with BrokerProcess() as broker:
        memphis = await connected(broker.port)
        await memphis.station("load", retention_value=60)
        producer = await memphis.producer("load", "p")
        memory = _Memory(broker)
        rates: dict[str, list[float]] = {"given up": [], "acknowledged": []}
        captured = 0
        cpu_per_letter: list[float] = []
        for number in range(_SLICES):
            for way, found in rates.items():
                before = await _dead_letters(memphis)
                used = cpu_seconds(broker.pid)
                found.append(await _slice(producer, broker.port, way, per_minute, seconds))
                count = await _dead_letters(memphis) - before
                captured += count
                if count:
                    cpu_per_letter.append((cpu_seconds(broker.pid) - used) / count * 1000)
            if number:
                memory.fifth_is_over()
        await memphis.close()
    ratios = [a / b for a, b in zip(rates["given up"], rates["acknowledged"], strict=True)]
    return {
        "rates": rates,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "captured_per_minute": captured / (_SLICES * (seconds + _WARM_UP_S)) * 60,
        "broker_cpu_ms_per_dead_letter": statistics.median(cpu_per_letter),
        "memory": memory.as_json(),
    }


async def _dead_letters(memphis: Memphis) -> int:
    station = await memphis.station("failing", retention_value=60)
    return (await station.info()).dead_letters.poison


async def _slice(producer: Any, port: int, way: str, per_minute: int, seconds: float) -> float:
    """The producer's rate beside a process that lets a group fail, or not."""
    total_s = seconds + _WARM_UP_S
    arguments = (port, way == "given up", per_minute, total_s)
    other = multiprocessing.get_context("spawn").Process(target=_fail_or_not, args=arguments)
    other.start()
    ready = time.monotonic() + _WARM_UP_S
    count = 0
    while time.monotonic() < ready + seconds:
        await producer.produce(PAYLOAD, nonblocking=True)
        count += time.monotonic() > ready
    await producer.flush()
    await asyncio.to_thread(other.join, _RUN_MAX_S)
    return count / seconds


def _fail_or_not(port: int, fails: bool, per_minute: int, seconds: float) -> None:
    asyncio.run(_give_up(port, fails, per_minute, seconds))


async def _give_up(port: int, fails: bool, per_minute: int, seconds: float) -> None:
    memphis = await connected(port)
    await memphis.station("failing", retention_value=60)
    consumer = await memphis.consumer(
        "failing", "c", "g", pull_interval_ms=0, max_msg_deliveries=1, last_messages=0
    )
    producer = await memphis.producer("failing", "p")

    async def handle(messages: list[Any], _error: object, _context: object) -> None:
        for message in messages:
            await (message.nack() if fails else message.ack())

    consumer.consume(handle)
    started = time.monotonic()
    for number in itertools.count():
        due = started + number * 60 / per_minute
        if due > started + seconds:
            break
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await producer.produce(PAYLOAD, nonblocking=True)
    await producer.flush()
    await consumer.stop()
    await memphis.close()


# Redrive.


async def measure_redrive(count: int) -> dict[str, Any]:
    """Give back so many, and look whether each came once."""
    async with BrokerProcess() as broker:
        memphis = await connected(broker.port)
        station = await memphis.station("s", retention_value=86_400)
        consumer = await memphis.consumer("s", "c", "g", max_ack_time_ms=600_000)
        await _store(memphis, [(station._state.description.id, "s", "g")], count)  # noqa: SLF001
        await _followed(memphis, broker)
        memory = _Memory(broker)
        fifth = count // _FIFTHS
        over = iter(range(fifth, count + 1, fifth))
        following = next(over)

        def progress(done: int) -> None:
            nonlocal following
            if done >= following:
                memory.fifth_is_over()
                following = next(over, count + 1)

        started = time.monotonic()
        result = await station.dead_letters().redrive(progress=progress)
        seconds = time.monotonic() - started
        seen: set[int] = set()
        repeated = 0
        while len(seen) < count:
            for message in await consumer.fetch(5000):
                number = int(message.get_headers()["number"])
                repeated += number in seen
                seen.add(number)
                await message.ack()
        left = (await station.info()).dead_letters.poison
        await memphis.close()
    return {
        "count": count,
        "moved": result.moved,
        "refused": result.refused_count,
        "left": left,
        "repeated": repeated,
        "per_second": count / seconds,
        "memory": memory.as_json(),
    }


# List.


async def measure_list(count: int) -> dict[str, Any]:
    """The time for the newest 100, through the whole program."""
    async with BrokerProcess() as broker:
        memphis = await connected(broker.port)
        places = []
        for name in ("sparse", *(f"s-{number}" for number in range(10))):
            station = await memphis.station(name)
            life = station._state.description.id  # noqa: SLF001 - the public face has no id
            places += [(life, name, group) for group in ("billing", "shipping", "audit")]
        memory = _Memory(broker)
        started = time.monotonic()
        await _store(memphis, places[:1], _SPARSE)
        for number in range(_FIFTHS):
            await _store(memphis, places[3:], count // _FIFTHS, number * count)
            memory.fifth_is_over()
        stored_s = time.monotonic() - started
        await _followed(memphis, broker)
        followed_s = time.monotonic() - started
        middle = await memphis.existing_station("s-5")
        looks: dict[str, Callable[[], Any]] = {
            "all": memphis.dead_letters,
            "a station": middle.dead_letters,
            "a group": lambda: memphis.dead_letters(group="shipping"),
            "a group of a station": lambda: middle.dead_letters(group="audit"),
        }
        sparse = await memphis.existing_station("sparse")
        looks["the oldest few"] = sparse.dead_letters
        found: dict[str, Any] = {}
        for what, select in looks.items():
            times = []
            for _ in range(_LOOKS):
                begun = time.perf_counter()
                got = await select().newest(100)
                times.append((time.perf_counter() - begun) * 1000)
                assert len(got) == (_SPARSE if what == "the oldest few" else 100)
            found[what] = {"median_ms": statistics.median(times), "max_ms": max(times)}
        await memphis.close()
    return {
        "count": count,
        "stored_s": stored_s,
        "followed_s": followed_s,
        "newest_100": found,
        "memory": memory.as_json(),
    }


# Shared.


class _Counted(Receipt):
    """Tells nobody; failures are raised when all are flushed."""

    __slots__ = ("_failed",)

    def __init__(self, failed: list[Exception]) -> None:
        self._failed = failed

    def confirmed(self, sequence: int, duplicate: bool) -> None:  # noqa: ARG002 - where is no matter
        self.frame = b""

    def failed(self, error: Exception) -> None:
        self._failed.append(error)


async def _store(
    memphis: Memphis, places: list[tuple[str, str, str]], count: int, first: int = 0
) -> None:
    """Store dead letters as members do, spread over these stations and groups."""
    session = memphis._session  # noqa: SLF001 - a member's own way, without the messages before it
    assert session is not None
    publisher: Publisher = session.publisher
    failed: list[Exception] = []
    now = datetime.now(UTC)
    failure = Failure(reason="not acknowledged in 2 deliveries", deliveries=2, at=now)
    for number, (life, name, group) in zip(
        range(first + 1, first + count + 1), itertools.cycle(places), strict=False
    ):
        label = Label(
            station=name, station_id=life, partition=1, sequence=number, group=group,
            kind="poison", sent_at=now, failures=[failure],
        )  # fmt: skip
        header = {
            MESSAGE_ID: label.identity,
            DEAD_LETTER: write_label(label),
            "number": str(number),
        }
        subject = dead_letter_subject(life, 1, GroupName.parse(group), "poison").encode()
        await publisher.wait_room()
        publisher.post(_Counted(failed), subject, PAYLOAD, encode_block(header), 60, 60)
        if number % 1000 == 0:
            await asyncio.sleep(0)
    await publisher.drain(60)
    if failed:
        raise failed[0]


async def _followed(memphis: Memphis, broker: BrokerProcess) -> None:
    """Wait until the broker has looked at all of them: until it is idle."""
    del memphis
    deadline = time.monotonic() + _RUN_MAX_S
    used = cpu_seconds(broker.pid)
    while time.monotonic() < deadline:
        await asyncio.sleep(2)
        now = cpu_seconds(broker.pid)
        if now - used < 0.2:  # noqa: PLR2004 - a tenth of a core is no work
            return
        used = now


def main() -> int:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="may be given many times")
    parser.add_argument("--per-minute", type=int, default=10_000, help="captured dead letters")
    parser.add_argument("--slice", type=float, default=5.0, help="seconds of a slice of capture")
    parser.add_argument("--redrive", type=int, default=100_000, help="how many are given back")
    parser.add_argument("--list", type=int, default=1_000_000, help="of how many the newest")
    parser.add_argument(
        "--out", type=Path, default=RESULTS / "dead-letters.json", help="where the figures go"
    )
    arguments = parser.parse_args()
    measurements: dict[str, Callable[[], Any]] = {
        "capture": lambda: measure_capture(arguments.per_minute, arguments.slice),
        "redrive": lambda: measure_redrive(arguments.redrive),
        "list": lambda: measure_list(arguments.list),
    }
    figures: dict[str, Any] = {"machine": machine()}
    for part in arguments.only or PARTS:
        figures[part] = asyncio.run(measurements[part]())
        sys.stdout.write(f"{part}: {figures[part]}\n")
        sys.stdout.flush()
    keep(arguments.out, figures)
    sys.stdout.write(f"kept in {arguments.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
