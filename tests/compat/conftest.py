"""The original's SDK, unmodified, in a process of its own that tests tell what to do."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

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
    """One process with memphis-py 1.3.1, or another SDK; call it with the body of a coroutine."""

    def __init__(self, python: Path = PYTHON) -> None:
        """Args: ``python`` is the interpreter that has the SDK."""
        self._python = python
        self._process: asyncio.subprocess.Process | None = None
        self._replies = asyncio.StreamReader(limit=2**26)

    async def start(self) -> Self:
        """Start the interpreter."""
        # Where this project is on the path, the original would be another.
        isolated = ["-E"] if self._python == PYTHON else []
        ours, theirs = os.pipe()
        self._process = await asyncio.create_subprocess_exec(
            str(self._python), *isolated, "-W", "ignore",
            str(Path(__file__).with_name("driver.py")), str(theirs),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, pass_fds=[theirs],
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        loop = asyncio.get_running_loop()
        self._pipe, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._replies), os.fdopen(ours, "rb")
        )
        return self

    async def __call__(self, code: str, **names: Any) -> Any:
        """Run the body of a coroutine there; what it returns, as JSON has it.

        Raises:
            OriginalError: It raised something.
        """
        assert self._process is not None, "it has not started"
        assert self._process.stdin is not None, "it was started with one"
        told = json.dumps({"code": code, "names": names})
        self._process.stdin.write(told.encode() + b"\n")
        async with asyncio.timeout(DEADLINE_S):
            line = await self._replies.readline()
        reply = json.loads(line)
        if "raised" in reply:
            raise OriginalError(*reply["raised"])
        return reply["returned"]

    async def kill(self) -> None:
        """End the process without a word."""
        assert self._process is not None, "it has not started"
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._pipe.close()


async def run_program(
    python: Path, program: Path, broker: BrokerProcess, **environment: str
) -> tuple[str, str]:
    """Run a program that finds the broker by its environment; its standard output and standard error."""
    surroundings = dict(os.environ)
    if python == PYTHON:
        surroundings.pop("PYTHONPATH", None)
    surroundings |= {"MEMPHIS_HOST": broker.host, "MEMPHIS_PORT": str(broker.port), **environment}
    process = await asyncio.create_subprocess_exec(
        str(python), "-X", "utf8", str(program), env=surroundings,
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
async def original() -> AsyncIterator[Original]:
    """A process with the original's SDK, which is connected to nothing."""
    if not PYTHON.exists():
        pytest.skip("memphis-py 1.3.1 is not installed; make test does that where it can be had")
    process = await Original().start()
    yield process
    await process.kill()


@pytest.fixture
async def connected(original: Original, broker: BrokerProcess) -> Original:
    """The same, connected to the shared broker; ``kept.memphis`` is the connection."""
    await original(CONNECT, HOST=broker.host, PORT=broker.port)
    return original
