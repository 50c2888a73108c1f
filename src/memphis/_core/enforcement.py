"""The schemas that messages have to fit: loaded once, shared by all who need them on a connection."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakValueDictionary

from memphis.exceptions import MemphisNotFoundError, MemphisSchemaError
from memphis.schema import Codec, compile_schema
from memphis.wire.headers import SCHEMA
from memphis.wire.schemas import SchemaDefinition, SchemaVersionGet, write_mark

if TYPE_CHECKING:
    from memphis._core.rpc import Rpc
    from memphis.wire.models import AttachedSchema

_KEPT_MAX: Final = 128
"""Compiled versions; a station and its consumers rarely meet more than a few."""


class EnforcedSchema(NamedTuple):
    """What the messages of a station have to fit now.

    ``version`` is None where that cannot be known at this moment; the codec then refuses everything.
    """

    version: AttachedSchema | None
    codec: Codec

    def header(self) -> Mapping[str, str]:
        """What a message carries to say by which version it was checked."""
        return {} if self.version is None else {SCHEMA: write_mark(self.version)}


def refuse_all(reason: str) -> EnforcedSchema:
    """For a station that has a schema which cannot be had: nothing gets in unchecked."""
    return EnforcedSchema(None, _NoCodec(MemphisSchemaError, reason))


class SchemaPendingError(MemphisSchemaError):
    """What messages have to fit is being loaded: wait for it and try again. Never leaves the SDK."""


class _NoCodec:
    """Stands in for a codec that is not to be had."""

    def __init__(self, kind: type[MemphisSchemaError], reason: str) -> None:
        self._kind = kind
        self._reason = reason

    def encode(self, message: Any) -> bytes:  # noqa: ARG002 - whatever it is
        raise self._kind(self._reason)

    def decode(self, payload: bytes) -> Any:  # noqa: ARG002 - likewise
        raise self._kind(self._reason)


PENDING: Final = EnforcedSchema(None, _NoCodec(SchemaPendingError, "the schema is being loaded"))
"""For a station whose schema is known to have changed, and not yet to what."""


class Codecs:
    """The compiled schema versions of one connection. Any number of callers may ask at once."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._kept: OrderedDict[AttachedSchema, Codec] = OrderedDict()
        self._loading: WeakValueDictionary[AttachedSchema, asyncio.Lock] = WeakValueDictionary()

    async def get(self, version: AttachedSchema) -> Codec:
        """The codec of a version; compiled in a thread, because a large one takes its time.

        Raises:
            MemphisSchemaError: The schema was removed, or cannot be used here.
            MemphisConnectError: No broker answered, or the connection is closed.
        """
        if version not in self._kept:
            async with self._loading.setdefault(version, asyncio.Lock()):
                if version not in self._kept:
                    self._kept[version] = await self._load(version)
        codec = self._kept[version]
        self._kept.move_to_end(version)
        while len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)
        return codec

    async def _load(self, version: AttachedSchema) -> Codec:
        request = SchemaVersionGet(name=version.name, version=version.version, id=version.id)
        try:
            definition = await self._rpc.call(request, SchemaDefinition)
        except MemphisNotFoundError as error:
            raise MemphisSchemaError(
                f"version {version.version} of the schema {version.name} was removed"
            ) from error
        return await asyncio.to_thread(compile_schema, definition)
