"""The command line as a person has it: a process of its own, told by the environment where to go."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable

import pytest

from memphis_broker.cli import commands
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


def command_line_here(port: int, patch: pytest.MonkeyPatch) -> CommandLine:
    """As :func:`command_line`, but in this process.

    Starting one takes longer than most commands do; whoever runs many of them, and tests neither
    signals nor pipes, takes this.
    """

    def run(*arguments: str, stdin: bytes = b"", **variables: str) -> Result:
        output, complaints = io.BytesIO(), io.BytesIO()
        with (
            io.TextIOWrapper(tempfile.TemporaryFile()) as given,
            patch.context() as for_now,
        ):
            given.buffer.write(stdin)
            given.buffer.seek(0)
            for name in [name for name in os.environ if name.startswith("MEMPHIS_")]:
                for_now.delenv(name)
            for name, value in environment(port, **variables).items():
                for_now.setenv(name, value)
            for_now.setattr(sys, "stdin", given)
            for_now.setattr(sys, "stdout", io.TextIOWrapper(output, write_through=True))
            for_now.setattr(sys, "stderr", io.TextIOWrapper(complaints, write_through=True))
            status = commands.run(arguments)
            written = output.getvalue(), complaints.getvalue()
        return Result(list(arguments), status, *written)

    return run


@pytest.fixture
def memphis(broker: BrokerProcess) -> CommandLine:
    """Runs commands against the shared broker."""
    return command_line(broker.port)


@pytest.fixture
def station() -> str:
    """The name of a station that no other test uses; it goes with the broker."""
    return f"cli-{uuid.uuid4().hex}"
