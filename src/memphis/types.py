"""The enumerations that application code passes to ``Memphis``."""

from __future__ import annotations

from enum import Enum

__all__ = ["Compatibility", "Retention", "Storage"]


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


class Compatibility(Enum):
    """What a new version of a schema must be able to do, beside those before it.

    To read means: what fits the one schema is understood with the other. The words are those of
    Confluent's Schema Registry.
    """

    NONE = "NONE"
    """Nothing."""
    BACKWARD = "BACKWARD"
    """It reads what fits the version before: consumers may change first."""
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    """It reads what fits any version before."""
    FORWARD = "FORWARD"
    """The version before reads what fits the new one: producers may change first."""
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    """Every version before reads what fits the new one."""
    FULL = "FULL"
    """Both, with the version before."""
    FULL_TRANSITIVE = "FULL_TRANSITIVE"
    """Both, with every version before."""

    @property
    def is_transitive(self) -> bool:
        """Whether it concerns all versions before, not only the last."""
        return self.value.endswith("_TRANSITIVE")
