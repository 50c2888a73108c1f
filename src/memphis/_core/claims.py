"""What a member tells the engine about messages that it holds: still ours, or no longer.

Both are told as far as they can be: where they cannot, the engine delivers the message again by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from memphis.exceptions import MemphisConnectError
from memphis.wire.acknowledgements import AGAIN, IN_PROGRESS

if TYPE_CHECKING:
    from memphis.transport.connection import Connection
    from memphis.transport.protocol import MessageFrame


def give_back(connection: Connection, frames: Iterable[MessageFrame]) -> None:
    """Have messages that nobody here takes delivered to another member of their group."""
    _tell(connection, frames, AGAIN)


def renew(connection: Connection, frames: Iterable[MessageFrame]) -> None:
    """Start the ack time of messages anew, which costs no delivery."""
    _tell(connection, frames, IN_PROGRESS)


def _tell(connection: Connection, frames: Iterable[MessageFrame], what: bytes) -> None:
    if connection.is_connected:
        with contextlib.suppress(MemphisConnectError):
            for frame in frames:
                connection.publish(frame[3], what)
