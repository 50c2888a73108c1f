"""A stock nats-server with the two accounts, and control planes on it, each in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from memphis.transport import Connection
from memphis.wire import legacy
from memphis.wire.models import Envelope, Request
from memphis.wire.subjects import API_ALL, api_subject
from memphis_broker.app import App
from memphis_broker.config import Durability, Settings
from memphis_broker.engine.accounts import Credentials, EngineTargets
from memphis_broker.engine.bulk import Bulk
from memphis_broker.engine.fast import open_fast
from memphis_broker.engine.presence import Presence
from memphis_broker.engine.process import find_binary
from memphis_broker.users.passwords import Passwords
from tests.waiting import eventually

SERVER_CONFIG = """
listen: 127.0.0.1:-1
ports_file_dir: "{directory}"
jetstream {{ store_dir: "{directory}/store" }}
accounts {{
  MEMPHIS {{
    jetstream: enabled
    users: [{{user: client, password: p}}]
    imports: [{imports}]
    mappings: {{"{produced}": "{ingest}"}}
  }}
  BROKER {{
    jetstream: enabled
    users: [{{user: broker, password: p}}]
    exports: [{exports}]
  }}
}}
"""


@dataclass
class Connections:
    """The connections of one broker, as the server would make them."""

    control: Client
    clients: Client
    bulk: Bulk
    targets: EngineTargets
    durability: Durability = Durability.STANDARD
    cluster_size: int = 1
    decides_logins: bool = True
    presence: Presence = field(default_factory=lambda: Presence(None, 1))

    async def open_fast(self, name: str, doing: str) -> Connection:
        return await open_fast(self.targets, name, doing)


class Engine:
    """A running nats-server."""

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def connect(self, user: str) -> AsyncIterator[Client]:
        client = await nats.connect(self.url, user=user, password="p", name=f"test-{user}")
        try:
            yield client
        finally:
            await client.close()

    @asynccontextmanager
    async def connections(self, **options: Any) -> AsyncIterator[Connections]:
        async with self.connect("broker") as control, self.connect("client") as clients:
            targets = EngineTargets(urls=[self.url], plain=Credentials(user="client", password="p"))
            bulk = Bulk(targets)
            try:
                yield Connections(control, clients, bulk, targets, **options)
            finally:
                await bulk.close()

    @asynccontextmanager
    async def app(
        self,
        *,
        alone: bool = True,
        serve: bool = True,
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncIterator[App]:
        """A control plane that has recovered, and serves unless told not to."""
        chosen = Settings(**{**({} if alone else {"engine": self.url}), **(settings or {})})
        async with self.connections(**options) as connections:
            app = App(connections, chosen, Passwords())
            await app.recover()
            try:
                if serve:
                    await app.start()
                yield app
            finally:
                await app.stop()


class Asker:
    """Sends requests as a client of the broker would."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def __call__(self, request: Request) -> Envelope:
        subject = api_subject(request.noun, request.verb)
        return await self.raw(subject, request.model_dump_json().encode())

    async def raw(self, subject: str, body: bytes) -> Envelope:
        reply = await self.client.request(subject, body, timeout=30)
        return Envelope.model_validate_json(reply.data)

    async def ok(self, request: Request) -> dict[str, Any]:
        envelope = await self(request)
        assert envelope.error is None, envelope.error
        assert envelope.ok is not None
        return envelope.ok

    async def refused(self, request: Request) -> int:
        envelope = await self(request)
        assert envelope.error is not None, envelope.ok
        return envelope.error.code


async def _url_from(directory: Path, pid: int) -> str:
    def read() -> str:
        for path in directory.glob(f"*_{pid}.ports"):
            text = path.read_text()
            return str(json.loads(text)["nats"][0]) if text.strip() else ""
        return ""

    return await eventually(read, what="the nats-server lists its port")


@asynccontextmanager
async def running_engine(directory: Path) -> AsyncIterator[Engine]:
    config = directory / "server.conf"
    requests = [API_ALL, *legacy.REQUESTS]
    imports = (f'{{service: {{account: BROKER, subject: "{s}"}}, share: true}}' for s in requests)
    exports = (f'{{service: "{s}", accounts: [MEMPHIS]}}' for s in requests)
    config.write_text(
        SERVER_CONFIG.format(
            directory=directory,
            imports=", ".join(imports),
            exports=", ".join(exports),
            produced=legacy.PRODUCED_ALL,
            ingest=legacy.PRODUCED_INGEST,
        )
    )
    log = (directory / "server.log").open("wb")
    with log:
        process = await asyncio.create_subprocess_exec(
            str(find_binary(None)), "-c", str(config), stdout=log, stderr=log
        )
        try:
            url = await _url_from(directory, process.pid)
            yield Engine(url)
        finally:
            process.terminate()
            await process.wait()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """A nats-server of this test's own."""
    async with running_engine(tmp_path) as engine:
        yield engine


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[Client]:
    """A connection in the clients' account."""
    async with engine.connect("client") as client:
        yield client


@pytest.fixture
async def app(engine: Engine) -> AsyncIterator[App]:
    """One control plane that serves."""
    async with engine.app() as app:
        yield app


@pytest.fixture
async def ask(app: App, client: Client) -> Asker:
    """Asks the control plane."""
    return Asker(client)


StreamNames = Callable[[], Awaitable[list[str]]]


@pytest.fixture
def stream_names(client: Client) -> StreamNames:
    """The streams in the clients' account, without those for dead letters."""

    async def names() -> list[str]:
        infos = await client.jetstream().streams_info()
        found = [info.config.name or "" for info in infos]
        return sorted(name for name in found if not name.startswith("memphis_"))

    return names
