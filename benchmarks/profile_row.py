"""Where the time of one row goes: ``python benchmarks/profile_row.py produce_nonblocking``.

Runs one client in one row against a fresh engine, under cProfile, and prints the functions that
took the most time themselves. The profiler slows every call, so its figures say where, not how fast.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clients import ROWS
from benchmarks.contenders import OURS, all_contenders, present
from benchmarks.run import MESSAGES, Trial, measure_trial, open_places, whole_batches

_SCALE = 0.5


async def profile_row(trial: Trial, lines: int) -> None:
    """Profile the row and print the ``lines`` costliest functions."""
    async with open_places([trial.server]) as places:
        await measure_trial(trial, "profile", places[trial.server], lines)


def main() -> None:
    """Profile what the arguments name."""
    contenders = all_contenders()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--client", choices=list(contenders), default=OURS)
    parser.add_argument("--messages", type=int, help="default: half of what the benchmark has")
    parser.add_argument("--size", type=int, default=256, help="bytes of a payload, from 20")
    parser.add_argument("--lines", type=int, default=30)
    arguments = parser.parse_args()
    contender = contenders[arguments.client]
    if not present([contender]):
        raise SystemExit(1)
    messages = arguments.messages or int(MESSAGES[arguments.row] * _SCALE * contender.share)
    trial = Trial(contender, arguments.row, arguments.size, whole_batches(messages))
    asyncio.run(profile_row(trial, arguments.lines))


if __name__ == "__main__":
    main()
