"""One client, one row, in a process of its own: prints what it took as one line of JSON.

A process for each measurement gives every client its own interpreter, its own libraries and a peak
memory that is nobody else's. It is started by benchmarks/contenders.py, with the interpreter of the
client; so nothing here may import more than the standard library, benchmarks.clients and
benchmarks.process_memory.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.metadata
import json
import pstats
import sys
import time
from collections.abc import Callable
from cProfile import Profile
from typing import Any

from benchmarks.clients import ROWS, Target
from benchmarks.process_memory import own_peak_mib

LIBRARY_MISSING = 3
"""The exit code when the client's library is not installed; its name is printed."""


def describe(client_module: str) -> dict[str, object]:
    """The client's name, the rows it has, and the versions of what it is made of."""
    module = _import_client(client_module)
    return {
        "name": module.NAME,
        "rows": [row for row in ROWS if hasattr(module.Client, row)],
        "versions": {name: importlib.metadata.version(name) for name in module.LIBRARIES},
    }


async def fill(client_module: str, target: Target) -> dict[str, object]:
    """Store what a consuming row will read."""
    client = await _import_client(client_module).open_client(target)
    stored = await client.fill()
    await client.close()
    return {"messages": stored}


async def measure(
    client_module: str, row: str, target: Target, profile: Profile | None = None
) -> dict[str, object]:
    """Run the row; connecting is not part of it, nor is removing what it left."""
    client = await _import_client(client_module).open_client(target)
    if profile is not None:
        profile.enable()
    cpu_before, before = time.process_time(), time.perf_counter()
    outcome = await getattr(client, row)()
    seconds, cpu = time.perf_counter() - before, time.process_time() - cpu_before
    if profile is not None:
        profile.disable()
    memory = own_peak_mib()
    if hasattr(client, "drop"):
        await client.drop()
    await client.close()
    found: dict[str, object] = {"cpu_seconds": cpu, "seconds": seconds, "memory_mib": memory}
    if isinstance(outcome, list):
        ordered = sorted(outcome)
        found["messages"] = len(ordered)
        found["p50_us"] = 1e6 * ordered[len(ordered) // 2]
        found["p99_us"] = 1e6 * ordered[len(ordered) * 99 // 100]
    else:
        found["messages"] = outcome
        found["rate"] = outcome / seconds
    return found


def _import_client(client_module: str) -> Any:
    try:
        return importlib.import_module(f"benchmarks.clients.{client_module}")
    except ModuleNotFoundError as error:
        print(error.name)
        raise SystemExit(LIBRARY_MISSING) from error


def _loop_factory(with_uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop]:
    if not with_uvloop:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(
        "uvloop"
    ).new_event_loop
    return factory


def main() -> None:
    """Do what the arguments say and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("describe", "fill", *ROWS))
    parser.add_argument("client", help="a module of benchmarks.clients")
    parser.add_argument("target", nargs="?", default="{}", help="the fields of Target, as JSON")
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--profile", type=int, default=0, metavar="LINES")
    arguments = parser.parse_args()
    if arguments.task == "describe":
        print(json.dumps(describe(arguments.client)))
        return
    fields = json.loads(arguments.target)
    fields["payload"] = b"0" * fields.pop("size")
    target = Target(**fields)
    profile = Profile() if arguments.profile else None
    with asyncio.Runner(loop_factory=_loop_factory(arguments.uvloop)) as runner:
        if arguments.task == "fill":
            found = runner.run(fill(arguments.client, target))
        else:
            found = runner.run(measure(arguments.client, arguments.task, target, profile))
    print(json.dumps(found))
    if profile is not None:
        # To the other stream, because the figures alone are read by a program.
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(
            arguments.profile
        )


if __name__ == "__main__":
    main()
