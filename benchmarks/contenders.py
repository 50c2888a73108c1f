"""Who takes part: each client with its interpreter, its server, and how it is run.

A client whose library, interpreter or server is not there is left out, with a line that says so.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks import ROOT, peers
from benchmarks.engine import running_engine
from benchmarks.worker import LIBRARY_MISSING
from memphis_broker.engine.process import find_binary

ORIGINAL_PYTHON: Final = ROOT / ".venv-memphis-py" / "bin" / "python"
"""The interpreter with memphis-py 1.3.1, which `make bench` makes."""

OURS: Final = "memphis_sdk"
OURS_WITH_UVLOOP: Final = "memphis_sdk_uvloop"
ENGINE: Final = "engine"
FAST_ENGINE: Final = "engine, fast"
_DEADLINE_S: Final = 300

LATENCY_RATE: Final = 1000
"""Messages a second in the latency row."""


class Description(NamedTuple):
    """What a client says of itself."""

    name: str
    rows: list[str]
    versions: dict[str, str]


class Contender(NamedTuple):
    """One client, and where it runs.

    ``share`` is the part of a row's messages that it gets: the slow get fewer, so that a run ends
    while somebody still waits for it. The figures are per message.
    """

    key: str
    module: str
    server: str = ENGINE
    share: float = 1.0
    python: str = sys.executable
    with_uvloop: bool = False

    @property
    def uses_the_engine(self) -> bool:
        """Whether it works on a station that the runner makes."""
        return self.server == ENGINE

    def server_for(self, row: str) -> str:
        """The server this row runs against."""
        return FAST_ENGINE if self.uses_the_engine and row == "produce_unsynced" else self.server

    def missing(self) -> str | None:
        """What it needs and is not there, apart from its library."""
        if self.server == "redis":
            return peers.missing_redis()
        if self.server in {"rabbit queue", "rabbit stream"}:
            return peers.missing_rabbit()
        if self.with_uvloop and importlib.util.find_spec("uvloop") is None:
            return "uvloop is not installed (pip install 'memphis-py[speed]')"
        if not Path(self.python).exists():
            return "it needs a virtual environment of its own, which `make bench` makes"
        return None

    def describe(self) -> Description | str:
        """What it says of itself, or why it cannot."""
        done = self._start(["describe", self.module])
        if done.returncode == LIBRARY_MISSING:
            return f"{done.stdout.strip()} is not installed (`make bench` installs it)"
        return Description(**_answer_of(done, self.key, "describe"))

    def run(
        self, task: str, target: Mapping[str, object], profile_lines: int = 0
    ) -> dict[str, Any]:
        """Run a row, or ``fill``, in a process of its own; the profile goes to this one's output.

        Raises:
            SystemExit: The worker failed; with its output.
        """
        options = ["--uvloop"] if self.with_uvloop else []
        if profile_lines:
            options += ["--profile", str(profile_lines)]
        done = self._start([task, self.module, json.dumps(target), *options])
        answer = _answer_of(done, self.key, task)
        if profile_lines:
            print(done.stderr)
        return answer

    def _start(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-m", "benchmarks.worker", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )


def _answer_of(done: subprocess.CompletedProcess[str], key: str, task: str) -> dict[str, Any]:
    if done.returncode:
        raise SystemExit(f"{key} failed in {task}:\n{done.stdout}{done.stderr}")
    # The original prints what it wants to tell before that.
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def all_contenders(original_python: Path = ORIGINAL_PYTHON) -> dict[str, Contender]:
    """Every client there is, by its key."""
    clients = (
        Contender("raw_socket", "raw_socket"),
        Contender(OURS, "memphis_sdk"),
        Contender(OURS_WITH_UVLOOP, "memphis_sdk", with_uvloop=True),
        Contender("nats_py", "nats_py", share=0.5),
        Contender("nats_py_push", "nats_py_push"),
        Contender("memphis_py", "memphis_py", share=0.2, python=str(original_python)),
        Contender("redis_py", "redis_py", "redis", share=0.5),
        Contender("aio_pika", "aio_pika", "rabbit queue", share=0.05),
        Contender("rstream", "rstream", "rabbit stream"),
    )
    return {client.key: client for client in clients}


def present(contenders: Iterable[Contender]) -> dict[str, tuple[Contender, Description]]:
    """Those that can run here, with what they say of themselves; the others get a line."""
    found: dict[str, tuple[Contender, Description]] = {}
    for contender in contenders:
        description = contender.missing() or contender.describe()
        if isinstance(description, str):
            print(f"skipped {contender.key}: {description}", flush=True)
        else:
            found[contender.key] = (contender, description)
    return found


def server_versions() -> dict[str, str]:
    """What the servers that are installed here call their versions."""
    versions = {"nats-server": [str(find_binary(None)), "--version"]}
    if not peers.missing_redis():
        versions["redis-server"] = ["redis-server", "--version"]
    told = {
        name: subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        for name, command in versions.items()
    }
    rabbit = peers.rabbit_version()
    return {**told, "rabbitmq-server": rabbit} if rabbit else told


@contextlib.contextmanager
def running_servers(names: Iterable[str]) -> Iterator[dict[str, int]]:
    """Start what is needed, and end it afterwards; yields the port of each server."""
    wanted = set(names)
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        if ENGINE in wanted:
            ports[ENGINE] = stack.enter_context(running_engine()).port
        if FAST_ENGINE in wanted:
            ports[FAST_ENGINE] = stack.enter_context(running_engine("fast")).port
        if "redis" in wanted:
            ports["redis"] = stack.enter_context(peers.running_redis())
        if wanted & {"rabbit queue", "rabbit stream"}:
            rabbit = stack.enter_context(peers.running_rabbit())
            ports["rabbit queue"], ports["rabbit stream"] = rabbit
        yield ports
