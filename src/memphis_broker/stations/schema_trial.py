"""Tries a schema on what a station holds, before it is attached or activated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from memphis.wire import subjects
from memphis.wire.names import StationName
from memphis.wire.schemas import (
    FAILURES_SHOWN_MAX,
    SchemaCheck,
    SchemaCheckFailure,
    SchemaCheckReport,
    SchemaVersionGet,
)
from memphis_broker.engine.streams import Streams
from memphis_broker.schemas.examination import Examiner
from memphis_broker.schemas.service import SchemaService
from memphis_broker.stations.model import StationRecord
from memphis_broker.stations.service import StationService


class SchemaTrial:
    """Checks stored messages; changes nothing. Safe for many tasks at once."""

    def __init__(
        self,
        stations: StationService,
        schemas: SchemaService,
        streams: Streams,
        examiner: Examiner,
    ) -> None:
        self._stations = stations
        self._schemas = schemas
        self._streams = streams
        self._examiner = examiner

    async def check(self, request: SchemaCheck) -> SchemaCheckReport:
        """How many of the newest messages a version would refuse; each partition gives its share.

        Raises:
            InvalidNameError: A name breaks the grammar.
            Refusal: ``STATION_NOT_FOUND``, ``SCHEMA_NOT_FOUND``, ``SCHEMA_VERSION_NOT_FOUND``.
        """
        station = await self._stations.ready(StationName.parse(request.station))
        definition = await self._schemas.definition(
            SchemaVersionGet(name=request.name, version=request.version)
        )
        places: list[tuple[int, int]] = []

        async def payloads() -> AsyncIterator[bytes]:
            async for partition, sequence, payload in self._newest(station, request.last):
                places.append((partition, sequence))
                yield payload

        verdict = await self._examiner.try_on(definition, payloads())
        return SchemaCheckReport(
            version=definition.version,
            checked=verdict.tried,
            refused=len(verdict.refused),
            failures=[
                SchemaCheckFailure(
                    partition=places[index][0], sequence=places[index][1], reason=reason
                )
                for index, reason in list(verdict.refused.items())[:FAILURES_SHOWN_MAX]
            ],
            complete=verdict.complete,
        )

    async def _newest(
        self, station: StationRecord, count: int
    ) -> AsyncIterator[tuple[int, int, bytes]]:
        """Partition, sequence and payload of the newest messages, an equal share of each partition.

        What one partition has less than its share, others give more.
        """
        states = {}
        for partition in station.partitions:
            state = await self._streams.state(subjects.stream_name(station.station, partition))
            if state is not None and state.messages:
                states[partition] = state
        shares = share_out(count, {number: state.messages for number, state in states.items()})
        for partition, share in shares.items():
            last = states[partition].last_sequence
            first = max(states[partition].first_sequence, last - share + 1)
            name = subjects.stream_name(station.station, partition)
            subject = subjects.final_subject(station.station, partition)
            async for sequence, payload in self._streams.payloads(name, subject, first, last):
                yield partition, sequence, payload


def share_out(count: int, held: Mapping[int, int]) -> dict[int, int]:
    """How many of ``count`` to take from each partition, as evenly as what they hold allows."""
    shares: dict[int, int] = {}
    left = count
    for place, partition in enumerate(sorted(held, key=lambda number: held[number])):
        shares[partition] = min(held[partition], -(-left // (len(held) - place)))
        left -= shares[partition]
    return dict(sorted(shares.items()))
