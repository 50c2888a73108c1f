"""What all client commands share: the options of the connection, and how a command ends.

A command is written as a coroutine that takes a connected client first; :func:`connected` turns it
into what Typer calls, with the connection's options added. Invariant: every failure ends in one
line on standard error and an exit code: 1 it failed, 2 it was used wrongly, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer

from memphis_broker.cli import _output

if TYPE_CHECKING:
    from memphis import Memphis

P = ParamSpec("P")

FAILED = 1
USED_WRONGLY = 2
INTERRUPTED = 130

DEFAULT_PORT = 6666
_DEFAULT_USER = "root"
_SHARED_USER = "command-line"
"""A token lets in everybody but root."""
_DEFAULT_PASSWORD = "memphis"  # noqa: S105 - a fresh broker's own, good on loopback only
_CONNECT_TIMEOUT_MS = 5_000

_PORT_MAX = 65_535
_PANEL = "Connection"


def _option(flag: str, variable: str, text: str, **more: Any) -> Any:
    return typer.Option(
        flag, envvar=variable, help=text, rich_help_panel=_PANEL, show_default=False, **more
    )


def _port(given: str | int) -> int:
    """A port as it was typed, or as it stands below: Typer parses the default as well."""
    text = str(given)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _PORT_MAX):
        raise typer.BadParameter(f"{text!r} is no port: a port is a number from 1 to {_PORT_MAX}")
    return int(text)


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "host": (
        Annotated[str, _option("--host", "MEMPHIS_HOST", "Where the broker is. [127.0.0.1]")],
        "127.0.0.1",
    ),
    "port": (
        Annotated[
            int,
            _option(
                "--port",
                "MEMPHIS_PORT",
                f"Its port. [{DEFAULT_PORT}]",
                parser=_port,
                metavar="PORT",
            ),
        ],
        DEFAULT_PORT,
    ),
    "username": (
        Annotated[
            str,
            _option(
                "--username", "MEMPHIS_USERNAME", "Who you are. [root; with a token: command-line]"
            ),
        ],
        "",
    ),
    "password": (
        Annotated[
            str,
            _option("--password", "MEMPHIS_PASSWORD", "Your password. [a fresh broker's default]"),
        ],
        "",
    ),
    "token": (
        Annotated[
            str,
            _option(
                "--token",
                "MEMPHIS_CONNECTION_TOKEN",
                "A token instead of a password.",
            ),
        ],
        "",
    ),
}
"""The connection's options: for each parameter its annotation for Typer, and its default."""


@dataclass(frozen=True)
class Credentials:
    """Where the broker is and who asks; exactly one of password and token is set."""

    host: str
    port: int
    username: str
    password: str = ""
    token: str = ""

    async def connect(self, memphis: Memphis) -> None:
        """Connect ``memphis``; what it raises passes through."""
        await memphis.connect(
            host=self.host,
            port=self.port,
            username=self.username,
            password=self.password,
            connection_token=self.token,
            timeout_ms=_CONNECT_TIMEOUT_MS,
        )


def connected(
    command: Callable[Concatenate[Memphis, P], Awaitable[None]],
) -> Callable[..., None]:
    """Make a Typer command of a coroutine that takes a connected client first.

    The client is connected before and closed after it, whatever happens in between.
    """

    async def session(credentials: Credentials, *args: P.args, **options: P.kwargs) -> None:
        from memphis import Memphis  # noqa: PLC0415 - `memphis --help` does without it

        async with Memphis() as memphis:
            await credentials.connect(memphis)
            await command(memphis, *args, **options)

    return _as_command(command, session)


def located(
    command: Callable[Concatenate[Credentials, P], Awaitable[None]],
) -> Callable[..., None]:
    """As :func:`connected`, for a coroutine that connects by itself, or perhaps not at all."""
    return _as_command(command, command)


def _as_command(
    command: Callable[..., Any], session: Callable[..., Awaitable[None]]
) -> Callable[..., None]:
    """What Typer calls for ``command``: ``session``, with credentials first."""

    @functools.wraps(command)
    def run_it(*args: Any, **options: Any) -> None:
        credentials = _take_credentials(options)

        async def run_session() -> None:
            await session(credentials, *args, **options)

        run(run_session)

    _describe_to_typer(run_it, command)
    return run_it


def _take_credentials(options: dict[str, Any]) -> Credentials:
    """Remove the connection's options from ``options`` and make credentials of them."""
    given = {name: options.pop(name) for name in _OPTIONS}
    if given["password"] and given["token"]:
        raise typer.BadParameter(
            "give a password or a token, not both (MEMPHIS_PASSWORD and MEMPHIS_CONNECTION_TOKEN "
            "count as given)"
        )
    if not given["token"]:
        given["password"] = given["password"] or _DEFAULT_PASSWORD
    given["username"] = given["username"] or (_SHARED_USER if given["token"] else _DEFAULT_USER)
    return Credentials(**given)


def _describe_to_typer(run_it: Callable[..., None], command: Callable[..., Any]) -> None:
    """Give ``run_it`` the signature that Typer reads: the command's own, then the connection's."""
    # The client's type is not imported here; Typer never sees that parameter.
    hints = get_type_hints(command, localns={"Memphis": object}, include_extras=True)
    _, *own = inspect.signature(command).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [p.replace(annotation=hints[p.name], kind=keyword) for p in own]
    for name, (annotation, default) in _OPTIONS.items():
        parameters.append(inspect.Parameter(name, keyword, annotation=annotation, default=default))
    run_it.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # a documented hook of inspect.signature
    run_it.__annotations__ = {p.name: p.annotation for p in parameters}
    del run_it.__wrapped__  # type: ignore[attr-defined] # else the original's hints are read


def run(session: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a command's coroutine to its end, and end the process by how it went.

    Raises:
        typer.Exit: It failed; the reason has been written to standard error.
    """
    from memphis import exceptions  # noqa: PLC0415 - `memphis --help` does without it

    try:
        asyncio.run(session())
    except KeyboardInterrupt as error:
        raise typer.Exit(INTERRUPTED) from error
    except BrokenPipeError as error:
        # Whoever read our output has gone. What was not written was not acknowledged either.
        _output.abandon_output()
        raise typer.Exit(FAILED) from error
    except exceptions.MemphisUsageError as error:
        _output.write_error(str(error))
        raise typer.Exit(USED_WRONGLY) from error
    except exceptions.MemphisError as error:
        _output.write_error(str(error))
        raise typer.Exit(FAILED) from error
