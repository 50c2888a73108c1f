"""nats-py, the usual client, on the same stream of the same engine."""

from __future__ import annotations

import asyncio

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import FetchTimeoutError

from benchmarks.clients import BATCH, HEADERS
from benchmarks.clients.nats_connection import StreamClient
from benchmarks.clients.pacing import paced_payloads, seconds_since

NAME = "nats-py"
LIBRARIES = ("nats-py",)
_ACK_PENDING_MAX = 100_000


class Client(StreamClient):
    """One connection."""

    async def produce_awaited(self) -> int:
        """Each message is confirmed before the next is sent."""
        subject, payload = f"{self._stream}.in", self._target.payload
        for _ in range(self._target.messages):
            await self._jetstream.publish(subject, payload, headers=dict(HEADERS))
        return self._target.messages

    async def produce_nonblocking(self) -> int:
        """``publish_async``: a future per message, a window of 4000."""
        subject, payload = f"{self._stream}.in", self._target.payload
        for _ in range(self._target.messages):
            await self._jetstream.publish_async(subject, payload, headers=dict(HEADERS))
        await self._jetstream.publish_async_completed()
        return self._target.messages

    produce_unsynced = produce_nonblocking

    async def _subscription(self, group: str) -> JetStreamContext.PullSubscription:
        config = ConsumerConfig(
            durable_name=group, ack_policy=AckPolicy.EXPLICIT, max_ack_pending=_ACK_PENDING_MAX
        )
        await self._jetstream.add_consumer(self._stream, config)
        return await self._jetstream.pull_subscribe_bind(group, self._stream)

    async def fetch_ack(self) -> int:
        """Batches of 500, each message acknowledged."""
        subscription = await self._subscription("benchmark")
        done = 0
        while done < self._target.messages:
            for message in await subscription.fetch(BATCH, timeout=5):
                await message.ack()
                done += 1
        return done

    async def consume_handler(self) -> int:
        """A push subscription with a callback that acknowledges: it has no callback for pulling."""
        done = 0
        all_done = asyncio.Event()

        async def handler(message: Msg) -> None:
            nonlocal done
            await message.ack()
            done += 1
            if done == self._target.messages:
                all_done.set()

        await self._push_to(handler, "handler", ConsumerConfig(max_ack_pending=_ACK_PENDING_MAX))
        await all_done.wait()
        return done

    async def latency(self) -> list[float]:
        """From just before publish to the consumer's hands, at a fixed rate."""
        subscription = await self._subscription("latency")
        took: list[float] = []

        async def read() -> None:
            while len(took) < self._target.messages:
                try:
                    # One at a time: a larger batch waits until it is full.
                    messages = await subscription.fetch(1, timeout=1)
                except FetchTimeoutError:
                    continue
                for message in messages:
                    took.append(seconds_since(message.data))
                    await message.ack()

        reading = asyncio.create_task(read())
        subject = f"{self._stream}.in"
        async for payload in paced_payloads(self._target):
            await self._jetstream.publish_async(subject, payload, headers=dict(HEADERS))
        await reading
        return took


open_client = Client.open
