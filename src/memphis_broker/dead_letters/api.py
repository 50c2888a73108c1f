"""What can be asked about dead letters."""

from __future__ import annotations

from typing import Any

from memphis.wire.dead_letters import (
    DeadLetterDrop,
    DeadLetterEdit,
    DeadLetterGet,
    DeadLetterList,
    DeadLetterRedrive,
)
from memphis_broker.dead_letters.service import DeadLetterService
from memphis_broker.operations import Operation


def operations(service: DeadLetterService) -> list[Operation[Any]]:
    """The operations of this slice."""
    return [
        Operation(DeadLetterList, service.page),
        Operation(DeadLetterGet, service.get),
        Operation(DeadLetterRedrive, service.redrive),
        Operation(DeadLetterDrop, service.drop),
        Operation(DeadLetterEdit, service.edit),
    ]
