"""This SDK, as an application uses it."""

from __future__ import annotations

import asyncio
import json

from benchmarks.clients import BATCH, HEADERS, Target
from benchmarks.clients.consuming import fetch_and_ack, handle_and_ack
from benchmarks.clients.pacing import paced_payloads, seconds_since
from benchmarks.connecting import connected
from benchmarks.orders import ORDER
from memphis import Consumer, Memphis, Producer

NAME = "memphis (this SDK)"
LIBRARIES = ("memphis-py",)


class Client:
    """One connection, one producer, one consumer."""

    def __init__(self, memphis: Memphis, target: Target) -> None:
        self._memphis = memphis
        self._target = target

    async def close(self) -> None:
        """Disconnect."""
        await self._memphis.close()

    async def _producer(self) -> Producer:
        return await self._memphis.producer(self._target.station, "benchmark")

    async def _consumer(self, group: str = "benchmark") -> Consumer:
        return await self._memphis.consumer(
            self._target.station, group, group, batch_size=BATCH, pull_interval_ms=0
        )

    async def produce_awaited(self) -> int:
        """Each message is confirmed before the next is sent."""
        producer = await self._producer()
        payload, count = self._target.payload, self._target.messages
        for _ in range(count):
            await producer.produce(payload, headers=HEADERS)
        return count

    async def produce_nonblocking(self) -> int:
        """Every message is confirmed, and none is waited for."""
        producer = await self._producer()
        payload, count = self._target.payload, self._target.messages
        for _ in range(count):
            await producer.produce(payload, headers=HEADERS, nonblocking=True)
        await producer.flush()
        return count

    produce_unsynced = produce_nonblocking

    async def produce_orders(self) -> int:
        """Nonblocking, a realistic object as a dict; the station has a schema in the checked row."""
        return await self._produce_each(ORDER)

    produce_orders_checked = produce_orders

    async def produce_order_bytes(self) -> int:
        """The same as JSON text."""
        return await self._produce_each(json.dumps(ORDER, separators=(",", ":")).encode())

    produce_order_bytes_checked = produce_order_bytes

    async def _produce_each(self, message: object) -> int:
        producer, count = await self._producer(), self._target.messages
        for _ in range(count):
            await producer.produce(message, headers=HEADERS, nonblocking=True)
        await producer.flush()
        return count

    async def fetch_ack(self) -> int:
        """Batches of 500, each message acknowledged."""
        return await fetch_and_ack(await self._consumer(), self._target.messages)

    async def fetch_ahead_ack(self) -> int:
        """The same, with the next batch asked for when the last has come."""
        return await fetch_and_ack(await self._consumer(), self._target.messages, prefetch=True)

    async def consume_handler(self) -> int:
        """A handler that acknowledges each message."""
        consumer = await self._consumer()
        done = await handle_and_ack(consumer, self._target.messages)
        await consumer.stop()
        return done

    async def latency(self) -> list[float]:
        """From just before produce to the consumer's hands, at a fixed rate."""
        producer, consumer = await self._producer(), await self._consumer("latency")
        took: list[float] = []

        async def read() -> None:
            async for message in consumer:
                took.append(seconds_since(message.get_data()))
                await message.ack()
                if len(took) == self._target.messages:
                    return

        reading = asyncio.create_task(read())
        async for payload in paced_payloads(self._target):
            await producer.produce(payload, headers=HEADERS, nonblocking=True)
        await reading
        return took


async def open_client(target: Target) -> Client:
    """Connect."""
    return Client(await connected(target.port), target)
