"""The data directory's view of an engine that is ending."""

import asyncio
import platform
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from memphis_broker.engine.data_dir import DataDirectory

_THREAD_EXIT = {"x86_64": 60, "aarch64": 93}  # the number of the call that ends one thread alone

_ENDS_LATE = """
import ctypes, os, signal, socket, sys, threading, time
listener = socket.create_server(("127.0.0.1", 0))
ending = threading.Event()
def linger():
    ending.wait()
    time.sleep(0.3)
    os._exit(0)
def end(*_):
    ending.set()
    ctypes.CDLL(None).syscall(int(sys.argv[2]), 0)
signal.signal(signal.SIGTERM, end)
threading.Thread(target=linger).start()
print(listener.getsockname()[1], flush=True)
while True:
    signal.pause()
"""
"""Stands in for an engine whose first thread ends before the others, as the system may order it."""


@pytest.mark.skipif(
    platform.machine() not in _THREAD_EXIT, reason="ends a thread by Linux's number"
)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at threads through /proc")
def test_an_engine_has_ended_when_its_last_thread_has(tmp_path: Path) -> None:
    """Nothing goes on while a thread of the old engine still holds its port."""
    directory = DataDirectory(tmp_path)
    directory.acquire()
    number = str(_THREAD_EXIT[platform.machine()])
    command = [sys.executable, "-c", _ENDS_LATE, str(directory.config_file), number]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        port = int(engine.stdout.readline())
        directory.pid_file.write_text(str(engine.pid))
        asyncio.run(directory.stop_leftover_engine())
        with socket.create_server(("127.0.0.1", port)):
            pass
    directory.release()
