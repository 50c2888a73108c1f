"""Stores schemas and their versions. Checking messages against them happens elsewhere.

Order of writes: the content first, then the head that names it. Killed in between, the broker
leaves a content that no head names, which the same request, made again, finds and uses.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import SchemaCreate, SchemaStored
from memphis.wire.names import SchemaName
from memphis_broker.engine.records import RecordConflictError, RecordStore
from memphis_broker.schemas import model
from memphis_broker.schemas.model import SchemaHead


class SchemaService:
    """Schemas by name. Safe for many tasks and many brokers at once."""

    def __init__(self, records: RecordStore, now: Callable[[], datetime]) -> None:
        self._records = records
        self._now = now

    async def create(self, request: SchemaCreate) -> SchemaStored:
        """Store a schema, or a new version of one.

        Content that some version already has is that version. The newest version is the active one.

        Raises:
            InvalidNameError: The name breaks the grammar.
            Refusal: ``INVALID_OPTION`` for an unknown type, ``SCHEMA_TYPE_DIFFERS`` if the schema
                has another type.
        """
        name = SchemaName.parse(request.name)
        model.check_type(request.type)
        while True:
            try:
                return await self._create_once(name, request)
            except RecordConflictError:
                continue  # another request stored a version meanwhile: look again

    async def _create_once(self, name: SchemaName, request: SchemaCreate) -> SchemaStored:
        record = await self._records.read(model.head_key(name))
        head = SchemaHead(name=name, type=request.type)
        if record.value is not None:
            head = SchemaHead.model_validate_json(record.value)
            model.check_same_type(head, request.type)
        digest = model.digest_of(request.content)
        known = head.version_with(digest)
        if known is not None:
            return SchemaStored(name=name, version=known, created=False)
        await self._keep_content(model.content_key(name, digest), request.content)
        head = head.with_version(digest, self._now())
        await self._records.write(record.key, head.model_dump_json().encode(), record.revision)
        return SchemaStored(name=name, version=len(head.versions), created=True)

    async def _keep_content(self, key: str, content: str) -> None:
        kept = await self._records.read(key)
        if kept.value is None:
            await self._records.write(key, content.encode(), kept.revision)

    async def check_exists(self, name: SchemaName) -> None:
        """Raise ``SCHEMA_NOT_FOUND`` unless there is a schema of this name."""
        if (await self._records.read(model.head_key(name))).value is None:
            raise Refusal(
                ErrorCode.SCHEMA_NOT_FOUND,
                f"there is no schema {name}; create it before stations use it",
            )
