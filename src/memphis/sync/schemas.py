"""Schemas, for code without an event loop."""

from __future__ import annotations

from memphis import schemas as asynchronous
from memphis.sync._faces import Face, blocking
from memphis.wire.schemas import SchemaStored

__all__ = ["Schema"]

_Schema = asynchronous.Schema


class Schema(Face[_Schema]):
    """See ``memphis.Schema``."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The schema's name."""
        return self._inner.name

    @property
    def type(self) -> str:
        """``protobuf``, ``json``, ``graphql`` or ``avro``."""
        return self._inner.type

    @property
    def stored(self) -> SchemaStored | None:
        """As ``memphis.Schema.stored``."""
        return self._inner.stored

    describe = blocking(_Schema.describe)
    versions = blocking(_Schema.versions)
    definition = blocking(_Schema.definition)
    activate = blocking(_Schema.activate)
    diff = blocking(_Schema.diff)
    set_compatibility = blocking(_Schema.set_compatibility)
    check = blocking(_Schema.check)
    remove = blocking(_Schema.remove)
