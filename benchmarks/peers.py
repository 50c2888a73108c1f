"""The servers of other streaming systems, each in a temporary directory on free loopback ports.

They come from the system's packages and are neither installed nor configured outside of that
directory. Each runs in the class of durability that its row is compared with.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.processes import HOST, child_process, free_port, wait_for_port

# The command of that name on the path changes the user and the directories; this is what it calls.
_RABBITMQ_SCRIPT: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_OWNER_ONLY: Final = 0o400


class RunningRabbit(NamedTuple):
    """The ports of one RabbitMQ."""

    queue_port: int
    stream_port: int


def missing_redis() -> str | None:
    """Why Redis cannot be started, and what to do; None if it can."""
    if shutil.which("redis-server"):
        return None
    return "redis-server is not installed (Debian: apt-get install redis-server)"


def missing_rabbit() -> str | None:
    """Why RabbitMQ cannot be started, and what to do; None if it can."""
    if _RABBITMQ_SCRIPT.exists() and shutil.which("epmd"):
        return None
    return "rabbitmq-server is not installed (Debian: apt-get install rabbitmq-server)"


def rabbit_version() -> str | None:
    """The version of the RabbitMQ that is installed; asking it would take seconds."""
    folders = sorted(_RABBITMQ_SCRIPT.parents[1].glob("lib/rabbitmq_server-*"))
    return folders[-1].name.partition("-")[2] if folders else None


@contextlib.contextmanager
def running_redis() -> Iterator[int]:
    """A Redis that syncs its log every second, as the engine does here; yields its port."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="memphis-bench-redis-"))
        port = free_port()
        options = {
            "bind": HOST,
            "port": str(port),
            "dir": directory,
            "logfile": str(Path(directory) / "log"),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            # Kind to Redis: the log is not rewritten while something is measured.
            "auto-aof-rewrite-percentage": "0",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        process = stack.enter_context(child_process(["redis-server", *words]))
        wait_for_port(port, process)
        yield port


@contextlib.contextmanager
def running_rabbit() -> Iterator[RunningRabbit]:
    """A RabbitMQ with quorum queues and streams, and the name server of its own that it needs."""
    with contextlib.ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="memphis-bench-rabbit-"))
        )
        ports = RunningRabbit(free_port(), free_port())
        environment = _rabbit_environment(directory, ports)
        log = stack.enter_context((directory / "output").open("wb"))
        # In the foreground, and there before the node looks for one: then the node starts none
        # that would outlive it.
        names = stack.enter_context(
            child_process(["epmd", "-address", HOST], env=environment, stdout=log, stderr=log)
        )
        wait_for_port(int(environment["ERL_EPMD_PORT"]), names)
        node = stack.enter_context(
            child_process([str(_RABBITMQ_SCRIPT)], env=environment, stdout=log, stderr=log)
        )
        # The stream plugin listens last.
        wait_for_port(ports.queue_port, node)
        wait_for_port(ports.stream_port, node)
        yield ports


def _rabbit_environment(directory: Path, ports: RunningRabbit) -> dict[str, str]:
    cookie = directory / ".erlang.cookie"
    cookie.write_text(secrets.token_hex(16))
    cookie.chmod(_OWNER_ONLY)
    (directory / "plugins").write_text("[rabbitmq_stream].\n")
    (directory / "rabbitmq.conf").write_text(
        f"listeners.tcp.default = {HOST}:{ports.queue_port}\n"
        f"stream.listeners.tcp.default = {HOST}:{ports.stream_port}\n"
        f"stream.advertised_host = {HOST}\n"
        f"stream.advertised_port = {ports.stream_port}\n"
    )
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": HOST,
        # The script then becomes the node instead of standing before it, so that there is one
        # process to end, and it ends by itself when asked to.
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_NODENAME": f"bench-{ports.queue_port}@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} -noinput",
        "RABBITMQ_CONF_ENV_FILE": str(directory / "no-environment-file"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "logs"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
    }
