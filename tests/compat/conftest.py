"""The original's SDK, unmodified, in a process of its own that tests tell what to do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memphis_broker.testing import BrokerProcess

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-memphis-py" / "bin" / "python"
"""The interpreter with memphis-py 1.3.1, which `make test` makes."""
DEADLINE_S = 60.0
PROGRAM_DEADLINE_S = 120.0
"""The original waits five seconds for each partition that is empty."""


class OriginalError(Exception):
    """What the original's SDK raised."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class Original:
    """One process with memphis-py 1.3.1, or another SDK; call it with the body of a coroutine.

    It belongs to no event loop, so tests that each have one can share it.
    """

    def __init__(self, python: Path = PYTHON) -> None:
        """Args: ``python`` is the interpreter that has the SDK."""
        ours, theirs = os.pipe()
        self._replies = os.fdopen(ours, "rb", buffering=0)
        driver = Path(__file__).with_name("driver.py")
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", str(driver), str(theirs)], env=surroundings_of(python),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=[theirs],
        )  # fmt: skip
        os.close(theirs)

    async def __call__(self, code: str, **names: Any) -> Any:
        """Run the body of a coroutine there; what it returns, as JSON has it.

        Raises:
            OriginalError: It raised something.
        """
        told = json.dumps({"code": code, "names": names}).encode() + b"\n"
        reply = json.loads(await asyncio.to_thread(self._ask, told))
        if "raised" in reply:
            raise OriginalError(*reply["raised"])
        return reply["returned"]

    def _ask(self, told: bytes) -> bytes:
        assert self._process.stdin is not None, "it was started with one"
        self._process.stdin.write(told)
        self._process.stdin.flush()
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._replies], [], [], DEADLINE_S)
            assert ready, "the process with the original's SDK does not answer"
            read = self._replies.read(2**16)
            assert read, "the process with the original's SDK has ended"
            line += read
        return line

    def kill(self) -> None:
        """End the process without a word."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None, "it was started with one"
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._replies.close()


def surroundings_of(python: Path) -> dict[str, str]:
    """The environment of a process: where this project is on the path, the original would be another."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH" or python != PYTHON}


async def run_program(
    python: Path, program: Path, broker: BrokerProcess, **environment: str
) -> tuple[str, str]:
    """Run a program that finds the broker by its environment; its standard output and standard error."""
    address = {"MEMPHIS_HOST": broker.host, "MEMPHIS_PORT": str(broker.port)}
    process = await asyncio.create_subprocess_exec(
        str(python), "-X", "utf8", str(program),
        env={**surroundings_of(python), **address, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PROGRAM_DEADLINE_S):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        output, errors = await process.communicate()
    return output.decode(), errors.decode()


CONNECT = """
kept.memphis = Memphis()
await kept.memphis.connect(host=HOST, port=PORT, username="root", password="memphis")
"""


@pytest.fixture
def original() -> Iterator[Original]:
    """A process with the original's SDK of this test's own, which is connected to nothing."""
    need()
    process = Original()
    yield process
    process.kill()


@pytest.fixture(scope="session")
def shared_original() -> Iterator[Original]:
    """One for all tests that leave its connection as it was."""
    need()
    process = Original()
    yield process
    process.kill()


@pytest.fixture
async def connected(shared_original: Original, broker: BrokerProcess) -> Original:
    """That one, connected to the shared broker; ``kept.memphis`` is the connection."""
    if not await shared_original("return hasattr(kept, 'memphis')"):
        await shared_original(CONNECT, HOST=broker.host, PORT=broker.port)
    return shared_original


def need(python: Path = PYTHON) -> None:
    """Skip the test where this interpreter is not there: that of the original may not be had."""
    if not python.exists():
        pytest.skip("memphis-py 1.3.1 is not installed; make test does that where it can be had")
