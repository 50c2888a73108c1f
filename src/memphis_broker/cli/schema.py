"""`memphis schema`: what the messages of stations have to look like, in versions.

In the flow: a command line > here > the SDK's schemas. What a schema may be, and what a station
makes of it, is the broker's to judge; the texts of its refusals are passed on as they are.
"""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memphis_broker.cli import _output
from memphis_broker.cli._client import FAILED, USED_WRONGLY, connected
from memphis_broker.cli._lines import LineReader, LineTooLongError
from memphis_broker.cli.station import confirm_or_exit

if TYPE_CHECKING:
    from memphis import Memphis
    from memphis.schemas import (
        SchemaCheckReport,
        SchemaDefinition,
        SchemaDescription,
        SchemaStored,
        SchemaSummary,
    )

_STANDARD_INPUT = Path("-")


class TypeChoice(Enum):
    """The types of schemas, as the command line spells them."""

    PROTOBUF = "protobuf"
    JSON = "json"
    GRAPHQL = "graphql"
    AVRO = "avro"


class EncodingChoice(Enum):
    """How messages of an Avro schema travel, as the command line spells it."""

    JSON = "json"
    BINARY = "binary"


class CompatibilityChoice(Enum):
    """What new versions are checked for. The SDK's own words, which would be slow to import here."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"


_TYPES_BY_SUFFIX = {
    ".proto": TypeChoice.PROTOBUF,
    ".avsc": TypeChoice.AVRO,
    ".graphql": TypeChoice.GRAPHQL,
    ".gql": TypeChoice.GRAPHQL,
    ".json": TypeChoice.JSON,
}


def _schema_file(given: str) -> Path:
    """The file as it was typed. Typer's own check knows no standard input."""
    file = Path(given)
    if file != _STANDARD_INPUT and not file.exists():
        raise typer.BadParameter(f"there is no file {given!r}")
    if file.is_dir():
        raise typer.BadParameter(f"{given!r} is a directory")
    return file


app = typer.Typer(
    invoke_without_command=True,
    help="Store, compare and activate schemas, and attach them to stations.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schema's name.")]
