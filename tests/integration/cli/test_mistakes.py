"""What a careless person does: each ends in one clear line and an exit code, never a traceback."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli.conftest import (
    DEADLINE_S,
    CommandLine,
    Result,
    command,
    environment,
)


def check_complaint(result: Result, status: int, *words: str) -> None:
    text = result.stderr.decode()
    assert result.returncode == status, text
    assert "Traceback" not in text
    assert len(text.splitlines()) == 1, text
    for word in words:
        assert word in text


def test_nobody_listens(memphis: CommandLine) -> None:
    """The complaint says where was tried."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
        check_complaint(memphis("station", "ls", "--port", port), 1, "127.0.0.1", port)


@pytest.mark.parametrize("option", ["--password", "--token"])
def test_a_refused_login(memphis: CommandLine, option: str) -> None:
    """A wrong password and a wrong token are refused, and not repeated in the complaint."""
    result = memphis("station", "ls", option, "open-sesame")
    check_complaint(result, 1)
    assert b"open-sesame" not in result.stderr


def test_password_and_token_together(memphis: CommandLine) -> None:
    """They exclude each other, wherever they come from."""
    result = memphis("station", "ls", "--token", "t", MEMPHIS_PASSWORD="memphis")
    check_complaint(result, 2, "not both")


@pytest.mark.parametrize(
    "arguments",
    [
        ["station", "info", "no-such-station"],
        ["station", "purge", "no-such-station", "--yes"],
        ["station", "rm", "no-such-station", "--yes"],
        ["consume", "no-such-station", "--group", "readers"],
    ],
)
def test_a_station_that_is_not_there(memphis: CommandLine, arguments: list[str]) -> None:
    """The complaint names it, and reading does not create it."""
    check_complaint(memphis(*arguments), 1, "no-such-station")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["station", "create", "not a name"], "station name"),
        (["station", "create", "x", "--partitions", "0"], "partitions"),
        (["station", "create", "x", "-v", "0"], "retention-value"),
        (["station", "create", "x", "--retention-type", "weight"], "retention-type"),
        (["station", "create", "x", "--replicas", "many"], "replicas"),
        (["station", "create"], "STATION"),
        (["station", "explode"], "explode"),
        (["produce", "x", "message", "--header", "no-equals-sign"], "KEY=VALUE"),
        (["produce", "x", "message", "--header", "$memphis-x=1"], "reserved"),
        (["produce", "x", "message", "--file", __file__], "not both"),
        (["produce", "x", "--file", "no-such-file"], "no-such-file"),
        (["produce", "x", "message", "--key", "k", "--partition", "1"], "not both"),
        (["consume", "x"], "--group"),
        (["consume", "x", "--group", "g", "--count", "0"], "count"),
        (["station", "ls", "--port", "http"], "'http' is no port"),
        (["station", "ls", "--port", "65536"], "'65536' is no port"),
        (["no-such-command"], "no-such-command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_use(memphis: CommandLine, arguments: list[str], word: str) -> None:
    """Wrong use ends with status 2 and names what was wrong."""
    check_complaint(memphis(*arguments), 2, word)


def test_a_message_that_is_too_large(memphis: CommandLine, station: str, tmp_path: Path) -> None:
    """The message is counted as not stored; the others go through, and the status is 1."""
    file = tmp_path / "large.txt"
    file.write_bytes(b"small\n" + b"x" * (9 * 1024 * 1024) + b"\nsmall too\n")
    result = memphis("produce", station, "--file", str(file))
    assert result.returncode == 1
    assert b"2 messages stored" in result.stderr
    assert b"not stored: 1 message, number 2; the first: message 2:" in result.stderr
    assert b"with its headers" in result.stderr
    assert b"--max-message-size" in result.stderr
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["station"], ["station", "create"], ["station", "ls"], ["station", "info"],
        ["station", "purge"], ["station", "rm"], ["produce"], ["consume"], ["demo"], ["serve"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_help(memphis: CommandLine, arguments: list[str]) -> None:
    """Every command explains itself."""
    for option in ("--help", "-h"):
        result = memphis(*arguments, option)
        assert result.returncode == 0
        assert b"Usage: memphis" in result.stdout


@pytest.mark.parametrize("arguments", [[], ["station"]], ids=" ".join)
def test_a_group_of_commands_without_one(memphis: CommandLine, arguments: list[str]) -> None:
    """The help is shown as it is laid out, but the command has not been used rightly."""
    result = memphis(*arguments)
    assert result.returncode == 2
    assert result.stdout == memphis(*arguments, "--help").stdout
    assert result.stderr == b""


def test_the_version(memphis: CommandLine) -> None:
    """One line for people and bug reports."""
    result = memphis("--version")
    assert result.returncode == 0
    assert re.fullmatch(rb"memphis \d+\.\S+\n", result.stdout)


@pytest.mark.parametrize("missing", ["typer", "platformdirs"])
def test_without_the_extra(missing: str) -> None:
    """The SDK alone has the script too; it says what to install."""
    # None in sys.modules is how Python itself marks what cannot be imported.
    program = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['memphis', 'serve']; "
        "from memphis_broker.cli.main import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=False
    )
    check_complaint(result, 1, "'memphis-py[broker]'")


def test_another_missing_module_is_a_fault(tmp_path: Path) -> None:
    """Only what the extra brings is explained by it; the rest keeps its traceback."""
    program = (
        "import sys; sys.modules['memphis_broker.cli.commands'] = None; "
        "from memphis_broker.cli.main import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=False, cwd=tmp_path
    )
    assert result.returncode == 1
    assert b"ModuleNotFoundError" in result.stderr


@pytest.mark.parametrize(
    ("text", "near"), [("max-disk = '1GB'", "max_disk"), ("portt = 1", "port")]
)
def test_a_misspelt_setting(memphis: CommandLine, tmp_path: Path, text: str, near: str) -> None:
    """The complaint about a config file offers the setting that was probably meant."""
    file = tmp_path / "memphis.toml"
    file.write_text(text)
    check_complaint(memphis("serve", "--config", str(file)), 2, f"; {near} is one")


def test_a_port_in_the_environment(memphis: CommandLine) -> None:
    """The variable is named, in words of people."""
    check_complaint(memphis("serve", MEMPHIS_PORT="abc"), 2, "MEMPHIS_PORT", "a whole number")


@pytest.mark.parametrize(
    "arguments",
    [
        ("station", "ls"),
        ("station", "create", "s"),
        ("produce", "s", "x"),
        ("consume", "s", "-g", "g"),
    ],
)
def test_the_port_may_be_left_out(arguments: tuple[str, ...]) -> None:
    """Without a port the default is tried; here on an address where nobody is."""
    variables = environment(0)
    del variables["MEMPHIS_PORT"]
    result = subprocess.run(
        command(*arguments, "--host", "127.255.255.254"),
        capture_output=True,
        env=variables,
        timeout=DEADLINE_S,
        check=False,
    )
    check_complaint(result, 1, "127.255.255.254:6666")
