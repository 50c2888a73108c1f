"""The subjects of the original Memphis, as its unmodified SDKs use them, and its JSON in the rough.

Facts only; what they mean is in docs/compat.md. In the original's JSON the keys have no fixed case: its
SDKs differ, and it read them in any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json

from memphis.wire.names import GroupName, StationName

STATION_CREATIONS: Final = "$memphis_station_creations"
STATION_DESTRUCTIONS: Final = "$memphis_station_destructions"
PRODUCER_CREATIONS: Final = "$memphis_producer_creations"
PRODUCER_DESTRUCTIONS: Final = "$memphis_producer_destructions"
CONSUMER_CREATIONS: Final = "$memphis_consumer_creations"
CONSUMER_DESTRUCTIONS: Final = "$memphis_consumer_destructions"
SCHEMA_ATTACHMENTS: Final = "$memphis_schema_attachments"
SCHEMA_DETACHMENTS: Final = "$memphis_schema_detachments"
SCHEMA_CREATIONS: Final = "$memphis_schema_creations"
REQUESTS: Final = (
    STATION_CREATIONS,
    STATION_DESTRUCTIONS,
    PRODUCER_CREATIONS,
    PRODUCER_DESTRUCTIONS,
    CONSUMER_CREATIONS,
    CONSUMER_DESTRUCTIONS,
    SCHEMA_ATTACHMENTS,
    SCHEMA_DETACHMENTS,
    SCHEMA_CREATIONS,
)
"""What is asked of the broker, with a reply."""

SCHEMA_FAILURES: Final = "$memphis_schemaverse_dls"
"""A producer's word of a message that failed its station's schema, with the message."""
GIVEN_UP: Final = "$memphis_nacked_dls"
"""A consumer's word of a message that it has terminated because nobody can process it."""
REPORTS: Final = (SCHEMA_FAILURES, GIVEN_UP)
"""What an SDK tells the broker, without a reply."""

NOTIFICATIONS: Final = "$memphis_notifications"
RESENT_ACKS: Final = "$memphis_pm_acks"
TOLERATED: Final = (NOTIFICATIONS, RESENT_ACKS)
"""What an SDK may publish and nobody reads."""

CLIENT_UPDATES: Final = "$memphis_sdk_clients_updates"
"""Every SDK listens here from the moment it is connected."""

JETSTREAM_INFO: Final = "$JS.API.INFO"
STREAM_BY_SUBJECT: Final = "$JS.API.STREAM.NAMES"
STREAM_INFO: Final = "$JS.API.STREAM.INFO.*"
CONSUMER_INFO: Final = "$JS.API.CONSUMER.INFO.*.*"
"""What their NATS libraries ask of the engine, beside messages and acknowledgements. (nats-server)"""

COPY_STATION: Final = "station"
"""On the copy of a dead letter in a dls_station: the station that it is from."""
COPY_TYPE: Final = "type"
"""On such a copy: why, in one of the two words below."""
COPY_UNACKED: Final = "unacked"
COPY_FAILED_SCHEMA: Final = "failed_schema"

PRODUCED_ALL: Final = "*.final"
"""Where those SDKs publish messages: the final subject of a partition."""
PRODUCED_INGEST: Final = "$memphis.ingest.{{wildcard(1)}}"
"""Where the engine sends them instead, in the words of its subject mappings."""
INGEST_ALL: Final = "$memphis.ingest.*"
_INGEST: Final = "$memphis.ingest."


def ingested_subject(subject: bytes) -> bytes:
    """The subject ``I$p.in`` for a message that the engine has sent to :data:`PRODUCED_INGEST`."""
    return subject[len(_INGEST) :] + b".in"


def schema_updates_subject(station: StationName) -> str:
    """Where an SDK learns that a station's schema was attached or detached."""
    return f"$memphis_schema_updates_{station.internal}"


def resent_subject(station: StationName, group: GroupName) -> str:
    """Where each consumer listens for dead letters that are sent again; nobody publishes there here."""
    return f"$memphis_dls_{station.internal}.{group.internal}"


def decode_object(body: bytes) -> dict[str, Any]:
    """The members of a JSON object, their names in lower case, without those that are null.

    Raises:
        ValueError: It is no JSON, or no object.
    """
    value = from_json(body)
    if not isinstance(value, dict):
        raise ValueError("a JSON object is needed")  # noqa: TRY004 - one error for whatever is wrong
    return lower_keys(value)


def lower_keys(members: Mapping[str, Any]) -> dict[str, Any]:
    """The same with names in lower case, without those that are null; of two, the last counts."""
    return {key.lower(): value for key, value in members.items() if value is not None}
