"""What can be asked about consumer groups."""

from __future__ import annotations

from typing import Any

from memphis.wire.models import GroupJoin, GroupLeave
from memphis_broker.groups.service import GroupService
from memphis_broker.operations import Operation


def operations(service: GroupService) -> list[Operation[Any]]:
    """The operations of this slice."""
    return [Operation(GroupJoin, service.join), Operation(GroupLeave, service.leave)]
