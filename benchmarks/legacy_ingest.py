"""What it costs that messages of the original's SDKs pass the broker: ``python benchmarks/legacy_ingest.py``.

One client, the SDK's own transport, on a broker as ``memphis serve`` starts it. By turns it publishes to the
subject of native producers, which the engine stores at once, and to that of the original's SDKs, which the
engine hands to the broker's worker first; with an id, as both SDKs send one, and without. Printed is the rate
of messages on their way at the same time, the time of one after another, and what the broker works for
each. Invariant: whatever is timed runs alone, and each pair is measured in one run.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
import uuid
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import RESULTS
from benchmarks.connecting import PASSWORD, connected
from benchmarks.figures import keep, machine
from benchmarks.process_memory import cpu_seconds
from memphis.transport import Connection, ConnectOptions, Publisher
from memphis.transport.receipt import Receipt
from memphis.wire.headers import encode_block
from memphis_broker.testing import BrokerProcess

STATION: Final = "ingest"
PAYLOAD: Final = b"x" * 256
IN_TURN: Final = 2000
WINDOW: Final = 2000
WAYS: Final = {"native": "in", "original": "final"}
_DEADLINE_S: Final = 30.0


class Run(NamedTuple):
    """One way, with or without ids, in one round."""

    way: str
    ids: bool
    rate: float
    """Messages a second, many on their way."""
    in_turn_us: float
    """The time of one, sent when the one before is confirmed."""
    broker_us: float
    """Processor time of the broker for each, many on their way."""


class _Receipt(Receipt):
    """Counts what is confirmed."""

    __slots__ = ("_run",)

    def __init__(self, run: _Count) -> None:
        self._run = run

    def confirmed(self, sequence: int, duplicate: bool) -> None:  # noqa: ARG002
        self.frame = b""
        self._run.one_ended()

    def failed(self, error: Exception) -> None:
        raise SystemExit(f"a message was not stored: {error}")


class _Count:
    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self.all_ended = asyncio.Event()

    def one_ended(self) -> None:
        self._left -= 1
        if not self._left:
            self.all_ended.set()


def _block(number: int, run_id: str, way: str, ids: bool) -> bytes:
    headers = {"$memphis_producedBy": "p", "$memphis_connectionId": run_id}
    if ids:
        headers["msg-id"] = f"{run_id}/{number}"
        if way == "native":
            headers["Nats-Msg-Id"] = headers["msg-id"]
    return encode_block(headers)


async def _publish(publisher: Publisher, way: str, ids: bool, first: int, count: int) -> None:
    ended = _Count(count)
    subject = f"{STATION}$1.{WAYS[way]}".encode()
    run_id = uuid.uuid4().hex
    for number in range(first, first + count):
        await publisher.wait_room()
        block = _block(number, run_id, way, ids)
        publisher.post(_Receipt(ended), subject, PAYLOAD, block, 0.0, _DEADLINE_S)
        if number % WINDOW == 0:
            await asyncio.sleep(0)
    await ended.all_ended.wait()


async def measure(broker: BrokerProcess, way: str, ids: bool, count: int) -> Run:
    """Publish ``count`` messages many at a time, then some one after another."""
    connection = await Connection.open(
        ConnectOptions(
            servers=((broker.host, broker.port),),
            name="measurement",
            inbox_prefix="_INBOX.root.measurement",
            user="root",
            password=PASSWORD,
            library="python3",
        )
    )
    publisher = Publisher(connection, in_flight_max=WINDOW)
    try:
        await _publish(publisher, way, ids, 0, count // 10)
        worked, began = cpu_seconds(broker.pid), time.perf_counter()
        await _publish(publisher, way, ids, 0, count)
        rate = count / (time.perf_counter() - began)
        broker_us = (cpu_seconds(broker.pid) - worked) / count * 1e6
        began = time.perf_counter()
        for number in range(IN_TURN):
            await _publish(publisher, way, ids, number, 1)
        in_turn_us = (time.perf_counter() - began) / IN_TURN * 1e6
    finally:
        await connection.close()
    return Run(way, ids, rate, in_turn_us, broker_us)


async def measure_all(count: int, rounds: int) -> list[Run]:
    """Every way in every round, on one broker."""
    found = []
    with BrokerProcess() as broker:
        async with await connected(broker.port) as memphis:
            await memphis.station(STATION)
        for _ in range(rounds):
            for ids in (False, True):
                found += [await measure(broker, way, ids, count) for way in WAYS]
    return found


def _median(found: list[Run], way: str, ids: bool, figure: str) -> float:
    return statistics.median(getattr(r, figure) for r in found if (r.way, r.ids) == (way, ids))


def report(found: list[Run]) -> list[str]:
    """The lines that are printed: medians, and the ratio of the two ways."""
    lines = []
    for ids in (False, True):
        named = "with ids" if ids else "without ids"
        for figure, unit, what in (
            ("rate", "/s", "many on their way"),
            ("in_turn_us", "us", "one after another"),
            ("broker_us", "us", "broker's processor, each"),
        ):
            native, original = (_median(found, way, ids, figure) for way in WAYS)
            ratio = f"  ratio {original / native:.2f}" if figure != "broker_us" else ""
            lines.append(
                f"{named:12} {what:26} native {native:10,.1f} {unit:3} "
                f"original's {original:10,.1f} {unit}{ratio}"
            )
    return lines


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description="What passing the broker costs.")
    parser.add_argument("--messages", type=int, default=100_000, help="in each run [100000]")
    parser.add_argument("--rounds", type=int, default=5, help="[5]")
    parser.add_argument("--out", type=Path, default=RESULTS / "legacy-ingest.json")
    options = parser.parse_args()
    found = asyncio.run(measure_all(options.messages, options.rounds))
    print("\n".join(report(found)))
    keep(options.out, {"machine": machine(), "runs": [run._asdict() for run in found]})


if __name__ == "__main__":
    main()
