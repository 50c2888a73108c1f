"""The life of a broker process: start, serve, rebuild what broke, drain in reverse.

In the flow: cli.serve > here > engine, connections, logins, app. Everything above the engine forms
one *session*; when the engine dies or a connection is lost, the whole session is taken down and
built anew, because that is the one path that is also taken at every start. Invariant: after
:meth:`Server.run` returns or raises, no task, connection or child process of ours is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from memphis_broker.app import App
from memphis_broker.config import Settings, StartupError
from memphis_broker.engine.accounts import EngineTargets
from memphis_broker.engine.attach import AttachedEngine
from memphis_broker.engine.callout import AuthCallout
from memphis_broker.engine.connections import ATTACH_SECONDS, OPEN_SECONDS, EngineConnections
from memphis_broker.engine.embedded import EmbeddedEngine
from memphis_broker.engine.records import RecordStore
from memphis_broker.users.logins import LoginService
from memphis_broker.users.passwords import Passwords
from memphis_broker.users.store import BUCKET, UserStore

logger = logging.getLogger(__name__)

BACKOFF_FIRST_SECONDS: Final = 0.1
BACKOFF_MAX_SECONDS: Final = 5.0
_STABLE_SECONDS: Final = 10.0
"""A session that lived this long starts the backoff over."""
_APP_START_SECONDS: Final = 60.0
_APP_STOP_SECONDS: Final = 10.0
_CANCEL_AGAIN_SECONDS: Final = 0.5


class Engine(Protocol):
    """What the server needs of an engine, its own or another's."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that clients connect to."""

    async def prepare(self) -> None:
        """Do what is done once, before the first start."""

    async def start(self) -> EngineTargets:
        """Make it run, and say how to enter it."""

    async def wait_until_ended(self) -> str:
        """Return when it died by itself, with what is known about it."""

    async def stop(self) -> None:
        """Make it end. Idempotent."""

    def release(self) -> None:
        """Undo :meth:`prepare`. Idempotent."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What there is to know about a broker that serves."""

    host: str
    port: int
    cluster_size: int


