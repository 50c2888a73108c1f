"""What the tests of `memphis serve` share: command lines that end, and bare NATS clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import nats
from nats.aio.client import Client

from memphis.transport.handshake import LIBRARY
from tests.waiting import eventually

LOGIN_DEADLINE_S = 20.0

StartEngine = Callable[..., int]
"""Starts a nats-server with a config text and gives its port."""

ROOT = {"user": "root", "pass": "memphis"}
NATIVE = {"lang": LIBRARY}
"""What the engine is told by this SDK, and not by a client that may be one of the original's."""


async def errors_of(port: int, login: dict[str, str], *lines: str) -> list[str]:
    """Log in over a bare socket, send lines, and return the errors the engine answers with.

    A refused login is such an error, too. The engine answers in order, so all are in when the
    answer to a final PING is.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(LOGIN_DEADLINE_S):
            options = json.dumps({"verbose": False, "headers": True} | login)
            for line in (f"CONNECT {options}", *lines, "PING"):
                writer.write(line.encode() + b"\r\n")
            errors = []
            while (line := (await reader.readline()).decode().strip()) not in {"PONG", ""}:
                if line.startswith("-ERR"):
                    errors.append(line)
            return errors if line else [*errors, "closed"]
    except ConnectionResetError:
        return ["closed"]
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def can_log_in(port: int, login: dict[str, str] | None = None) -> bool:
    """Whether a login works right now; that of root with the default password if none is given."""
    try:
        return await errors_of(port, ROOT if login is None else login) == []
    except ConnectionError:  # it is just going, or coming
        return False


async def until_login_works(port: int) -> None:
    """Wait for a broker that is coming back."""
    await eventually(lambda: can_log_in(port), LOGIN_DEADLINE_S, "a login")


@contextlib.asynccontextmanager
async def nats_client(port: int, **options: Any) -> AsyncIterator[Client]:
    """A connected nats-py client."""
    client = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False, **options)
    try:
        yield client
    finally:
        await client.close()


def run_memphis(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command line that is expected to end by itself."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MEMPHIS_")}
    return subprocess.run(
        [sys.executable, "-m", "memphis_broker", *arguments],
        check=False, capture_output=True, text=True, timeout=60, env=inherited | environment,
    )  # fmt: skip
