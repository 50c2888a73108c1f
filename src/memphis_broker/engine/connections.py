"""The broker's own connections into the engine, opened and closed together.

In the flow: server > here > nats-py; app.py and the slices use ``control`` and ``clients``.
Invariant: when a connection is lost for good, :attr:`EngineConnections.lost` is set, and the
server builds everything anew; nobody has to ask a client whether it still lives.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Final

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from memphis.transport.connection import Connection
from memphis.wire.subjects import broker_inbox_prefix
from memphis_broker.config import Durability, StartupError
from memphis_broker.engine.accounts import (
    BROKER_ACCOUNT,
    BROKER_USER,
    CLIENTS_ACCOUNT,
    CLIENTS_USER,
    SYSTEM_USER,
    Credentials,
    EngineTargets,
)
from memphis_broker.engine.bulk import Bulk
from memphis_broker.engine.fast import open_fast
from memphis_broker.engine.presence import Presence, count_servers
from memphis_broker.engine.refusals import ask_why

logger = logging.getLogger(__name__)

_RESETS_MAX: Final = 5
"""An engine that refuses a login may close the connection before its reason can be read; once more,
and it mostly is. Then it is asked in a way that cannot fail so."""

OPEN_SECONDS: Final = 30.0
ATTACH_SECONDS: Final = 5.0
"""For an engine that should be running already."""
_CLOSE_SECONDS: Final = 5.0
_LOST_SECONDS: Final = 30.0
"""A connection that is down for longer is given up: nats-py can stop trying without saying so."""
_CONNECT_SECONDS: Final = 2
_PING_SECONDS: Final = 10
_RECONNECT_SECONDS: Final = 0.25
_POLL_SECONDS: Final = 0.05
_USER_INFO_SUBJECT: Final = "$SYS.REQ.USER.INFO"
_META_INFO_SUBJECT: Final = "$SYS.REQ.SERVER.PING.JSZ"


class EngineConnections:
    """The broker's sessions in the engine's accounts.

    Args:
        targets: Where the engine is and how to enter it.
        durability: What the slices ask of the streams they make.

    Attributes:
        control: In the broker's own account: serves requests, answers logins, keeps records.
        clients: In the account where stations live: manages streams, pushes to clients. The same
            object as ``control`` where the engine has but one account.
        cluster_size: Servers that can hold a replica, as far as can be told; at least 1. Without
            the system account it is counted from the addresses the engine advertises, so a server
            on several interfaces may count more than once: be ready to be refused.
        bulk: For many messages at once, in the same account as ``clients``.
        presence: Tells who is connected, where the system account can be asked.
        decides_logins: Whether the engine asks the broker who may log in.
        lost: Set when a connection is gone for good.
    """

    control: Client
    clients: Client

    def __init__(self, targets: EngineTargets, durability: Durability) -> None:
        self._targets = targets
        self._opened: list[Client] = []
        self._down: dict[str, asyncio.TimerHandle] = {}
        self._closing = False
        self._last_error = ""
        self._was_reset = False
        self.durability = durability
        self.cluster_size = 1
        self.bulk = Bulk(targets)
        self.presence = Presence(None, 1)
        self.decides_logins = targets.secrets is not None
        self.lost = asyncio.Event()

    async def open(
        self,
        deadline_seconds: float = OPEN_SECONDS,
        on_control: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Connect, and wait until JetStream answers in every account.

        Args:
            deadline_seconds: For all of it.
            on_control: Called as soon as ``control`` is connected, before anything else: a login
                that comes before the broker can answer it is refused.

        Raises:
            StartupError: That did not happen in time, or the engine refused. What was opened is
                closed again, also when this call is cancelled.
        """
        where = ", ".join(self._targets.urls)
        try:
            async with asyncio.timeout(deadline_seconds):
                await self._open_all(on_control)
        except TimeoutError as error:
            await self.close()
            reason = self._last_error or "it does not answer"
            if self._was_reset:
                reason = await self._ask_why() or reason
            raise StartupError(f"cannot use the engine at {where}: {reason}") from error
        except BaseException:
            await self.close()
            raise

    async def open_fast(self, name: str, doing: str) -> Connection:
        """One more connection in the account of ``clients``, with the SDK's own transport.

        Whoever calls this closes it. Raises: See :func:`memphis_broker.engine.fast.open_fast`.
        """
        return await open_fast(self._targets, name, doing)

    async def close(self) -> None:
        """Close every connection, sending what was handed over. Idempotent."""
        self._closing = True
        for timer in self._down.values():
            timer.cancel()
        self._down.clear()
        await self.bulk.close()
        while self._opened:
            client = self._opened.pop()
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    if client.is_connected:
                        await client.flush()
                    await client.close()
            except (TimeoutError, OSError, nats.errors.Error) as error:
                logger.warning("a connection to the engine did not close cleanly: %r", error)

    async def _open_all(self, on_control: Callable[[], Awaitable[None]] | None) -> None:
        secrets = self._targets.secrets
        self.control = self.clients = await self._connect("broker", self._first_login())
        if secrets is not None:
            await self._check_account(self.control, BROKER_ACCOUNT)
        if on_control is not None:
            await on_control()
        if secrets is None:
            await self._wait_for_jetstream(self.control)
            logger.warning(
                "the engine is open: it has no accounts of this broker, so whoever it lets in may "
                "do everything, as root; see `memphis engine-config` and --engine-secrets"
            )
            self.cluster_size = _advertised_servers(self.control)
            return
        self.clients = await self._connect(
            "streams", Credentials(user=CLIENTS_USER, password=secrets.clients_password)
        )
        await self._check_account(self.clients, CLIENTS_ACCOUNT)
        await self._wait_for_jetstream(self.control)
        await self._wait_for_jetstream(self.clients)
        system = await self._connect(
            "system", Credentials(user=SYSTEM_USER, password=secrets.system_password)
        )
        self.cluster_size = await _meta_cluster_size(system)
        servers = self.cluster_size
        if servers > 1:
            # Clients may be on servers that keep no streams.
            servers = max(servers, await count_servers(system))
        self.presence = Presence(system, servers)

    def _first_login(self) -> Credentials | None:
        secrets = self._targets.secrets
        if secrets is None:
            return self._targets.plain
        return Credentials(user=BROKER_USER, password=secrets.broker_password)

    async def _ask_why(self) -> str:
        token = self._targets.plain_token
        return await ask_why(self._targets.urls[0], self._first_login(), token)

    async def _connect(self, role: str, credentials: Credentials | None) -> Client:
        resets = 0
        while True:
            try:
                return await self._connect_once(role, credentials)
            except nats.errors.TimeoutError as error:
                raise TimeoutError from error
            except (nats.errors.Error, OSError) as error:
                resets += isinstance(error, ConnectionResetError)
                if isinstance(error, ConnectionResetError) and resets < _RESETS_MAX:
                    continue
                where = ", ".join(self._targets.urls)
                reason = _in_words(error)
                if isinstance(error, ConnectionResetError):
                    reason = await self._ask_why() or reason
                raise StartupError(f"cannot connect to the engine at {where}: {reason}") from error

    async def _connect_once(self, role: str, credentials: Credentials | None) -> Client:
        client = Client()
        self._opened.append(client)
        await client.connect(
            servers=list(self._targets.urls),
            name=f"memphis-{role}",
            user=credentials.user if credentials else None,
            password=credentials.password if credentials else None,
            token=self._targets.plain_token,
            inbox_prefix=broker_inbox_prefix(),
            connect_timeout=_CONNECT_SECONDS,
            reconnect_time_wait=_RECONNECT_SECONDS,  # type: ignore[arg-type]  # only slept for
            max_reconnect_attempts=-1,
            ping_interval=_PING_SECONDS,
            error_cb=self._on_error,
            disconnected_cb=self._when_down(role),
            reconnected_cb=self._when_up(role),
            closed_cb=self._on_closed,
        )
        return client

    async def _check_account(self, client: Client, expected: str) -> None:
        """Refuse a server that does not have the broker's accounts.

        One without any accounts lets in whoever comes, whatever the password, and puts everybody
        into the same account: a broker would serve there without anything being protected.
        """
        try:
            reply = await client.request(_USER_INFO_SUBJECT, b"", timeout=_CONNECT_SECONDS)
            account = json.loads(reply.data)["data"]["account"]
        except (nats.errors.Error, ValueError, KeyError, TypeError) as error:
            # No proof of a wrong server; what else is wrong with it will show.
            logger.warning("cannot tell which account of the engine this is: %r", error)
            return
        if account != expected:
            where = ", ".join(self._targets.urls)
            raise StartupError(
                f"the engine at {where} does not have this broker's accounts (its account is "
                f"{account}, not {expected}): put the text that `memphis engine-config` printed into "
                "that server's configuration, or leave --engine-secrets out"
            )

    async def _wait_for_jetstream(self, client: Client) -> None:
        jetstream = client.jetstream(timeout=_CONNECT_SECONDS)
        while True:
            try:
                await jetstream.account_info()
            except (nats.errors.Error, nats.js.errors.Error) as error:
                self._last_error = f"JetStream is not ready: {error}"
                # nats-py swallows a cancellation that meets an answer, and a deadline cancels but once.
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise asyncio.CancelledError from error
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return

    async def _on_error(self, error: Exception) -> None:
        self._last_error = _in_words(error)
        self._was_reset = isinstance(error, ConnectionResetError)
        logger.debug("engine connection: %s", self._last_error)

    async def _on_closed(self) -> None:
        if not self._closing:
            logger.warning("a connection to the engine was closed: %s", self._last_error)
            self.lost.set()

    def _when_down(self, role: str) -> Callable[[], Awaitable[None]]:
        async def on_disconnected() -> None:
            if not self._closing and role not in self._down:
                logger.warning("the %s connection to the engine is down", role)
                loop = asyncio.get_running_loop()
                self._down[role] = loop.call_later(_LOST_SECONDS, self.lost.set)

        return on_disconnected

    def _when_up(self, role: str) -> Callable[[], Awaitable[None]]:
        async def on_reconnected() -> None:
            timer = self._down.pop(role, None)
            if timer is not None:
                timer.cancel()
                logger.info("the %s connection to the engine is up again", role)

        return on_reconnected


def _in_words(error: Exception) -> str:
    """What went wrong, for people: an error of the system without its number and address."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


async def _meta_cluster_size(system: Client) -> int:
    """Servers that take part in JetStream, asked of the system account; 1 if it cannot be told."""
    try:
        reply = await system.request(_META_INFO_SUBJECT, b"{}", timeout=_CONNECT_SECONDS)
        data = json.loads(reply.data).get("data", {})
        return max(1, int(data.get("meta_cluster", {}).get("cluster_size", 1)))
    except (nats.errors.Error, ValueError) as error:
        logger.warning("cannot tell how many servers the engine has, taking it for one: %r", error)
        return 1


def _advertised_servers(client: Client) -> int:
    hosts = {(server.hostname or "", server.port) for server in client.servers}
    return max(1, len({("127.0.0.1" if host == "localhost" else host, p) for host, p in hosts}))
