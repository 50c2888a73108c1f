"""`memphis dls` and `memphis station set`, against a real broker, most of them in this process."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from pathlib import Path

import pytest

from memphis_broker.testing import BrokerProcess
from tests.fixtures.sdk import connect
from tests.integration.cli.conftest import (
    CommandLine,
    command,
    command_line_here,
    environment,
)
from tests.waiting import eventually, eventually_sync


@pytest.fixture
def here(broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs commands in this process, in a thread's place: none of these tests has a loop running."""
    return command_line_here(broker.port, monkeypatch)


async def bury(broker: BrokerProcess, station: str, *payloads: bytes) -> None:
    """Have the group ``board`` give up these messages."""
    async with await connect(broker) as memphis:
        for payload in payloads:
            await memphis.produce(station, "radar", payload, headers={"colour": "blue"})
        consumer = await memphis.consumer(station, "c", "board", max_ack_time_ms=600_000)
        left = len(payloads)
        while left:
            for message in await consumer.fetch(left):
                await message.dead_letter("no\tway \x1b[31m")
                left -= 1
        # The group stays when its connection goes: nobody has left it.


@pytest.fixture
def buried(broker: BrokerProcess, station: str) -> str:
    """A station with three dead letters."""
    asyncio.run(bury(broker, station, b"one", b"\xff\xfe", b"three"))
    return station


def ids_of(here: CommandLine, station: str) -> list[int]:
    """Newest first."""
    listed = here("dls", "ls", station, "--json")
    assert listed.returncode == 0, listed.stderr
    return [json.loads(line)["id"] for line in listed.stdout.splitlines()]


def test_listing_and_showing(here: CommandLine, buried: str) -> None:
    """A table for people, JSON for programs; nothing that a terminal would obey."""
    listed = here("dls", "ls", buried)
    lines = listed.stdout.decode().splitlines()
    assert lines[0].split() == [
        "ID",
        "WHEN",
        "STATION",
        "PLACE",
        "GROUP",
        "KIND",
        "REASON",
        "MESSAGE",
    ]
    assert len(lines) == 4
    assert "three" in lines[1]
    assert "\x1b" not in listed.stdout.decode()
    assert here("dls", "ls", buried, "-n", "1").stdout.count(b"\n") == 2
    assert b"no dead letters" in here("dls", "ls", buried, "--group", "other").stdout
    newest, middle, _ = ids_of(here, buried)
    shown = here("dls", "show", str(newest))
    for expected in (
        b"group      board, after 1 deliveries",
        b"header     colour: blue",
        b"three\n",
    ):
        assert expected in shown.stdout
    found = json.loads(here("dls", "show", str(middle), "--json").stdout)
    assert base64.b64decode(found["data_base64"]) == b"\xff\xfe"
    assert (found["producer"], found["group"], found["sequence"]) == ("radar", "board", 2)
    info = here("station", "info", buried)
    assert b"dead letters: 3 that a group could not process" in info.stdout


def test_giving_back_and_dropping(here: CommandLine, buried: str) -> None:
    """Some by their ids, the rest of a station; what cannot be is told, and the exit code is 1."""
    newest, middle, oldest = ids_of(here, buried)
    given = here("dls", "redrive", "--id", str(newest), "--id", str(middle), "--rate", "100")
    assert (given.returncode, given.stdout) == (0, b"2 dead letters given back\n"), given.stderr
    gone = here("dls", "redrive", "--id", str(newest))
    assert gone.returncode == 1
    assert f"no dead letter {newest}".encode() in gone.stderr
    assert here("dls", "drop", buried).returncode == 1  # nobody there to say yes
    assert ids_of(here, buried) == [oldest]
    dropped = here("dls", "drop", buried, "--yes")
    assert dropped.stdout == b"1 dead letter deleted\n"
    read = here("consume", buried, "--group", "board")
    assert sorted(read.stdout.split(b"\n"))[1:] == [b"three", b"\xff\xfe"]


