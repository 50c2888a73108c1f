"""Recreates what an export holds on this broker, with the SDK's calls alone.

Schemas first, because stations need them; then stations, each after the one that gets its dead letters;
then users, if their passwords can be kept. Invariants: what is there already is never changed, only added
to; so the same import, done again after whatever ended it, does the rest and nothing twice. Each schema,
station and user has one outcome, and a user's password is kept before the user is created.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from memphis.exceptions import (
    MemphisNotFoundError,
    MemphisRequestError,
    MemphisSchemaError,
    MemphisUsageError,
)
from memphis.transport.errors import bare_text
from memphis.wire.names import SchemaName, StationName, UserName
from memphis_broker.move_in.model import (
    Difference,
    Export,
    ExportedSchema,
    ExportedStation,
    ExportedUser,
    ExportedVersion,
    MoveInError,
    application_users,
    differences,
    distinct_versions,
    in_order,
    not_carried,
    not_carried_of_user,
    wanted_options,
)

if TYPE_CHECKING:
    from memphis import Memphis
    from memphis.schemas import Schema, SchemaDefinition

_REFUSED = (MemphisRequestError, MemphisSchemaError, MemphisUsageError, MoveInError)
"""Of one schema, station or user; whatever else goes wrong ends the import."""
_PASSWORD_BYTES = 24


class Outcome(Enum):
    """What became of one schema, station or user; or would, in a dry run."""

    CREATED = "created"
    COMPLETED = "completed"
    """Versions were added to a schema that was there."""
    PRESENT = "present"
    """It was there already, and is like the original's."""
    DIFFERS = "differs"
    """It was there already and is otherwise; it was left as it is."""
    FAILED = "failed"


ARRIVED = frozenset({Outcome.CREATED, Outcome.COMPLETED, Outcome.PRESENT})


class Result(NamedTuple):
    """One schema, station or user, and what became of it."""

    kind: str
    """``schema``, ``station`` or ``user``."""
    name: str
    outcome: Outcome
    words: str = ""
    """What there is to say; for DIFFERS and FAILED why."""
    differences: Sequence[Difference] = ()
    """For a station that DIFFERS: in what."""
    not_carried: Sequence[str] = ()
    """What the original's has that this broker does not."""


