"""`memphis station`: create, list, describe, change, empty and delete stations."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memphis_broker.cli import _output
from memphis_broker.cli._client import FAILED, USED_WRONGLY, connected

if TYPE_CHECKING:
    from memphis import Memphis
    from memphis.station import StationInfo, StationOptions, StationSummary
    from memphis.types import Retention

app = typer.Typer(
    invoke_without_command=True, help="Create, list, describe, empty and delete stations."
)

Name = Annotated[str, typer.Argument(metavar="STATION", help="The station's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class RetentionChoice(Enum):
    """By what messages go, as the command line spells it."""

    AGE = "age"
    MESSAGES = "messages"
    BYTES = "bytes"
    ACKS = "acks"

    @property
    def retention(self) -> Retention:
        """The SDK's word for it."""
        from memphis.types import Retention  # noqa: PLC0415 - `memphis --help` does without it

        return {
            RetentionChoice.AGE: Retention.MAX_MESSAGE_AGE_SECONDS,
            RetentionChoice.MESSAGES: Retention.MESSAGES,
            RetentionChoice.BYTES: Retention.BYTES,
            RetentionChoice.ACKS: Retention.ACK_BASED,
        }[self]


class StorageChoice(Enum):
    """Where messages are kept, as the command line spells it."""

    DISK = "disk"
    MEMORY = "memory"


_SHOWN_AS = {
    "partitions_number": "partitions",
    "send_poison_msg_to_dls": "poison-to-dls",
    "send_schema_failed_msg_to_dls": "schema-failed-to-dls",
    "tiered_storage_enabled": "tiered-storage",
}
"""How ``create`` calls an option, where it is not the SDK's name with dashes."""


@app.callback()
def station(context: typer.Context) -> None:
    """Create, list, describe, empty and delete stations."""
    if context.invoked_subcommand is None:
        _output.write_line(context.get_help())
        raise typer.Exit(USED_WRONGLY)


@app.command()
@connected
async def create(
    memphis: Memphis,
    name: Name,
    retention_type: Annotated[
        RetentionChoice, typer.Option("--retention-type", "-r", help="By what messages go.")
    ] = RetentionChoice.AGE,
    retention_value: Annotated[
        int,
        typer.Option(
            "--retention-value",
            "-v",
            min=1,
            help="Seconds, messages or bytes, for the whole station; without meaning for acks.",
        ),
    ] = 3600,
    storage_type: Annotated[
        StorageChoice, typer.Option("--storage-type", "-s", help="Where messages are kept.")
    ] = StorageChoice.DISK,
    replicas: Annotated[
        int, typer.Option(min=1, max=5, help="Copies of each message; more than 1 needs a cluster.")
    ] = 1,
    partitions: Annotated[
        int,
        typer.Option(
            "--partitions", "-p", min=1, max=10_000, help="Into how many parts it is split."
        ),
    ] = 1,
    idempotency_window_ms: Annotated[
        int,
        typer.Option(min=100, max=86_400_000, help="For how long a message id is remembered."),
    ] = 120_000,
    schema_name: Annotated[
        str, typer.Option(help="A schema that messages must fit.", show_default=False)
    ] = "",
    poison_to_dls: Annotated[
        bool, typer.Option(help="Keep messages that a group could not process as dead letters.")
    ] = True,
    schema_failed_to_dls: Annotated[
        bool, typer.Option(help="Keep messages that did not fit the schema as dead letters.")
    ] = True,
    tiered_storage: Annotated[
        bool, typer.Option(help="Move messages that go to remote storage first.")
    ] = False,
    dls_station: Annotated[
        str, typer.Option(help="A station that gets a copy of dead letters.", show_default=False)
    ] = "",
) -> None:
    """Create a station. One that exists is left as it is.

    The exit code is 0 if the station then has these options, created now or before.

    For example: memphis station create orders --partitions 3 -r age -v 86400
    """
    from memphis.exceptions import MemphisNotFoundError  # noqa: PLC0415 - only when it is run
    from memphis.types import Storage  # noqa: PLC0415 - only when it is run

    options: dict[str, Any] = {
        "retention_type": retention_type.retention,
        "retention_value": retention_value,
        "storage_type": Storage[storage_type.name],
        "replicas": replicas,
        "idempotency_window_ms": idempotency_window_ms,
        "schema_name": schema_name,
        "send_poison_msg_to_dls": poison_to_dls,
        "send_schema_failed_msg_to_dls": schema_failed_to_dls,
        "tiered_storage_enabled": tiered_storage,
        "partitions_number": partitions,
        "dls_station": dls_station,
    }
    try:
        existing = await memphis.existing_station(name)
    except MemphisNotFoundError:
        created = await memphis.station(name, **options)
        _output.write_line(f"station {created.name} created")
    else:
        _report_existing(existing.name, existing.options, options)


