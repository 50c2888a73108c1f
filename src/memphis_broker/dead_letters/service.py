"""Keeps dead letters. The consumer ends the original only after it was told that this is stored."""

from __future__ import annotations

from memphis.wire import subjects
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import DeadLetterAdd, DeadLetterAdded
from memphis.wire.names import GroupName, StationName
from memphis_broker.dead_letters import model
from memphis_broker.engine.streams import StreamExistsError, Streams
from memphis_broker.groups.service import GroupService
from memphis_broker.stations.service import StationService


class DeadLetterService:
    """Dead letters of all stations. Safe for many tasks and many brokers at once."""

    def __init__(
        self, stations: StationService, groups: GroupService, streams: Streams, replicas: int
    ) -> None:
        self._stations = stations
        self._groups = groups
        self._streams = streams
        self._replicas = replicas

    async def open(self) -> None:
        """Make sure that the stream of dead letters is there; one that is stays as it is."""
        try:
            await self._streams.create(model.stream(self._replicas))
        except StreamExistsError:
            return

    async def add(self, request: DeadLetterAdd) -> DeadLetterAdded:
        """Store a message as a dead letter of a group; made again, it stores nothing more.

        A station whose option ``send_poison_msg_to_dls`` is off keeps none.

        Raises:
            InvalidNameError: A name breaks the grammar.
            Refusal: ``STATION_NOT_FOUND``, ``GROUP_NOT_FOUND``, ``MESSAGE_NOT_FOUND``, or
                ``ENGINE_REFUSED`` for a message too large to be kept with what it is to say.
        """
        group = GroupName.parse(request.group)
        station = await self._stations.ready(StationName.parse(request.station))
        if request.partition not in station.partitions:
            raise _no_message(request)
        await self._groups.check_exists(station, request.partition, group)
        if not station.options.send_poison_msg_to_dls:
            return DeadLetterAdded(stored=False)
        original = await self._streams.message(
            subjects.stream_name(station.station, request.partition), request.sequence
        )
        if original is None:
            raise _no_message(request)
        await self._streams.append(
            model.subject_of(station, request, group),
            original.payload,
            model.headers_of(station, request, group, original),
        )
        return DeadLetterAdded(stored=True)


def _no_message(request: DeadLetterAdd) -> Refusal:
    return Refusal(
        ErrorCode.MESSAGE_NOT_FOUND,
        f"there is no message {request.sequence} in partition {request.partition} of the station "
        f"{request.station.lower()}; it may have been removed by its retention",
    )
