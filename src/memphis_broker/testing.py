"""A real broker for tests: ours, and those of whoever builds on Memphis.

:class:`BrokerProcess` runs ``memphis serve`` in its own process and directory on a free port, and
can hurt it in the ways that machines do. Invariant: after :meth:`BrokerProcess.close` neither the
broker nor an engine that it left behind is running.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from memphis_broker.engine.data_dir import DataDirectory

START_SECONDS: Final = 45.0
STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.01
_READY: Final = "memphis broker ready at "


class BrokerFailedError(Exception):
    """The broker process did not do what it was asked; the text ends with its log."""


class BrokerProcess:
    """A broker in a process of its own. Also a context manager, plain or ``async``.

    Its methods block; in a coroutine call them with :func:`asyncio.to_thread`.

    Args:
        directory: Where its data and logs go; a temporary one that :meth:`close` removes if None.
        options: More flags for ``memphis serve``.
        environment: More environment variables.
        port: 0 for a free one. A broker that is started again keeps its port.
        embedded: False leaves host, port and data directory out of the flags: the ``options`` have
            ``--engine``.
        program: What to run instead of ``python -m memphis_broker serve``.
        tethered: Whether broker and engine end also when this process does, however that happens.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        embedded: bool = True,
        program: Sequence[str] = (sys.executable, "-m", "memphis_broker", "serve"),
        tethered: bool = False,
    ) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="memphis-broker-")
            directory = Path(self._temporary.name)
        self._directory = directory
        self._options = (*options, "--until-eof") if tethered else tuple(options)
        self._tethered = tethered
        self._environment = dict(environment or {})
        self._program = tuple(program)
        self._embedded = embedded
        self._process: subprocess.Popen[bytes] | None = None
        self.host = host
        self.port = port

    @property
    def data_dir(self) -> Path:
        """Where the broker keeps everything."""
        return self._directory / "data"

    @property
    def output(self) -> str:
        """What the latest run wrote to standard output."""
        return _read(self._directory / "broker.out")

    @property
    def log(self) -> str:
        """What all runs wrote to standard error."""
        return _read(self._directory / "broker.log")

    @property
    def pid(self) -> int:
        """Process id of the broker.

        Raises:
            BrokerFailedError: It is not running.
        """
        if self._process is None or self._process.poll() is not None:
            raise BrokerFailedError("the broker is not running")
        return self._process.pid

    @property
    def engine_pid(self) -> int:
        """Process id of the engine, also of one that outlives its broker.

        Raises:
            BrokerFailedError: There is none.
        """
        pid = self._locate().leftover_engine_pid()
        if pid is None:
            raise BrokerFailedError("the broker has no running engine")
        return pid

    def start(self) -> Self:
        """Start the broker and wait until it is ready.

        Raises:
            BrokerFailedError: It ended, or was not ready in time.
        """
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self) -> None:
        """Start the broker and do not wait; :meth:`wait_until_ready` comes next."""
        assert self._process is None or self._process.poll() is not None, "it runs already"
        self._cut_tether()
        self._directory.mkdir(parents=True, exist_ok=True)
        own = ["--host", self.host, "--port", str(self.port), "--data-dir", str(self.data_dir)]
        command = [*self._program, *(own if self._embedded else []), *self._options]
        # A variable for the tests' own client must not reconfigure the broker under test.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("MEMPHIS_")}
        with (
            (self._directory / "broker.out").open("wb") as output,
            (self._directory / "broker.log").open("ab") as log,
        ):
            self._process = subprocess.Popen(  # noqa: S603 - our own program and the test's options
                command,
                # The system closes the pipe with this process; nobody writes to it.
                stdin=subprocess.PIPE if self._tethered else subprocess.DEVNULL,
                stdout=output, stderr=log,
                env={**inherited, **self._environment}, start_new_session=True,
            )  # fmt: skip

    def wait_until_ready(self) -> None:
        """Wait until the broker that was launched is ready.

        Raises:
            BrokerFailedError: It ended, or was not ready in time.
        """
        assert self._process is not None, "launch() comes first"
        try:
            self._wait_for(lambda: self._read_port() or not self._is_running(), START_SECONDS)
        except BrokerFailedError:
            self.kill()
            raise
        if not self._read_port():
            status = self._process.wait()
            raise BrokerFailedError(f"the broker ended with status {status}:\n{self.log}")

    def stop(self) -> int:
        """Ask the broker to stop, and wait; its exit status. It can be started again."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL the broker alone; its engine lives on."""
        self._end(signal.SIGKILL)

    def kill_engine(self) -> None:
        """SIGKILL the engine alone, and return when it is gone. The broker starts a new one."""
        pid = self.engine_pid
        os.kill(pid, signal.SIGKILL)
        self._wait_for(lambda: self._locate().leftover_engine_pid() != pid, 10)

    def restart(self) -> Self:
        """Stop if running, and start on the same port and data."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop everything, also an engine left behind, and remove a temporary directory."""
        try:
            self.stop()
        finally:
            self._end_leftover_engine()
            if self._temporary is not None:
                self._temporary.cleanup()
                self._temporary = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    def _end(self, kind: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(kind)
        self._cut_tether()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.wait()
            raise BrokerFailedError(f"the broker did not end in time:\n{self.log}") from error

    def _cut_tether(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _locate(self) -> DataDirectory:
        # What the broker needs is imported late: a test's process would wait for that before it starts one.
        from memphis_broker.engine.data_dir import DataDirectory  # noqa: PLC0415

        return DataDirectory(self.data_dir)

    def _end_leftover_engine(self) -> None:
        if not self.data_dir.exists():
            return  # the broker failed before it came so far
        directory = self._locate()
        for kind in (signal.SIGTERM, signal.SIGKILL):
            pid = directory.leftover_engine_pid()
            if pid is None:
                return
            with contextlib.suppress(BrokerFailedError, ProcessLookupError):
                os.kill(pid, kind)
                self._wait_for(lambda: directory.leftover_engine_pid() is None, STOP_SECONDS)

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _read_port(self) -> bool:
        for line in self.output.splitlines(keepends=True):
            if line.startswith(_READY) and line.endswith("\n"):
                self.port = int(line.rpartition(":")[2])
                return True
        return False

    def _wait_for(self, condition: Callable[[], bool], deadline_seconds: float) -> None:
        deadline = time.monotonic() + deadline_seconds
        while not condition():
            if time.monotonic() > deadline:
                raise BrokerFailedError(f"nothing for {deadline_seconds:g} s:\n{self.log}")
            time.sleep(_POLL_SECONDS)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
