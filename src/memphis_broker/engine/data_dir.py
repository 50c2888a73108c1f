"""The data directory: one broker at a time, and no engine left over from an earlier one.

Used once at the start of an embedded engine. Invariant: while :class:`DataDirectory` is held, no
other broker uses the directory, and an engine on it is one that this broker started.

An engine outlives a broker that was killed, so that streaming goes on (docs/adr/0003); the next
broker recognises it by its process id *and* by our config file on its command line, since the id
alone may by now belong to a stranger.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from memphis_broker.config import StartupError

logger = logging.getLogger(__name__)

ENGINE_STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02


class DataDirectory:
    """Paths below the data directory, and the lock on it.

    Args:
        path: Created if missing, for this user alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.engine_dir = self.path / "engine"
        self.store_dir = self.path / "store"
        self.config_file = self.engine_dir / "nats-server.conf"
        self.pid_file = self.engine_dir / "nats-server.pid"
        self.log_file = self.engine_dir / "nats-server.log"
        self.output_file = self.engine_dir / "nats-server.out"
        self._lock: int | None = None

    def acquire(self) -> None:
        """Create the directory and lock it for this process.

        Raises:
            StartupError: It cannot be created or written, or another broker holds it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for directory in (self.engine_dir, self.store_dir):
                directory.mkdir(exist_ok=True, mode=0o700)
            lock = os.open(self.path / "memphis.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartupError(
                f"cannot use the data directory {self.path}: {error.strerror}; "
                "choose another with --data-dir"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise StartupError(
                f"the data directory {self.path} is in use by another memphis broker "
                f"(pid {holder}); stop it, or choose another with --data-dir"
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        self._lock = lock

    def release(self) -> None:
        """Let another broker have the directory. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_private(self, path: Path, text: str) -> None:
        """Write a file that only its owner can read, whole or not at all."""
        temporary = path.with_suffix(path.suffix + ".new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)

    def disk_budget(self) -> int:
        """Nine tenths of what the store can take: what is free, and what it has already.

        Below the free space on purpose: a full disk freezes the engine's streams.
        """
        used = 0
        for root, _, names in os.walk(self.store_dir):
            for name in names:
                path = Path(root, name)
                if path.exists():
                    used += path.lstat().st_size
        return max(1, (shutil.disk_usage(self.store_dir).free + used) * 9 // 10)

    async def stop_leftover_engine(self) -> None:
        """End an engine that a killed broker left behind; does nothing if there is none."""
        pid = self.leftover_engine_pid()
        if pid is None:
            return
        logger.warning("stopping the engine (pid %d) that a killed broker left running", pid)
        begun = _start_of(pid)
        # A process that is ending loses its command line, then its first thread, then its port.
        await end_process(
            pid,
            lambda: self.leftover_engine_pid() == pid or (begun != "" and _start_of(pid) == begun),
        )

    def leftover_engine_pid(self) -> int | None:
        """The process id of a running engine on this directory, or None."""
        try:
            pid = int(self.pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self.config_file) in _command_line(pid) else None


async def end_process(pid: int, is_alive: Callable[[], bool]) -> None:
    """SIGTERM, and SIGKILL after a while; returns when ``is_alive`` says it is gone.

    Raises:
        StartupError: It did not go even then.
    """
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, kind)
        except ProcessLookupError:
            return
        try:
            async with asyncio.timeout(ENGINE_STOP_SECONDS):
                while is_alive():  # noqa: ASYNC110 - a process that is not our child has no event
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            continue
        return
    raise StartupError(f"the engine of an earlier broker (pid {pid}) does not end; end it first")


def _start_of(pid: int) -> str:
    """When a process began, in the system's own count, which no later process of this id shares.

    Empty for one that has ended, also if nobody has asked yet how, and where the system has no /proc.
    One whose first thread alone has ended (a zombie with other threads) still holds its files.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    # Fields 3, 20 and 22 of the line (proc_pid_stat(5)); the name, which may hold blanks, ends the 2nd.
    state, threads, begun = fields[0], fields[17], fields[19]
    return "" if state in "ZX" and threads in "01" else begun


def _command_line(pid: int) -> bytes:
    """The command line of a live process, empty if there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return b""
    except OSError:
        return b""
    # No /proc (macOS). An absolute path and digits only: nothing here comes from outside.
    command = ["/bin/ps", "-p", str(pid), "-o", "command="]
    return subprocess.run(command, check=False, capture_output=True).stdout  # noqa: S603 - see above
