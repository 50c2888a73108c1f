"""This SDK, as an application uses it."""

from __future__ import annotations

import asyncio
import time

from benchmarks.clients import HEADERS, Target
from memphis import Consumer, Memphis, Message, Producer

NAME = "memphis (this SDK)"
BATCH = 500


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
        payload, count = self._target.payload, self._target.count
        for _ in range(count):
            await producer.produce(payload, headers=HEADERS)
        return count

    async def produce_nonblocking(self) -> int:
        """Every message is confirmed, and none is waited for."""
        producer = await self._producer()
        payload, count = self._target.payload, self._target.count
        for _ in range(count):
            await producer.produce(payload, headers=HEADERS, nonblocking=True)
        await producer.flush()
        return count

    async def fetch_ack(self) -> int:
        """Batches of 500, each message acknowledged."""
        consumer = await self._consumer()
        done = 0
        while done < self._target.count:
            for message in await consumer.fetch(BATCH):
                message.get_data()
                await message.ack()
                done += 1
        return done

    async def consume_handler(self) -> int:
        """A handler that acknowledges each message."""
        consumer = await self._consumer()
        done = 0
        all_done = asyncio.Event()

        async def handler(messages: list[Message], error: object, context: object) -> None:
            del error, context
            nonlocal done
            for message in messages:
                message.get_data()
                await message.ack()
            done += len(messages)
            if done >= self._target.count:
                all_done.set()

        consumer.consume(handler)
        await all_done.wait()
        await consumer.stop()
        return done

    async def latency(self) -> list[float]:
        """From just before produce to the consumer's hands, at a fixed rate."""
        producer, consumer = await self._producer(), await self._consumer("latency")
        took: list[float] = []

        async def read() -> None:
            async for message in consumer:
                took.append(time.perf_counter() - float(message.get_data()[:20]))
                await message.ack()
                if len(took) == self._target.count:
                    return

        reading = asyncio.create_task(read())
        filler = self._target.payload[20:]
        start = time.perf_counter()
        for number in range(self._target.count):
            ahead = start + number / self._target.rate - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            stamp = b"%020.9f" % time.perf_counter()
            await producer.produce(stamp + filler, headers=HEADERS, nonblocking=True)
        await reading
        return took


async def open_client(target: Target) -> Client:
    """Connect."""
    memphis = Memphis()
    await memphis.connect("127.0.0.1", "root", password="memphis", port=target.port)
    return Client(memphis, target)
