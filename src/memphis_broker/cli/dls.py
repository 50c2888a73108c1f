"""`memphis dls`: look at dead letters, give them back, mend or drop them."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memphis_broker.cli import _output
from memphis_broker.cli._client import FAILED, USED_WRONGLY, connected

if TYPE_CHECKING:
    from memphis import Memphis
    from memphis.dead_letters import DeadLetter, DeadLetters
    from memphis.wire.dead_letters import DeadLetterInfo

app = typer.Typer(
    invoke_without_command=True, help="Look at dead letters, give them back, mend or drop them."
)

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_REFUSALS_SHOWN = 10
_PREVIEW_SHOWN = 60
_EVERY = "(every station)"

Station = Annotated[
    str | None,
    typer.Argument(
        metavar="[STATION]", help="Of which station; left out: of all.", show_default=False
    ),
]
Id = Annotated[int, typer.Argument(metavar="ID", min=1, help="As `memphis dls ls` shows it.")]
Ids = Annotated[
    list[int] | None,
    typer.Option("--id", min=1, help="Only this one; may be given many times.", show_default=False),
]
Kind = Annotated[
    str | None,
    typer.Option("--kind", "-k", help="poison, schema or malformed.", show_default=False),
]
Group = Annotated[
    str | None, typer.Option("--group", "-g", help="Only those of this group.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]


def _since(text: str) -> datetime:
    """``30m`` or ``2h`` before now, or a time in ISO 8601, of this machine's zone if it names none."""
    try:
        if text[:-1].isascii() and text[:-1].isdigit() and text[-1:] in _UNITS_S:
            return datetime.now(UTC) - timedelta(seconds=int(text[:-1]) * _UNITS_S[text[-1]])
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r} is no time; write for example 30m, 2h, 7d or 2026-01-31T12:00"
        ) from error


Since = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        parser=_since,
        metavar="TIME",
        help="Only those since then: 30m, 2h, 7d, or 2026-01-31T12:00.",
        show_default=False,
    ),
]
All = Annotated[bool, typer.Option("--all", help="All of them, where nothing else is said.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.callback()
def dls(context: typer.Context) -> None:
    """Look at dead letters, give them back, mend or drop them.

    A dead letter is a message that a group could not process, or that failed its station's schema.
    """
    if context.invoked_subcommand is None:
        _output.write_line(context.get_help())
        raise typer.Exit(USED_WRONGLY)


@app.command("ls")
@connected
async def list_letters(
    memphis: Memphis,
    station: Station = None,
    kind: Kind = None,
    group: Group = None,
    since: Since = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=1000, help="At most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    letters = await _selected(memphis, station, kind, group, since, None)
    found = await letters.newest(count + 1, preview_bytes=4 * _PREVIEW_SHOWN)
    is_cut, found = len(found) > count, found[:count]
    if as_json:
        for info in found:
            _output.write_line(info.model_dump_json(exclude={"payload"}))
    elif found:
        _output.write_table(
            [">ID", "WHEN", "STATION", ">PLACE", "GROUP", "KIND", "REASON", "MESSAGE"],
            [_row(info) for info in found],
        )
    else:
        _output.write_line(
            "there are no dead letters that match"
            if group or kind or since
            else "there are no dead letters"
        )
    if is_cut:
        _output.write_note(f"the newest {count:,}; for more: --count, or memphis dls export")


@app.command()
@connected
async def show(memphis: Memphis, letter_id: Id, as_json: AsJson = False) -> None:
    """Show one dead letter with all that is known of it."""
    letter = await memphis.dead_letter(letter_id)
    if as_json:
        _output.write_line(json.dumps(describe(letter)))
        return
    info = letter.info
    place = f", partition {info.partition}, sequence {info.sequence}" if info.sequence else ""
    _output.write_line(f"dead letter {info.id} ({info.kind}) of station {info.station}{place}")
    if info.group:
        _output.write_line(f"group      {info.group}, after {info.deliveries} deliveries")
    _output.write_line(f"reason     {info.reason}")
    _output.write_line(f"failed     {info.failed_at.isoformat()}")
    if info.sent_at:
        _output.write_line(f"sent       {info.sent_at.isoformat()}, by {info.producer}")
    for failure in info.history:
        _output.write_line(f"before     {failure.at.isoformat()}: {failure.reason}")
    for key, value in info.headers.items():
        _output.write_line(f"header     {key}: {value}")
    if info.payload_is_gone:
        _output.write_line("payload    gone: the station's retention took the message first")
        return
    _output.write_line(f"payload    {info.size:,} bytes")
    _output.write_bytes(bytes(letter.get_data()) + b"\n")


@app.command()
@connected
async def redrive(
    memphis: Memphis,
    station: Station = None,
    ids: Ids = None,
    kind: Kind = None,
    group: Group = None,
    since: Since = None,
    everything: All = False,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="How many a second at most.", show_default=False)
    ] = None,
    to: Annotated[
        str, typer.Option("--to", help="Another station to put them into.", show_default=False)
    ] = "",
) -> None:
    """Give dead letters back: to their groups, or into their station if they failed its schema.

    Those that cannot be given back stay; they are listed, and the exit code is 1.

    For example: memphis dls redrive orders --group billing --rate 100
    """
    _check_chosen(station, ids, kind, group, since, everything)
    letters = await _selected(memphis, station, kind, group, since, ids)
    total = len(ids) if ids else None
    seen_to = 0
    with _output.progress("giving back", total) as show_progress:

        def progress(done: int) -> None:
            nonlocal seen_to
            seen_to = done
            show_progress(done, f"{done:,}")

        try:
            result = await letters.redrive(station=to, rate=rate, progress=progress)
        except asyncio.CancelledError:
            _output.write_note(f"interrupted after {seen_to:,}; run it again for the rest")
            raise
    _output.write_line(f"{_output.counted(result.moved, 'dead letter')} given back")
    if result.refused_count:
        for refused in result.refused[:_REFUSALS_SHOWN]:
            _output.write_error(refused.reason)
        rest = result.refused_count - _REFUSALS_SHOWN
        more = f"; {rest:,} more like these" if rest > 0 else ""
        stay = "stays" if result.refused_count == 1 else "stay"
        _output.write_error(f"{_output.counted(result.refused_count, 'dead letter')} {stay}{more}")
        raise typer.Exit(FAILED)


@app.command()
@connected
async def edit(
    memphis: Memphis,
    letter_id: Id,
    data: Annotated[
        str | None, typer.Option(help="The new payload as text.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A file with the new payload.", show_default=False)
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", "-H", help="key=value; all of the new headers.", show_default=False
        ),
    ] = None,
) -> None:
    """Replace the payload or the headers of a dead letter; it must then fit its station's schema.

    It gets another id. For example: memphis dls edit 17 --data '{"amount": 5}'
    """
    if data is not None and file is not None:
        raise typer.BadParameter("give --data or --file, not both")
    if data is None and file is None and header is None:
        raise typer.BadParameter("say what is to change: --data, --file or --header")
    headers = None if header is None else dict(_parse_header(text) for text in header)
    message: str | bytes | None = data
    if file is not None:
        try:
            message = file.read_bytes()
        except OSError as error:
            raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from error
    letter = await memphis.dead_letter(letter_id)
    edited = await letter.edit(message, headers)
    _output.write_line(f"dead letter {letter_id} edited; it is {edited.id} now")


