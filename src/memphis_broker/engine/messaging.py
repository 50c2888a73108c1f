"""What the broker says to clients, and asks them, inside their own account."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import nats.errors

from memphis_broker.engine.failures import engine_failures

if TYPE_CHECKING:
    from nats.aio.client import Client

_STATUS: Final = "Status"
_NO_RESPONDERS: Final = "503"


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

    async def count_answers(self, subject: str, deadline_s: float, enough: int) -> int | None:
        """How many answers a question on ``subject`` gets.

        Args:
            subject: Where to ask.
            deadline_s: How long to wait for ``enough`` answers.
            enough: After so many nobody waits for more.

        Returns:
            None if the engine says that nobody listens; 0 if somebody does and is silent.

        Raises:
            Refusal: ``ENGINE_UNAVAILABLE`` where the connection is closed.
        """
        with engine_failures(f"asking clients on {subject}"):
            inbox = self._client.new_inbox()
            answers = await self._client.subscribe(inbox)
            count = 0
            try:
                await self._client.publish(subject, b"", reply=inbox)
                async with asyncio.timeout(deadline_s):
                    while count < enough:
                        answer = await answers.next_msg(timeout=None)
                        if (answer.headers or {}).get(_STATUS) == _NO_RESPONDERS:
                            return None
                        count += 1
            except TimeoutError:
                return count
            finally:
                await answers.unsubscribe()
        return count
