"""What the clients on nats-py share: its connection to the stream of a station, and being pushed to.

It has no rows, so that each client has only its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

import nats
from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig

from benchmarks.clients import Target


class StreamClient:
    """One connection, for the one partition of a station."""

    def __init__(self, connection: NatsConnection, target: Target) -> None:
        self._connection = connection
        self._jetstream = connection.jetstream()
        self._target = target
        self._stream = f"{target.station}$1"

    @classmethod
    async def open(cls, target: Target) -> Self:
        """Connect."""
        return cls(await nats.connect(f"nats://127.0.0.1:{target.port}"), target)

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    async def _push_to(
        self,
        handler: Callable[[Msg], Awaitable[None]],
        durable: str,
        config: ConsumerConfig | None = None,
    ) -> None:
        """Have the engine send all messages to a handler, which acknowledges them."""
        await self._jetstream.subscribe(
            f"{self._stream}.final",
            stream=self._stream,
            durable=durable,
            cb=handler,
            manual_ack=True,
            config=config,
        )
