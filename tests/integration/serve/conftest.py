"""Engines that belong to no broker."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from memphis_broker.engine.process import find_binary
from tests.integration.serve.helpers import StartEngine
from tests.waiting import eventually_sync


@pytest.fixture
def start_engine(tmp_path: Path) -> Iterator[StartEngine]:
    """Starts nats-servers that belong to no broker; gives the port."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(config: str = "jetstream {}\n") -> int:
        directory = tmp_path / f"foreign-{len(processes)}"
        directory.mkdir()
        file = directory / "server.conf"
        file.write_text(config.replace("jetstream {}", f'jetstream {{ store_dir: "{directory}" }}'))
        process = subprocess.Popen(
            [find_binary(None), "-c", file, "-a", "127.0.0.1", "-p", "-1",
             "--ports_file_dir", directory, "-l", directory / "log"]
        )  # fmt: skip
        processes.append(process)
        ports = eventually_sync(
            lambda: [p for p in directory.glob("*.ports") if p.read_text().endswith("}")]
        )
        return int(json.loads(ports[0].read_text())["nats"][0].rpartition(":")[2])

    yield start
    for process in processes:
        process.terminate()
        process.wait()