@app.command()
@connected
async def drop(
    memphis: Memphis,
    station: Station = None,
    ids: Ids = None,
    kind: Kind = None,
    group: Group = None,
    since: Since = None,
    everything: All = False,
    yes: Yes = False,
) -> None:
    """Delete dead letters for good."""
    _check_chosen(station, ids, kind, group, since, everything)
    letters = await _selected(memphis, station, kind, group, since, ids)
    what = "these dead letters" if ids else f"these dead letters of {station or _EVERY}"
    if not yes and not _output.confirm(f"delete {what} for good?"):
        _output.write_error("nothing was done; answer y, or give --yes")
        raise typer.Exit(FAILED)
    dropped = await letters.drop()
    _output.write_line(f"{_output.counted(dropped, 'dead letter')} deleted")


@app.command()
@connected
async def export(
    memphis: Memphis,
    station: Station = None,
    kind: Kind = None,
    group: Group = None,
    since: Since = None,
) -> None:
    """Write dead letters with their payloads, newest first, one JSON object per line."""
    letters = await _selected(memphis, station, kind, group, since, None)
    count = 0
    with _output.progress("exporting", None) as show_progress:
        async for letter in letters:
            _output.write_line(json.dumps(describe(letter)))
            count += 1
            show_progress(count, f"{count:,}")
    _output.write_note(f"{_output.counted(count, 'dead letter')} written")


@app.command()
@connected
async def watch(
    memphis: Memphis,
    station: Station = None,
    kind: Kind = None,
    group: Group = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after so many.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print dead letters as they come, until Ctrl-C."""
    letters = await _selected(memphis, station, kind, group, None, None)
    seen = 0
    async with aclosing(letters.watch()) as coming:
        async for letter in coming:
            _output.write_line(
                json.dumps(describe(letter)) if as_json else "  ".join(_line(letter))
            )
            seen += 1
            if seen == count:
                return


def describe(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter as JSON has it; a payload that is no text comes as ``data_base64``."""
    described = letter.info.model_dump(mode="json", exclude={"payload"})
    payload = bytes(letter.get_data())
    try:
        described["data"] = payload.decode()
    except UnicodeDecodeError:
        described["data_base64"] = base64.b64encode(payload).decode()
    return described


async def _selected(
    memphis: Memphis,
    station: str | None,
    kind: str | None,
    group: str | None,
    since: datetime | None,
    ids: list[int] | None,
) -> DeadLetters:
    if station is None:
        return memphis.dead_letters(kind, group, since, ids)
    if ids:
        raise typer.BadParameter("an id says it all: leave the station out")
    return (await memphis.existing_station(station)).dead_letters(kind, group, since)


def _check_chosen(
    station: str | None,
    ids: list[int] | None,
    kind: str | None,
    group: str | None,
    since: datetime | None,
    everything: bool,
) -> None:
    """Nobody moves or deletes the dead letters of every station by leaving a word out."""
    if not (station or ids or kind or group or since or everything):
        raise typer.BadParameter("say which: a station, --id, --kind, --group, --since, or --all")


def _parse_header(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"{text!r} is no header; write key=value")
    return key, value


def _row(info: DeadLetterInfo) -> list[str]:
    return [
        str(info.id),
        f"{info.failed_at.astimezone():%Y-%m-%d %H:%M:%S}",
        info.station or "-",
        f"{info.partition}:{info.sequence}" if info.sequence else "-",
        info.group or "-",
        info.kind,
        _shortened(info.reason),
        _shortened(base64.b64decode(info.payload).decode("utf-8", "replace")),
    ]


def _line(letter: DeadLetter) -> list[str]:
    text = bytes(letter.get_data()[: 4 * _PREVIEW_SHOWN]).decode("utf-8", "replace")
    return [*_row(letter.info)[:-1], _shortened(text)]


def _shortened(text: str) -> str:
    """On one line, without what a terminal would obey."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= _PREVIEW_SHOWN else line[: _PREVIEW_SHOWN - 1] + "…"
