"""The dead letters' work that goes on by itself: its queues and workers, opened and ended together."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from memphis.wire.errors import ErrorCode, Refusal
from memphis_broker.config import Settings
from memphis_broker.dead_letters import model
from memphis_broker.dead_letters.follow import Follower
from memphis_broker.dead_letters.intake import Intake
from memphis_broker.dead_letters.notify import Notifier
from memphis_broker.dead_letters.redrive import Redriver
from memphis_broker.dead_letters.store import DeadLetterStore
from memphis_broker.dead_letters.sweep import Sweeper
from memphis_broker.engine.records import RecordStore
from memphis_broker.engine.streams import Streams
from memphis_broker.engine.work import WorkQueue
from memphis_broker.stations.service import StationService
from memphis_broker.workers import Worker

logger = logging.getLogger(__name__)

_FOLLOW_S: Final = 0.2
_SWEEP_S: Final = 2.0
_LEFT_BEHIND_S: Final = 20.0


class DeadLetterWork:
    """Call :meth:`open`, then :meth:`start`, and :meth:`stop` at the end."""

    def __init__(
        self,
        settings: Settings,
        streams: Streams,
        replicas: int,
        given_up: WorkQueue,
        news: WorkQueue,
        intents: RecordStore,
        redriver: Redriver,
        intake: Intake,
        sweeper: Sweeper,
        store: DeadLetterStore,
        stations: StationService,
    ) -> None:
        self._settings = settings
        self._streams = streams
        self._replicas = replicas
        self._given_up = given_up
        self._news = news
        self._intents = intents
        self._redriver = redriver
        self._notifier = Notifier(settings.dead_letter_webhook, settings.dead_letter_webhook_format)
        follower = Follower(news, store, stations, streams, self._notifier)
        self._intake_worker = Worker("intake of dead letters", intake.step)
        self._workers = [
            # With a pause, in which more come: a round costs more than each of them.
            Worker("following dead letters", follower.step, _FOLLOW_S),
            Worker("tidying dead letters", sweeper.step, _SWEEP_S),
            Worker("finishing what was given back", self._finish_left_behind, _LEFT_BEHIND_S),
        ]
        if settings.dead_letter_webhook is not None:
            self._workers.append(Worker("notifying of dead letters", self._notifier.step))

    async def open(self) -> None:
        """Make sure that the streams and queues are there, with the limits of the settings."""
        settings = self._settings
        await self._streams.ensure(
            model.stream(
                self._replicas,
                settings.dead_letter_age_max_s,
                settings.dead_letter_count_max,
            )
        )
        await self._intents.open()
        await self._news.open()
        try:
            await self._streams.ensure(model.given_up_stream(self._replicas))
            await self._given_up.open()
        except Refusal as refusal:
            if refusal.code is ErrorCode.ENGINE_UNAVAILABLE:
                raise
            # On an engine of somebody else's: another stream may have these subjects already.
            logger.warning(
                "what the engine gives up for consumers of other clients is not kept: %s",
                refusal.text,
            )
        else:
            self._workers.append(self._intake_worker)

    async def recover(self) -> None:
        """Finish what a broker that was killed has begun to give back."""
        # On an engine of our own nobody else is at it; elsewhere it may be under way.
        await self._redriver.finish_left_behind(at_start=self._settings.engine is None)

    def start(self) -> None:
        """Begin to work."""
        for worker in self._workers:
            worker.start()

    async def stop(self) -> None:
        """Work no more. Idempotent."""
        self._notifier.stop()
        await asyncio.gather(*[worker.stop() for worker in self._workers])

    async def _finish_left_behind(self) -> None:
        await self._redriver.finish_left_behind(at_start=False)
