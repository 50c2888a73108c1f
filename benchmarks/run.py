"""Measures this SDK and its peers side by side: ``make bench``, or ``make bench ARGS=--help``.

All clients are measured one after another, in rounds: every round runs each client once in each row,
so that a slow minute of the machine hurts all alike. Printed are medians, the spread of the rounds,
and each client's ratio to this SDK *in this run*; only the ratios are worth quoting.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import RESULTS
from benchmarks.clients import BATCH, CONSUMING_ROWS, ROWS, STAMP_BYTES
from benchmarks.connecting import connected
from benchmarks.contenders import (
    ENGINE,
    FAST_ENGINE,
    LATENCY_RATE,
    ORIGINAL_PYTHON,
    OURS,
    OURS_WITH_UVLOOP,
    Contender,
    Description,
    all_contenders,
    present,
    running_servers,
    server_versions,
)
from benchmarks.figures import Measurement, keep, machine, summarize
from benchmarks.plot import missing
from benchmarks.ratios import reached_ratios
from benchmarks.report import draw_plots, print_ratios, print_table
from benchmarks.stations import prepared_station
from memphis import Memphis

MESSAGES = {
    "produce_awaited": 5_000,
    "produce_nonblocking": 200_000,
    "fetch_ack": 200_000,
    "fetch_ahead_ack": 200_000,
    "consume_handler": 200_000,
    "latency": 3_000,
    "produce_unsynced": 200_000,
    "produce_orders": 200_000,
    "produce_orders_checked": 200_000,
    "produce_order_bytes": 200_000,
    "produce_order_bytes_checked": 200_000,
}
SIZED_ROWS = ("produce_awaited", "produce_nonblocking", "fetch_ack")
"""What is also measured for payloads of other sizes, for this SDK."""
SIZED_BYTES_MAX = 200_000_000
"""Payload of one such measurement: large messages are fewer."""


class Trial(NamedTuple):
    """One measurement that every round makes once."""

    contender: Contender
    row: str
    size: int
    messages: int

    @property
    def server(self) -> str:
        """What it runs against."""
        return self.contender.server_for(self.row)


def plan(
    arguments: argparse.Namespace, taking_part: dict[str, tuple[Contender, Description]]
) -> list[Trial]:
    """Every measurement of a round, those of one row beside each other."""
    trials: list[Trial] = []
    for row in arguments.rows:
        wanted = MESSAGES[row] * arguments.scale
        for contender, description in taking_part.values():
            if row in description.rows:
                messages = wanted if row == "latency" else wanted * contender.share
                trials.append(Trial(contender, row, arguments.size, whole_batches(messages)))
        if row in SIZED_ROWS and OURS in taking_part:
            ours = taking_part[OURS][0]
            trials += [
                Trial(ours, row, size, whole_batches(min(wanted, SIZED_BYTES_MAX / size)))
                for size in arguments.sizes
                if size != arguments.size
            ]
    return trials


def whole_batches(messages: float) -> int:
    """So many messages or a few less, one batch at least: some clients do nothing smaller."""
    return max(BATCH, int(messages) // BATCH * BATCH)


class Place(NamedTuple):
    """Where a trial runs."""

    port: int
    memphis: Memphis | None
    """For preparing stations on the engine; the other servers are prepared by their clients."""


@contextlib.asynccontextmanager
async def open_places(servers: Iterable[str]) -> AsyncIterator[dict[str, Place]]:
    """Start servers and connect to the engines among them; all end afterwards."""
    with running_servers(servers) as ports:
        async with contextlib.AsyncExitStack() as stack:
            places: dict[str, Place] = {}
            for server, port in ports.items():
                memphis = None
                if server in {ENGINE, FAST_ENGINE}:
                    memphis = await stack.enter_async_context(await connected(port))
                places[server] = Place(port, memphis)
            yield places


async def measure_all(trials: list[Trial], rounds: int) -> list[Measurement]:
    """Every round of every trial, in the order in which they ran."""
    found: list[Measurement] = []
    async with open_places({trial.server for trial in trials}) as places:
        for number in range(rounds):
            for trial in trials:
                outcome = await measure_trial(trial, f"bench-{len(found)}", places[trial.server])
                found.append(
                    {"round": number, "client": trial.contender.key, "row": trial.row,
                     "size": trial.size, **outcome}
                )  # fmt: skip
                print(_line_of(found[-1]), flush=True)
    return found


async def measure_trial(
    trial: Trial, station: str, place: Place, profile_lines: int = 0
) -> dict[str, Any]:
    """Prepare a station, or have the client prepare what it has instead, and run the row.

    Raises:
        SystemExit: The worker failed, or did not do as many messages as it should.
    """
    contender, row, size, messages = trial
    target = {"port": place.port, "station": station, "size": size, "messages": messages}
    target["rate"] = LATENCY_RATE
    if place.memphis is None:
        if row in CONSUMING_ROWS:
            await asyncio.to_thread(contender.run, "fill", target)
        outcome = await asyncio.to_thread(contender.run, row, target, profile_lines)
    else:
        async with prepared_station(place.memphis, station, row, size, messages):
            outcome = await asyncio.to_thread(contender.run, row, target, profile_lines)
    if outcome["messages"] != messages:
        text = f"{contender.key} did {outcome['messages']:,} of {messages:,} messages in {row}"
        raise SystemExit(text)
    return outcome


def _line_of(one: Measurement) -> str:
    if "rate" in one:
        figure = f"{one['rate']:>10,.0f} messages/s"
    else:
        figure = f"p50 {one['p50_us']:,.0f} us, p99 {one['p99_us']:,.0f} us"
    return (
        f"round {one['round'] + 1}: {one['row']:20} {one['size']:>6} B  {one['client']:18} {figure}"
    )


def _payload_size(text: str) -> int:
    size = int(text)
    if size < STAMP_BYTES:
        raise argparse.ArgumentTypeError(f"a payload has at least {STAMP_BYTES} bytes")
    return size


def parse_arguments() -> argparse.Namespace:
    """What to measure."""
    clients = list(all_contenders())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument(
        "--clients", nargs="+", choices=clients,
        default=[key for key in clients if key != OURS_WITH_UVLOOP],
    )  # fmt: skip
    parser.add_argument("--uvloop", action="store_true", help="this SDK on uvloop as well")
    parser.add_argument("--size", type=_payload_size, default=256, help="bytes of a payload")
    parser.add_argument(
        "--sizes", nargs="*", type=_payload_size, default=[64, 4096, 65536],
        help="sizes measured for this SDK as well; none: --sizes",
    )  # fmt: skip
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer messages per row")
    parser.add_argument("--out", type=Path, help="where the JSON goes; default benchmarks/results")
    parser.add_argument(
        "--memphis-py-python", type=Path, default=ORIGINAL_PYTHON,
        help="an interpreter that has memphis-py 1.3.1",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Measure, print tables and ratios, keep the figures, and draw them where that can be done."""
    arguments = parse_arguments()
    lacks = missing()
    if lacks:
        print(f"nothing will be drawn: {lacks}", flush=True)
    known = all_contenders(arguments.memphis_py_python)
    keys = dict.fromkeys(arguments.clients + ([OURS_WITH_UVLOOP] if arguments.uvloop else []))
    taking_part = present(known[key] for key in keys)
    found = asyncio.run(measure_all(plan(arguments, taking_part), arguments.rounds))
    names = {key: description.name for key, (_, description) in taking_part.items()}
    if OURS_WITH_UVLOOP in names:
        names[OURS_WITH_UVLOOP] += " on uvloop"
    summary = summarize(found, arguments.size)
    ratios = reached_ratios(found, arguments.size)
    on = machine()
    result = {
        "on": {**on, "servers": server_versions()},
        "size": arguments.size,
        "clients": {
            key: {"name": names[key], "versions": description.versions}
            for key, (_, description) in taking_part.items()
        },
        "ratios": [ratio._asdict() for ratio in ratios],
        "summary": summary,
        "rounds": found,
    }
    out = arguments.out or RESULTS / f"{on['commit']}-{arguments.size}b.json"
    keep(out, result)
    print_table(summary, names)
    print_ratios(ratios)
    if not lacks:
        draw_plots(out.with_suffix(".svg"), summary, names)
    print(f"kept in {out.name}")


if __name__ == "__main__":
    main()
