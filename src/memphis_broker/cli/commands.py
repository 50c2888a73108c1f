"""All commands of ``memphis``, and how a command line ends.

In the flow: main > here > one module per command. A command's module is light to import and imports
what it works with inside its functions; and only the module of the command that was typed is
imported. So neither ``memphis --help`` nor the start of ``memphis serve`` waits for what it does not use.
Invariant: a person who made a mistake reads one line that says so, never a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Annotated, Final

import typer

from memphis_broker.cli import _output

# Typer brings its own copy of click since 0.26; this is the base of usage errors in either.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
_EXIT_USAGE = 2
_EXIT_INTERRUPTED = 130

_COMMANDS: Final = (
    "serve", "demo", "station", "schema", "dls", "user", "produce", "consume", "import", "mirror",
    "engine-config",
)  # fmt: skip
"""In the order of the help. The module of each has a function of its name, or a group ``app``."""


def _show_version(wanted: bool) -> None:
    from importlib.metadata import version  # noqa: PLC0415 - only when it is asked for

    if wanted:
        _output.write_line(f"memphis {version('memphis-py')}")
        raise typer.Exit


def memphis(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Stream from Python: run a broker, and work with its stations."""
    if context.invoked_subcommand is None:
        _output.write_line(context.get_help())
        raise typer.Exit(_EXIT_USAGE)


def _application(arguments: Sequence[str]) -> typer.Typer:
    """The command that the line begins with, or all of them where it begins with none.

    Typer works out every command that it has before it runs one.
    """
    app = typer.Typer(
        name="memphis",
        help="Stream from Python: run a broker, and work with its stations.",
        context_settings={"help_option_names": ["-h", "--help"]},
        invoke_without_command=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # its frames cut long options short, and eat what stands in brackets
    )
    app.callback()(memphis)
    for name in arguments[:1] if arguments and arguments[0] in _COMMANDS else _COMMANDS:
        module_name = name.replace("-", "_") + "_" * iskeyword(name)
        module = import_module(f"{__package__}.{module_name}")
        group = getattr(module, "app", None)
        if group is None:
            app.command(name)(getattr(module, module_name))
        else:
            app.add_typer(group, name=name)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit status. Unexpected errors are raised."""
    app = _application(arguments)
    try:
        status = app(list(arguments), prog_name="memphis", standalone_mode=False)
    except _USAGE_ERROR as error:
        help_command = " ".join(["memphis", *_path_of(app, arguments), "--help"])
        message = error.format_message()  # type: ignore[attr-defined]  # a usage error has it
        _output.write_error(f"{message.rstrip('.')}; see: {help_command}")
        return _EXIT_USAGE
    except (KeyboardInterrupt, typer.Abort):
        return _EXIT_INTERRUPTED
    return status if isinstance(status, int) else 0


def _path_of(app: typer.Typer, arguments: Sequence[str]) -> list[str]:
    """The command that was meant, as far as there is one: ``station``, or ``station create``."""
    path: list[str] = []
    group: typer.Typer | None = app
    for word in arguments:
        if group is None or word not in _names(group):
            break
        path.append(word)
        found = [g.typer_instance for g in group.registered_groups if g.name == word]
        group = found[0] if found else None
    return path


def _names(group: typer.Typer) -> set[str]:
    commands = {
        command.name or (command.callback.__name__ if command.callback else "")
        for command in group.registered_commands
    }
    return commands | {found.name for found in group.registered_groups if found.name}
