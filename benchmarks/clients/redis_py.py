"""redis-py with hiredis on a Redis Stream, in a server that syncs its log every second."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from benchmarks.clients import BATCH, HEADERS, Target
from benchmarks.clients.pacing import paced_payloads, seconds_since

NAME = "redis-py, Redis Stream"
LIBRARIES = ("redis", "hiredis")
_GROUP = "benchmark"
_WAIT_MS = 1000
_Entry = tuple[bytes, dict[bytes, bytes]]


class Client:
    """One pool of connections; a message's headers are fields beside its payload."""

    def __init__(self, redis: Redis, target: Target) -> None:
        self._redis = redis
        self._target = target
        self._fields = _fields(target.payload)

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()

    async def drop(self) -> None:
        """Remove the stream and its group."""
        await self._redis.delete(self._target.station)

    async def fill(self) -> int:
        """Store what the row will consume."""
        return await self.produce_nonblocking()

    async def produce_awaited(self) -> int:
        """Each message is answered before the next is sent."""
        for _ in range(self._target.messages):
            await self._redis.xadd(self._target.station, self._fields)
        return self._target.messages

    async def produce_nonblocking(self) -> int:
        """Pipelines of 500, one after the other."""
        for _ in range(self._target.messages // BATCH):
            pipeline: Pipeline = self._redis.pipeline(transaction=False)
            for _ in range(BATCH):
                pipeline.xadd(self._target.station, self._fields)
            await pipeline.execute()
        return self._target.messages

    async def _create_group(self) -> None:
        await self._redis.xgroup_create(self._target.station, _GROUP, id="0", mkstream=True)

    async def _read(self) -> list[_Entry]:
        answer: Any = await self._redis.xreadgroup(
            _GROUP, "member", {self._target.station: ">"}, count=BATCH, block=_WAIT_MS
        )
        entries: list[_Entry] = []
        for _, of_stream in answer or []:
            entries += of_stream
        return entries

    async def fetch_ack(self) -> int:
        """Batches of 500, each acknowledged by one call."""
        await self._create_group()
        done = 0
        while done < self._target.messages:
            entries = await self._read()
            if entries:
                names = [name for name, _ in entries]
                done += await self._redis.xack(self._target.station, _GROUP, *names)
        return done

    async def latency(self) -> list[float]:
        """From just before XADD to the consumer's hands, at a fixed rate."""
        await self._create_group()
        took: list[float] = []

        async def read() -> None:
            while len(took) < self._target.messages:
                entries = await self._read()
                took.extend(seconds_since(fields[b"data"]) for _, fields in entries)
                if entries:
                    names = [name for name, _ in entries]
                    await self._redis.xack(self._target.station, _GROUP, *names)

        reading = asyncio.create_task(read())
        async for payload in paced_payloads(self._target):
            await self._redis.xadd(self._target.station, _fields(payload))
        await reading
        return took


def _fields(payload: bytes) -> dict[Any, Any]:
    return {**HEADERS, "data": payload}


async def open_client(target: Target) -> Client:
    """Connect."""
    redis = Redis(host="127.0.0.1", port=target.port)
    await redis.ping()
    return Client(redis, target)
