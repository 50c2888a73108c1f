"""An engine of our own: a child process on a data directory, started again when it dies.

In the flow: server > here > process. The server rebuilds everything above after each start, so
this only starts, watches and stops. Invariant: every later run listens on the first one's port.
"""

from __future__ import annotations

import errno
import logging
import socket

from memphis_broker.config import LogLevel, Settings, StartupError
from memphis_broker.engine.accounts import EngineSecrets, EngineTargets
from memphis_broker.engine.config_text import EmbeddedEngineConfig, embedded_config_text
from memphis_broker.engine.data_dir import DataDirectory
from memphis_broker.engine.process import EngineProcess, find_binary

logger = logging.getLogger(__name__)

_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound to


class EmbeddedEngine:
    """A nats-server child on this broker's data directory."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = DataDirectory(settings.data_dir)
        self._port = settings.port
        self._process: EngineProcess | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that clients connect to."""
        return self._settings.host, self._port

    async def prepare(self) -> None:
        """Take the data directory, and end an engine left on it.

        Raises:
            StartupError: The directory cannot be used or is in use.
        """
        find_binary(self._settings.nats_server)  # the cheapest thing to be wrong, so told first
        self._directory.acquire()
        await self._directory.stop_leftover_engine()
        check_port_free(self._settings.host, self._port)

    async def start(self) -> EngineTargets:
        """Start a child and say how to enter it; new secrets every time.

        Raises:
            StartupError: It does not start.
        """
        settings, directory = self._settings, self._directory
        secrets = EngineSecrets.generate()
        max_disk = directory.disk_budget()
        if settings.max_disk is not None:
            if settings.max_disk > max_disk:
                logger.warning(
                    "max_disk allows %d bytes, but the disk of %s has room for %d: a full disk "
                    "freezes stations until a restart",
                    settings.max_disk, directory.path, max_disk,
                )  # fmt: skip
            max_disk = settings.max_disk
        config = EmbeddedEngineConfig(
            host=settings.host,
            port=self._port,
            server_name="memphis",
            store_dir=directory.store_dir,
            log_file=directory.log_file,
            ports_file_dir=directory.engine_dir,
            debug=settings.log_level is LogLevel.DEBUG,
            durability=settings.durability,
            max_disk=max_disk,
            max_memory=settings.max_memory,
            max_message_size=settings.max_message_size,
            original_sdks=settings.legacy,
        )
        binary = find_binary(settings.nats_server)
        text = embedded_config_text(config, secrets)
        self._process = await EngineProcess.start(binary, directory, text)
        self._port = self._process.port
        logger.info("engine started: pid %d, port %d", self._process.pid, self._port)
        host = _UNSPECIFIED.get(settings.host, settings.host)
        return EngineTargets(urls=[f"nats://{bracketed(host)}:{self._port}"], secrets=secrets)

    async def wait_until_ended(self) -> str:
        """Return when the child has died by itself: its status and last words."""
        process = self._process
        assert process is not None, "start() comes first"
        status = await process.wait()
        return f"status {status}, last words: {process.last_words()}"

    async def stop(self) -> None:
        """End the child. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()

    def release(self) -> None:
        """Give the data directory back. Idempotent."""
        self._directory.release()


def bracketed(host: str) -> str:
    """``host`` as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def check_port_free(host: str, port: int) -> None:
    """Find out early, and in plain words, that the engine could not listen.

    Raises:
        StartupError: The host is not ours, or the port is taken or not permitted.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise StartupError(f"--host: {host} cannot be resolved: {error.strerror}") from error
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartupError(
                f"port {port} on {host} is taken: stop what listens there, "
                "or choose another with --port"
            ) from error
        raise StartupError(f"cannot listen on {host} port {port}: {error.strerror}") from error
