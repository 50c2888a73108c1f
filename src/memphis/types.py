"""The two enumerations that application code passes to ``Memphis.station``."""

from __future__ import annotations

from enum import Enum

__all__ = ["Retention", "Storage"]


class Retention(Enum):
    """By what a station decides that a message may go. The unit of ``retention_value`` follows."""

    MAX_MESSAGE_AGE_SECONDS = "message_age_sec"
    """Messages stay for ``retention_value`` seconds."""
    MESSAGES = "messages"
    """The station holds the newest ``retention_value`` messages."""
    BYTES = "bytes"
    """The station holds the newest ``retention_value`` bytes."""
    ACK_BASED = "ack_based"
    """A message goes when every group has acknowledged it; ``retention_value`` is ignored."""


class Storage(Enum):
    """Where the engine keeps a station's messages."""

    DISK = "file"
    MEMORY = "memory"
