"""Sees to what the engine gave up by itself: messages of consumers that have the engine's own limit.

Groups of ours have none (see :mod:`memphis_broker.groups.model`) unless a member cannot keep one, and a
consumer that another NATS client made on a station's stream may have one. The engine says once that it
gave a message up; that word is captured in a work-queue stream, so a broker that is down misses none.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memphis.wire.models import SEQUENCE_MAX
from memphis_broker.dead_letters import model
from memphis_broker.dead_letters.piecework import Piecework
from memphis_broker.dead_letters.recorder import GivenUp, Recorder
from memphis_broker.engine.work import Work, WorkQueue


class _Advisory(BaseModel):
    """The part that is needed of the engine's advisory, ``io.nats.jetstream.advisory.v1.max_deliver``."""

    model_config = ConfigDict(extra="ignore", strict=True)

    stream: str = Field(min_length=1, max_length=512)
    consumer: str = Field(min_length=1, max_length=512)
    stream_seq: int = Field(ge=1, le=SEQUENCE_MAX)
    deliveries: int = Field(ge=0, le=SEQUENCE_MAX)
    timestamp: str = Field(default="", max_length=64)


class Intake:
    """Takes the engine's word from its queue. :meth:`step` is one round of work."""

    def __init__(self, work: WorkQueue, recorder: Recorder) -> None:
        self._work = work
        self._recorder = recorder
        self._pieces = Piecework(work, self._store, recorder, "a message that was given up")

    async def step(self) -> None:
        """Take what waits, up to some, and see to it."""
        await self._pieces.step()

    async def is_done(self) -> bool:
        """Whether every word of the engine so far was seen to."""
        return await self._work.is_empty()

    async def _store(self, work: Work) -> None:
        try:
            advisory = _Advisory.model_validate_json(work.payload)
        except ValidationError:
            await self._pieces.set_aside(
                work, "word of a message that was given up, which cannot be understood"
            )
            return
        word = GivenUp(
            stream=advisory.stream,
            consumer=advisory.consumer,
            sequence=advisory.stream_seq,
            deliveries=advisory.deliveries,
            reason=f"not acknowledged in {advisory.deliveries} deliveries",
            at=_time_or_none(advisory.timestamp),
        )
        await self._recorder.given_up(word)


def _time_or_none(timestamp: str) -> datetime | None:
    try:
        return model.time_of(timestamp)
    except ValueError:
        return None  # it does not say