class Importer:
    """One import.

    Args:
        memphis: Connected to this broker, as somebody who may create stations and schemas.
        export: What to recreate.
        replicas: On how many servers each message is kept; None: as at the original.
        dry_run: Look at what is there, and change nothing.
        keep_password: Keeps the new password of a user by name, before the user is created; raises
            MoveInError if it cannot. None: no users are created.
    """

    def __init__(
        self,
        memphis: Memphis,
        export: Export,
        *,
        replicas: int | None,
        dry_run: bool,
        keep_password: Callable[[str, str], object] | None = None,
    ) -> None:
        self._memphis = memphis
        self._export = export
        self._replicas = replicas
        self._dry_run = dry_run
        self._keep_password = keep_password
        self._lost_schemas: set[str] = set()

    async def run(self, tell: Callable[[Result], object]) -> bool:
        """Recreate everything, and tell of each schema, station and user; whether all arrived.

        Raises:
            MemphisConnectError: The broker is gone; the import can be done again.
            MemphisTimeoutError: It does not answer; likewise.
        """
        arrived = True

        def told(result: Result) -> None:
            nonlocal arrived
            arrived = arrived and result.outcome in ARRIVED
            tell(result)

        for schema in self._export.schemas:
            result = await self._schema(schema)
            if result.outcome is Outcome.FAILED:
                self._lost_schemas.add(schema.name.lower())
            told(result)
        later: list[ExportedStation] = []
        to_come = {station.name.lower() for station in self._export.stations}
        for station in in_order(self._export.stations):
            to_come.discard(station.name.lower())
            # Two stations that have each other's dead letters: the link is made when both are there.
            waits = station.dls_station.lower() in to_come
            result = await self._station(station, links=not waits)
            if waits and result.outcome is Outcome.CREATED and not self._dry_run:
                later.append(station)
            told(result)
        for station in later:
            created = await self._memphis.existing_station(station.name)
            await created.configure(dls_station=station.dls_station)
        if self._keep_password and (users := application_users(self._export.users)):
            here = {user.name for user in await self._memphis.users()}
            for user in users:
                told(await self._user(user, here, self._keep_password))
        return arrived

    # Schemas.

    async def _schema(self, schema: ExportedSchema) -> Result:
        carried = [f"its tags ({', '.join(schema.tags)})"] if schema.tags else []
        try:
            outcome, words = await self._import_schema(schema)
        except _REFUSED as error:
            outcome, words = Outcome.FAILED, bare_text(error)
        return Result("schema", schema.name.lower(), outcome, words, (), carried)

    async def _import_schema(self, schema: ExportedSchema) -> tuple[Outcome, str]:
        name = SchemaName.parse(schema.name)
        versions = distinct_versions(schema)
        try:
            known = await self._memphis.schema(name)
        except MemphisNotFoundError:
            await self._store(name, schema.type, versions)
            return Outcome.CREATED, _said_of_versions(schema, versions)
        if known.type != schema.type:
            return Outcome.DIFFERS, f"it is of type {known.type} here, not {schema.type}"
        here = await _definitions(known)
        if len(here) > len(versions) or not all(map(_is_same, here, versions)):
            return Outcome.DIFFERS, "it has versions here that are not the original's"
        missing = versions[len(here) :]
        await self._store(name, schema.type, missing)
        active = next(n for n, version in enumerate(versions, 1) if version.active)
        if active <= len(here) and (await known.describe()).active_version != active:
            return Outcome.DIFFERS, (
                f"another version than {active} is active here; for the original's: "
                f"memphis schema activate {name} {active}"
            )
        if missing:
            return Outcome.COMPLETED, f"{_versions(len(missing))} added"
        return Outcome.PRESENT, _versions(len(versions))

    async def _store(
        self, name: SchemaName, kind: str, versions: Sequence[ExportedVersion]
    ) -> None:
        if self._dry_run:
            return
        for version in versions:
            # Stored and activated with one request: an import that is cut off leaves no version that
            # would have to be active and is not. Promises of compatibility are made by nobody here.
            await self._memphis.create_schema(
                name,
                kind,
                content=version.content,
                message_struct_name=version.message_struct_name if kind == "protobuf" else "",
                activate=version.active,
            )

    # Stations.

    async def _station(self, station: ExportedStation, *, links: bool) -> Result:
        name = station.name.lower()
        carried = not_carried(station)
        try:
            outcome, words, differing = await self._import_station(station, links=links)
        except _REFUSED as error:
            outcome, words, differing = Outcome.FAILED, bare_text(error), []
        return Result("station", name, outcome, words, differing, carried)

    async def _import_station(
        self, station: ExportedStation, *, links: bool
    ) -> tuple[Outcome, str, list[Difference]]:
        if not station.is_native:
            raise MoveInError(
                "it is a stream that a NATS client made, not a station; copy it with NATS tools"
            )
        name = StationName.parse(station.name)
        wanted = wanted_options(station, self._replicas)
        try:
            existing = await self._memphis.existing_station(name)
        except MemphisNotFoundError:
            if wanted.schema_name in self._lost_schemas:
                raise MoveInError(
                    f"its schema {wanted.schema_name} did not arrive; without it anything would get in"
                ) from None
            if not self._dry_run:
                options = wanted if links else wanted.model_copy(update={"dls_station": ""})
                given = dict(options)
                await self._memphis.station(name, **given)
            return Outcome.CREATED, _said_of_partitions(station), []
        differing = differences(existing.options, wanted)
        if differing:
            return Outcome.DIFFERS, "", differing
        return Outcome.PRESENT, "", []

    # Users.

    async def _user(
        self, user: ExportedUser, here: set[str], keep_password: Callable[[str, str], object]
    ) -> Result:
        outcome, words = Outcome.CREATED, "with a new password"
        try:
            name = UserName.parse(user.name)
            if name in here:
                outcome, words = Outcome.PRESENT, "with the password that it has"
            elif not self._dry_run:
                password = secrets.token_urlsafe(_PASSWORD_BYTES)
                keep_password(name, password)
                await self._memphis.create_user(name, password)
        except _REFUSED as error:
            outcome, words = Outcome.FAILED, bare_text(error)
        return Result("user", user.name.lower(), outcome, words, (), not_carried_of_user(user))


async def _definitions(schema: Schema) -> list[SchemaDefinition]:
    return [await schema.definition(version.version) for version in await schema.versions()]


def _is_same(here: SchemaDefinition, version: ExportedVersion) -> bool:
    full_name = here.message_struct_name
    names = {"", full_name, full_name.rpartition(".")[2]}
    is_same_message = here.type != "protobuf" or version.message_struct_name in names
    return here.content == version.content and is_same_message


def _versions(count: int) -> str:
    return f"{count:,} version{'' if count == 1 else 's'}"


def _said_of_versions(schema: ExportedSchema, versions: Sequence[ExportedVersion]) -> str:
    words = _versions(len(versions))
    if len(versions) < len(schema.versions):
        words += f" (of the original's {len(schema.versions)}, some have the same content)"
    return words


def _said_of_partitions(station: ExportedStation) -> str:
    count = max(station.partitions, 1)
    words = f"{count:,} partition{'' if count == 1 else 's'}"
    return words if station.partitions else f"{words}, for one without any"
