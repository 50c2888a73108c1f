"""Schemas: what the messages of a station have to look like, in versions."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from difflib import unified_diff
from typing import TYPE_CHECKING

from memphis._core.arguments import checked
from memphis._core.schemas import Imports, SchemaText, check_kind, read_content, read_imports
from memphis.exceptions import MemphisUsageError
from memphis.types import Compatibility
from memphis.wire.models import Done
from memphis.wire.names import SchemaName, StationName
from memphis.wire.schemas import (
    SchemaActivate,
    SchemaAttach,
    SchemaCheck,
    SchemaCheckFailure,
    SchemaCheckReport,
    SchemaConfigure,
    SchemaCreate,
    SchemaDefinition,
    SchemaDescription,
    SchemaDetach,
    SchemaGet,
    SchemaList,
    SchemaPage,
    SchemaRemove,
    SchemaStored,
    SchemaSummary,
    SchemaVersionGet,
    SchemaVersionInfo,
)

if TYPE_CHECKING:
    from memphis._core.schemas import FilePath
    from memphis._core.session import Session

__all__ = [
    "Schema",
    "SchemaCheckFailure",
    "SchemaCheckReport",
    "SchemaDefinition",
    "SchemaDescription",
    "SchemaStored",
    "SchemaSummary",
    "SchemaVersionInfo",
]

_CHECK_TIMEOUT_S = 100.0
_CREATE_TIMEOUT_S = 120.0
"""All attempts together; one of them is longer than the broker takes to examine a schema."""


class Schema:
    """The handle of a schema. Made by ``Memphis.create_schema``, ``schema`` and ``schemas``.

    Every method asks the broker, and raises ``MemphisNotFoundError`` if there is no such schema or
    version, ``MemphisConnectError`` if no broker answers.

    Attributes:
        stored: Of the handle that ``create_schema`` returns: the version that holds the content, and
            whether it is new; None otherwise.
    """

    def __init__(
        self, name: SchemaName, kind: str, session: Session, stored: SchemaStored | None = None
    ) -> None:
        self.name = str(name)
        self.type = kind
        self.stored = stored
        self._session = session
        self._rpc = session.rpc

    def __repr__(self) -> str:
        return f"<Schema {self.name} {self.type}>"

    async def describe(self) -> SchemaDescription:
        """What it is now: active version, all versions, compatibility, stations that use it."""
        return await self._rpc.call(SchemaGet(name=self.name), SchemaDescription)

    async def versions(self) -> list[SchemaVersionInfo]:
        """All versions, oldest first; ``active`` says which one stations enforce."""
        return (await self.describe()).versions

    async def definition(self, version: int = 0) -> SchemaDefinition:
        """One version with its content; 0: the active one."""
        request = checked(SchemaVersionGet, name=self.name, version=version)
        return await self._rpc.call(request, SchemaDefinition)

    async def activate(self, version: int) -> None:
        """Have stations enforce this version.

        Producers of this connection do when this returns, those of others within a second.
        """
        await self._rpc.call(checked(SchemaActivate, name=self.name, version=version), Done)
        await _users_follow(self._session, self.name)

    async def diff(self, older: int = 0, newer: int | None = None) -> str:
        """What changed from one version's text to another's, as a unified diff; empty: nothing.

        Args:
            older: A version; 0: the active one.
            newer: A version; 0: the active one; None: the newest.
        """
        if newer is None:
            newer = (await self.versions())[-1].version
        before, after = await self.definition(older), await self.definition(newer)
        return "\n".join(
            line
            for name in sorted({"", *before.imports, *after.imports})
            for line in unified_diff(
                _text(before, name).splitlines(),
                _text(after, name).splitlines(),
                f"{name or self.name} version {before.version}",
                f"{name or self.name} version {after.version}",
                lineterm="",
            )
        )

    async def set_compatibility(self, compatibility: Compatibility) -> None:
        """Have the broker check new versions for this from now on; those there are stay."""
        if not isinstance(compatibility, Compatibility):
            raise MemphisUsageError("compatibility must be a memphis.types.Compatibility")
        await self._rpc.call(SchemaConfigure(name=self.name, compatibility=compatibility), Done)

    async def check(
        self, station_name: str, last: int = 10_000, version: int = 0
    ) -> SchemaCheckReport:
        """How many of a station's newest messages this schema would refuse; nothing is changed.

        Args:
            station_name: The station, whatever schema it has.
            last: How many messages, 1 to 100 000: the newest of the partitions, of each about as many.
            version: The version to try; 0: the active one.
        """
        request = checked(
            SchemaCheck,
            name=self.name,
            station=StationName.parse(station_name),
            last=last,
            version=version,
        )
        return await self._rpc.call(
            request, SchemaCheckReport, timeout_s=_CHECK_TIMEOUT_S, retries=0
        )

    async def remove(self) -> None:
        """Remove the schema with all its versions.

        Messages that were produced with it stay, but ``get_data_deserialized()`` cannot read them any
        more.

        Raises:
            MemphisRequestError: A station uses it, code ``SCHEMA_IN_USE``; detach it first.
        """
        await self._rpc.call(SchemaRemove(name=self.name), Done, if_gone=Done())


async def _users_follow(session: Session, schema: str) -> None:
    """Have this connection's producers enforce the active version before its caller goes on."""
    await session.states.catch_up(
        lambda state: state.is_enforcing and state.description.options.schema_name == schema
    )


