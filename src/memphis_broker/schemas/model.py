"""What a schema is, and how its versions are laid out in records. Pure.

A schema has one head record, ``<name>``, which lists its versions, and one record for each content,
``<name>.<digest>``: all contents together could outgrow the largest message of the engine, and a
key derived from the content cannot be overwritten with another. A name's dot is written ``/`` in
keys, so the dot before the digest is never part of a name.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import SCHEMA_TYPES
from memphis.wire.names import SchemaName


class SchemaVersion(BaseModel):
    """One version of a schema; its content is kept under its digest."""

    model_config = ConfigDict(frozen=True)

    version: int
    digest: str
    created_at: datetime


class SchemaHead(BaseModel):
    """A schema: its type and its versions, oldest first; the last one is the active one."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    name: str
    type: str
    versions: tuple[SchemaVersion, ...] = ()

    def version_with(self, digest: str) -> int | None:
        """The number of the version that has this content, or None."""
        return next((known.version for known in self.versions if known.digest == digest), None)

    def with_version(self, digest: str, created_at: datetime) -> SchemaHead:
        """The same schema with one version more."""
        added = SchemaVersion(version=len(self.versions) + 1, digest=digest, created_at=created_at)
        return self.model_copy(update={"versions": (*self.versions, added)})


def head_key(name: SchemaName) -> str:
    """The key of a schema's head record."""
    return name.replace(".", "/")


def content_key(name: SchemaName, digest: str) -> str:
    """The key of the record that holds one content."""
    return f"{head_key(name)}.{digest}"


def digest_of(content: str) -> str:
    """What tells one content from another."""
    return hashlib.sha256(content.encode()).hexdigest()


def check_type(type_name: str) -> None:
    """Raise ``INVALID_OPTION`` unless schemas of this type can be stored."""
    if type_name not in SCHEMA_TYPES:
        raise Refusal(
            ErrorCode.INVALID_OPTION,
            f"there is no schema type {type_name!r}; use one of {', '.join(SCHEMA_TYPES)}",
        )


def check_same_type(head: SchemaHead, type_name: str) -> None:
    """Raise ``SCHEMA_TYPE_DIFFERS`` unless a new version would have the schema's own type."""
    if head.type != type_name:
        raise Refusal(
            ErrorCode.SCHEMA_TYPE_DIFFERS,
            f"the schema {head.name} is of type {head.type}, not {type_name}; "
            "use another name for a schema of another type",
        )
