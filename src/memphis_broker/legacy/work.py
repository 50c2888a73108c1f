"""The edge for the original's SDKs as a whole: opened, started and stopped together."""

from __future__ import annotations

import asyncio
from typing import Final

from memphis_broker.engine.endpoints import Endpoints
from memphis_broker.engine.streams import Streams
from memphis_broker.engine.work import WorkQueue
from memphis_broker.legacy import reports
from memphis_broker.legacy.ingest import Ingest
from memphis_broker.legacy.leaving import Leaving
from memphis_broker.legacy.members import Members
from memphis_broker.legacy.reports import Reports
from memphis_broker.workers import Worker

SERVICE_NAME: Final = "memphis-legacy"


class LegacyWork:
    """Call :meth:`open`, then :meth:`start`, and :meth:`stop` at the end."""

    def __init__(
        self,
        streams: Streams,
        replicas: int,
        members: Members,
        queue: WorkQueue,
        reported: Reports,
        leaving: Leaving,
        ingest: Ingest,
        endpoints: Endpoints,
    ) -> None:
        self._streams = streams
        self._replicas = replicas
        self._members = members
        self._queue = queue
        self._leaving = leaving
        self._ingest = ingest
        self._endpoints = endpoints
        self._workers = [
            Worker("reports of original SDKs", reported.step),
            Worker("ending consumers of original SDKs", leaving.step),
        ]

    async def open(self) -> None:
        """Make sure that the records, the stream and its queue are there."""
        await self._members.open()
        await self._streams.ensure(reports.stream(self._replicas))
        await self._queue.open()

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            Refusal: The engine does not answer; call :meth:`stop` then as well.
        """
        await self._ingest.start()
        await self._endpoints.start()
        for worker in self._workers:
            worker.start()

    async def stop(self) -> None:
        """Serve no more. Idempotent."""
        await asyncio.gather(*[worker.stop() for worker in self._workers])
        await self._endpoints.stop()
        await self._leaving.stop()
        await self._ingest.stop()
