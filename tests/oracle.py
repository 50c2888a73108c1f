"""What tests need to know of nats-py, the client that ours is checked against."""

from __future__ import annotations

from nats.aio.client import Client


async def settled(client: Client) -> None:
    """Return when the engine has read everything that was written, subscriptions too.

    nats-py writes the PING of a flush ahead of what is still in its buffer; the PING of a second
    flush comes after it.
    """
    await client.flush()
    await client.flush()
