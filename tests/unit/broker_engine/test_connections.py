"""Opening connections ends at its deadline, whatever the client library makes of a cancellation."""

from __future__ import annotations

import asyncio

import pytest
from nats.js.errors import ServiceUnavailableError

from memphis_broker.config import Durability
from memphis_broker.engine.accounts import EngineTargets
from memphis_broker.engine.connections import EngineConnections


class Swallowing:
    """A client whose answer comes together with the cancellation, which is then lost: as in nats-py."""

    def __init__(self) -> None:
        self.asked = 0

    def jetstream(self, **_: object) -> Swallowing:
        return self

    async def account_info(self) -> None:
        self.asked += 1
        assert self.asked == 1, "asked again after the deadline"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ServiceUnavailableError from None


async def test_an_engine_without_jetstream_is_not_asked_for_ever() -> None:
    """The deadline cancels once; that it was lost must not make the broker hang."""
    connections = EngineConnections(EngineTargets(urls=[]), Durability.STANDARD)
    client = Swallowing()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await connections._wait_for_jetstream(client)  # type: ignore[arg-type]
