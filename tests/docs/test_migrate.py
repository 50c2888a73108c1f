"""The guide for those who come from the original runs as it stands there, its first program by either SDK."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.compat.conftest import PYTHON, need, run_program
from tests.docs import blocks

PAGE = "docs/guide/migrate.md"
SHOP, FASTER = blocks.blocks_of(PAGE)
COMMANDS = re.findall(r"```console\n\$ memphis serve (.*)\n```", (blocks.ROOT / PAGE).read_text())
WITH_TOKEN, WITHOUT_LEGACY = COMMANDS
TOKEN = "a-secret"
HANDLED = "['order 0', 'order 1', 'order 2']\n"
HERE = Path(sys.executable)


@pytest.fixture
def token_options(tmp_path) -> list[str]:
    """The options of the first command, with a file of that name."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    options = shlex.split(WITH_TOKEN)
    assert options[-1] == file.name
    return [*options[:-1], str(file)]


async def _run(python: Path, block: str, broker, tmp_path: Path) -> tuple[str, str]:
    program = tmp_path / block.splitlines()[0].removeprefix("# ")
    program.write_text(block, encoding="utf-8")
    return await run_program(python, program, broker, MEMPHIS_TOKEN=TOKEN)


@pytest.mark.parametrize("python", [PYTHON, HERE], ids=["original", "ours"])
async def test_the_program_runs_with_either_sdk(broker_factory, token_options, tmp_path, python):
    """The same text, and the same output."""
    need(python)
    broker = broker_factory(options=token_options)
    await asyncio.to_thread(broker.start)
    output, errors = await _run(python, SHOP, broker, tmp_path)
    assert output == HANDLED, errors
    if python == HERE:
        assert errors == ""


async def test_what_is_faster_prints_what_the_guide_says(broker_factory, token_options, tmp_path):
    """Two thousand messages, in the three ways."""
    broker = broker_factory(options=token_options)
    await asyncio.to_thread(broker.start)
    assert await _run(HERE, FASTER, broker, tmp_path) == ("1 1 False\n2000\n", "")


async def test_the_door_can_be_shut(broker_factory, token_options, tmp_path):
    """With the second command, the program runs with this SDK only."""
    broker = broker_factory(options=[*token_options, *shlex.split(WITHOUT_LEGACY)])
    await asyncio.to_thread(broker.start)
    assert await _run(HERE, SHOP, broker, tmp_path) == (HANDLED, "")
    if PYTHON.exists():
        output, _ = await _run(PYTHON, SHOP, broker, tmp_path)
        assert HANDLED not in output
