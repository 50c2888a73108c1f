"""Requests of the original's SDKs, made by hand over a bare NATS client."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.client import Client

from memphis.wire import legacy
from tests.integration.api.conftest import Engine

STATION = {
    "name": "s.x",
    "retention_type": "message_age_sec",
    "retention_value": 3600,
    "storage_type": "file",
    "replicas": 1,
    "idempotency_window_in_ms": 120_000,
    "schema_name": "",
    "dls_configuration": {"poison": True, "Schemaverse": True},
    "username": "root",
    "tiered_storage_enabled": False,
    "partitions_number": 2,
    "dls_station": "",
}
PRODUCER = {
    "name": "p",
    "station_name": "s.x",
    "connection_id": "of-the-body",
    "producer_type": "application",
    "req_version": 4,
    "username": "root",
    "app_id": "a",
    "sdk_lang": "python",
}
CONSUMER = {
    "name": "c",
    "station_name": "s.x",
    "connection_id": "of-the-body",
    "consumer_type": "application",
    "consumers_group": "g.1",
    "max_ack_time_ms": 30_000,
    "max_msg_deliveries": 2,
    "start_consume_from_sequence": 1,
    "last_messages": -1,
    "req_version": 4,
    "username": "root",
    "app_id": "a",
    "sdk_lang": "python",
}
END = {
    "name": "c",
    "station_name": "s.x",
    "username": "root",
    "connection_id": "x",
    "req_version": 1,
}
SCHEMA = {
    "name": "schema",
    "type": "json",
    "created_by_username": "root",
    "schema_content": '{"type": "object"}',
    "message_struct_name": "",
}
ATTACH = {"name": "schema", "station_name": "s.x", "username": "root"}

BODIES: dict[str, dict[str, Any]] = {
    legacy.STATION_CREATIONS: STATION,
    legacy.STATION_DESTRUCTIONS: {"station_name": "s.x", "username": "root"},
    legacy.PRODUCER_CREATIONS: PRODUCER,
    legacy.PRODUCER_DESTRUCTIONS: {**END, "name": "p"},
    legacy.CONSUMER_CREATIONS: CONSUMER,
    legacy.CONSUMER_DESTRUCTIONS: END,
    legacy.SCHEMA_CREATIONS: SCHEMA,
    legacy.SCHEMA_ATTACHMENTS: ATTACH,
    legacy.SCHEMA_DETACHMENTS: {"station_name": "s.x", "username": "root"},
}
"""A request that can be granted for each subject, if what it names is there."""


class OriginalSdk:
    """A client that names its connection as those SDKs do."""

    def __init__(self, client: Client, connection_id: str) -> None:
        self.client = client
        self.connection_id = connection_id

    async def raw(self, subject: str, body: bytes) -> bytes:
        """The reply to any bytes."""
        return (await self.client.request(subject, body, timeout=30)).data

    async def __call__(self, subject: str, **changes: Any) -> str:
        """The reply to the usual request with these changes, as text."""
        body = json.dumps({**BODIES[subject], **changes}).encode()
        return (await self.raw(subject, body)).decode()


@asynccontextmanager
async def original_sdk(engine: Engine) -> AsyncIterator[OriginalSdk]:
    """One more connection."""
    connection_id = str(uuid.uuid4())
    client = await nats.connect(
        engine.url, user="client", password="p", name=f"{connection_id}::root"
    )
    try:
        yield OriginalSdk(client, connection_id)
    finally:
        await client.close()


async def state_of(engine: Engine) -> dict[str, Any]:
    """What the engine holds in both accounts: streams, how far each is, and their durables."""
    found: dict[str, Any] = {}
    for user in ("client", "broker"):
        async with engine.connect(user) as client:
            js = client.jetstream()
            streams = await js.streams_info()
            for info in streams:
                name = str(info.config.name)
                durables = await js.consumers_info(name)
                found[f"{user}/{name}"] = (
                    info.state.last_seq,
                    info.state.messages,
                    sorted(durable.name for durable in durables),
                )
    return found


async def both(*requests: Any) -> list[Any]:
    """The outcomes of requests made at once."""
    return list(await asyncio.gather(*requests))
