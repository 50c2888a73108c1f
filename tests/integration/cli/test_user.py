"""`memphis user`, as a person has it: without a terminal, a password comes from a file or standard input."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import uuid
from pathlib import Path

import pytest

from memphis_broker.testing import BrokerProcess
from tests.integration.cli.conftest import (
    DEADLINE_S,
    CommandLine,
    command,
    command_line_here,
    environment,
)
from tests.integration.cli.test_mistakes import check_complaint

PASSWORD = "correct horse ü"


@pytest.fixture
def here(broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs commands against the shared broker, in this process."""
    return command_line_here(broker.port, monkeypatch)


@pytest.fixture
def user() -> str:
    """The name of a user that no other test uses."""
    return f"cli-{uuid.uuid4().hex}"


def gets_in(here: CommandLine, user: str, password: str) -> bool:
    result = here("station", "ls", MEMPHIS_USERNAME=user, MEMPHIS_PASSWORD=password)
    return result.returncode == 0


def test_a_user_from_its_creation_to_its_end(here: CommandLine, user: str, tmp_path: Path) -> None:
    """A password from a file, another from standard input; the line's end is no part of it."""
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    created = here("user", "create", user.upper(), "--password-file", str(file))
    assert created.stdout.decode() == f"user {user} created\n"
    assert gets_in(here, user, PASSWORD)
    for more in ([], ["--password-file", "-"]):
        changed = here("user", "password", user, *more, stdin=b"another password\r\n")
        assert changed.returncode == 0, changed.stderr
        assert gets_in(here, user, "another password")
        assert not gets_in(here, user, PASSWORD)
    (found,) = [
        one for one in json.loads(here("user", "ls", "--json").stdout) if one["name"] == user
    ]
    assert found["type"] == "application"
    assert found["created_at"] < found["password_set_at"]
    assert user in here("user", "ls").stdout.decode()
    refused = here("user", "rm", user)  # nobody there to say yes
    assert refused.returncode == 1
    assert gets_in(here, user, "another password")
    assert here("user", "rm", user, "--yes").stdout.decode() == f"user {user} removed\n"
    assert not gets_in(here, user, "another password")


def test_mistakes(here: CommandLine, user: str, tmp_path: Path) -> None:
    """One line each, and no password in it."""
    password = PASSWORD.encode()
    assert here("user", "create", user, "-t", "management", stdin=password).returncode == 0
    check_complaint(here("user", "create", user, stdin=b"another one"), 1, user, "exists")
    check_complaint(here("user", "create", "root", stdin=password), 1, "--root-password")
    check_complaint(here("user", "password", "nobody", stdin=password), 1, "no user nobody")
    check_complaint(here("user", "rm", "nobody", "--yes"), 1, "no user nobody")
    check_complaint(here("user", "create", f"{user}2", stdin=b"tiny"), 2, "8 to 128")
    check_complaint(here("user", "create", f"{user}2", stdin=b""), 2, "8 to 128")
    check_complaint(here("user", "create", f"{user}2", stdin=b"\xff" * 9), 2, "UTF-8")
    missing = str(tmp_path / "missing")
    check_complaint(here("user", "create", user, "--password-file", missing), 2, missing)
    own = {"MEMPHIS_USERNAME": user, "MEMPHIS_PASSWORD": PASSWORD}
    check_complaint(here("user", "ls", **own), 1, "only root", user)
    check_complaint(here("user", "rm", user, "--yes", **own), 1, "only root")


@pytest.mark.parametrize("repeated", [PASSWORD, "something else"])
def test_a_person_is_asked_twice_and_sees_nothing(
    broker: BrokerProcess, user: str, repeated: str
) -> None:
    """Two that differ do nothing."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("user", "create", user),
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(broker.port), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    assert process.stderr is not None
    asked = b""
    for answer, question in ((PASSWORD, b"of"), (repeated, b"once more: ")):
        while question not in asked:
            asked += os.read(process.stderr.fileno(), 1024)
        os.write(ours, f"{answer}\n".encode())
    output, complaint = process.communicate(timeout=DEADLINE_S)
    os.close(ours)
    assert PASSWORD not in (output + asked + complaint).decode()
    assert process.returncode == (0 if repeated == PASSWORD else 2), complaint
    assert (b"the two passwords differ" in complaint) == (repeated != PASSWORD)
