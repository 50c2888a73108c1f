"""The original's SDK for Node, memphis-dev 1.3.2, unmodified."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from memphis import MemphisNotFoundError
from tests.integration.sdk.helpers import SOON_S
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / ".node-memphis-dev" / "node_modules"
"""Where `make test` puts it, if there is npm."""
TOUR = Path(__file__).with_name("node") / "tour.js"
DEADLINE_S = 60.0

Tell = Callable[[str], Any]


@pytest.fixture
async def tour(broker, name) -> AsyncIterator[asyncio.subprocess.Process]:
    """The tour, begun."""
    node = shutil.which("node")
    if node is None or not (MODULES / "memphis-dev").exists():
        pytest.skip("memphis-dev 1.3.2 is not installed; make test does that where there is npm")
    process = await asyncio.create_subprocess_exec(
        node, str(TOUR), str(broker.port), name, f"{name}-schema",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, env={**os.environ, "NODE_PATH": str(MODULES)},
    )  # fmt: skip
    yield process
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _step(tour: asyncio.subprocess.Process, expected: str) -> Any:
    """The value that it tells for its next step, which must be this one."""
    assert tour.stdout is not None, "it is a pipe"
    async with asyncio.timeout(DEADLINE_S):
        while True:
            line = await tour.stdout.readline()
            assert line, "it ended"
            if line.startswith(b"{"):  # the SDK prints as well
                break
    told = json.loads(line)
    assert told["step"] == expected, told
    return told["value"]


async def _go_on(tour: asyncio.subprocess.Process) -> None:
    assert tour.stdin is not None, "it is a pipe"
    tour.stdin.write(b"\n")
    await tour.stdin.drain()


async def test_the_tour(memphis, name, tour):
    """Duplicates are known, its dead letter is kept and given back, its schema is enforced, all ends."""
    content = '{"type": "object", "properties": {"id": {"type": "integer"}}}'
    await memphis.create_schema(f"{name}-schema", "json", content=content)
    assert await _step(tour, "fetched") == ["a", "b"]
    assert await _step(tour, "headers") == {"key": "value", "msg-id": "1", "Nats-Msg-Id": "1"}
    await _step(tour, "dead letter")
    station = await memphis.existing_station(name)

    async def letters() -> list[Any]:
        return [letter async for letter in station.dead_letters(kind="poison")]

    (letter,) = await eventually(letters, SOON_S)
    assert (letter.group, letter.reason, letter.get_data()) == ("g.1", "node says no", b"b")
    await letter.redrive()
    await _go_on(tour)
    assert await _step(tour, "given back") == ["b"]
    assert await _step(tour, "schema") == "refused"
    await _step(tour, "destroyed")

    async def settled() -> bool:
        info = await station.info()
        return info.groups == [] and info.dead_letters.schema_failed == 1

    await eventually(settled, SOON_S)
    await _go_on(tour)
    await _step(tour, "closed")
    with pytest.raises(MemphisNotFoundError):
        await memphis.existing_station(name)
