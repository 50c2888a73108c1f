"""nats-py's latency with a push subscription, where the engine sends without being asked.

``nats_py`` pulls one message at a time, as this SDK pulls, and at this rate that is nearly all it can
do on a slow machine; this is the soonest that nats-py can have a message.
"""

from __future__ import annotations

import asyncio

from nats.aio.msg import Msg

from benchmarks.clients import HEADERS
from benchmarks.clients.nats_connection import StreamClient
from benchmarks.clients.pacing import paced_payloads, seconds_since

NAME = "nats-py, push"
LIBRARIES = ("nats-py",)


class Client(StreamClient):
    """One connection."""

    async def latency(self) -> list[float]:
        """From just before publish to the callback, at a fixed rate."""
        took: list[float] = []
        all_done = asyncio.Event()

        async def handler(message: Msg) -> None:
            took.append(seconds_since(message.data))
            await message.ack()
            if len(took) == self._target.messages:
                all_done.set()

        await self._push_to(handler, "latency")
        async for payload in paced_payloads(self._target):
            await self._jetstream.publish_async(
                f"{self._stream}.in", payload, headers=dict(HEADERS)
            )
        await all_done.wait()
        return took


open_client = Client.open
