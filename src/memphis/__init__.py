"""Stream from Python: stations, producers, consumer groups and dead letters.

Example:
    >>> from memphis import Memphis
    >>> async with Memphis() as memphis:
    ...     await memphis.connect(host="localhost", username="root", password="memphis")
    ...     producer = await memphis.producer("flights", "radar")
    ...     await producer.produce({"carrier": "UA", "flight": 1545})
"""

from __future__ import annotations

from memphis.consumer import Consumer
from memphis.dead_letters import DeadLetter, DeadLetters, RedriveResult
from memphis.exceptions import (
    MemphisBatchError,
    MemphisClosedError,
    MemphisConnectError,
    MemphisError,
    MemphisHeaderError,
    MemphisNotConfirmedError,
    MemphisNotFoundError,
    MemphisPartlyProducedError,
    MemphisPermissionError,
    MemphisProduceError,
    MemphisRequestError,
    MemphisSchemaError,
    MemphisSchemaRefusedError,
    MemphisTimeoutError,
    MemphisUsageError,
)
from memphis.headers import Headers
from memphis.memphis import Memphis
from memphis.message import Message
from memphis.producer import BatchMessage, PendingProduce, Producer, ProduceResult
from memphis.schemas import Schema
from memphis.station import Station, StationInfo, StationSummary
from memphis.types import Compatibility, Retention, Storage

__all__ = [
    "BatchMessage",
    "Compatibility",
    "Consumer",
    "DeadLetter",
    "DeadLetters",
    "Headers",
    "Memphis",
    "MemphisBatchError",
    "MemphisClosedError",
    "MemphisConnectError",
    "MemphisError",
    "MemphisHeaderError",
    "MemphisNotConfirmedError",
    "MemphisNotFoundError",
    "MemphisPartlyProducedError",
    "MemphisPermissionError",
    "MemphisProduceError",
    "MemphisRequestError",
    "MemphisSchemaError",
    "MemphisSchemaRefusedError",
    "MemphisTimeoutError",
    "MemphisUsageError",
    "Message",
    "PendingProduce",
    "ProduceResult",
    "Producer",
    "RedriveResult",
    "Retention",
    "Schema",
    "Station",
    "StationInfo",
    "StationSummary",
    "Storage",
]
