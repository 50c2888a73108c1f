"""Projects of a stranger, each in a directory of its own, whose tests use the plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

# Only so that a hanging run ends the test.
DEADLINE_S = 120
# pytest-asyncio warns without the setting.
WITH_ASYNCIO = (
    "-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function",
)  # fmt: skip


class Project:
    """Test files, and runs of pytest over them.

    Attributes:
        path: The project's directory.
        brokers: Where the brokers of its tests have their temporary directories.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.brokers = path / "brokers"
        self.brokers.mkdir()
        (path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(dedent(text))

    def command(self, *arguments: str) -> list[str]:
        # By name, because an entry point is there only where the project is installed; and no others.
        plugins = ["-p", "memphis_broker.pytest_plugin", "-p", "no:cacheprovider"]
        return [sys.executable, "-m", "pytest", "-q", *plugins, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("MEMPHIS_", "PYTEST_"))
        }
        return {
            **inherited,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": os.pathsep.join([str(self.path), *filter(None, sys.path)]),
            "TMPDIR": str(self.brokers),
        }

    def run(self, *arguments: str, **outcomes: int) -> str:
        """Run pytest; every outcome must be as often as said. Returns what it wrote."""
        ended = subprocess.run(
            self.command(*arguments),
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        summary = ended.stdout.splitlines()[-1]
        words = summary.replace("errors", "error").split(" in ")[0].split(", ")
        counted = {word: int(number) for number, word in (part.split(" ")[:2] for part in words)}
        assert counted == outcomes, ended.stdout + ended.stderr
        return ended.stdout

    def processes(self) -> list[str]:
        """The command lines of brokers and engines of this project that run."""
        listed = subprocess.run(
            ["ps", "-ww", "-eo", "args="], capture_output=True, text=True, check=True
        )
        return [line for line in listed.stdout.splitlines() if str(self.brokers) in line]

    def directories(self) -> list[Path]:
        """The temporary directories of brokers that are there."""
        return list(self.brokers.glob("memphis-broker-*"))

    def notes(self, name: str) -> list[str]:
        """The lines that tests have appended to a file."""
        return (self.path / name).read_text().splitlines()