File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="The schema in UTF-8; - is standard input.", parser=_schema_file
    ),
]
Station = Annotated[str, typer.Argument(metavar="STATION", help="The station's name.")]
Version = Annotated[int, typer.Option("--version", min=0, help="The version; 0 is the active one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.callback()
def schema(context: typer.Context) -> None:
    """Store, compare and activate schemas, and attach them to stations."""
    if context.invoked_subcommand is None:
        _output.write_line(context.get_help())
        raise typer.Exit(USED_WRONGLY)


@app.command()
@connected
async def create(
    memphis: Memphis,
    name: Name,
    file: File,
    schema_type: Annotated[
        TypeChoice | None,
        typer.Option(
            "--type",
            "-t",
            case_sensitive=False,
            help="Its type; told from .proto, .avsc, .graphql, .gql and .json where it is left out.",
        ),
    ] = None,
    imports: Annotated[
        list[Path] | None,
        typer.Option(
            "--import",
            help="For protobuf, a file that it imports; may be repeated.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    message: Annotated[
        str,
        typer.Option(
            help="For protobuf, which message of the file. [its first]", show_default=False
        ),
    ] = "",
    encoding: Annotated[
        EncodingChoice | None,
        typer.Option(case_sensitive=False, help="For Avro, how messages travel. [json]"),
    ] = None,
    compatibility: Annotated[
        CompatibilityChoice | None,
        typer.Option(
            case_sensitive=False,
            help="What this and later versions are checked for. [as it is; NONE for a new schema]",
        ),
    ] = None,
    activate: Annotated[
        bool, typer.Option("--activate", help="Activate the version at once.")
    ] = False,
) -> None:
    """Store a schema, or a new version of one. Content that it has already changes nothing.

    The first version is active at once, a later one when it is activated.

    For example: memphis schema create orders orders.json --compatibility BACKWARD
    """
    from memphis.types import Compatibility  # noqa: PLC0415 - `memphis --help` does without it

    kind = schema_type or _guessed_type(file)
    if file == _STANDARD_INPUT:
        source: dict[str, Any] = {"content": await _standard_input()}
    else:
        source = {"schema_path": file}
    made = await memphis.create_schema(
        name,
        kind.value,
        **source,
        imports=imports or [],
        message_struct_name=message,
        encoding=encoding.value if encoding else "",
        compatibility=Compatibility[compatibility.name] if compatibility else None,
        activate=activate,
    )
    if made.stored is not None:
        _output.write_line(_what_was_stored(made.name, made.stored))


def _guessed_type(file: Path) -> TypeChoice:
    guessed = _TYPES_BY_SUFFIX.get(file.suffix.lower())
    if guessed is None:
        which = "standard input" if file == _STANDARD_INPUT else f"the name {file.name!r}"
        known = ", ".join(choice.value for choice in TypeChoice)
        raise typer.BadParameter(
            f"{which} does not tell the type of the schema; give --type, one of {known}"
        )
    return guessed


async def _standard_input() -> str:
    """All of standard input.

    Raises:
        typer.Exit: It cannot be read; the reason has been written to standard error.
    """
    if sys.stdin is None or sys.stdin.closed:
        _output.write_error("cannot read the schema from standard input: it is closed")
        raise typer.Exit(FAILED)
    try:
        return (await LineReader(sys.stdin.fileno()).everything()).decode()
    except (OSError, UnicodeDecodeError) as error:
        _output.write_error(f"cannot read the schema from standard input: {error}")
        raise typer.Exit(FAILED) from error
    except LineTooLongError as error:
        _output.write_error("standard input is longer than any schema may be")
        raise typer.Exit(FAILED) from error


def _what_was_stored(name: str, stored: SchemaStored) -> str:
    is_active = stored.version == stored.active_version
    how_to = f"not active; activate it with: memphis schema activate {name} {stored.version}"
    if stored.created:
        state = "stored and active" if is_active else f"stored, {how_to}"
        return f"schema {name} version {stored.version} {state}"
    state = "which is active" if is_active else how_to
    return f"schema {name} has this content already as version {stored.version}, {state}"


@app.command("ls")
@connected
async def list_schemas(memphis: Memphis, as_json: AsJson = False) -> None:
    """List all schemas."""
    found = await memphis.schema_summaries()
    if as_json:
        _output.write_line(json.dumps([summary.model_dump(mode="json") for summary in found]))
    elif found:
        _output.write_table(
            ["SCHEMA", "TYPE", ">ACTIVE", ">VERSIONS", "COMPATIBILITY", ">STATIONS", "CREATED"],
            [_summary_row(summary) for summary in found],
        )
    else:
        _output.write_line("there are no schemas; make one with: memphis schema create NAME FILE")


def _summary_row(summary: SchemaSummary) -> list[str]:
    return [
        summary.name,
        summary.type,
        f"{summary.active_version:,}",
        f"{summary.versions:,}",
        summary.compatibility.value,
        f"{summary.stations:,}",
        f"{summary.created_at:%Y-%m-%d %H:%M:%S %Z}",
    ]


@app.command()
@connected
async def show(memphis: Memphis, name: Name, version: Version = 0, as_json: AsJson = False) -> None:
    """Describe a schema, and show the content of one version."""
    found = await memphis.schema(name)
    description = await found.describe()
    definition = await found.definition(version)
    if as_json:
        shown = description.model_dump(mode="json")
        _output.write_line(json.dumps({**shown, "definition": definition.model_dump(mode="json")}))
    else:
        _show_description(description)
        _show_content(definition)


def _show_description(found: SchemaDescription) -> None:
    encoding = f", messages in {found.encoding} form" if found.type == TypeChoice.AVRO.value else ""
    _output.write_line(
        f"schema {found.name}: {found.type}{encoding}, compatibility {found.compatibility.value}, "
        f"{_output.counted(len(found.versions), 'version')}, version {found.active_version} is active"
    )
    # Only versions of a protobuf schema differ in the message that they name.
    message = ["MESSAGE"] if found.type == TypeChoice.PROTOBUF.value else []
    _output.write_table(
        [">VERSION", "ACTIVE", "CREATED", *message],
        [
            [
                f"{version.version:,}",
                "active" if version.active else "",
                f"{version.created_at:%Y-%m-%d %H:%M:%S %Z}",
                *([version.message_struct_name] if message else []),
            ]
            for version in found.versions
        ],
    )
    stations = ", ".join(found.stations)
    _output.write_line(f"attached to {stations}" if stations else "attached to no station")


def _show_content(found: SchemaDefinition) -> None:
    _output.write_line(f"content of version {found.version}:")
    _output.write_line(found.content.rstrip("\n"))
    for imported, text in found.imports.items():
        _output.write_line(f"its import {imported}:")
        _output.write_line(text.rstrip("\n"))


@app.command()
@connected
async def diff(
    memphis: Memphis,
    name: Name,
    older: Annotated[
        int,
        typer.Argument(
            min=0, metavar="OLDER", help="A version. [the active one]", show_default=False
        ),
    ] = 0,
    newer: Annotated[
        int | None, typer.Argument(min=0, metavar="NEWER", help="Another one. [the newest]")
    ] = None,
) -> None:
    """Show what changed from one version to another, as a unified diff.

    The exit code is 0 whether or not they differ.
    """
    found = await memphis.schema(name)
    description = await found.describe()
    before = older or description.active_version
    after = description.versions[-1].version if newer is None else newer
    after = after or description.active_version
    changes = await found.diff(before, after)
    if changes:
        _output.write_line(changes)
    elif before == after:
        _output.write_line(
            f"no difference: both are version {after} of schema {found.name}, which has "
            f"{_output.counted(len(description.versions), 'version')}; name two to compare"
        )
    else:
        _output.write_line(f"no difference between versions {before} and {after} of {found.name}")


@app.command()
@connected
async def activate(
    memphis: Memphis,
    name: Name,
    version: Annotated[int, typer.Argument(min=1, metavar="VERSION", help="Which one.")],
) -> None:
    """Have stations enforce a version, newer or older, from now on."""
    found = await memphis.schema(name)
    await found.activate(version)
    _output.write_line(f"schema {found.name} version {version} is active")


@app.command()
@connected
async def compatibility(
    memphis: Memphis,
    name: Name,
    mode: Annotated[
        CompatibilityChoice,
        typer.Argument(metavar="MODE", case_sensitive=False, help="What for."),
    ],
) -> None:
    """Set what new versions are checked for; those that are there stay as they are."""
    from memphis.types import Compatibility  # noqa: PLC0415 - `memphis --help` does without it

    found = await memphis.schema(name)
    await found.set_compatibility(Compatibility[mode.name])
    _output.write_line(f"new versions of schema {found.name} are checked for {mode.value}")


@app.command()
@connected
async def attach(memphis: Memphis, name: Name, station: Station) -> None:
    """Have a station take only messages that fit a schema's active version."""
    found = await memphis.schema(name)
    target = await memphis.existing_station(station)
    before = target.options.schema_name
    await memphis.enforce_schema(found.name, target.name)
    instead = f" instead of {before}" if before and before != found.name else ""
    _output.write_line(f"schema {found.name} attached to station {target.name}{instead}")


@app.command()
@connected
async def detach(memphis: Memphis, station: Station) -> None:
    """Have a station take any message again."""
    target = await memphis.existing_station(station)
    attached = target.options.schema_name
    await memphis.detach_schema(target.name)
    if attached:
        _output.write_line(f"schema {attached} detached from station {target.name}")
    else:
        _output.write_line(f"station {target.name} had no schema; nothing was changed")


@app.command()
@connected
async def check(
    memphis: Memphis,
    name: Name,
    station: Annotated[
        str, typer.Option("--against", metavar="STATION", help="The station with the messages.")
    ],
    last: Annotated[
        int, typer.Option(min=1, max=100_000, help="How many messages, the newest ones.")
    ] = 10_000,
    version: Version = 0,
    as_json: AsJson = False,
) -> None:
    """Say how many of a station's newest messages a schema would refuse. Nothing is changed.

    The exit code is 0 only if all of them were tried and none would be refused.
    """
    found = await memphis.schema(name)
    report = await found.check(station, last, version)
    if as_json:
        _output.write_line(report.model_dump_json())
    else:
        _show_report(found.name, report)
    if not report.complete:
        _output.write_error(
            f"the check took too long and ended after {_output.counted(report.checked, 'message')}; "
            "give a smaller --last"
        )
    if report.refused or not report.complete:
        raise typer.Exit(FAILED)


def _show_report(name: str, report: SchemaCheckReport) -> None:
    _output.write_line(
        f"{report.refused:,} of {_output.counted(report.checked, 'message')} would be refused by "
        f"schema {name} version {report.version}"
    )
    if not report.failures:
        return
    if report.refused > len(report.failures):
        _output.write_line(f"the first {len(report.failures):,}:")
    _output.write_table(
        [">PARTITION", ">SEQUENCE", "REASON"],
        [
            # A reason may quote the message, line breaks included.
            [f"{failure.partition:,}", f"{failure.sequence:,}", " ".join(failure.reason.split())]
            for failure in report.failures
        ],
    )


@app.command("rm")
@connected
async def remove(memphis: Memphis, name: Name, yes: Yes = False) -> None:
    """Delete a schema with all its versions; a station that has it keeps it from going."""
    found = await memphis.schema(name)
    confirm_or_exit(f"delete schema {found.name} with all its versions?", yes=yes)
    await found.remove()
    _output.write_line(f"schema {found.name} deleted")
