"""The commands of the guide for those who come from an original run as they stand there."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from memphis import Memphis
from memphis_broker.move_in.model import read_export, wanted_options
from memphis_broker.testing import BrokerProcess
from tests.fixtures import original_api as api
from tests.fixtures.original_broker import PASSWORD, OriginalStandIn
from tests.integration.cli.conftest import (
    CommandLine,
    command,
    command_line,
    command_line_here,
    environment,
)
from tests.waiting import eventually

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "move.md"
BLOCKS = re.findall(r" *```console\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = [
    line.strip().removeprefix("$ memphis ")
    for block in BLOCKS
    for line in block.splitlines()
    if line.strip().startswith("$ memphis ")
]
IMPORTS = [command for command in COMMANDS if command.startswith("import ")]
MIRROR, FOLLOW = [command for command in COMMANDS if command.startswith("mirror ")]


@pytest.fixture
def run_here(broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs commands against the shared broker, in this process."""
    return command_line_here(broker.port, monkeypatch)


def test_the_commands_are_found():
    """None of them is left out of the tests below."""
    assert len(IMPORTS) == 5
    assert len(COMMANDS) == len(IMPORTS) + 2


def test_the_imports_run_in_their_order(
    run_here: CommandLine, original_api: api.ServedOriginal, tmp_path: Path, monkeypatch
):
    """Each succeeds, and in the end everything is there."""
    monkeypatch.chdir(tmp_path)
    outputs = []
    for line in IMPORTS:
        arguments = shlex.split(line.replace("http://old-host:9000", original_api.url))
        result = run_here(*arguments, MEMPHIS_SOURCE_PASSWORD=api.PASSWORD)
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout.decode())
    assert outputs[0].count("would be created") == 5
    assert outputs[1].count("created") == 5
    assert outputs[2].count("present") == 5
    assert (
        (tmp_path / "shop.passwords")
        .read_text()
        .startswith(f"{original_api.original.name('shop')}\t")
    )
    assert outputs[4].count("present") == 5


def test_the_example_of_an_export_is_one():
    """It is read, and its station and schema are what they say."""
    (example,) = re.findall(r"```json\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    export = read_export(example, "the guide")
    (station,), (schema,), (user,) = export.stations, export.schemas, export.users
    options = wanted_options(station)
    assert (options.partitions_number, options.schema_name) == (3, schema.name)
    assert (schema.versions[0].active, user.kind) == (True, "application")


def start(line: str, broker: BrokerProcess, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            command(*shlex.split(line)),
            stdout=file,
            stderr=file,
            env=environment(broker.port, MEMPHIS_SOURCE_PASSWORD=PASSWORD),
        )


async def test_the_cut_over_runs(
    memphis: Memphis, broker: BrokerProcess, original: OriginalStandIn, name: str, tmp_path: Path
):
    """A mirror, then one that follows and is ended with Ctrl-C; then a group that goes on here."""
    await original.add_station(name, 2)
    station = await memphis.station(name, partitions_number=2)
    await original.produce(name, 1, [b"one", b"two"])
    arguments = shlex.split(MIRROR.replace("old-host", original.address))
    run = command_line(broker.port)
    result = await asyncio.to_thread(run, *arguments, MEMPHIS_SOURCE_PASSWORD=PASSWORD)
    assert result.returncode == 0, result.stderr
    assert [name, "1", "2", "2", "0", "0", "2"] in [
        line.split() for line in result.stdout.decode().splitlines()
    ]
    mirror = start(FOLLOW.replace("old-host", original.address), broker, tmp_path / "log")
    try:
        await original.produce(name, 2, [b"three"])

        async def holds_all() -> bool:
            return (await station.info()).messages == 3

        await eventually(holds_all, deadline_s=60)
    finally:
        mirror.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(mirror.wait, 60) == 0, (tmp_path / "log").read_text()
    consumer = await memphis.consumer(name, "worker", last_messages=0)
    await memphis.produce(name, "radar", b"four")
    assert [bytes(m.get_data()) for m in await consumer.fetch(9)] == [b"four"]
