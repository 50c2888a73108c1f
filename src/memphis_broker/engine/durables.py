"""Durable pull consumers: the engine's side of a consumer group in one partition."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nats.js import api
from nats.js.errors import APIError, NotFoundError

from memphis.wire.errors import ErrorCode, Refusal
from memphis_broker.engine.failures import engine_failures

if TYPE_CHECKING:
    from nats.aio.client import Client

PULLS_WAITING_MAX: Final = 8192
"""Pulls that wait at one durable, of all members together. The engine's own default, 512, would
turn members of a large group away, each time they ask."""
_REQUEST_DEADLINE_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class DurableSpec:
    """A durable to make.

    ``start_sequence`` is where reading begins; None means behind the newest message.
    """

    name: str
    filter_subjects: tuple[str, ...]
    ack_wait_ms: int
    deliveries_max: int
    start_sequence: int | None = 1
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DurableState:
    """How far a durable is."""

    name: str
    metadata: Mapping[str, str]
    pending: int
    unacknowledged: int
    redelivered: int
    ack_wait_ms: int
    deliveries_max: int
    """The engine's own limit; -1: none."""
    filter_subjects: tuple[str, ...] = ()
    acknowledged_through: int = 0
    """The group is done with all messages up to this sequence."""


def engine_config(spec: DurableSpec) -> api.ConsumerConfig:
    """The engine's configuration for a spec."""
    start = spec.start_sequence
    if start is None:
        policy = api.DeliverPolicy.NEW
    elif start > 1:
        policy = api.DeliverPolicy.BY_START_SEQUENCE
    else:
        policy = api.DeliverPolicy.ALL
    return api.ConsumerConfig(
        durable_name=spec.name,
        deliver_policy=policy,
        opt_start_seq=start if policy is api.DeliverPolicy.BY_START_SEQUENCE else None,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=spec.ack_wait_ms / 1000,
        max_deliver=spec.deliveries_max,
        filter_subjects=list(spec.filter_subjects),
        replay_policy=api.ReplayPolicy.INSTANT,
        # The engine's own default, 1000, would stall a group of many members.
        max_ack_pending=-1,
        max_waiting=PULLS_WAITING_MAX,
        metadata=dict(spec.metadata) or None,
    )


def _state_of(info: api.ConsumerInfo) -> DurableState:
    return DurableState(
        name=info.config.durable_name or info.name,
        metadata=info.config.metadata or {},
        pending=info.num_pending or 0,
        unacknowledged=info.num_ack_pending or 0,
        redelivered=info.num_redelivered or 0,
        ack_wait_ms=round((info.config.ack_wait or 0) * 1000),
        deliveries_max=info.config.max_deliver or -1,
        filter_subjects=tuple(info.config.filter_subjects or ()),
        acknowledged_through=info.ack_floor.stream_seq if info.ack_floor else 0,
    )


class Durables:
    """The durables of the streams of one account. Safe for many tasks at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = client.jetstream()

    async def state(self, stream: str, name: str) -> DurableState | None:
        """How far the durable is, or None if it or its stream is not there."""
        info = await self._info(stream, name)
        return None if info is None else _state_of(info)

    async def create(self, stream: str, spec: DurableSpec) -> bool:
        """Make the durable unless there is one of this name, which keeps everything it has.

        Returns:
            False if there is one that is not exactly as asked for.

        Raises:
            Refusal: ``STATION_CHANGING`` if the stream has just gone, or the engine's refusal.
        """
        doing = f"creating the consumer {spec.name} of the stream {stream}"
        with engine_failures(doing):
            try:
                await self._create(stream, spec)
            except NotFoundError as error:
                raise Refusal(
                    ErrorCode.STATION_CHANGING, f"{doing} failed: the stream is gone; try again"
                ) from error
            except APIError:
                # Somebody made it a moment ago in another way: theirs stands.
                if await self._info(stream, spec.name) is None:
                    raise
                return False
        return True

    async def _create(self, stream: str, spec: DurableSpec) -> None:
        # By hand: the client library's own call would change a durable that is there already.
        body = {
            "stream_name": stream,
            "config": engine_config(spec).as_dict(),
            "action": "create",
        }
        reply = await self._client.request(
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{spec.name}",
            json.dumps(body).encode(),
            timeout=_REQUEST_DEADLINE_S,
        )
        answer = json.loads(reply.data)
        if "error" in answer:
            APIError.from_error(answer["error"])

    async def change(self, stream: str, spec: DurableSpec) -> None:
        """Set ack wait, delivery limit, filters and metadata anew; the position and all else stay."""
        info = await self._info(stream, spec.name)
        if info is None:
            return
        config = info.config.evolve(
            ack_wait=spec.ack_wait_ms / 1000,
            max_deliver=spec.deliveries_max,
            filter_subjects=list(spec.filter_subjects),
            metadata={**(info.config.metadata or {}), **spec.metadata},
        )
        with engine_failures(f"changing the consumer {spec.name} of the stream {stream}"):
            await self._js.add_consumer(stream, config)

    async def acknowledge(self, stream: str, name: str, sequence: int) -> None:
        """Acknowledge a message on behalf of a durable that has given it up.

        A stream that waits for its consumers then lets it go, if no other has still to read it.
        """
        with engine_failures(f"acknowledging message {sequence} of the stream {stream}"):
            # The engine looks at the sequence alone: it keeps no more of what was given up.
            await self._client.publish(f"$JS.ACK.{stream}.{name}.1.{sequence}.0.0.0", b"+ACK")

    async def delete(self, stream: str, name: str) -> bool:
        """Delete the durable with its position. Returns False if there was none."""
        with engine_failures(f"deleting the consumer {name} of the stream {stream}"):
            try:
                return bool(await self._js.delete_consumer(stream, name))
            except NotFoundError:
                return False

    async def states(self, stream: str, count: int) -> list[DurableState]:
        """All durables of a stream that is known to have ``count`` consumers of any kind."""
        found: list[DurableState] = []
        seen = 0
        while seen < count:
            with engine_failures(f"listing the consumers of the stream {stream}"):
                try:
                    page = await self._js.consumers_info(stream, offset=seen)
                except NotFoundError:
                    break
            if not page:
                break
            seen += len(page)
            found.extend(_state_of(info) for info in page if info.config.durable_name)
        return found

    async def _info(self, stream: str, name: str) -> api.ConsumerInfo | None:
        with engine_failures(f"looking at the consumer {name} of the stream {stream}"):
            try:
                info: api.ConsumerInfo = await self._js.consumer_info(stream, name)
            except NotFoundError:
                return None
        return info
