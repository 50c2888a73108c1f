"""Work that waits in a stream: taken by one of several brokers, and given again until it is done.

Place in the flow: a stream → :meth:`WorkQueue.take` → a worker → :meth:`Work.done`. What a broker has
taken and not done when it is killed is given to another after :data:`_ACK_WAIT_S`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

import nats.errors
from nats.js import api
from nats.js.errors import APIError, NotFoundError

from memphis_broker.engine.failures import engine_failures

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_ACK_WAIT_S: Final = 10.0
_UNDONE_MAX: Final = 2048
_ANSWER_S: Final = 5.0


class Work:
    """One piece of work, until it is done or given back."""

    def __init__(self, message: Msg) -> None:
        self._message = message
        self.subject = message.subject
        self.headers: Mapping[str, str] = message.headers or {}
        self.payload = message.data

    @property
    def sequence(self) -> int:
        """Its place in the stream."""
        return self._message.metadata.sequence.stream

    @property
    def stored_at(self) -> datetime:
        """When it was stored in the stream."""
        return self._message.metadata.timestamp

    @property
    def attempts(self) -> int:
        """How often it was given to anybody, this time included."""
        return self._message.metadata.num_delivered or 1

    async def done(self) -> None:
        """Nobody is given it again, unless the engine does not hear of this."""
        with engine_failures("acknowledging work"):
            await self._message.ack()

    async def again(self, delay_s: float) -> None:
        """It could not be done now; somebody is given it after a while."""
        with engine_failures("giving work back"):
            await self._message.nak(delay=delay_s)


class WorkQueue:
    """The work of one kind. Any number of brokers may take from it."""

    def __init__(
        self, client: Client, stream: str, name: str, *, without_payload: bool = False
    ) -> None:
        """Args: ``without_payload`` leaves payloads in the stream, for work that seldom needs them."""
        self._client = client
        self._js = client.jetstream()
        self._stream = stream
        self._name = name
        self._without_payload = without_payload

    async def open(self) -> None:
        """Make sure that the queue exists; one that does keeps its position.

        Raises:
            Refusal: The engine refused, or did not answer.
        """
        with engine_failures(f"opening the work queue {self._name}"):
            try:
                await self._js.consumer_info(self._stream, self._name)
            except NotFoundError:
                await self._make()

    async def _make(self) -> None:
        config = api.ConsumerConfig(
            durable_name=self._name,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=_ACK_WAIT_S,
            max_ack_pending=_UNDONE_MAX,
            headers_only=self._without_payload or None,
        )
        try:
            await self._js.add_consumer(self._stream, config)
        except APIError:
            # Another broker made it at the same time, in the same way.
            await self._js.consumer_info(self._stream, self._name)

    async def take(self, count: int, wait_s: float) -> list[Work]:
        """Up to ``count`` pieces of work; none if none has come after ``wait_s`` seconds.

        Raises:
            Refusal: The engine does not answer.
        """
        with engine_failures(f"taking work of {self._name}"):
            there_now = await self._pull({"batch": count, "no_wait": True}, count, 0)
            if there_now:
                return there_now
            return await self._pull({"batch": 1, "expires": int(wait_s * 1e9)}, 1, wait_s)

    async def _pull(self, wish: dict[str, object], count: int, wait_s: float) -> list[Work]:
        """One pull. By hand: the client library takes a message with a header Status for the end of one."""
        taken: list[Work] = []
        ended = asyncio.Event()

        async def arrived(message: Msg) -> None:
            # Only what is to be acknowledged says where.
            if message.reply:
                taken.append(Work(message))
            if not message.reply or len(taken) == count:
                ended.set()

        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=arrived)
        try:
            await self._client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}",
                json.dumps(wish).encode(),
                reply=inbox,
            )
            async with asyncio.timeout(wait_s + _ANSWER_S):
                await ended.wait()
        except TimeoutError as error:
            if not taken:
                raise nats.errors.TimeoutError from error
        finally:
            await subscription.unsubscribe()
        return taken

    async def is_empty(self) -> bool:
        """Whether nothing waits and nothing is being done."""
        with engine_failures(f"looking at the work queue {self._name}"):
            info = await self._js.consumer_info(self._stream, self._name)
        return not info.num_pending and not info.num_ack_pending
