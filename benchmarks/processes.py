"""Child processes of a measurement: started on free loopback ports, ended by their own id."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator

HOST = "127.0.0.1"
_READY_DEADLINE_S = 60.0
_END_DEADLINE_S = 20.0


class NotReadyError(RuntimeError):
    """A server ended, or did not listen in time; the text has the end of its output."""


@contextlib.contextmanager
def child_process(command: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process; afterwards ask it to end, and kill it if it does not."""
    process = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def free_port() -> int:
    """A loopback port that nobody uses at the moment."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when the process listens.

    Raises:
        NotReadyError: It ended, or a minute passed.
    """
    end = time.monotonic() + _READY_DEADLINE_S
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError as error:
            if process.poll() is not None:
                text = f"{process.args!r} ended with {process.returncode} before it listened"
                raise NotReadyError(text) from error
            if time.monotonic() > end:
                text = f"{process.args!r} does not listen on port {port} after a minute"
                raise NotReadyError(text) from error
            time.sleep(0.02)
        else:
            return
