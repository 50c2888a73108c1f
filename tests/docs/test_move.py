"""The commands of the guide for those who come from an original run as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.fixtures.original_api import PASSWORD, ServedOriginal
from tests.integration.cli.conftest import CommandLine, command_line_here

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "move.md"
BLOCKS = re.findall(r"```console\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = [
    line.removeprefix("$ memphis ")
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith("$ memphis ")
]
IMPORTS = [command for command in COMMANDS if command.startswith("import ")]


@pytest.fixture
def memphis(broker, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs commands against the shared broker, in this process."""
    return command_line_here(broker.port, monkeypatch)


def test_the_commands_are_found():
    """None of them is left out of the tests below."""
    assert len(IMPORTS) == 4
    assert len(COMMANDS) == len(IMPORTS)


def test_the_imports_run_in_their_order(
    memphis: CommandLine, original_api: ServedOriginal, tmp_path: Path, monkeypatch
):
    """Each succeeds, and in the end everything is there."""
    monkeypatch.chdir(tmp_path)
    outputs = []
    for command in IMPORTS:
        arguments = shlex.split(command.replace("http://old-host:9000", original_api.url))
        result = memphis(*arguments, MEMPHIS_SOURCE_PASSWORD=PASSWORD)
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout.decode())
    assert outputs[0].count("would be created") == 5
    assert outputs[1].count("created") == 5
    assert outputs[3].count("present") == 5
