"""One client, one row, in a process of its own: prints what it took as one line of JSON.

A process for each measurement gives every client its own interpreter, its own libraries and a peak
memory that is nobody else's.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import sys
import time
from pathlib import Path

from benchmarks.clients import Target


async def measure(client_module: str, row: str, target: Target) -> dict[str, object]:
    """Run the row; connecting is not part of it."""
    module = importlib.import_module(f"benchmarks.clients.{client_module}")
    client = await module.open_client(target)
    cpu_before, before = time.process_time(), time.perf_counter()
    outcome = await getattr(client, row)()
    seconds, cpu = time.perf_counter() - before, time.process_time() - cpu_before
    await client.close()
    found: dict[str, object] = {
        "cpu_seconds": cpu,
        "seconds": seconds,
        "memory_mib": _peak_memory_mib(),
    }
    if isinstance(outcome, list):
        ordered = sorted(outcome)
        found["messages"] = len(ordered)
        found["p50_us"] = 1e6 * ordered[len(ordered) // 2]
        found["p99_us"] = 1e6 * ordered[len(ordered) * 99 // 100]
    else:
        found["messages"] = outcome
        found["rate"] = outcome / seconds
    return found


def _peak_memory_mib() -> float:
    """The most that this process has held; getrusage would count what its parent held before."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Arguments: client module, row, and the target as JSON."""
    client_module, row, target_json = sys.argv[1:]
    fields = json.loads(target_json)
    fields["payload"] = b"0" * fields.pop("size")
    target = Target(**fields)
    print(json.dumps(asyncio.run(measure(client_module, row, target))))


if __name__ == "__main__":
    main()