def test_editing(here: CommandLine, buried: str, tmp_path: Path) -> None:
    """By text, by file, by headers; it has another id then."""
    newest, *_ = ids_of(here, buried)
    edited = here("dls", "edit", str(newest), "--data", "mended", "-H", "a=b=c")
    assert edited.returncode == 0, edited.stderr
    new = int(edited.stdout.split()[-2])
    found = json.loads(here("dls", "show", str(new), "--json").stdout)
    assert (found["data"], found["headers"]["a"], found["edited"]) == ("mended", "b=c", 1)
    file = tmp_path / "payload"
    file.write_bytes(b"\x00")
    assert here("dls", "edit", str(new), "--file", str(file)).returncode == 0
    again = here("dls", "edit", str(newest), "--data", "x")
    assert (again.returncode, again.stderr.count(b"\n")) == (1, 1)


def test_export(here: CommandLine, buried: str) -> None:
    """One JSON object a line, with the payload; the count goes to the person."""
    exported = here("dls", "export", buried)
    found = [json.loads(line) for line in exported.stdout.splitlines()]
    assert [x.get("data") for x in found] == ["three", None, "one"]
    assert exported.stderr == b"3 dead letters written\n"


def test_watching(broker: BrokerProcess, buried: str) -> None:
    """It prints those that come, and goes when nobody reads it any more."""
    watch = command("dls", "watch", buried, "--json", "--count", "1")
    with subprocess.Popen(watch, stdout=subprocess.PIPE, env=environment(broker.port)) as watching:

        def is_over() -> bool:
            # From when on it watches, nobody can tell; so they go on coming.
            asyncio.run(bury(broker, buried, b"later"))
            return watching.poll() is not None

        eventually_sync(is_over)
        assert watching.stdout is not None
        found = json.loads(watching.stdout.read())
    assert (watching.returncode, found["data"]) == (0, "later")


def test_station_set(here: CommandLine, buried: str) -> None:
    """Each option is shown as it is then; none at all is a mistake."""
    changed = here(
        "station", "set", buried, "--no-poison-to-dls", "--dls-station", f"{buried}-x",
        "--dead-letter-count-max", "2",
    )  # fmt: skip
    assert changed.returncode == 0, changed.stderr
    assert b"poison-to-dls off" in changed.stdout
    options = json.loads(here("station", "info", buried, "--json").stdout)["options"]
    assert options["send_poison_msg_to_dls"] is False
    assert options["dls_station"] == f"{buried}-x"
    assert options["dead_letter_count_max"] == 2
    itself = here("station", "set", buried, "--dls-station", buried)
    assert (itself.returncode, itself.stderr.count(b"\n")) == (1, 1)
    assert b"its own dls_station" in itself.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("redrive",),
        ("drop", "--yes"),
        ("redrive", "x", "--id", "1"),
        ("ls", "--kind", "odd"),
        ("ls", "--since", "yesterday"),
        ("ls", "--since", "9" * 30 + "d"),
        ("ls", "-n", "0"),
        ("show", "0"),
        ("show", "x"),
        ("edit", "1"),
        ("edit", "1", "--data", "x", "--file", "y"),
        ("edit", "1", "--file", "/does/not/exist"),
        ("edit", "1", "-H", "nothing"),
        ("redrive", "--all", "--rate", "0"),
    ],
    ids=" ".join,
)
def test_mistakes(here: CommandLine, arguments: tuple[str, ...]) -> None:
    """One line that says what is wrong, and nothing is done."""
    outcome = here("dls", *arguments)
    assert outcome.returncode == 2, outcome.stdout
    assert outcome.stderr.count(b"\n") == 1


async def test_what_is_not_there(broker: BrokerProcess) -> None:
    """Neither a station nor a dead letter: one line, exit code 1."""

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command("dls", *arguments),
            capture_output=True,
            env=environment(broker.port),
            check=False,
        )

    for arguments in (("show", "999999999"), ("ls", "missing"), ("drop", "missing", "--yes")):
        outcome = run(*arguments)
        assert (outcome.returncode, outcome.stderr.count(b"\n")) == (1, 1)
    assert await eventually(lambda: run().returncode == 2)
