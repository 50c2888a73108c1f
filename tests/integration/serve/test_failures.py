"""Every way in which `memphis serve` cannot start: one line, an exit status, no traceback."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from tests.integration.serve.helpers import StartEngine, run_memphis


def one_line(status: int, *arguments: str, **environment: str) -> str:
    result = run_memphis("serve", "--log-level", "error", *arguments, **environment)
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stdout == ""
    assert result.returncode == status, result.stderr
    return result.stderr


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """A port that something listens on is reported before an engine is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = one_line(1, "--port", str(port), "--data-dir", str(tmp_path))
    assert f"port {port} on 127.0.0.1 is taken" in line


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A data directory below a file is refused with its path."""
    file = tmp_path / "file"
    file.touch()
    assert f"{file}/data" in one_line(1, "--port", "0", "--data-dir", str(file / "data"))


def test_an_unwritable_data_directory_is_named(tmp_path: Path) -> None:
    """A data directory in which nothing can be made is refused with its path."""
    directory = tmp_path
    directory.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.geteuid() == 0:
        # Root needs no permission; but this is no real directory, and nobody can make a file there.
        directory = Path("/proc/self/fd")
    assert f"{directory}" in one_line(1, "--port", "0", "--data-dir", str(directory))


def test_a_missing_binary_is_named(tmp_path: Path) -> None:
    """--nats-server with no program behind it is refused with its path."""
    missing = tmp_path / "nothing"
    line = one_line(1, "--data-dir", str(tmp_path / "data"), "--nats-server", str(missing))
    assert str(missing) in line


def test_a_binary_that_is_no_engine_is_reported(tmp_path: Path) -> None:
    """A program that ends at once is reported with its status and its last words."""
    program = tmp_path / "engine"
    program.write_text("#!/bin/sh\necho I am no engine >&2\nexit 3\n")
    program.chmod(0o755)
    line = one_line(
        1, "--port", "0", "--data-dir", str(tmp_path / "data"), "--nats-server", str(program)
    )
    assert "status 3" in line
    assert "I am no engine" in line


def test_the_default_password_for_the_logins_of_a_cluster_is_refused(tmp_path: Path) -> None:
    """It is refused before anything is connected to, and without the engine's own password."""
    secrets = tmp_path / "secrets.toml"
    engine = "nats://127.0.0.1:1,nats://user:hidden@192.0.2.1:4222"
    line = one_line(2, "--engine", engine, "--engine-secrets", str(secrets))
    assert "192.0.2.1 with the default root password" in line
    assert "hidden" not in line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--nonsense"], "--nonsense"),
        (["--port", "many"], "--port"),
        (["--port", "65536"], "--port"),
        (["--durability", "maybe"], "--durability"),
        (["--max-disk", "3XB"], "--max-disk"),
        (["--max-message-size", "65MB"], "--max-message-size"),
        (["--host", "not a host"], "--host"),
        (["--root-password", ""], "--root-password"),
        (["--root-password-file", "/nonexistent"], "--root-password-file"),
        (["--host", "0.0.0.0"], "--root-password"),
        (["--host", "::"], "--root-password"),
        (["--engine", "http://127.0.0.1"], "http://127.0.0.1"),
        (["--engine", "nats://127.0.0.1", "--durability", "always"], "durability"),
        (["--engine", "nats://127.0.0.1", "--port", "1"], "--port"),
        (["--engine-secrets", "x"], "engine"),
    ],
)
def test_a_wrong_setting_is_named(arguments: list[str], named: str) -> None:
    """A setting that cannot be honoured is refused with its name."""
    assert named in one_line(2, *arguments)


@pytest.mark.parametrize("text", ["porrt = 1", "port = 'x'", "port = ", "[serve]\nport = 1"])
def test_a_wrong_config_file_is_named(tmp_path: Path, text: str) -> None:
    """An unknown key, a bad value or bad TOML is refused with the file's name."""
    file = tmp_path / "memphis.toml"
    file.write_text(text)
    assert str(file) in one_line(2, "--config", str(file))
    assert str(file) in one_line(2, MEMPHIS_CONFIG=str(file))


def test_a_wrong_environment_variable_is_named() -> None:
    """A bad value in the environment is refused with the variable's name."""
    assert "MEMPHIS_PORT" in one_line(2, MEMPHIS_PORT="many")


def test_an_unreachable_engine_is_named() -> None:
    """An engine URL where nothing listens is refused with its address."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        line = one_line(1, "--engine", f"nats://someone:secret-word@127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in line
    assert "secret-word" not in line


def test_an_engine_without_jetstream_is_reported(start_engine: StartEngine) -> None:
    """An engine that cannot store anything is refused."""
    port = start_engine("")
    assert "JetStream" in one_line(1, "--engine", f"nats://127.0.0.1:{port}")


def test_an_engine_that_refuses_the_login_is_reported(start_engine: StartEngine) -> None:
    """A wrong password for an attached engine ends in one line without the password."""
    port = start_engine('jetstream {}\nauthorization { user: "a", password: "b" }\n')
    line = one_line(1, "--engine", f"nats://a:secret-word@127.0.0.1:{port}")
    assert "Authorization" in line
    assert "secret-word" not in line


def test_secrets_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """Engine secrets that are missing or incomplete are refused with their path."""
    file = tmp_path / "secrets.toml"
    arguments = ["--engine", "nats://127.0.0.1:1", "--engine-secrets", str(file)]
    assert str(file) in one_line(1, *arguments)
    file.write_text("broker_password = 'x'\n")
    assert str(file) in one_line(1, *arguments)
