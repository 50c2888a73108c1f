"""What a dead letter is, and where it is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from memphis.wire import headers, subjects
from memphis.wire.models import DeadLetterAdd
from memphis.wire.names import GroupName
from memphis_broker.engine.streams import StoredMessage, StreamSpec
from memphis_broker.stations.model import StationRecord

STREAM_NAME: Final = "memphis_dead_letters"
KEPT_FOR_S: Final = 7 * 24 * 3600
DUPLICATE_WINDOW_MS: Final = 3_600_000
"""How late a retry may come and still store nothing twice."""

_ENGINE_PREFIX: Final = "nats-"


def stream(replicas: int) -> StreamSpec:
    """The stream that keeps the dead letters of all stations."""
    return StreamSpec(
        name=STREAM_NAME,
        subjects=(subjects.DEAD_LETTERS_ALL,),
        replicas=replicas,
        age_max_s=KEPT_FOR_S,
        duplicate_window_ms=DUPLICATE_WINDOW_MS,
    )


def subject_of(station: StationRecord, request: DeadLetterAdd, group: GroupName) -> str:
    """Where the dead letter is stored."""
    return subjects.dead_letter_subject(
        station.station, request.partition, group, subjects.KIND_POISON
    )


def headers_of(
    station: StationRecord, request: DeadLetterAdd, group: GroupName, original: StoredMessage
) -> Mapping[str, str]:
    """The original's headers, and those that say what it is and why it is here.

    The engine's own headers stay behind: they spoke of another stream. The message id is made of
    what identifies a dead letter, so that a request made twice stores one.
    """
    carried = {
        key: value
        for key, value in original.headers.items()
        if not key.lower().startswith(_ENGINE_PREFIX)
    }
    identity = f"{station.id}/{request.partition}/{request.sequence}/{group.internal}"
    return {
        **carried,
        headers.MESSAGE_ID: identity,
        headers.DEAD_LETTER_STATION: station.name,
        headers.DEAD_LETTER_PARTITION: str(request.partition),
        headers.DEAD_LETTER_SEQUENCE: str(request.sequence),
        headers.DEAD_LETTER_GROUP: str(group),
        headers.DEAD_LETTER_KIND: subjects.KIND_POISON,
        headers.DEAD_LETTER_REASON: headers.one_line(request.reason),
        headers.DEAD_LETTER_DELIVERIES: str(request.deliveries),
        headers.DEAD_LETTER_TIME: original.stored_at,
    }
