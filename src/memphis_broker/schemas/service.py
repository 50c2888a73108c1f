"""Everything that can be asked about schemas themselves; attaching one changes a station.

Order of writes: a content first, then the head that names it. Killed in between, the broker leaves a
content that no head names, which the same request, made again, finds and uses. Removal goes the other
way round in three steps, each of which a request made again, or the next start, can finish.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from weakref import WeakValueDictionary

from memphis.types import Compatibility
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import AttachedSchema, Done
from memphis.wire.names import SchemaName
from memphis.wire.schemas import (
    ENCODING_JSON,
    SchemaActivate,
    SchemaConfigure,
    SchemaCreate,
    SchemaDefinition,
    SchemaDescription,
    SchemaGet,
    SchemaList,
    SchemaPage,
    SchemaRemove,
    SchemaStored,
    SchemaVersionGet,
)
from memphis_broker.engine.records import Record, RecordConflictError, RecordStore
from memphis_broker.schemas import model
from memphis_broker.schemas.examination import Examination, Examiner
from memphis_broker.schemas.model import SchemaHead, SchemaSource, SchemaState

_USERS_SHOWN_MAX = 5


class SchemaUsers(Protocol):
    """Who uses schemas, as this slice needs to know it."""

    async def using(self) -> dict[str, list[str]]:
        """For each schema that is attached anywhere, the names of the stations that have it."""

    async def using_for_certain(self, schema: SchemaName) -> list[str]:
        """The names of the stations that have this schema; none is missed."""

    async def tell(self, schema: SchemaName) -> None:
        """Have the clients of all stations with this schema look again."""


class SchemaService:
    """Schemas by name. Safe for many tasks and many brokers at once.

    Every method that takes a request raises ``InvalidNameError`` for a name that breaks the grammar,
    and refuses with ``SCHEMA_NOT_FOUND`` for a schema that is not there.
    """

    def __init__(
        self,
        heads: RecordStore,
        contents: RecordStore,
        examiner: Examiner,
        users: SchemaUsers,
        now: Callable[[], datetime],
    ) -> None:
        self._heads = heads
        self._contents = contents
        self._examiner = examiner
        self._users = users
        self._now = now
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def create(self, request: SchemaCreate) -> SchemaStored:
        """Store a schema, or a new version of one, after it was examined.

        Content that some version already has is that version.

        Raises:
            Refusal: ``INVALID_OPTION``, ``SCHEMA_TYPE_DIFFERS``, ``SCHEMA_INVALID``,
                ``SCHEMA_INCOMPATIBLE``; nothing is stored then.
        """
        name = SchemaName.parse(request.name)
        model.check_content(name, request)
        # Within this broker a lock, so that no version is examined anew for each that came before.
        async with self._locks.setdefault(name, asyncio.Lock()):
            while True:
                try:
                    return await self._create_once(name, request)
                except RecordConflictError:
                    continue  # another broker changed the schema meanwhile: look again

    async def _create_once(self, name: SchemaName, request: SchemaCreate) -> SchemaStored:
        stored, known = await self._read(name)
        head = known or SchemaHead(
            name=name,
            id=uuid.uuid4().hex,
            type=request.type,
            encoding=request.encoding or ENCODING_JSON,
        )
        model.check_same_kind(head, request)
        digest = model.digest_of(request.content, request.imports)
        version = head.version_with(digest, request.message_struct_name)
        new = head.configured(request.compatibility, None)
        if created := version is None:
            examined = await self._examine(new, request)
            message = examined.message_struct_name
            new = new.with_version(
                digest, message, self._now(), by_default=not request.message_struct_name
            )
            source = SchemaSource(
                content=request.content, imports=request.imports, descriptor=examined.descriptor
            )
            await self._keep(model.content_key(head.id, digest), source)
            version = new.versions[-1]
        if request.activate:
            new = new.configured(None, version.version)
        if new != head:
            await self._write(stored, new)
        if request.activate or not head.versions:
            await self._users.tell(
                name
            )  # a station may have kept the name of a schema that was removed
        return SchemaStored(
            name=name, version=version.version, created=created, active_version=new.active
        )

    async def _examine(self, head: SchemaHead, request: SchemaCreate) -> SchemaDefinition:
        """The new version with what its examination found out."""
        wanted = SchemaDefinition(
            name=head.name,
            id=head.id,
            version=len(head.versions) + 1,
            type=head.type,
            content=request.content,
            imports=request.imports,
            encoding=head.encoding,
            message_struct_name=request.message_struct_name,
        )
        earlier = head.versions if head.compatibility.is_transitive else head.versions[-1:]
        if head.compatibility is Compatibility.NONE:
            earlier = ()
        examination = Examination(
            definition=wanted,
            compatibility=head.compatibility,
            earlier=[await self._define(head, version.version) for version in earlier],
        )
        return await self._examiner.examine(examination)

    async def _keep(self, key: str, source: SchemaSource) -> None:
        kept = await self._contents.read(key)
        if kept.value is None:
            await self._contents.write(key, source.model_dump_json().encode(), kept.revision)

    async def get(self, request: SchemaGet) -> SchemaDescription:
        """Describe a schema."""
        name = SchemaName.parse(request.name)
        head = await self.ready(name)
        return head.describe((await self._users.using()).get(name, []))

    async def page(self, request: SchemaList) -> SchemaPage:
        """A page of the schemas in the order of their names."""
        after = request.after.lower()
        heads = [_parse(record) for record in await self._heads.scan()]
        following = sorted(
            (h for h in heads if h.state is SchemaState.READY and h.name > after),
            key=lambda head: head.name,
        )
        using = await self._users.using()
        chosen = following[: request.limit]
        return SchemaPage(
            schemas=[head.summarize(len(using.get(head.name, []))) for head in chosen],
            more=len(following) > len(chosen),
        )

    async def definition(self, request: SchemaVersionGet) -> SchemaDefinition:
        """One version with its content.

        Raises:
            Refusal: ``SCHEMA_VERSION_NOT_FOUND`` as well.
        """
        name = SchemaName.parse(request.name)
        head = await self.ready(name)
        if request.id and head.id != request.id:
            raise model.not_found(name)
        return await self._define(head, request.version)

    async def _define(self, head: SchemaHead, number: int) -> SchemaDefinition:
        version = head.version(number)
        kept = await self._contents.read(model.content_key(head.id, version.digest))
        if kept.value is None:  # removed since the head was read
            raise model.not_found(SchemaName.parse(head.name))
        return head.define(version, SchemaSource.model_validate_json(kept.value))

    async def activate(self, request: SchemaActivate) -> Done:
        """Have stations enforce a version, and tell their clients; also an older one again.

        Raises:
            Refusal: ``SCHEMA_VERSION_NOT_FOUND`` as well.
        """
        name = SchemaName.parse(request.name)
        await self._change(
            name, lambda head: head.configured(None, head.version(request.version).version)
        )
        # Also if it was active: whoever activated it may have been killed before they could tell.
        await self._users.tell(name)
        return Done()

    async def configure(self, request: SchemaConfigure) -> Done:
        """Set what new versions are checked for."""
        await self._change(
            SchemaName.parse(request.name),
            lambda head: head.configured(request.compatibility, None),
        )
        return Done()

    async def _change(self, name: SchemaName, alter: Callable[[SchemaHead], SchemaHead]) -> None:
        while True:
            stored, head = await self._read(name)
            if head is None:
                raise model.not_found(name)
            new = alter(head)
            if new == head:
                return
            try:
                await self._write(stored, new)
            except RecordConflictError:
                continue  # somebody else changed it meanwhile: look again
            return

    async def _write(self, stored: Record, head: SchemaHead) -> None:
        await self._heads.write(stored.key, head.model_dump_json().encode(), stored.revision)

    async def attached(self, name: SchemaName) -> AttachedSchema | None:
        """What clients of a station with this schema need to know; None if the schema is gone."""
        stored = await self._heads.read(model.head_key(name))
        return None if stored.value is None else _parse(stored).attached()

    async def ready(self, name: SchemaName) -> SchemaHead:
        """The schema, which nobody removes.

        Raises:
            Refusal: ``SCHEMA_NOT_FOUND``, or ``SCHEMA_CHANGING`` while it is being removed.
        """
        _, head = await self._read(name)
        if head is None:
            raise model.not_found(name)
        return head

    async def hold(self, name: SchemaName) -> None:
        """For a station that was given the schema a moment ago: see to it that the schema stays.

        A removal that has begun meanwhile, and has not looked for stations yet, is taken back.

        Raises:
            Refusal: ``SCHEMA_NOT_FOUND``: it is too late.
        """
        while True:
            stored = await self._heads.read(model.head_key(name))
            head = None if stored.value is None else _parse(stored)
            if head is None or head.state is SchemaState.ERASING:
                raise model.not_found(name)
            if head.state is SchemaState.READY:
                return
            try:
                await self._advance(stored, head, SchemaState.READY)
            except RecordConflictError:
                continue  # whoever removes it was quicker, or gave way as well

    async def _read(self, name: SchemaName) -> tuple[Record, SchemaHead | None]:
        stored = await self._heads.read(model.head_key(name))
        head = None if stored.value is None else _parse(stored)
        if head is not None and head.state is not SchemaState.READY:
            raise model.being_removed(name)
        return stored, head

    async def remove(self, request: SchemaRemove) -> Done:
        """Remove a schema that no station has.

        Raises:
            Refusal: ``SCHEMA_IN_USE``; nothing is changed then.
        """
        name = SchemaName.parse(request.name)
        if not await self._remove(name):
            raise model.not_found(name)
        return Done()

    async def _remove(self, name: SchemaName) -> bool:
        key = model.head_key(name)
        began = False
        while True:
            stored = await self._heads.read(key)
            if stored.value is None:
                return began
            head = _parse(stored)
            try:
                if head.state is SchemaState.READY:
                    await self._advance(stored, head, SchemaState.REMOVING)
                elif head.state is SchemaState.REMOVING:
                    began = True
                    await self._leave_if_used(stored, head)
                    await self._advance(stored, head, SchemaState.ERASING)
                else:
                    began = True
                    await self._erase(stored, head)
            except RecordConflictError:
                continue

    async def _leave_if_used(self, stored: Record, head: SchemaHead) -> None:
        users = await self._users.using_for_certain(SchemaName.parse(head.name))
        if not users:
            return
        await self._advance(stored, head, SchemaState.READY)
        more = (
            "" if len(users) <= _USERS_SHOWN_MAX else f" and {len(users) - _USERS_SHOWN_MAX} more"
        )
        raise Refusal(
            ErrorCode.SCHEMA_IN_USE,
            f"the schema {head.name} is attached to {', '.join(users[:_USERS_SHOWN_MAX])}{more}; "
            "detach it there first",
        )

    async def _advance(self, stored: Record, head: SchemaHead, state: SchemaState) -> None:
        await self._write(stored, head.model_copy(update={"state": state}))

    async def _erase(self, stored: Record, head: SchemaHead) -> None:
        for digest in {version.digest for version in head.versions}:
            content = await self._contents.read(model.content_key(head.id, digest))
            if content.value is not None:
                await self._contents.erase(content.key, content.revision)
        await self._heads.erase(stored.key, stored.revision)

    async def open(self) -> None:
        """Make sure that the buckets are there."""
        await self._heads.open()
        await self._contents.open()

    async def recover(self) -> None:
        """Finish, or take back, the removals that a killed broker has left."""
        for record in await self._heads.scan():
            head = _parse(record)
            if head.state is not SchemaState.READY:
                await self._recover_one(SchemaName.parse(head.name))

    async def _recover_one(self, name: SchemaName) -> None:
        try:
            await self._remove(name)
        except Refusal as refusal:
            if refusal.code is not ErrorCode.SCHEMA_IN_USE:
                raise


def _parse(record: Record) -> SchemaHead:
    return SchemaHead.model_validate_json(record.value or b"")
