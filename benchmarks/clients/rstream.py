"""rstream on a RabbitMQ stream, which confirms a message without syncing it.

So it stands only beside what this project does with ``--durability fast``.
"""

from __future__ import annotations

import asyncio

from rstream import AMQPMessage, ConfirmationStatus, Producer

from benchmarks.clients import BATCH, HEADERS, Target

NAME = "rstream, RabbitMQ stream"
LIBRARIES = ("rstream",)
_WINDOW = 8000


class Client:
    """One producer on one stream."""

    def __init__(self, producer: Producer, target: Target) -> None:
        self._producer = producer
        self._target = target
        # Kind to it: a message with headers is encoded once, and sent as bytes.
        self._message = bytes(AMQPMessage(body=target.payload, application_properties=HEADERS))

    async def close(self) -> None:
        """Disconnect."""
        await self._producer.close()

    async def drop(self) -> None:
        """Remove the stream."""
        await self._producer.delete_stream(self._target.station)

    async def produce_unsynced(self) -> int:
        """Batches of 500, at most 8000 messages unconfirmed."""
        confirmed = 0
        room = asyncio.Semaphore(_WINDOW // BATCH)
        all_done = asyncio.Event()

        def confirm(status: ConfirmationStatus) -> None:
            nonlocal confirmed
            if not status.is_confirmed:
                raise RuntimeError(f"RabbitMQ refused a message with code {status.response_code}")
            confirmed += 1
            if confirmed % BATCH == 0:
                room.release()
            if confirmed == self._target.messages:
                all_done.set()

        batch = [self._message] * BATCH
        for _ in range(self._target.messages // BATCH):
            await room.acquire()
            await self._producer.send_batch(self._target.station, batch, on_publish_confirm=confirm)
        await all_done.wait()
        return confirmed


async def open_client(target: Target) -> Client:
    """Connect, and create the stream, which takes RabbitMQ longer than many messages."""
    producer = Producer("127.0.0.1", target.port, username="guest", password="guest")
    await producer.start()
    await producer.create_stream(target.station, exists_ok=True)
    return Client(producer, target)
