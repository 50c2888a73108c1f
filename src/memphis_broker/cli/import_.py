"""`memphis import`: what an original Memphis.dev installation has, recreated here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memphis_broker.cli import _output
from memphis_broker.cli._client import FAILED, Credentials, located
from memphis_broker.cli.station import difference_text

if TYPE_CHECKING:
    from memphis_broker.move_in.importer import Result
    from memphis_broker.move_in.model import Export, ExportedUser
    from memphis_broker.move_in.passwords import PasswordFile

PasswordsOut = Annotated[
    Path | None,
    typer.Option(
        "--passwords-out",
        metavar="FILE",
        help="Recreate the users of applications as well, each with a new password in this new file.",
        show_default=False,
    ),
]

_STANDARD = "-"
_PANEL = "The original"
_NAMES_SHOWN_MAX = 20


@located
async def import_(
    credentials: Credentials,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="URL",
            help="The original's web address, like http://localhost:9000.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = "",
    source_user: Annotated[
        str,
        typer.Option(
            envvar="MEMPHIS_SOURCE_USER",
            help="Who reads there: root or a management user.",
            rich_help_panel=_PANEL,
        ),
    ] = "root",
    source_password: Annotated[
        str,
        typer.Option(
            envvar="MEMPHIS_SOURCE_PASSWORD",
            help="The password there.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Read an export instead; - for standard input."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            help="Write an export of the original, and import nothing; - for the screen.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    replicas: Annotated[
        int | None,
        typer.Option(min=1, max=5, help="Copies of each message, instead of as many as there."),
    ] = None,
    passwords_out: PasswordsOut = None,
) -> None:
    """Recreate the stations and schemas of an original Memphis.dev installation here.

    What exists here is never changed, so it can be run again. The exit code is 0 if all of it is here
    then, as it was there; users are part of that with --passwords-out alone.

    For example: memphis import --from http://old-host:9000 --source-password ...
    """
    if bool(source) == bool(file):
        raise typer.BadParameter("say where from: --from or --file, one of them")
    if export and (file or dry_run or passwords_out):
        raise typer.BadParameter("--export goes with --from alone: it imports nothing")
    passwords = _password_file(passwords_out)
    found = _from_file(file) if file else await _read(source, source_user, source_password)
    for assumption in found.assumptions:
        _output.write_note(f"assumed: {assumption}")
    if export:
        _write(export, found)
        return
    try:
        await _import(credentials, found, passwords, replicas=replicas, dry_run=dry_run)
    finally:
        if passwords and (count := passwords.count):
            _output.write_note(
                f"{_output.counted(count, 'new password')} written to {passwords_out}"
            )


def _password_file(path: Path | None) -> PasswordFile | None:
    from memphis_broker.move_in.passwords import PasswordFile  # noqa: PLC0415 - only when run

    return PasswordFile(path) if path else None


async def _read(source: str, user: str, password: str) -> Export:
    from memphis_broker.move_in.source import OriginalApi, address  # noqa: PLC0415 - only when run

    if not password:
        raise typer.BadParameter(
            "give the original's password: --source-password, or MEMPHIS_SOURCE_PASSWORD"
        )
    async with OriginalApi(address(source), user, password) as original:
        with _output.progress("reading", None) as show:
            return await original.read(lambda what: show(0, what))


def _from_file(file: Path) -> Export:
    from memphis_broker.move_in.model import MoveInError, read_export  # noqa: PLC0415 - as above

    try:
        data = sys.stdin.buffer.read() if str(file) == _STANDARD else file.read_bytes()
        text = data.decode()
    except OSError as error:
        raise MoveInError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MoveInError(f"cannot read {file}: it is no text in UTF-8") from error
    return read_export(text, str(file))


def _write(file: Path, found: Export) -> None:
    from memphis_broker.move_in.model import MoveInError, write_export  # noqa: PLC0415 - as above

    text = write_export(found)
    if str(file) == _STANDARD:
        _output.write_bytes(text.encode())
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MoveInError(f"cannot write {file}: {error.strerror}") from error
    _output.write_line(
        f"{_counts(found)}, {_output.counted(len(found.users), 'user')} written to {file}"
    )


async def _import(
    credentials: Credentials,
    found: Export,
    passwords: PasswordFile | None,
    *,
    replicas: int | None,
    dry_run: bool,
) -> None:
    from memphis import Memphis  # noqa: PLC0415 - only when it is run
    from memphis_broker.move_in.importer import Importer  # noqa: PLC0415
    from memphis_broker.move_in.model import left_users  # noqa: PLC0415

    async with Memphis() as memphis:
        await credentials.connect(memphis)
        importer = Importer(
            memphis,
            found,
            replicas=replicas,
            dry_run=dry_run,
            keep_password=passwords.keep if passwords else None,
        )
        arrived = await importer.run(lambda result: _tell(result, dry_run=dry_run))
    _tell_of_left(left_users(found.users, without_applications=passwords is not None))
    if dry_run:
        _output.write_line(f"nothing was done; read were {_counts(found)}")
    elif arrived:
        _output.write_line(f"{_counts(found)} are here")
    if not arrived:
        _output.write_error("not all of it is here as it was there; see above")
        raise typer.Exit(FAILED)


def _tell_of_left(left: Sequence[ExportedUser]) -> None:
    users = [f"{user.name} ({user.kind})" for user in left]
    if not users:
        return
    more = len(users) - _NAMES_SHOWN_MAX
    why = (
        "those of applications get new passwords with --passwords-out, others have nothing to do here"
        if any(user.kind == "application" for user in left)
        else "this broker has no console for them"
    )
    _output.write_note(
        f"not imported: {_output.counted(len(users), 'user')}: {', '.join(users[:_NAMES_SHOWN_MAX])}"
        f"{f' and {more:,} more' if more > 0 else ''}; {why}; an export keeps them"
    )


def _tell(result: Result, *, dry_run: bool) -> None:
    from memphis_broker.move_in.importer import ARRIVED  # noqa: PLC0415 - only when it is run

    what = f"{result.kind} {result.name}"
    outcome = result.outcome.value
    if result.outcome in ARRIVED:
        word = f"would be {outcome}" if dry_run and outcome != "present" else outcome
        _output.write_line(f"{what} {word}{f', {result.words}' if result.words else ''}")
    else:
        words = result.words or "; ".join(difference_text(*one) for one in result.differences)
        verb = "exists and stays as it is" if outcome == "differs" else "did not arrive"
        _output.write_error(f"{what} {verb}: {words}")
    if result.not_carried:
        _output.write_note(f"not carried of {what}: {', '.join(result.not_carried)}")


def _counts(found: Export) -> str:
    return (
        f"{_output.counted(len(found.schemas), 'schema')}, "
        f"{_output.counted(len(found.stations), 'station')}"
    )
