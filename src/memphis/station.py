"""The handle of a station."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

from memphis._core.arguments import checked, suffixed
from memphis._core.models import ModelT
from memphis._making import make_consumer, make_producer
from memphis.consumer import Consumer, ConsumerOptions
from memphis.dead_letters import DeadLetters
from memphis.producer import Producer
from memphis.wire.models import (
    Done,
    Purged,
    StationConfigure,
    StationDescription,
    StationInfo,
    StationInfoGet,
    StationOptions,
    StationPurge,
    StationRemove,
    StationSummary,
)

if TYPE_CHECKING:
    from memphis._core.sending import ErrorCallback
    from memphis._core.session import Session
    from memphis._core.station_state import StationState
    from memphis._core.users import StationUsers

__all__ = ["Station", "StationInfo", "StationOptions", "StationSummary"]


class Station:
    """A station that exists. Made by ``Memphis.station``."""

    def __init__(self, state: StationState, session: Session, users: StationUsers) -> None:
        self._state = state
        self._session = session
        self._rpc = session.rpc
        self._users = users
        self._destroying: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Station {self.name}>"

    @property
    def name(self) -> str:
        """The station's name, in lower case."""
        return str(self._state.name)

    @property
    def options(self) -> StationOptions:
        """The options that the station has, whatever was asked for."""
        return self._state.description.options

    @property
    def partitions(self) -> list[int]:
        """The numbers of its partitions, from 1."""
        return list(self._state.partitions)

    async def info(self) -> StationInfo:
        """Count what the station holds now: messages, bytes, partitions, and each group's progress.

        Raises:
            MemphisNotFoundError: The station is gone.
            MemphisConnectError: No broker answered.
        """
        return await self._rpc.call(StationInfoGet(name=self._state.name), StationInfo)

    async def producer(
        self,
        producer_name: str,
        generate_random_suffix: bool = False,
        timeout_retries: int = 5,
        on_error: ErrorCallback | None = None,
        model: type[ModelT] | None = None,
    ) -> Producer[ModelT]:
        """Make a producer for this station, as ``Memphis.producer``, where the options are described.

        Raises:
            MemphisUsageError: A bad argument.
            MemphisNotFoundError: The station is known to be gone.
            MemphisConnectError: No broker answered.
        """
        self._state.check_present()
        return await make_producer(
            self._session,
            self._users,
            self.name,
            suffixed(producer_name, generate_random_suffix),
            timeout_retries=timeout_retries,
            on_error=on_error,
            model=model,
        )

    async def consumer(
        self,
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
        """Make a consumer of this station, as ``Memphis.consumer``, where the options are described.

        Raises: As :meth:`producer`.
        """
        self._state.check_present()
        options = ConsumerOptions(
            pull_interval_ms=pull_interval_ms,
            batch_size=batch_size,
            batch_max_time_to_wait_ms=batch_max_time_to_wait_ms,
        )
        return await make_consumer(
            self._session,
            self._users,
            self.name,
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

    def dead_letters(
        self,
        kind: str | None = None,
        group: str | None = None,
        since: datetime | None = None,
    ) -> DeadLetters:
        """The station's dead letters: to look at, give back, or drop; see :class:`DeadLetters`.

        ``async for letter in station.dead_letters(group="billing")`` gives them newest first.

        Args:
            kind: ``poison`` (a group could not process it) or ``schema`` (it failed the schema).
            group: Only those of this group.
            since: Only those that became dead letters at this time or later; with a time zone.

        Raises:
            MemphisUsageError: An argument that cannot be.
        """
        return DeadLetters(self._rpc, station=self._state.name, kind=kind, group=group, since=since)

    async def configure(
        self,
        *,
        send_poison_msg_to_dls: bool | None = None,
        send_schema_failed_msg_to_dls: bool | None = None,
        dls_station: str | None = None,
        dead_letter_age_max_s: int | None = None,
        dead_letter_count_max: int | None = None,
    ) -> None:
        """Change what becomes of the station's dead letters; None leaves an option as it is.

        Producers and consumers of the station follow within moments, those of this connection at once.

        Args:
            send_poison_msg_to_dls: Whether what a group cannot process is kept.
            send_schema_failed_msg_to_dls: Whether what fails the schema is kept.
            dls_station: A station that gets a copy of each from now on; created if missing; empty: none.
            dead_letter_age_max_s: For how long they are kept; 0: as long as the broker keeps any.
            dead_letter_count_max: How many are kept, the newest; 0: as many as the broker keeps.

        Raises:
            MemphisUsageError: A value of the wrong type or out of its range.
            MemphisNotFoundError: The station is gone.
            MemphisRequestError: The broker refused, for example the station itself as its dls_station.
            MemphisConnectError: No broker answered.
        """
        request = checked(
            StationConfigure,
            name=self._state.name,
            send_poison_msg_to_dls=send_poison_msg_to_dls,
            send_schema_failed_msg_to_dls=send_schema_failed_msg_to_dls,
            dls_station=dls_station,
            dead_letter_age_max_s=dead_letter_age_max_s,
            dead_letter_count_max=dead_letter_count_max,
        )
        self._state.apply(await self._rpc.call(request, StationDescription))

    async def purge(self) -> int:
        """Delete all messages of the station, and return how many; groups go on with new ones.

        Dead letters stay, also those that were given back to a group and wait for it.

        Raises: As :meth:`info`.
        """
        return (await self._rpc.call(StationPurge(name=self._state.name), Purged)).messages

    def destroy(self, timeout_retries: int = 5) -> asyncio.Task[None]:
        """Delete the station with its messages and groups; this connection's users of it end too.

        It begins at once, whether or not the returned task is awaited; awaiting it raises what went
        wrong, MemphisNotFoundError if there was no such station. Calling it again returns the same task.

        Args:
            timeout_retries: How often the broker is asked again when it does not answer.
        """
        if self._destroying is None:
            self._destroying = self._session.tasks.start(
                self._destroy(timeout_retries), f"destroy station {self.name}"
            )
        return self._destroying

    async def _destroy(self, retries: int) -> None:
        # This life of the station, not one that somebody has created since.
        request = StationRemove(name=self._state.name, id=self._state.description.id)
        await self._rpc.call(request, Done, retries=retries, if_gone=Done())
        self._state.apply(None)
        await self._users.end_consumers_of(self.name)
