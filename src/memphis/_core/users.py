"""The producers and consumers that work on a connection, and how they come to their end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from memphis.exceptions import MemphisError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from memphis._core.membership import Membership

_log = logging.getLogger(__name__)

DRAIN_S: Final = 30.0
"""How long a closing connection lets messages in flight and running tasks come to their end."""


class EndableProducer(Protocol):
    """What is asked of a producer here."""

    producer_name: str

    @property
    def is_settled(self) -> bool:
        """Whether nothing is in flight and no failure waits to be reported."""
        ...

    def take_error(self) -> MemphisError | None:
        """The failures that nobody was told of."""
        ...

    def destroy(self) -> Awaitable[Any]:
        """Confirm or report what is pending."""
        ...


class EndableConsumer(Protocol):
    """What is asked of a consumer here."""

    @property
    def station_name(self) -> str:
        """The station it reads."""
        ...

    async def end(self) -> None:
        """Stop reading; the group stays."""
        ...


class StationUsers:
    """Who produces and who consumes on one connection."""

    def __init__(self) -> None:
        self._producers: set[EndableProducer] = set()
        self._consumers: dict[EndableConsumer, Membership] = {}

    def add_producer(self, producer: EndableProducer) -> None:
        """Count a producer in."""
        self._producers.add(producer)

    def forget_producer(self, producer: EndableProducer) -> None:
        """A producer has ended."""
        self._producers.discard(producer)

    async def retire_producer(self, producer: EndableProducer) -> None:
        """A producer will not be used again; what it still has to report is reported at the end."""
        if producer.is_settled:
            self.forget_producer(producer)

    def add_consumer(self, consumer: EndableConsumer, membership: Membership) -> None:
        """Count a consumer in."""
        self._consumers[consumer] = membership

    async def leave_group(self, consumer: EndableConsumer, retries: int) -> None:
        """A consumer was destroyed: it leaves its group, which ends with its last member."""
        membership = self._consumers.pop(consumer, None)
        if membership is not None:
            await membership.leave(retries)

    async def end_consumer(self, consumer: EndableConsumer) -> None:
        """A consumer ends and is counted no more; its group stays."""
        membership = self._consumers.pop(consumer, None)
        if membership is not None:
            membership.end()
        await consumer.end()

    async def end_consumers_of(self, station: str) -> None:
        """A station was destroyed here: its consumers have nothing to read any more."""
        for consumer in [c for c in self._consumers if c.station_name == station]:
            await self.end_consumer(consumer)

    async def end_all(self) -> list[MemphisError]:
        """End consumers, then producers; return the failures that nobody has been told of.

        Producers that did not come to their end in time have more to tell once the connection is
        closed; see :meth:`late_failures`.
        """
        try:
            async with asyncio.timeout(DRAIN_S):
                await asyncio.gather(*map(self.end_consumer, list(self._consumers)))
        except TimeoutError:
            _log.warning("a handler did not return within %.1f s; its task is cancelled", DRAIN_S)
        failures: list[MemphisError] = []
        for producer in list(self._producers):
            try:
                async with asyncio.timeout(DRAIN_S):
                    await producer.destroy()
            except TimeoutError:
                _log.warning("producer %s did not drain in time", producer.producer_name)
            except MemphisError as error:
                failures.append(error)
        return failures

    def late_failures(self) -> list[MemphisError]:
        """After the connection is closed: what became of the messages that were still in flight."""
        errors = [producer.take_error() for producer in self._producers]
        return [error for error in errors if error is not None]
