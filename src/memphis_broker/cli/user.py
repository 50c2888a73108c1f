"""`memphis user`: create, list and remove users, and give them passwords.

No password is an argument, because every user of a machine can see what runs on it, and shells keep
what was typed.
"""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memphis_broker.cli import _output
from memphis_broker.cli._client import USED_WRONGLY, Credentials, connected, located
from memphis_broker.cli.station import confirm_or_exit

if TYPE_CHECKING:
    from memphis import Memphis
    from memphis.wire.users import UserType

app = typer.Typer(
    invoke_without_command=True, help="Create, list and remove users; give them passwords."
)

_STANDARD = "-"

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="A file with the new user's password, not yours; - for standard input. [it is asked for]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class TypeChoice(Enum):
    """What a user is for."""

    APPLICATION = "application"
    MANAGEMENT = "management"

    @property
    def wire(self) -> UserType:
        """The protocol's word for it."""
        return "application" if self is TypeChoice.APPLICATION else "management"


@app.callback()
def user(context: typer.Context) -> None:
    """Create, list and remove users; give them passwords. All of it is for root alone."""
    if context.invoked_subcommand is None:
        _output.write_line(context.get_help())
        raise typer.Exit(USED_WRONGLY)


@app.command()
@located
async def create(
    credentials: Credentials,
    name: Name,
    password_file: PasswordFile = None,
    user_type: Annotated[
        TypeChoice, typer.Option("--type", "-t", help="A note for people; both may do the same.")
    ] = TypeChoice.APPLICATION,
) -> None:
    """Create a user, who then logs in with a password of its own, and no more by the token.

    The password, 8 to 128 characters, is asked for, read from a file, or from standard input.

    For example: memphis user create shop --password-file shop.password
    """
    from memphis import Memphis  # noqa: PLC0415 - `memphis --help` does without it

    password = _new_password(name, password_file)
    async with Memphis() as memphis:
        await credentials.connect(memphis)
        await memphis.create_user(name, password, user_type.wire)
    _output.write_line(f"user {name.lower()} created")


@app.command("ls")
@connected
async def list_users(memphis: Memphis, as_json: AsJson = False) -> None:
    """List all users but root, whom every broker has."""
    users = await memphis.users()
    if as_json:
        _output.write_line(json.dumps([found.model_dump(mode="json") for found in users]))
    elif users:
        _output.write_table(
            ["USER", "TYPE", "CREATED", "PASSWORD SET"],
            [
                [
                    found.name,
                    found.type,
                    *(f"{t:%Y-%m-%d %H:%M}" for t in (found.created_at, found.password_set_at)),
                ]
                for found in users
            ],
        )
    else:
        _output.write_note("there are no users but root")


@app.command()
@located
async def password(
    credentials: Credentials, name: Name, password_file: PasswordFile = None
) -> None:
    """Give a user a new password.

    Connections that stand go on. It is asked for, read from a file, or from standard input.

    For example: memphis user password shop --password-file shop.password
    """
    from memphis import Memphis  # noqa: PLC0415 - `memphis --help` does without it

    new = _new_password(name, password_file)
    async with Memphis() as memphis:
        await credentials.connect(memphis)
        await memphis.set_password(name, new)
    _output.write_line(f"user {name.lower()} has a new password")


@app.command("rm")
@connected
async def remove(memphis: Memphis, name: Name, yes: Yes = False) -> None:
    """Remove a user, who then cannot log in any more. Connections that stand go on."""
    confirm_or_exit(f"remove user {name}?", yes=yes)
    await memphis.remove_user(name)
    _output.write_line(f"user {name.lower()} removed")


def _new_password(name: str, file: Path | None) -> str:
    """The password, without the line end of a file; from a person it is wanted twice.

    Raises:
        typer.BadParameter: The file cannot be read, or a person typed two different ones.
    """
    if file is None and sys.stdin.isatty():
        given = _output.ask_secret(f"new password of {name}: ")
        if _output.ask_secret("once more: ") != given:
            raise typer.BadParameter("the two passwords differ; nothing was done")
        return given
    if file is None or str(file) == _STANDARD:
        data, origin = sys.stdin.buffer.read(), "standard input"
    else:
        origin = str(file)
        try:
            data = file.read_bytes()
        except OSError as error:
            raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from error
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"what {origin} holds is no text in UTF-8") from error
