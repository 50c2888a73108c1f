"""The command line as a person has it: a process of its own, told by the environment where to go."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable

import pytest

from memphis_broker.testing import BrokerProcess

Result = subprocess.CompletedProcess[bytes]
CommandLine = Callable[..., Result]

# Only so that a hanging command ends the test; no command comes near it.
DEADLINE_S = 60


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "memphis_broker", *arguments]


def environment(port: int, **more: str) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MEMPHIS_")}
    return {
        **inherited,
        "MEMPHIS_PORT": str(port),
        # A warning from the command line is an error there too.
        "PYTHONWARNINGS": "error",
        "COLUMNS": "120",
        **more,
    }


def command_line(port: int) -> CommandLine:
    """Runs ``memphis ARGUMENTS`` against the broker on a port, with ``stdin`` as its input."""

    def run(*arguments: str, stdin: bytes = b"", **variables: str) -> Result:
        return subprocess.run(
            command(*arguments),
            input=stdin,
            capture_output=True,
            env=environment(port, **variables),
            timeout=DEADLINE_S,
            check=False,
        )

    return run


@pytest.fixture
def memphis(broker: BrokerProcess) -> CommandLine:
    """Runs commands against the shared broker."""
    return command_line(broker.port)


@pytest.fixture
def station() -> str:
    """The name of a station that no other test uses; it goes with the broker."""
    return f"cli-{uuid.uuid4().hex}"
