"""The entry point: a connection to a broker, and everything one can ask for on it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from memphis._core.arguments import station_names, suffixed
from memphis._core.dialing import ConnectArguments, connect_options
from memphis._core.kept import Kept
from memphis._core.models import ModelT
from memphis._core.sending import summarize_failures
from memphis._core.session import Session
from memphis._core.stations import list_stations, open_station, station_options
from memphis._core.users import StationUsers
from memphis._making import make_consumer, make_producer
from memphis.consumer import Consumer, ConsumerOptions, check_batch_size
from memphis.dead_letters import DeadLetter, DeadLetters, read_dead_letter
from memphis.exceptions import MemphisClosedError, MemphisConnectError, MemphisUsageError
from memphis.producer import Producer
from memphis.schemas import SchemaCalls
from memphis.station import Station
from memphis.types import Retention, Storage
from memphis.users import UserCalls
from memphis.wire.models import (
    StationDescription,
    StationGet,
    StationSummary,
)
from memphis.wire.names import ProducerName, StationName

if TYPE_CHECKING:
    from memphis._core.sending import ErrorCallback
    from memphis._core.station_state import StationState
    from memphis.headers import Headers
    from memphis.message import Message

__all__ = ["Memphis"]

PORT_DEFAULT: Final = 6666


class Memphis(SchemaCalls, UserCalls):
    """A connection to a Memphis broker.

    Create it, :meth:`connect`, use it, :meth:`close` it; or ``async with Memphis() as memphis:``,
    which closes it at the end. One object may be used from any number of tasks of one event loop.

    Unless its text says otherwise, a method here raises ``MemphisClosedError`` after :meth:`close`,
    ``MemphisConnectError`` before :meth:`connect` and when no broker answers,
    ``MemphisRequestError`` (with a ``code``) when the broker refuses, and ``MemphisUsageError`` for a
    bad argument, which changes nothing.
    """

    def __init__(self) -> None:
        self._session: Session | None = None
        self._closing: asyncio.Task[None] | None = None
        self._connecting = False
        self._users = StationUsers()
        self._kept_producers = Kept[tuple[str, ...], Producer](self._users.retire_producer)
        self._kept_consumers = Kept[tuple[str, ...], Consumer](self._users.end_consumer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def connect(
        self,
        host: str,
        username: str,
        account_id: int = 1,  # noqa: ARG002 - of the original's cloud; accepted and ignored
        connection_token: str = "",
        password: str = "",
        port: int = PORT_DEFAULT,
        reconnect: bool = True,
        max_reconnect: int = -1,
        reconnect_interval_ms: int = 1500,
        timeout_ms: int = 2000,
        cert_file: str = "",
        key_file: str = "",
        ca_file: str = "",
    ) -> None:
        """Connect and log in; ends within ``timeout_ms``, one way or the other.

        After a lost connection it comes back by itself, and producers and consumers go on.

        Args:
            host: Name or address; may carry a scheme and a port.
            username: Who connects.
            account_id: Ignored.
            connection_token: The token that users of this broker share; or
            password: the user's password: exactly one of the two.
            port: Default 6666; its digits in a string are as good.
            reconnect: Whether to come back after the connection was lost.
            max_reconnect: Failed attempts in a row after which it is given up; -1: never.
            reconnect_interval_ms: The pause between attempts, shortened by a random part of it.
            timeout_ms: The time for one attempt.
            cert_file: Certificate to show (PEM), with ``key_file``.
            key_file: Its private key.
            ca_file: Certificates to trust instead of the system's.

        Raises:
            MemphisConnectError: A bad argument, nobody there, or the login was refused; names host,
                port and reason.
            MemphisUsageError: It is connected already, or was closed.
        """
        self._check_not_closed()
        if self._session is not None or self._connecting:
            raise MemphisUsageError("this Memphis object is connected already; make another one")
        options, connection_id = connect_options(
            ConnectArguments(
                host=host,
                username=username,
                connection_token=connection_token,
                password=password,
                port=port,
                reconnect=reconnect,
                max_reconnect=max_reconnect,
                reconnect_interval_ms=reconnect_interval_ms,
                timeout_ms=timeout_ms,
                cert_file=cert_file,
                key_file=key_file,
                ca_file=ca_file,
            )
        )
        self._connecting = True
        try:
            session = await Session.open(options, connection_id)
        finally:
            self._connecting = False
        try:
            self._check_not_closed()  # it may have been meanwhile
        except MemphisClosedError:
            await session.close()
            raise
        self._session = session

    def is_connected(self) -> bool:
        """Whether the connection stands at this moment; never raises."""
        return self._session is not None and self._session.connection.is_connected

    @property
    def is_connection_active(self) -> bool:
        """Whether it was connected, and neither closed nor given up; reconnecting, it is still True."""
        session = self._session
        return session is not None and self._closing is None and not session.connection.is_closed

    async def close(self) -> None:
        """End everything in good order: consumers, then producers, then the connection.

        Messages in flight are confirmed or have failed when this returns; groups keep their position
        and stations stay. Calling it again does no harm; nor before :meth:`connect` or after one that
        failed, which may be tried then.

        Raises:
            MemphisError: Messages failed whose results nobody awaited and no error callback was told
                of. The connection is closed all the same.
        """
        if self._closing is None:
            if self._session is None and not self._connecting:
                return
            self._closing = asyncio.create_task(self._close(), name="close memphis")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        session = self._session
        if session is None:
            return
        try:
            failures = await self._users.end_all()
        finally:
            await session.close()
            self._kept_producers.clear()
            self._kept_consumers.clear()
        failures += self._users.late_failures()
        error = summarize_failures(failures, 0, "this connection")
        if error is not None:
            raise error

    # Stations.

    async def station(
        self,
        name: str,
        retention_type: Retention = Retention.MAX_MESSAGE_AGE_SECONDS,
        retention_value: int = 3600,
        storage_type: Storage = Storage.DISK,
        replicas: int = 1,
        idempotency_window_ms: int = 120000,
        schema_name: str = "",
        send_poison_msg_to_dls: bool = True,
        send_schema_failed_msg_to_dls: bool = True,
        tiered_storage_enabled: bool = False,
        partitions_number: int = 1,
        dls_station: str = "",
        timeout_retries: int = 5,
        schema: str = "",
        dead_letter_age_max_s: int = 0,
        dead_letter_count_max: int = 0,
    ) -> Station:
        """Create a station, or get the handle of the one that has this name.

        A station that exists is not changed; if its options differ from those given, a warning is
        logged.

        Args:
            name: 1 to 128 characters of ``a-z 0-9 _ . -``, first and last a letter or digit; upper
                case is lowered.
            retention_type: By what messages go.
            retention_value: Seconds, messages or bytes, as the type says; ignored for
                ``ACK_BASED``. Messages and bytes bound the whole station: each partition gets its
                share, rounded up.
            storage_type: Disk or memory.
            replicas: On how many servers each message is kept, 1 to 5.
            idempotency_window_ms: How long a ``msg_id`` is remembered, 100 to 86 400 000; cut to the
                retention age where that is shorter.
            schema_name: A schema to attach; it must exist.
            send_poison_msg_to_dls: Keep messages that a group could not process as dead letters.
            send_schema_failed_msg_to_dls: Keep messages that failed the schema as dead letters.
            tiered_storage_enabled: Stored with the station, for brokers with a second tier.
            partitions_number: 1 to 10 000.
            dls_station: A station that gets a copy of each dead letter.
            timeout_retries: How often the broker is asked again when it does not answer.
            schema: Another name of ``schema_name``.
            dead_letter_age_max_s: For how long dead letters are kept; 0: as long as the broker keeps any.
            dead_letter_count_max: How many are kept, the newest; 0: as many as the broker keeps.

        Raises:
            MemphisUsageError: A bad name or option.
            MemphisNotFoundError: There is no such schema.
            MemphisRequestError: The broker refused, for example more replicas than servers.
        """
        session = self._open_session()
        if schema and schema_name and schema != schema_name:
            raise MemphisUsageError("schema and schema_name are the same option; give one")
        options = station_options(
            retention_type=retention_type,
            retention_value=retention_value,
            storage_type=storage_type,
            replicas=replicas,
            idempotency_window_ms=idempotency_window_ms,
            schema_name=schema_name or schema,
            send_poison_msg_to_dls=send_poison_msg_to_dls,
            send_schema_failed_msg_to_dls=send_schema_failed_msg_to_dls,
            tiered_storage_enabled=tiered_storage_enabled,
            partitions_number=partitions_number,
            dls_station=dls_station,
            dead_letter_age_max_s=dead_letter_age_max_s,
            dead_letter_count_max=dead_letter_count_max,
        )
        state = await open_station(session, StationName.parse(name), options, timeout_retries)
        return self._station(session, state)

    async def existing_station(self, name: str) -> Station:
        """The handle of a station that exists.

        Raises:
            MemphisNotFoundError: There is no such station.
        """
        session = self._open_session()
        request = StationGet(name=StationName.parse(name))
        description = await session.rpc.call(request, StationDescription)
        return self._station(session, session.states.open(description))

    async def stations(self) -> list[StationSummary]:
        """All stations in the order of their names, with what they hold."""
        return await list_stations(self._open_session().rpc)

    # Dead letters.

    def dead_letters(
        self,
        kind: str | None = None,
        group: str | None = None,
        since: datetime | None = None,
        ids: list[int] | None = None,
    ) -> DeadLetters:
        """The dead letters of all stations; see ``Station.dead_letters`` for those of one.

        Args:
            kind: ``poison``, ``schema``, or ``malformed`` for what nobody can understand.
            group: Only those of groups of this name.
            since: Only those that became dead letters at this time or later; with a time zone.
            ids: Only these, at most 1000; then nothing else may be given.
        """
        rpc = self._open_session().rpc
        return DeadLetters(rpc, kind=kind, group=group, since=since, ids=ids)

    async def dead_letter(self, letter_id: int) -> DeadLetter:
        """One dead letter by its id.

        Raises:
            MemphisNotFoundError: There is none of this id.
        """
        return await read_dead_letter(self._open_session().rpc, letter_id)

    # Producing.

    async def producer(
        self,
        station_name: str | Sequence[str],
        producer_name: str,
        generate_random_suffix: bool = False,
        timeout_retries: int = 5,
        on_error: ErrorCallback | None = None,
        model: type[ModelT] | None = None,
    ) -> Producer[ModelT]:
        """Make a producer for a station, or for each of several.

        A station that does not exist is created with the defaults of :meth:`station`.

        Args:
            station_name: A name, or a list of different names.
            producer_name: Sent with each message; need not be unique.
            generate_random_suffix: Deprecated; appends 8 random characters to the name.
            timeout_retries: How often the broker is asked again when it does not answer.
            on_error: Called with the error of each nonblocking message that failed; such failures
                are then not raised at ``flush``, ``destroy`` and ``close``.
            model: A pydantic model or a msgspec Struct: then only objects of it are sent, as JSON, by
                their aliases. For stations without a schema, or with one for JSON.
        """
        session = self._open_session()
        return await make_producer(
            session,
            self._users,
            station_name,
            suffixed(producer_name, generate_random_suffix),
            timeout_retries=timeout_retries,
            on_error=on_error,
            model=model,
        )

    async def produce(
        self,
        station_name: str | Sequence[str],
        producer_name: str,
        message: Any,
        generate_random_suffix: bool = False,
        ack_wait_sec: float = 15,
        headers: Headers | Mapping[str, str] | None = None,
        async_produce: bool = False,
        msg_id: str | None = None,
        producer_partition_key: str | None = None,
        producer_partition_number: int = -1,
        nonblocking: bool = False,
        concurrent_task_limit: int | None = None,
        limit_concurrent_tasks: int | None = None,
    ) -> Any:
        """Produce with a producer that is made at the first call and kept.

        Arguments, result and errors are those of ``Producer.produce``. If the station was removed
        since, it is created again.
        """
        names = station_names(station_name)
        producer = await self._kept_producers.get(
            (*names, ProducerName.parse(producer_name)),
            lambda: self.producer(names, producer_name, generate_random_suffix),
        )
        return await producer.produce(
            message,
            ack_wait_sec=ack_wait_sec,
            headers=headers,
            async_produce=async_produce,
            nonblocking=nonblocking,
            msg_id=msg_id,
            concurrent_task_limit=concurrent_task_limit,
            producer_partition_key=producer_partition_key,
            producer_partition_number=producer_partition_number,
            limit_concurrent_tasks=limit_concurrent_tasks,
        )

    # Consuming.

    async def consumer(
        self,
        station_name: str,
        consumer_name: str,
        consumer_group: str = "",
        pull_interval_ms: int = 1000,
        batch_size: int = 10,
        batch_max_time_to_wait_ms: int = 100,
        max_ack_time_ms: int = 30000,
        max_msg_deliveries: int = 2,
        generate_random_suffix: bool = False,
        start_consume_from_sequence: int = 1,
        last_messages: int = -1,
        timeout_retries: int = 5,
        model: type[ModelT] | None = None,
    ) -> Consumer[ModelT]:
        """Make a consumer: a member of a group, which is created if it does not exist.

        A station that does not exist is created with the defaults of :meth:`station`. A group that
        exists keeps its position, whatever starting point is given here.

        Args:
            station_name: The station to read.
            consumer_name: This member's name.
            consumer_group: Default: the consumer's name.
            pull_interval_ms: The pause of ``consume`` after a batch; an idle one waits in the engine.
            batch_size: Messages per poll of ``consume``, 1 to 5000.
            batch_max_time_to_wait_ms: How long a poll or fetch waits for its batch to fill.
            max_ack_time_ms: A message not acknowledged for so long is delivered again.
            max_msg_deliveries: How often a message is delivered before it counts as poison.
            generate_random_suffix: Deprecated; appends 8 random characters to the name.
            start_consume_from_sequence: Where a new group begins, in each partition.
            last_messages: A new group begins with so many of the station's newest messages; 0: only
                with those to come; -1: with all.
            timeout_retries: How often the broker is asked again when it does not answer.
            model: A pydantic model or a msgspec Struct: then ``value`` of each message is an object of it,
                read from JSON.
        """
        session = self._open_session()
        options = ConsumerOptions(
            pull_interval_ms=pull_interval_ms,
            batch_size=batch_size,
            batch_max_time_to_wait_ms=batch_max_time_to_wait_ms,
        )
        return await make_consumer(
            session,
            self._users,
            station_name,
            suffixed(consumer_name, generate_random_suffix),
            consumer_group,
            options,
            max_ack_time_ms=max_ack_time_ms,
            max_msg_deliveries=max_msg_deliveries,
            start_consume_from_sequence=start_consume_from_sequence,
            last_messages=last_messages,
            timeout_retries=timeout_retries,
            model=model,
        )

    async def fetch_messages(
        self,
        station_name: str,
        consumer_name: str,
        consumer_group: str = "",
        batch_size: int = 10,
        batch_max_time_to_wait_ms: int = 100,
        max_ack_time_ms: int = 30000,
        max_msg_deliveries: int = 2,
        generate_random_suffix: bool = False,
        start_consume_from_sequence: int = 1,
        last_messages: int = -1,
        consumer_partition_key: str | None = None,
        consumer_partition_number: int = -1,
        prefetch: bool = False,
    ) -> list[Message]:
        """Fetch with a consumer that is made at the first call and kept.

        Arguments are those of :meth:`consumer` and ``Consumer.fetch``. Later calls with the same
        station, consumer and group use the first call's consumer; of their arguments, only those of
        ``Consumer.fetch`` have an effect.
        """
        check_batch_size(batch_size)
        consumer = await self._kept_consumers.get(
            (StationName.parse(station_name), consumer_name, consumer_group),
            lambda: self.consumer(
                station_name,
                consumer_name,
                consumer_group,
                batch_size=batch_size,
                batch_max_time_to_wait_ms=batch_max_time_to_wait_ms,
                max_ack_time_ms=max_ack_time_ms,
                max_msg_deliveries=max_msg_deliveries,
                generate_random_suffix=generate_random_suffix,
                start_consume_from_sequence=start_consume_from_sequence,
                last_messages=last_messages,
            ),
        )
        return await consumer.fetch(
            batch_size, consumer_partition_key, consumer_partition_number, prefetch
        )

    # What the objects made here need of their maker.

    def _open_session(self) -> Session:
        self._check_not_closed()
        if self._session is None:
            raise MemphisConnectError("not connected; call connect() first")
        return self._session

    def _check_not_closed(self) -> None:
        if self._closing is not None:
            raise MemphisClosedError("this Memphis object was closed; make another one")

    def _station(self, session: Session, state: StationState) -> Station:
        return Station(state, session, self._users)
