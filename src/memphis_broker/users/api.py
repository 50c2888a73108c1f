"""What can be asked about users."""

from __future__ import annotations

from typing import Any

from memphis.wire.users import UserCreate, UserList, UserPassword, UserRemove
from memphis_broker.operations import Operation
from memphis_broker.users.service import UserService


def operations(service: UserService) -> list[Operation[Any]]:
    """The operations of this slice."""
    return [
        Operation(UserCreate, service.create, root_only=True),
        Operation(UserList, service.page, root_only=True),
        Operation(UserRemove, service.remove, root_only=True),
        Operation(UserPassword, service.set_password, root_only=True),
    ]
