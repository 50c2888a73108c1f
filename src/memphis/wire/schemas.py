"""Requests and replies about schemas; their rules are those of :mod:`memphis.wire.models`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, ClassVar, Final

from pydantic import Field

from memphis.types import Compatibility
from memphis.wire.models import LIST_LIMIT_MAX, AttachedSchema, NameText, Reply, Request
from memphis.wire.names import InvalidNameError, SchemaName

SCHEMA_TYPES: Final = ("protobuf", "json", "graphql", "avro")
SCHEMA_CONTENT_LENGTH_MAX: Final = 512 * 1024
"""Characters of a schema, its imported files included."""
SCHEMA_VERSIONS_MAX: Final = 1000
IMPORTS_MAX: Final = 100
CHECKED_MESSAGES_MAX: Final = 100_000
FAILURES_SHOWN_MAX: Final = 20

ENCODING_JSON: Final = "json"
ENCODING_BINARY: Final = "binary"
ENCODINGS: Final = (ENCODING_JSON, ENCODING_BINARY)
"""How messages of an Avro schema travel; schemas of other types have one form only."""

_MARK: Final = re.compile(
    r"(?P<name>[^/]{1,128})/(?P<version>[1-9][0-9]{0,3})/(?P<id>[0-9a-f]{1,64})"
)

Version = Annotated[int, Field(ge=1, le=SCHEMA_VERSIONS_MAX)]
VersionOrActive = Annotated[int, Field(ge=0, le=SCHEMA_VERSIONS_MAX)]
"""0: the active one."""


class SchemaContent(Request):
    """What makes one version of a schema. The base of requests, and a value in them."""

    noun: ClassVar[str] = ""
    verb: ClassVar[str] = ""
    type: Annotated[str, Field(max_length=32)]
    """One of ``protobuf``, ``json``, ``graphql``, ``avro``."""
    content: Annotated[str, Field(min_length=1, max_length=SCHEMA_CONTENT_LENGTH_MAX)]
    imports: Annotated[dict[str, str], Field(max_length=IMPORTS_MAX, default_factory=dict)]
    """For protobuf: other files that this one imports, by the name it imports them under."""
    message_struct_name: Annotated[str, Field(max_length=512)] = ""
    """For protobuf: which message of the file; empty: its first."""
    encoding: Annotated[str, Field(max_length=32)] = ""
    """For Avro: one of :data:`ENCODINGS`; empty: ``json``, or that of the earlier versions."""


class SchemaCreate(SchemaContent):
    """Store a schema, or a new version of one. Reply: :class:`SchemaStored`.

    The first version is active at once, a later one when it is activated. Content that a version
    already has is that version.
    """

    noun = "schema"
    verb = "create"
    name: NameText
    compatibility: Annotated[Compatibility | None, Field(strict=False)] = None
    """What each new version is checked for; None: NONE, or as it is."""
    activate: bool = False
    """Whether to activate the version as well."""


class SchemaStored(Reply):
    """The version that holds this content, and whether this request made it."""

    name: str
    version: int
    created: bool
    active_version: int


class SchemaGet(Request):
    """Describe a schema. Reply: :class:`SchemaDescription`. Refused with 3001 if missing."""

    noun = "schema"
    verb = "get"
    name: NameText


class SchemaVersionInfo(Reply):
    """One version of a schema, without its content."""

    version: int
    created_at: datetime
    active: bool
    message_struct_name: str = ""


class SchemaDescription(Reply):
    """A schema, its versions, and who uses it."""

    name: str
    id: str
    """Unique to this life of the schema: one created again under its name gets another."""
    type: str
    encoding: str
    compatibility: Compatibility
    active_version: int
    versions: list[SchemaVersionInfo]
    stations: list[str]
    """The stations that it is attached to."""


class SchemaList(Request):
    """A page of schemas in the order of their names. Reply: :class:`SchemaPage`."""

    noun = "schema"
    verb = "list"
    after: NameText = ""
    limit: Annotated[int, Field(ge=1, le=LIST_LIMIT_MAX)] = 200


class SchemaSummary(Reply):
    """One line in a list of schemas."""

    name: str
    type: str
    compatibility: Compatibility
    active_version: int
    versions: int
    stations: int
    created_at: datetime


class SchemaPage(Reply):
    """A page of schemas; ``more`` says whether another follows the last name."""

    schemas: list[SchemaSummary]
    more: bool


class SchemaVersionGet(Request):
    """One version with its content. Reply: :class:`SchemaDefinition`."""

    noun = "schema"
    verb = "version"
    name: NameText
    version: VersionOrActive = 0
    id: Annotated[str, Field(max_length=64)] = ""
    """Only of this life of the schema; a later one is refused like a missing one."""


class SchemaDefinition(Reply):
    """Everything that a client needs to check messages against one version of a schema."""

    name: str
    id: str
    version: int
    type: str
    content: str
    imports: dict[str, str] = Field(default_factory=dict)
    encoding: str = ENCODING_JSON
    message_struct_name: str = ""
    """For protobuf: the full name of the message, its package included."""
    descriptor: str = ""
    """For protobuf: a serialized ``FileDescriptorSet`` in base64, imports first."""


class SchemaActivate(Request):
    """Make a version the one that stations enforce. Reply: :class:`Done`."""

    noun = "schema"
    verb = "activate"
    name: NameText
    version: Version


class SchemaConfigure(Request):
    """Set what new versions are checked for. Reply: :class:`Done`."""

    noun = "schema"
    verb = "configure"
    name: NameText
    compatibility: Annotated[Compatibility, Field(strict=False)]


class SchemaRemove(Request):
    """Remove a schema that no station uses. Reply: :class:`Done`. Refused with 3005 if one does."""

    noun = "schema"
    verb = "remove"
    name: NameText


class SchemaAttach(Request):
    """Attach a schema to a station. Reply: :class:`Done`."""

    noun = "schema"
    verb = "attach"
    name: NameText
    station: NameText


class SchemaDetach(Request):
    """Detach whatever schema a station has. Reply: :class:`Done`."""

    noun = "schema"
    verb = "detach"
    station: NameText


class SchemaCheck(Request):
    """Try a version on the newest messages of a station. Reply: :class:`SchemaCheckReport`."""

    noun = "schema"
    verb = "check"
    name: NameText
    version: VersionOrActive = 0
    station: NameText
    last: Annotated[int, Field(ge=1, le=CHECKED_MESSAGES_MAX)] = 10_000


class SchemaCheckFailure(Reply):
    """A message that the schema would refuse."""

    partition: int
    sequence: int
    reason: str


class SchemaCheckReport(Reply):
    """How many messages were tried and refused, and the first few of these."""

    version: int
    checked: int
    refused: int
    failures: list[SchemaCheckFailure]
    complete: bool
    """False: time ran out before all were tried."""


def write_mark(version: AttachedSchema) -> str:
    """The value of the header :data:`memphis.wire.headers.SCHEMA`: name, version and id."""
    return f"{version.name}/{version.version}/{version.id}"


def read_mark(value: str) -> AttachedSchema | None:
    """The version that :func:`write_mark` wrote; None for a value that it cannot have written."""
    found = _MARK.fullmatch(value)
    if found is None or int(found["version"]) > SCHEMA_VERSIONS_MAX:
        return None
    try:
        name = SchemaName.parse(found["name"])
    except InvalidNameError:
        return None
    return AttachedSchema(name=name, id=found["id"], version=int(found["version"]))
