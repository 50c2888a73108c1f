"""aio-pika on a RabbitMQ quorum queue, which syncs before it confirms."""

from __future__ import annotations

import asyncio

import aio_pika
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractIncomingMessage,
    AbstractQueue,
    DeliveryMode,
)

from benchmarks.clients import BATCH, HEADERS, Target
from benchmarks.clients.pacing import paced_payloads, seconds_since

NAME = "aio-pika, quorum queue"
LIBRARIES = ("aio-pika",)


class Client:
    """One connection, one channel with confirms, one queue; at most 500 messages unconfirmed."""

    def __init__(
        self,
        connection: AbstractConnection,
        channel: AbstractChannel,
        queue: AbstractQueue,
        target: Target,
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._queue = queue
        self._target = target
        self._room = asyncio.Semaphore(BATCH)

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    async def drop(self) -> None:
        """Remove the queue."""
        await self._channel.queue_delete(self._target.station)

    async def fill(self) -> int:
        """Store what the row will consume."""
        return await self.produce_nonblocking()

    async def _publish(self, payload: bytes) -> None:
        message = aio_pika.Message(
            payload, headers=dict(HEADERS), delivery_mode=DeliveryMode.PERSISTENT
        )
        await self._channel.default_exchange.publish(message, self._target.station)

    async def _publish_and_free_room(self, payload: bytes) -> None:
        try:
            await self._publish(payload)
        finally:
            self._room.release()

    async def produce_awaited(self) -> int:
        """Each message is confirmed before the next is sent."""
        for _ in range(self._target.messages):
            await self._publish(self._target.payload)
        return self._target.messages

    async def produce_nonblocking(self) -> int:
        """A task per message, at most 500 at once."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._target.messages):
                await self._room.acquire()
                tasks.create_task(self._publish_and_free_room(self._target.payload))
        return self._target.messages

    async def fetch_ack(self) -> int:
        """Iterates over a queue that is 500 ahead, acknowledging each: it fetches no batches."""
        done = 0
        async with self._queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                done += 1
                if done == self._target.messages:
                    break
        return done

    async def consume_handler(self) -> int:
        """A callback that acknowledges each message."""
        done = 0
        all_done = asyncio.Event()

        async def handler(message: AbstractIncomingMessage) -> None:
            nonlocal done
            await message.ack()
            done += 1
            if done == self._target.messages:
                all_done.set()

        await self._queue.consume(handler)
        await all_done.wait()
        return done

    async def latency(self) -> list[float]:
        """From just before publish to the consumer's hands, at a fixed rate."""
        took: list[float] = []
        all_done = asyncio.Event()

        async def handler(message: AbstractIncomingMessage) -> None:
            took.append(seconds_since(message.body))
            await message.ack()
            if len(took) == self._target.messages:
                all_done.set()

        await self._queue.consume(handler)
        async with asyncio.TaskGroup() as tasks:
            async for payload in paced_payloads(self._target):
                await self._room.acquire()
                tasks.create_task(self._publish_and_free_room(payload))
        await all_done.wait()
        return took


async def open_client(target: Target) -> Client:
    """Connect, and declare the queue, which takes RabbitMQ longer than many messages."""
    connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{target.port}/")
    channel = await connection.channel(publisher_confirms=True)
    await channel.set_qos(prefetch_count=BATCH)
    queue = await channel.declare_queue(
        target.station, durable=True, arguments={"x-queue-type": "quorum"}
    )
    return Client(connection, channel, queue, target)
