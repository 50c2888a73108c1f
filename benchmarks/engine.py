"""One stock engine for all clients that speak its protocol, with a broker attached to it for ours."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import HOST, NotReadyError, child_process, free_port, wait_for_port
from memphis_broker.engine.process import find_binary


class RunningEngine(NamedTuple):
    """Where the engine listens, for every client."""

    port: int
    pid: int


@contextlib.contextmanager
def running_engine(durability: str = "standard") -> Iterator[RunningEngine]:
    """Start an engine that syncs every second, and a broker on it; end both afterwards.

    Args:
        durability: What the broker asks of the streams it makes: ``standard``, or ``fast``, which
            acknowledges a message before it is written.
    """
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memphis-bench-")))
        port = free_port()
        config = directory / "engine.conf"
        config.write_text(
            f'listen: "{HOST}:{port}"\n'
            f'jetstream {{ store_dir: "{directory / "store"}", sync_interval: "1s" }}\n'
        )
        engine = stack.enter_context(
            child_process([str(find_binary(None)), "-c", str(config), "-l", str(directory / "log")])
        )
        wait_for_port(port, engine)
        log = stack.enter_context((directory / "broker.log").open("wb"))
        command = [sys.executable, "-m", "memphis_broker", "serve"]
        options = ["--engine", f"nats://{HOST}:{port}", "--durability", durability]
        broker = stack.enter_context(
            child_process([*command, *options], stdout=subprocess.PIPE, stderr=log)
        )
        _wait_until_ready(broker, directory / "broker.log")
        yield RunningEngine(port, engine.pid)


def _wait_until_ready(broker: subprocess.Popen[bytes], log: Path) -> None:
    assert broker.stdout is not None
    for line in broker.stdout:
        if line.startswith(b"memphis broker ready"):
            return
    raise NotReadyError(f"the broker ended before it was ready:\n{log.read_text()}")
