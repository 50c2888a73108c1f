"""nats-py, the usual client, on the same stream of the same engine."""

from __future__ import annotations

import asyncio
import time

import nats
from nats.aio.client import Client as NatsConnection
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import FetchTimeoutError

from benchmarks.clients import HEADERS, Target

NAME = "nats-py"
BATCH = 500


class Client:
    """One connection."""

    def __init__(self, connection: NatsConnection, target: Target) -> None:
        self._connection = connection
        self._jetstream = connection.jetstream()
        self._target = target
        self._stream = f"{target.station}$1"

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    async def produce_awaited(self) -> int:
        """Each message is confirmed before the next is sent."""
        subject, payload = f"{self._stream}.in", self._target.payload
        for _ in range(self._target.count):
            await self._jetstream.publish(subject, payload, headers=dict(HEADERS))
        return self._target.count

    async def produce_nonblocking(self) -> int:
        """``publish_async``: a future per message, a window of 4000."""
        subject, payload = f"{self._stream}.in", self._target.payload
        for _ in range(self._target.count):
            await self._jetstream.publish_async(subject, payload, headers=dict(HEADERS))
        await self._jetstream.publish_async_completed()
        return self._target.count

    async def _subscription(self, group: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a private class of nats-py
        config = ConsumerConfig(
            durable_name=group, ack_policy=AckPolicy.EXPLICIT, max_ack_pending=100_000
        )
        await self._jetstream.add_consumer(self._stream, config)
        return await self._jetstream.pull_subscribe_bind(group, self._stream)

    async def fetch_ack(self) -> int:
        """Batches of 500, each message acknowledged."""
        subscription = await self._subscription("benchmark")
        done = 0
        while done < self._target.count:
            for message in await subscription.fetch(BATCH, timeout=5):
                await message.ack()
                done += 1
        return done

    async def latency(self) -> list[float]:
        """From just before publish to the consumer's hands, at a fixed rate."""
        subscription = await self._subscription("latency")
        took: list[float] = []

        async def read() -> None:
            while len(took) < self._target.count:
                try:
                    messages = await subscription.fetch(1, timeout=1)
                except FetchTimeoutError:
                    continue
                for message in messages:
                    took.append(time.perf_counter() - float(message.data[:20]))
                    await message.ack()

        reading = asyncio.create_task(read())
        subject, filler = f"{self._stream}.in", self._target.payload[20:]
        start = time.perf_counter()
        for number in range(self._target.count):
            ahead = start + number / self._target.rate - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            stamp = b"%020.9f" % time.perf_counter()
            await self._jetstream.publish_async(subject, stamp + filler, headers=dict(HEADERS))
        await reading
        return took


async def open_client(target: Target) -> Client:
    """Connect."""
    return Client(await nats.connect(f"nats://127.0.0.1:{target.port}"), target)