def _report_existing(name: str, actual: StationOptions, given: dict[str, Any]) -> None:
    from memphis.types import Retention  # noqa: PLC0415 - only when it is run

    # Not checked like a request: a value that no station can have is just another that differs.
    wanted = actual.model_copy(update=given).as_kept()
    differing = [
        difference_text(option, getattr(actual, option), getattr(wanted, option))
        for option in given
        if getattr(actual, option) != getattr(wanted, option)
        # Without meaning, so it cannot differ.
        and not (option == "retention_value" and wanted.retention_type is Retention.ACK_BASED)
    ]
    if differing:
        _output.write_error(f"station {name} exists and stays as it is: {'; '.join(differing)}")
        raise typer.Exit(FAILED)
    _output.write_line(f"station {name} exists already, with these options")


def difference_text(option: str, actual: Any, wanted: Any) -> str:
    """How an option that is otherwise than it should be is told."""
    shown = _SHOWN_AS.get(option, option.replace("_", "-"))
    return f"{shown} is {_shown(actual)}, not {_shown(wanted)}"


def _shown(value: Any) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case Enum():
            # Only retentions and storages, in the words of this command where there are any.
            spelled = [choice.value for choice in RetentionChoice if choice.retention is value]
            return spelled[0] if spelled else value.name.lower()
        case _:
            return str(value) or "none"


@app.command("ls")
@connected
async def list_stations(memphis: Memphis, as_json: AsJson = False) -> None:
    """List all stations."""
    stations = await memphis.stations()
    if as_json:
        _output.write_line(json.dumps([station.model_dump(mode="json") for station in stations]))
    elif stations:
        _output.write_table(
            [
                *("STATION", ">PARTITIONS", ">MESSAGES", ">BYTES"),
                *("RETENTION", "STORAGE", "SCHEMA", ">REPLICAS"),
            ],
            [_summary_row(station) for station in stations],
        )
    else:
        _output.write_line("there are no stations; make one with: memphis station create NAME")


@app.command()
@connected
async def info(memphis: Memphis, name: Name, as_json: AsJson = False) -> None:
    """Say what a station holds, and how far its groups are."""
    station = await memphis.existing_station(name)
    found = await station.info()
    if as_json:
        _output.write_line(found.model_dump_json())
    else:
        _show_info(found)


@app.command("set")
@connected
async def configure(
    memphis: Memphis,
    name: Name,
    poison_to_dls: Annotated[
        bool | None,
        typer.Option(
            "--poison-to-dls/--no-poison-to-dls",
            help="Keep messages that a group could not process as dead letters.",
        ),
    ] = None,
    schema_failed_to_dls: Annotated[
        bool | None,
        typer.Option(
            "--schema-failed-to-dls/--no-schema-failed-to-dls",
            help="Keep messages that did not fit the schema as dead letters.",
        ),
    ] = None,
    dls_station: Annotated[
        str | None,
        typer.Option(
            help="A station that gets a copy of dead letters from now on, created if missing; "
            "'' for none."
        ),
    ] = None,
    dead_letter_age_max_s: Annotated[
        int | None, typer.Option(min=0, help="Seconds that they are kept; 0: as the broker does.")
    ] = None,
    dead_letter_count_max: Annotated[
        int | None, typer.Option(min=0, help="How many are kept; 0: as many as the broker does.")
    ] = None,
) -> None:
    """Change what becomes of a station's dead letters; its users follow at once.

    For example: memphis station set orders --dls-station orders-failed
    """
    options = {
        "send_poison_msg_to_dls": poison_to_dls,
        "send_schema_failed_msg_to_dls": schema_failed_to_dls,
        "dls_station": dls_station,
        "dead_letter_age_max_s": dead_letter_age_max_s,
        "dead_letter_count_max": dead_letter_count_max,
    }
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if not given:
        raise typer.BadParameter("say what is to change")
    station = await memphis.existing_station(name)
    await station.configure(**given)
    changes = ", ".join(
        f"{_SHOWN_AS.get(option, option.replace('_', '-'))} {_shown(getattr(station.options, option))}"
        for option in given
    )
    _output.write_line(f"station {station.name}: {changes}")


