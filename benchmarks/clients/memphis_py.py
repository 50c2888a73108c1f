"""memphis-py 1.3.1, the original's client, on the same stream of the same engine.

Its broker is gone, and with it the requests by which ``connect``, ``producer`` and ``consumer`` set
themselves up. They are replaced here by what their answers would have left in the connection: a
station of one partition without a schema. Everything that runs per message is the original's own:
``Producer.produce`` with its validation, headers and choice of a subject, its tasks, and
``Consumer.fetch``, ``Consumer.consume``, ``Message.get_data`` and ``Message.ack``. Two things differ
from then, to its advantage: the engine is a current one, and so is nats-py underneath it, the same
version as is measured by itself.

It writes to the partition's stored subject, as it always did, not to the ingest subject.

Runs in a virtual environment of its own, where ``memphis`` is the original.
"""

# The original has no types, and `memphis` is another package where these are checked.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import contextlib

import nats
from nats.aio.client import Client as NatsConnection
from nats.js.api import AckPolicy, ConsumerConfig

from benchmarks.clients import BATCH, HEADERS, Target
from benchmarks.clients.consuming import fetch_and_ack, handle_and_ack
from benchmarks.clients.pacing import paced_payloads, seconds_since
from memphis import Headers, Memphis
from memphis.consumer import Consumer
from memphis.producer import Producer

NAME = "memphis-py 1.3.1"
LIBRARIES = ("memphis-py", "nats-py", "protobuf")
_ACK_PENDING_MAX = 100_000
_GROUP = "benchmark"


class Client:
    """The original's connection object, put into the state that it has after its hand-shakes."""

    def __init__(self, connection: NatsConnection, target: Target) -> None:
        self._target = target
        self._consumer: Consumer | None = None
        memphis = Memphis()
        memphis.connection_id = "benchmark"
        memphis.username = "benchmark"
        memphis.broker_manager = connection
        memphis.broker_connection = connection.jetstream()
        memphis.is_connection_active = True
        memphis.schema_updates_data[target.station] = {}
        memphis.partition_producers_updates_data[target.station] = {"partitions_list": [1]}
        memphis.partition_consumers_updates_data[target.station] = {"partitions_list": [1]}
        self._memphis = memphis

    async def close(self) -> None:
        """Disconnect, and end the consumer's tasks, which the original's ``destroy`` asks it to."""
        self._memphis.is_connection_active = False
        if self._consumer is not None:
            tasks = (self._consumer.t_ping, self._consumer.t_dls, self._consumer.t_consume)
            for task in filter(None, tasks):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._memphis.broker_manager.close()

    def _producer(self) -> Producer:
        return Producer(self._memphis, "benchmark", self._target.station, "benchmark")

    async def _make_consumer(self) -> Consumer:
        stream = f"{self._target.station}$1"
        jetstream = self._memphis.broker_connection
        # Made by the original's broker.
        config = ConsumerConfig(
            durable_name=_GROUP,
            ack_policy=AckPolicy.EXPLICIT,
            max_ack_pending=_ACK_PENDING_MAX,
            filter_subject=f"{stream}.final",
        )
        await jetstream.add_consumer(stream, config)
        subscription = await jetstream.pull_subscribe(f"{stream}.final", durable=_GROUP)
        # The shortest pause that it knows: none at all ends its loop.
        self._consumer = Consumer(
            self._memphis, self._target.station, _GROUP, _GROUP,
            pull_interval_ms=1, batch_size=BATCH, batch_max_time_to_wait_ms=100,
            max_ack_time_ms=30_000, subscriptions={1: subscription},
        )  # fmt: skip
        return self._consumer

    async def produce_awaited(self) -> int:
        """Each message is confirmed before the next is sent."""
        producer, payload, headers = self._producer(), self._payload(), _headers()
        for _ in range(self._target.messages):
            await producer.produce(payload, headers=headers)
        return self._target.messages

    async def produce_nonblocking(self) -> int:
        """A task per message; its own limit of them waits a tenth of a second at a time."""
        producer, payload, headers = self._producer(), self._payload(), _headers()
        for _ in range(self._target.messages):
            await producer.produce(payload, headers=headers, nonblocking=True)
        await asyncio.gather(*producer.background_tasks)
        return self._target.messages

    def _payload(self) -> bytearray:
        return bytearray(self._target.payload)  # it takes no bytes

    async def fetch_ack(self) -> int:
        """Batches of 500, each message acknowledged."""
        return await fetch_and_ack(await self._make_consumer(), self._target.messages)

    async def consume_handler(self) -> int:
        """A handler that acknowledges each message."""
        return await handle_and_ack(await self._make_consumer(), self._target.messages)

    async def latency(self) -> list[float]:
        """From just before produce to the consumer's hands, at a fixed rate."""
        producer, consumer, headers = self._producer(), await self._make_consumer(), _headers()
        took: list[float] = []

        async def read() -> None:
            while len(took) < self._target.messages:
                # One at a time: a larger batch waits until it is full.
                for message in await consumer.fetch(1):
                    took.append(seconds_since(message.get_data()))
                    await message.ack()

        reading = asyncio.create_task(read())
        async for payload in paced_payloads(self._target):
            await producer.produce(bytearray(payload), headers=headers, nonblocking=True)
        await reading
        await asyncio.gather(*producer.background_tasks)
        return took


def _headers() -> Headers:
    headers = Headers()
    for key, value in HEADERS.items():
        headers.add(key, value)
    return headers


async def open_client(target: Target) -> Client:
    """Connect."""
    return Client(await nats.connect(f"nats://127.0.0.1:{target.port}"), target)
