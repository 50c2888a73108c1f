"""What the broker says to clients, and asks them, inside their own account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nats.errors

from memphis_broker.engine.failures import engine_failures

if TYPE_CHECKING:
    from nats.aio.client import Client


class ClientMessaging:
    """Pushes and questions to clients; nothing here is stored."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def push(self, subject: str, body: bytes) -> None:
        """Tell everybody who listens on ``subject`` now; nobody else will ever know.

        Raises:
            Refusal: ``ENGINE_UNAVAILABLE`` where the connection is closed.
        """
        with engine_failures(f"telling clients on {subject}"):
            await self._client.publish(subject, body)

    async def anyone_listens(self, subject: str, deadline_s: float) -> bool:
        """Whether anybody listens on ``subject``.

        The engine itself says so where there is nobody. A listener that does not answer within the
        deadline counts as there.

        Raises:
            Refusal: ``ENGINE_UNAVAILABLE`` where the connection is closed.
        """
        with engine_failures(f"asking clients on {subject}"):
            try:
                await self._client.request(subject, b"", timeout=deadline_s)
            except nats.errors.NoRespondersError:
                return False
            except nats.errors.TimeoutError:
                return True
        return True
