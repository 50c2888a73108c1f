"""One stock engine for all clients, with a broker attached to it for ours."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from memphis_broker.engine.process import find_binary

_READY_DEADLINE_S = 30


class RunningEngine(NamedTuple):
    """Where the engine listens, for every client."""

    port: int
    pid: int


@contextlib.contextmanager
def running_engine() -> Iterator[RunningEngine]:
    """Start an engine that syncs every second, and a broker on it; end both afterwards."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memphis-bench-")))
        port = _free_port()
        config = directory / "engine.conf"
        config.write_text(
            f'listen: "127.0.0.1:{port}"\n'
            f'jetstream {{ store_dir: "{directory / "store"}", sync_interval: "1s" }}\n'
        )
        engine = stack.enter_context(
            _process([str(find_binary(None)), "-c", str(config), "-l", str(directory / "log")])
        )
        _wait_for_port(port)
        log = stack.enter_context((directory / "broker.log").open("wb"))
        broker = stack.enter_context(
            _process(
                [
                    sys.executable,
                    "-m",
                    "memphis_broker",
                    "serve",
                    "--engine",
                    f"nats://127.0.0.1:{port}",
                ],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        )
        assert broker.stdout is not None
        for line in broker.stdout:
            if re.match(rb"memphis broker ready", line):
                break
        yield RunningEngine(port, engine.pid)


@contextlib.contextmanager
def _process(command: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for_port(port: int) -> None:
    end = time.monotonic() + _READY_DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return
