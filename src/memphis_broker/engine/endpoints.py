"""Takes requests off the engine and hands them, a bounded number at a time, to one function.

A NATS micro service, so every NATS tool can discover it and read its statistics. The client library
runs the handler of an endpoint for one message at a time; here the handler only puts the request in
a queue, and workers take it from there, so that one slow request delays nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import nats.errors
import nats.micro
from nats.aio.client import Client
from nats.micro.service import ServiceConfig, ServiceVerb, control_subject

from memphis_broker.engine.failures import engine_failures

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.micro.request import Request
    from nats.micro.service import EndpointStats, Service

logger = logging.getLogger(__name__)

RUNNING_MAX: Final = 64
WAITING_MAX: Final = 1024
_START_DEADLINE_S: Final = 5.0
_DRAIN_DEADLINE_S: Final = 5.0
_QUEUE_GROUP: Final = "q"
"""What micro services use by default: of several brokers, one gets each request."""
_OTHERS_QUEUE_GROUP: Final = "others"
"""The engine merges queue groups of one name over all subjects that match, so with the same name
a known request would be given at random to the endpoint or to the one who ignores it."""

__all__ = ["Answer", "Client", "Endpoints", "FixedReplies"]

Answer = Callable[[str, bytes, Mapping[str, str]], Awaitable[bytes]]
"""Subject, body and headers of a request to its reply; never raises."""


@dataclass(frozen=True)
class FixedReplies:
    """What to reply where the request cannot even be asked; None: nothing, so that it is asked again."""

    busy: bytes | None
    too_large: bytes | None


@dataclass(frozen=True)
class _Asked:
    subject: str
    reply: str
    body: bytes
    headers: Mapping[str, str]


class Endpoints:
    """Serves subjects between :meth:`start` and :meth:`stop`."""

    def __init__(
        self,
        client: Client,
        answer: Answer,
        replies: FixedReplies,
        *,
        name: str,
        subjects: Mapping[str, str],
        prefix: str = "",
    ) -> None:
        """Make one; nothing is served yet.

        Args:
            client: The connection that requests come in by.
            answer: Grants them.
            replies: For those that it never sees.
            name: What the micro service is called.
            subjects: What is served, with the name of each endpoint: letters, digits, ``-`` and ``_``.
            prefix: Requests below it that are none of ``subjects`` are answered as well.
        """
        self._client = client
        self._answer = answer
        self._replies = replies
        self._name = name
        self._subjects = dict(subjects)
        self._prefix = prefix
        self._waiting: asyncio.Queue[_Asked] = asyncio.Queue(WAITING_MAX)
        self._running = 0
        self._refused = 0
        self._service: Service | None = None
        self._others: Subscription | None = None
        self._workers: asyncio.Task[None] | None = None

    def statistics(self) -> dict[str, int]:
        """Requests now running, now waiting, and refused so far because too many waited."""
        return {
            "running": self._running,
            "waiting": self._waiting.qsize(),
            "refused": self._refused,
        }

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            Refusal: ``ENGINE_UNAVAILABLE``; call :meth:`stop` then as well.
        """
        self._workers = asyncio.create_task(self._work(), name="memphis request workers")
        config = ServiceConfig(
            name=self._name,
            # The version of the protocol, which is what a client has to know.
            version="1.0.0",
            description="The control plane of Memphis",
            queue_group=_QUEUE_GROUP,
            stats_handler=self._endpoint_statistics,
        )
        with engine_failures("serving requests"):
            service = await nats.micro.add_service(self._client, config)
            self._service = service
            for subject, name in sorted(self._subjects.items()):
                await service.add_endpoint(name=name, subject=subject, handler=self._take_request)
            if self._prefix:
                self._others = await self._client.subscribe(
                    f"{self._prefix}.>", queue=_OTHERS_QUEUE_GROUP, cb=self._take_other
                )
            # Not flush(): its ping overtakes subscriptions that the client still buffers. A request
            # to ourselves goes out behind them, so its reply proves that the engine has them all.
            ourselves = control_subject(ServiceVerb.PING, name=config.name, id=service.id)
            await self._client.request(ourselves, b"", timeout=_START_DEADLINE_S)

    async def stop(self) -> None:
        """Take no more requests, finish those that were taken, within a deadline. Idempotent."""
        try:
            if not self._client.is_closed:
                if self._others is not None:
                    await self._others.unsubscribe()
                if self._service is not None:
                    await self._service.stop()
        except nats.errors.Error as error:
            # Without a connection there is nobody left to answer; the workers still must end.
            logger.warning("the requests could not be unsubscribed: %r", error)
        self._others = self._service = None
        if self._workers is None:
            return
        try:
            async with asyncio.timeout(_DRAIN_DEADLINE_S):
                await self._waiting.join()
        except TimeoutError:
            logger.warning("%d requests were still running and are cancelled", self._running)
        self._workers.cancel()
        await asyncio.wait([self._workers])
        self._workers = None

    def _endpoint_statistics(self, _: EndpointStats) -> dict[str, int]:
        return self.statistics()

    async def _take_request(self, request: Request) -> None:
        await self._take(request._msg)  # noqa: SLF001 - the reply subject has no public name

    async def _take_other(self, message: Msg) -> None:
        if message.subject not in self._subjects:
            await self._take(message)

    async def _take(self, message: Msg) -> None:
        if not message.reply:
            logger.debug("a request on %s wants no reply and is left alone", message.subject)
            return
        asked = _Asked(message.subject, message.reply, message.data, message.headers or {})
        try:
            self._waiting.put_nowait(asked)
        except asyncio.QueueFull:
            self._refused += 1
            await self._reply(asked, self._replies.busy)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(RUNNING_MAX):
                group.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            asked = await self._waiting.get()
            self._running += 1
            try:
                reply = await self._answer(asked.subject, asked.body, asked.headers)
                await self._reply(asked, reply)
            except (
                Exception
            ):  # a named supervisor: one request must not end the serving of all others
                logger.exception("a request on %s was not answered", asked.subject)
            finally:
                self._running -= 1
                self._waiting.task_done()

    async def _reply(self, asked: _Asked, reply: bytes | None) -> None:
        if reply is not None and len(reply) > self._client.max_payload:
            reply = self._replies.too_large
        if reply is None:
            return
        try:
            await self._client.publish(asked.reply, reply)
        except nats.errors.Error as error:
            # The client asked over a connection that is gone too; it will ask again.
            logger.warning("the reply to %s could not be sent: %r", asked.subject, error)
