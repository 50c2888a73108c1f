"""The consuming rows of the clients whose consumer is the original's: this SDK's, and its own.

Both have the same calls, as this SDK kept them, and each runs in an environment where ``memphis`` is
the one or the other; so neither may be imported here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from benchmarks.clients import BATCH


class Message(Protocol):
    """What is acknowledged."""

    def get_data(self) -> object:
        """The payload."""

    async def ack(self) -> None:
        """Settle it."""


class Consumer(Protocol):
    """What gives messages."""

    async def fetch(self, batch_size: int, *, prefetch: bool) -> Sequence[Message]:
        """A batch."""

    def consume(self, callback: Callable[[list[Any], Any, Any], Awaitable[None]]) -> None:
        """Batches for a handler, from now on."""


async def fetch_and_ack(consumer: Consumer, messages: int, *, prefetch: bool = False) -> int:
    """Batches of 500, each message acknowledged; returns the number of messages."""
    done = 0
    while done < messages:
        for message in await consumer.fetch(BATCH, prefetch=prefetch):
            message.get_data()
            await message.ack()
            done += 1
    return done


async def handle_and_ack(consumer: Consumer, messages: int) -> int:
    """A handler that acknowledges each message; returns their number. The consumer goes on."""
    done = 0
    all_done = asyncio.Event()

    async def handler(batch: list[Message], error: object, context: object) -> None:
        del error, context
        nonlocal done
        for message in batch:
            message.get_data()
            await message.ack()
        done += len(batch)
        if done >= messages:
            all_done.set()

    consumer.consume(handler)
    await all_done.wait()
    return done
