"""What a schema is, and how its versions are laid out in records. Pure.

A schema has one head record, which lists its versions, and one record for each content in a bucket of
its own: all contents together could outgrow the largest message of the engine, and whoever lists
schemas shall not read them. A content's key is made of the schema's id and the content's digest, so it
cannot be overwritten with another content, nor taken for that of a later schema of the same name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from pydantic import BaseModel, ConfigDict

from memphis.types import Compatibility
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import AttachedSchema
from memphis.wire.names import SchemaName
from memphis.wire.schemas import (
    ENCODING_JSON,
    ENCODINGS,
    SCHEMA_CONTENT_LENGTH_MAX,
    SCHEMA_TYPES,
    SCHEMA_VERSIONS_MAX,
    SchemaContent,
    SchemaDefinition,
    SchemaDescription,
    SchemaSummary,
    SchemaVersionInfo,
)


class SchemaState(Enum):
    """How far a schema's life has come."""

    READY = "ready"
    REMOVING = "removing"
    """Nobody may attach it any more; if a station has it after all, it becomes ready again."""
    ERASING = "erasing"
    """No station has it; its contents may be gone."""


class SchemaVersion(BaseModel):
    """One version of a schema; its content is kept under its digest."""

    model_config = ConfigDict(frozen=True)

    version: int
    digest: str
    message_struct_name: str
    by_default: bool
    """Whether nobody named the message: it is the content's first then."""
    created_at: datetime


class SchemaSource(BaseModel):
    """A content as it is kept."""

    model_config = ConfigDict(frozen=True)

    content: str
    imports: dict[str, str]
    descriptor: str


class SchemaHead(BaseModel):
    """A schema: its type and its versions, oldest first.

    Attributes:
        id: Unique to one life: a schema that is removed and created again gets another.
        active: The number of the version that stations enforce; 0 before the first is stored.
    """

    model_config = ConfigDict(frozen=True)

    format: int = 2
    name: str
    id: str
    type: str
    encoding: str = ENCODING_JSON
    compatibility: Compatibility = Compatibility.NONE
    state: SchemaState = SchemaState.READY
    active: int = 0
    versions: tuple[SchemaVersion, ...] = ()

    def version_with(self, digest: str, message_struct_name: str) -> SchemaVersion | None:
        """The version that has this content and the message of this name; empty: the first one."""
        for known in self.versions:
            full_name = known.message_struct_name
            names = {full_name, full_name.rpartition(".")[2]}
            is_same = message_struct_name in names if message_struct_name else known.by_default
            if known.digest == digest and is_same:
                return known
        return None

    def version(self, number: int) -> SchemaVersion:
        """A version by its number; 0: the active one.

        Raises:
            Refusal: ``SCHEMA_VERSION_NOT_FOUND``.
        """
        number = number or self.active
        if number > len(self.versions):
            raise Refusal(
                ErrorCode.SCHEMA_VERSION_NOT_FOUND,
                f"the schema {self.name} has no version {number}; its newest is {len(self.versions)}",
            )
        return self.versions[number - 1]

    def with_version(
        self, digest: str, message_struct_name: str, created_at: datetime, *, by_default: bool
    ) -> SchemaHead:
        """The same schema with one version more; the first one is active.

        Raises:
            Refusal: ``INVALID_OPTION``: there are as many as there may be.
        """
        if len(self.versions) == SCHEMA_VERSIONS_MAX:
            raise Refusal(
                ErrorCode.INVALID_OPTION,
                f"the schema {self.name} has {SCHEMA_VERSIONS_MAX} versions, which is the most that a "
                "schema can have; use another name",
            )
        added = SchemaVersion(
            version=len(self.versions) + 1,
            digest=digest,
            message_struct_name=message_struct_name,
            by_default=by_default,
            created_at=created_at,
        )
        return self.model_copy(
            update={"versions": (*self.versions, added), "active": self.active or 1}
        )

    def configured(self, compatibility: Compatibility | None, active: int | None) -> SchemaHead:
        """The same schema with what is not None set anew."""
        update: dict[str, object] = {}
        if compatibility is not None:
            update["compatibility"] = compatibility
        if active is not None:
            update["active"] = active
        return self.model_copy(update=update)

    def attached(self) -> AttachedSchema:
        """What a station that has it tells its clients."""
        return AttachedSchema(name=self.name, id=self.id, version=self.active)

    def define(self, version: SchemaVersion, source: SchemaSource) -> SchemaDefinition:
        """One version with its content."""
        return SchemaDefinition(
            name=self.name,
            id=self.id,
            version=version.version,
            type=self.type,
            content=source.content,
            imports=source.imports,
            encoding=self.encoding,
            message_struct_name=version.message_struct_name,
            descriptor=source.descriptor,
        )

    def describe(self, stations: list[str]) -> SchemaDescription:
        """The schema, its versions, and who uses it."""
        return SchemaDescription(
            name=self.name,
            id=self.id,
            type=self.type,
            encoding=self.encoding,
            compatibility=self.compatibility,
            active_version=self.active,
            versions=[
                SchemaVersionInfo(
                    version=version.version,
                    created_at=version.created_at,
                    active=version.version == self.active,
                    message_struct_name=version.message_struct_name,
                )
                for version in self.versions
            ],
            stations=stations,
        )

    def summarize(self, stations: int) -> SchemaSummary:
        """One line in a list."""
        return SchemaSummary(
            name=self.name,
            type=self.type,
            compatibility=self.compatibility,
            active_version=self.active,
            versions=len(self.versions),
            stations=stations,
            created_at=self.versions[0].created_at,
        )