def _text(definition: SchemaDefinition, name: str) -> str:
    return definition.imports.get(name, "") if name else definition.content


class SchemaCalls(ABC):
    """The calls of ``Memphis`` that are about schemas."""

    @abstractmethod
    def _open_session(self) -> Session:
        """The session of a connected client."""

    async def create_schema(
        self,
        schema_name: str,
        schema_type: str,
        schema_path: FilePath = "",
        timeout_retries: int = 5,
        *,
        content: SchemaText | None = None,
        imports: Imports = (),
        message_struct_name: str = "",
        encoding: str = "",
        compatibility: Compatibility | None = None,
        activate: bool = False,
    ) -> Schema:
        """Store a schema; new content under a name is a new version, known content changes nothing.

        The first version is active at once. A later one is when it is activated, so that whoever
        stores it does not break producers that run.

        Args:
            schema_name: As station names.
            schema_type: ``protobuf``, ``json``, ``graphql`` or ``avro``.
            schema_path: The file, in UTF-8; or
            content: the text itself, or a pydantic model for type ``json``.
            timeout_retries: How often the broker is asked again when it does not answer.
            imports: For protobuf, the files that it imports: paths (known by their path below the
                schema's folder, else by their own name), or a dict of names and texts.
            message_struct_name: For protobuf, the message of the file; default: its first.
            encoding: For Avro, ``json`` (default: messages travel as JSON, as in the original) or
                ``binary``; the same for all versions.
            compatibility: What this and each later version is checked for; default: as it is, ``NONE``
                for a new schema.
            activate: Whether to activate the version.

        Raises:
            MemphisSchemaError: An unknown type, a file that cannot be read, no valid schema, or one
                that is not compatible with those before; the text says why. Nothing is stored.
            MemphisRequestError: The name has a schema of another type.
        """
        session = self._open_session()
        name = SchemaName.parse(schema_name)
        kind = check_kind(schema_type, encoding)
        request = checked(
            SchemaCreate,
            name=name,
            type=kind,
            content=await read_content(kind, schema_path, content),
            imports=await read_imports(imports, schema_path),
            message_struct_name=message_struct_name,
            encoding=encoding,
            compatibility=compatibility,
            activate=activate,
        )
        stored = await session.rpc.call(
            request, SchemaStored, timeout_s=_CREATE_TIMEOUT_S, retries=timeout_retries
        )
        if activate:
            await _users_follow(session, name)
        return Schema(name, kind, session, stored)

    async def schema(self, schema_name: str) -> Schema:
        """The handle of a schema that exists.

        Raises:
            MemphisNotFoundError: There is no such schema.
        """
        session = self._open_session()
        request = SchemaGet(name=SchemaName.parse(schema_name))
        found = await session.rpc.call(request, SchemaDescription)
        return Schema(SchemaName.parse(found.name), found.type, session)

    async def schemas(self) -> list[Schema]:
        """All schemas in the order of their names."""
        session = self._open_session()
        return [
            Schema(SchemaName.parse(found.name), found.type, session)
            for found in await self.schema_summaries()
        ]

    async def schema_summaries(self) -> list[SchemaSummary]:
        """Of every schema its type, versions, compatibility and number of stations, by name."""
        rpc = self._open_session().rpc
        found: list[SchemaSummary] = []
        more = True
        while more:
            request = SchemaList(after=found[-1].name if found else "")
            page = await rpc.call(request, SchemaPage)
            found += page.schemas
            more = page.more and bool(page.schemas)
        return found

    async def enforce_schema(self, name: str, station_name: str, timeout_retries: int = 5) -> None:
        """Attach a schema to a station; it replaces one that is attached.

        From then on only messages that fit its active version get in: for producers of this connection
        when this returns, for those of others within a second. Messages that are there stay as they are.

        Raises:
            MemphisNotFoundError: There is no such schema or station.
        """
        session = self._open_session()
        station = StationName.parse(station_name)
        request = SchemaAttach(name=SchemaName.parse(name), station=station)
        await session.rpc.call(request, Done, retries=timeout_retries)
        await session.states.catch_up(lambda state: state.name == station)

    async def attach_schema(self, name: str, station_name: str) -> None:
        """The original's older name of :meth:`enforce_schema`."""
        warnings.warn(
            "attach_schema is deprecated; use enforce_schema", DeprecationWarning, stacklevel=2
        )
        await self.enforce_schema(name, station_name)

    async def detach_schema(self, station_name: str, timeout_retries: int = 5) -> None:
        """Detach the station's schema; does nothing if it has none.

        Raises:
            MemphisNotFoundError: There is no such station.
        """
        session = self._open_session()
        station = StationName.parse(station_name)
        await session.rpc.call(SchemaDetach(station=station), Done, retries=timeout_retries)
        await session.states.catch_up(lambda state: state.name == station)

    # The specification's examples spell the two so.
    enforce_schmea = enforce_schema
    detach_schmea = detach_schema
