"""Producers and consumers, put together for whoever asks for one: a connection or a station's handle.

What they are given has been checked by its signature's owner or is checked here, before the broker is
asked for anything.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from memphis._core.arguments import station_names
from memphis._core.dead_letters import GroupDeadLetters
from memphis._core.membership import Membership, check_join
from memphis._core.models import Model, ModelT, model_of
from memphis._core.reader import GroupReader
from memphis._core.sending import StationSender
from memphis._core.stations import open_station
from memphis.consumer import Consumer, ConsumerOptions
from memphis.message import Message, MessageSource
from memphis.producer import Producer
from memphis.wire.names import ConsumerName, GroupName, ProducerName, StationName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memphis._core.sending import ErrorCallback
    from memphis._core.session import Session
    from memphis._core.users import StationUsers


async def make_producer(
    session: Session,
    users: StationUsers,
    stations: str | Sequence[str],
    producer_name: str,
    *,
    timeout_retries: int,
    on_error: ErrorCallback | None,
    model: type[ModelT] | None,
) -> Producer[ModelT]:
    """A producer, counted among those of the connection; see ``Memphis.producer``."""
    kind = model_of(model)
    name = ProducerName.parse(producer_name)
    names = station_names(stations)
    states = [await open_station(session, n, None, timeout_retries) for n in names]
    for state in states:
        await session.states.enforce(state)
    senders = [
        StationSender(session.publisher, state, name, session.connection_id, on_error)
        for state in states
    ]
    producer = Producer[ModelT](name, senders, session, users.forget_producer, kind)
    users.add_producer(producer)
    return producer


async def make_consumer(
    session: Session,
    users: StationUsers,
    station: str,
    consumer_name: str,
    consumer_group: str,
    options: ConsumerOptions,
    *,
    max_ack_time_ms: int,
    max_msg_deliveries: int,
    start_consume_from_sequence: int,
    last_messages: int,
    timeout_retries: int,
    model: type[ModelT] | None,
) -> Consumer[ModelT]:
    """A member of a group, counted among those of the connection; see ``Memphis.consumer``."""
    kind = model_of(model)
    name = ConsumerName.parse(consumer_name)
    group = GroupName.parse(consumer_group or name)
    check_join(max_ack_time_ms, max_msg_deliveries, start_consume_from_sequence, last_messages)
    membership = await Membership.join(
        session,
        StationName.parse(station),
        group,
        max_ack_time_ms=max_ack_time_ms,
        max_msg_deliveries=max_msg_deliveries,
        start_sequence=start_consume_from_sequence,
        last_messages=last_messages,
        retries=timeout_retries,
    )
    reader: GroupReader[Message[ModelT]] = _reader(session, membership, kind)
    consumer = Consumer[ModelT](name, membership, options, reader, session, users.leave_group)
    users.add_consumer(consumer, membership)
    return consumer


def _reader(session: Session, membership: Membership, model: Model | None) -> GroupReader[Any]:
    """What reads a group that was joined; starts nothing."""
    dead_letters = GroupDeadLetters(
        session.connection,
        session.publisher,
        membership.state,
        membership.group,
        membership.life,
        membership.max_msg_deliveries,
    )
    source = MessageSource(
        session.connection,
        session.codecs,
        membership.state,
        membership.group,
        dead_letters,
        model,
    )
    return GroupReader(
        session.connection,
        session.puller,
        membership.pull_subjects(),
        functools.partial(Message, source),
        dead_letters.screen,
        membership.is_gone,
        membership.max_ack_time_ms / 1000,
    )