@app.command()
@connected
async def purge(memphis: Memphis, name: Name, yes: Yes = False) -> None:
    """Delete all messages of a station; the station and its groups stay."""
    station = await memphis.existing_station(name)
    confirm_or_exit(f"delete all messages of {station.name}?", yes=yes)
    count = await station.purge()
    _output.write_line(f"{_output.counted(count, 'message')} of station {station.name} deleted")


@app.command("rm")
@connected
async def remove(memphis: Memphis, name: Name, yes: Yes = False) -> None:
    """Delete a station with all its messages and groups."""
    station = await memphis.existing_station(name)
    confirm_or_exit(f"delete station {station.name} and all it holds?", yes=yes)
    await station.destroy()
    _output.write_line(f"station {station.name} deleted")


def confirm_or_exit(question: str, *, yes: bool) -> None:
    """Ask before something is deleted, unless ``yes``.

    Raises:
        typer.Exit: The answer was not a clear yes; the person has been told.
    """
    if not yes and not _output.confirm(question):
        _output.write_error("nothing was done; answer y, or give --yes")
        raise typer.Exit(FAILED)


def _summary_row(station: StationSummary) -> list[str]:
    return [
        station.name,
        f"{station.partitions:,}",
        f"{station.messages:,}",
        f"{station.bytes:,}",
        _retention(station.retention_type, station.retention_value),
        station.storage_type.name.lower(),
        station.schema_name or "-",
        str(station.replicas),
    ]


def _retention(by: Retention, value: int) -> str:
    match by.name:
        case "ACK_BASED":
            return "until acknowledged"
        case "MAX_MESSAGE_AGE_SECONDS":
            return f"{value:,} seconds"
        case _:
            return f"{value:,} {by.value}"


def _dead_letter_options(options: StationOptions) -> str:
    parts = [
        f"those of groups {_shown(options.send_poison_msg_to_dls)}",
        f"those of the schema {_shown(options.send_schema_failed_msg_to_dls)}",
    ]
    if options.dls_station:
        parts.append(f"copied to {options.dls_station}")
    if options.dead_letter_age_max_s:
        parts.append(f"kept {options.dead_letter_age_max_s:,} seconds")
    if options.dead_letter_count_max:
        parts.append(f"at most {options.dead_letter_count_max:,}")
    return ", ".join(parts)


def _show_info(found: StationInfo) -> None:
    options = found.options
    _output.write_line(
        f"station {found.name}: {_output.counted(found.messages, 'message')}, {found.bytes:,} bytes, "
        f"keeps {_retention(options.retention_type, options.retention_value)}, "
        f"on {options.storage_type.name.lower()}, created {found.created_at:%Y-%m-%d %H:%M:%S %Z}"
    )
    _output.write_line(f"dead letters: {_dead_letter_options(options)}")
    if options.schema_name:
        _output.write_line(f"it takes only messages that fit the schema {options.schema_name}")
    _output.write_table(
        [">PARTITION", ">MESSAGES", ">BYTES", ">FIRST", ">LAST"],
        [
            [f"{n:,}" for n in (p.number, p.messages, p.bytes, p.first_sequence, p.last_sequence)]
            for p in found.partitions
        ],
    )
    if found.groups:
        _output.write_table(
            ["GROUP", ">PENDING", ">UNACKNOWLEDGED", ">REDELIVERED", ">DEAD LETTERS"],
            [
                [
                    g.name,
                    *(
                        f"{n:,}"
                        for n in (g.pending, g.unacknowledged, g.redelivered, g.dead_letters)
                    ),
                ]
                for g in found.groups
            ],
        )
    else:
        _output.write_line("no group reads it yet")
    dead = found.dead_letters
    if dead.poison or dead.schema_failed:
        _output.write_line(
            f"dead letters: {dead.poison:,} that a group could not process, {dead.schema_failed:,} that "
            f"failed the schema; see: memphis dls ls {found.name}"
        )