class _Session:
    """Connections, logins and services on one run of the engine."""

    def __init__(self, settings: Settings, targets: EngineTargets, passwords: Passwords) -> None:
        self._settings = settings
        self._targets = targets
        self._passwords = passwords
        self.connections = EngineConnections(targets, settings.durability)
        self._closers: list[Callable[[], Awaitable[None]]] = []

    async def open(self) -> None:
        """Bring all of it up, in order; what was opened is closed again on failure."""
        attached = bool(self._settings.engine_urls)
        deadline_seconds = ATTACH_SECONDS if attached else OPEN_SECONDS
        secrets = self._targets.secrets
        try:
            # Logins first: the engine listens already, and refuses who comes too early.
            self._closers.append(self.connections.close)
            await self.connections.open(deadline_seconds, self._open_callout if secrets else None)
            app = App(self.connections, self._settings, self._passwords)
            self._closers.append(app.stop)
            async with asyncio.timeout(_APP_START_SECONDS):
                await app.recover()
                await app.start()
        except TimeoutError as error:
            await self.close()
            raise StartupError("the engine is too slow to start the broker's services") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Take it down in reverse order, each step within its deadline. Idempotent."""
        while self._closers:
            closer = self._closers.pop()
            try:
                async with asyncio.timeout(_APP_STOP_SECONDS):
                    await closer()
            except Exception:  # a named supervisor: one failed step must not skip the others
                logger.exception("a part of the broker did not stop cleanly")

    async def _open_callout(self) -> None:
        assert self._targets.secrets is not None, "an open engine decides logins by itself"
        token = self._settings.connection_token
        # Only read, and only opened by the app: until then there are no users.
        users = UserStore(RecordStore(self.connections.control, BUCKET, replicas=1))
        logins = LoginService(
            self._settings.root_password.get_secret_value(),
            users,
            self._passwords,
            token.get_secret_value() if token else None,
            original_sdks=self._settings.legacy,
        )
        callout = AuthCallout(
            self.connections.control, self._targets.secrets.issuer(), logins.log_in
        )
        await callout.start()
        self._closers.append(callout.stop)


class Server:
    """One broker. Use an object once.

    Args:
        settings: All that can be chosen.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        attached = bool(settings.engine_urls)
        self._engine: Engine = AttachedEngine(settings) if attached else EmbeddedEngine(settings)
        self._session: _Session | None = None
        # Outlives sessions: after each of them all clients log in again.
        self._passwords = Passwords()
        self._stop_requested = asyncio.Event()

    def request_stop(self) -> None:
        """Make :meth:`run` drain and return. Safe in a signal handler of the loop; idempotent."""
        self._stop_requested.set()

    async def run(self, on_ready: Callable[[Ready], None]) -> None:
        """Serve until :meth:`request_stop`.

        Args:
            on_ready: Called once, when clients can log in and requests are answered.

        Raises:
            StartupError: The first start failed. Later failures are logged and tried again.
        """
        supervisor = asyncio.create_task(self._serve(on_ready), name="broker")
        stop = asyncio.create_task(self._stop_requested.wait(), name="stop-request")
        try:
            await asyncio.wait({supervisor, stop}, return_when=asyncio.FIRST_COMPLETED)
            if supervisor.done():
                await supervisor
            logger.info("stopping")
        finally:
            await _end(supervisor)
            await _end(stop)
            await self._drain()

    async def _serve(self, on_ready: Callable[[Ready], None]) -> None:
        await self._engine.prepare()
        session = await self._startup()
        host, port = self._engine.address
        on_ready(Ready(host=host, port=port, cluster_size=session.connections.cluster_size))
        backoff = BACKOFF_FIRST_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            logger.warning("%s; starting again", await self._until_broken(session))
            await self._take_down()
            if loop.time() - started > _STABLE_SECONDS:
                backoff = BACKOFF_FIRST_SECONDS
            session, backoff = await self._start_again(backoff)

    async def _startup(self) -> _Session:
        """Start the engine and a session on it; on failure the engine may still run."""
        targets = await self._engine.start()
        session = self._session = _Session(self._settings, targets, self._passwords)
        opening = asyncio.create_task(session.open(), name="session-opening")
        ended = asyncio.create_task(self._engine.wait_until_ended(), name="engine-watch")
        try:
            # Without a watch every single step would have to run into its own deadline.
            await asyncio.wait({opening, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                raise StartupError(f"the engine ended while the broker started ({ended.result()})")
            await opening
        finally:
            await _end(opening)
            await _end(ended)
        return session

    async def _start_again(self, backoff: float) -> tuple[_Session, float]:
        while True:
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, BACKOFF_MAX_SECONDS)
            try:
                session = await self._startup()
            except StartupError as error:
                logger.error("cannot start again: %s", error)  # noqa: TRY400 - the text says it all
                await self._take_down()
            except Exception:  # a named supervisor: a broker that gave up would help nobody
                logger.exception("cannot start again")
                await self._take_down()
            else:
                logger.info("serving again")
                return session, backoff

    async def _until_broken(self, session: _Session) -> str:
        """Wait for whatever ends a session; what it was."""
        ended = asyncio.create_task(self._engine.wait_until_ended(), name="engine-watch")
        lost = asyncio.create_task(session.connections.lost.wait(), name="connection-watch")
        try:
            await asyncio.wait({ended, lost}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return f"the engine ended ({ended.result()})"
            return "a connection to the engine was lost"
        finally:
            await _end(ended)
            await _end(lost)

    async def _take_down(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._engine.stop()

    async def _drain(self) -> None:
        """Reverse of the start: services, logins, connections, engine, data directory."""
        try:
            await self._take_down()
            await self._passwords.stop()
        finally:
            self._engine.release()


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it is done; how it ended is its waiter's business, not ours.

    Once is not enough: nats-py swallows a cancellation that meets it while it connects.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_SECONDS)
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not report it as forgotten