def head_key(name: SchemaName) -> str:
    """The key of a schema's head record. A dot would split the key."""
    return name.replace(".", "/")


def content_key(schema_id: str, digest: str) -> str:
    """The key of the record that holds one content."""
    return f"{schema_id}.{digest}"


def digest_of(content: str, imports: Mapping[str, str]) -> str:
    """What tells one content from another."""
    text = json.dumps([content, sorted(imports.items())])
    return hashlib.sha256(text.encode()).hexdigest()


def check_content(name: SchemaName, given: SchemaContent) -> None:
    """Raise ``INVALID_OPTION`` unless schemas of this kind and size can be stored."""
    if given.type not in SCHEMA_TYPES:
        raise Refusal(
            ErrorCode.INVALID_OPTION,
            f"there is no schema type {given.type!r}; use one of {', '.join(SCHEMA_TYPES)}",
        )
    if given.encoding and (given.encoding not in ENCODINGS or given.type != "avro"):
        raise Refusal(
            ErrorCode.INVALID_OPTION,
            f"the encoding {given.encoding!r} is not possible for {given.type} schemas; leave it out, "
            f"or use one of {', '.join(ENCODINGS)} for an Avro schema",
        )
    if given.type != "protobuf" and (given.imports or given.message_struct_name):
        raise Refusal(
            ErrorCode.INVALID_OPTION,
            f"imports and message_struct_name are for protobuf schemas; {name} is of type {given.type}",
        )
    size = len(given.content) + sum(len(text) for text in given.imports.values())
    if size > SCHEMA_CONTENT_LENGTH_MAX:
        raise Refusal(
            ErrorCode.INVALID_OPTION,
            f"the schema {name} has {size} characters with its imports; at most "
            f"{SCHEMA_CONTENT_LENGTH_MAX} are possible",
        )


def check_same_kind(head: SchemaHead, given: SchemaContent) -> None:
    """Raise unless a new version would have the schema's own type and encoding."""
    if head.type != given.type:
        raise Refusal(
            ErrorCode.SCHEMA_TYPE_DIFFERS,
            f"the schema {head.name} is of type {head.type}, not {given.type}; "
            "use another name for a schema of another type",
        )
    if given.encoding and head.encoding != given.encoding:
        raise Refusal(
            ErrorCode.INVALID_OPTION,
            f"the messages of schema {head.name} travel as {head.encoding}, not as {given.encoding}; "
            "use another name for a schema of another encoding",
        )


def not_found(name: SchemaName) -> Refusal:
    """The refusal for a schema that is not there."""
    return Refusal(
        ErrorCode.SCHEMA_NOT_FOUND, f"there is no schema {name}; create it, or check its name"
    )


def being_removed(name: SchemaName) -> Refusal:
    """The refusal for a schema that is on its way out."""
    return Refusal(
        ErrorCode.SCHEMA_CHANGING,
        f"the schema {name} is being removed; try again in a moment, or remove it again if that was "
        "interrupted",
    )
