"""``memphis serve``: runs a broker until it is told to stop."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from memphis_broker.cli import _output

if TYPE_CHECKING:
    import asyncio

    from memphis_broker.config import Settings
    from memphis_broker.server import Ready

_CHUNK_BYTES: Final = 4096

DurabilityMode = Annotated[
    str | None,
    typer.Option(
        help="standard: synced every second; always: synced before every acknowledgement; "
        "fast: acknowledged before written. [standard]"
    ),
]
UntilEof = Annotated[
    bool,
    typer.Option("--until-eof", help="Stop also when standard input ends. For a parent process."),
]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port, 0 for any free one. [6666]")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where messages are kept. [the user's data directory]")
    ] = None,
    durability: DurabilityMode = None,
    max_disk: Annotated[
        str | None, typer.Option(help="Disk for all stations, as in 20GB. [90% of what is free]")
    ] = None,
    max_memory: Annotated[
        str | None, typer.Option(help="Memory for stations in memory, as in 2GB. [75% of all]")
    ] = None,
    max_message_size: Annotated[
        str | None, typer.Option(help="Largest message, at most 64MB. [8MB]")
    ] = None,
    root_password: Annotated[
        str | None,
        typer.Option(help="Password of root; others on this machine can see it. [memphis]"),
    ] = None,
    root_password_file: Annotated[
        str | None, typer.Option(help="File with the password of root.")
    ] = None,
    connection_token: Annotated[
        str | None, typer.Option(help="A token that lets any user name in. [none]")
    ] = None,
    connection_token_file: Annotated[
        str | None, typer.Option(help="File with the connection token.")
    ] = None,
    nats_server: Annotated[
        Path | None, typer.Option(help="The engine's binary. [the one installed with memphis]")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="Attach to a NATS server or cluster: nats://host:port,... [own engine]"),
    ] = None,
    engine_secrets: Annotated[
        Path | None, typer.Option(help="For --engine: the file of `memphis engine-config`.")
    ] = None,
    dead_letter_age_max_s: Annotated[
        int | None, typer.Option(help="Seconds that dead letters are kept. [a week]")
    ] = None,
    dead_letter_count_max: Annotated[
        int | None, typer.Option(help="Dead letters that are kept, of all stations. [no limit]")
    ] = None,
    dead_letter_webhook: Annotated[
        str | None, typer.Option(help="Web address to tell of new dead letters. [none]")
    ] = None,
    dead_letter_webhook_format: Annotated[
        str | None, typer.Option(help="generic or slack. [generic]")
    ] = None,
    legacy: Annotated[
        bool | None, typer.Option(help="Serve the original's SDKs, unmodified. [--legacy]")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json. [text]")] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error. [info]")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with the same settings.")] = None,
    until_eof: UntilEof = False,
) -> None:
    """Run a broker until Ctrl-C or SIGTERM.

    Every option but the last two can also be set in the environment (--max-disk as MEMPHIS_MAX_DISK)
    or in the TOML file of --config (max_disk = "20GB"). A flag beats the environment, the environment
    the file.
    """
    flags = {k: v for k, v in locals().items() if k not in {"config", "until_eof"}}
    status = _serve(flags, config, until_eof)
    if status:
        raise typer.Exit(status)


def _serve(flags: dict[str, Any], config_file: Path | None, until_eof: bool) -> int:
    import asyncio  # noqa: PLC0415 - see cli/commands.py
    import os  # noqa: PLC0415

    with _nothing_is_garbage():
        from memphis_broker.config import StartupError, load_settings  # noqa: PLC0415
        from memphis_broker.log import configure_logging  # noqa: PLC0415

    try:
        settings = load_settings(flags, os.environ, config_file)
        configure_logging(settings.log_format, settings.log_level)
        asyncio.run(_run(settings, until_eof))
    except StartupError as error:
        _output.write_error(str(error))
        return error.exit_code
    return 0


@contextmanager
def _nothing_is_garbage() -> Iterator[None]:
    """For imports: what they make stays, and to look through it again and again is a tenth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


async def _run(settings: Settings, until_eof: bool) -> None:
    import asyncio  # noqa: PLC0415
    import signal  # noqa: PLC0415
    import threading  # noqa: PLC0415

    with _nothing_is_garbage():
        from memphis_broker.server import Server  # noqa: PLC0415

    server = Server(settings)
    loop = asyncio.get_running_loop()
    for kind in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(kind, server.request_stop)
    if until_eof:
        # A thread, because an event loop cannot watch every kind of file; a daemon, because it may never end.
        arguments = (loop, server.request_stop)
        threading.Thread(target=_call_at_eof, args=arguments, name="eof", daemon=True).start()
    await server.run(lambda ready: _announce(settings, ready))


def _call_at_eof(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    import os  # noqa: PLC0415

    # Not by sys.stdin, whose lock Python would wait for at its own end.
    while os.read(0, _CHUNK_BYTES):
        pass
    with suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(call)


def _announce(settings: Settings, ready: Ready) -> None:
    from importlib.metadata import version  # noqa: PLC0415

    from memphis_broker.config import is_loopback  # noqa: PLC0415

    address = f"[{ready.host}]:{ready.port}" if ":" in ready.host else f"{ready.host}:{ready.port}"
    # What listens everywhere is reached here by the loopback address.
    host = ready.host if settings.engine or not _is_wildcard(ready.host) else "127.0.0.1"
    attached = f"attached engine, {ready.cluster_size} server(s)"
    stores = attached if settings.engine else str(settings.data_dir.absolute())
    _output.write_line(f"memphis {version('memphis-py')}")
    _output.write_line(f"memphis broker ready at {address}")
    _output.write_line(f"  data      {stores}")
    _output.write_line("  connect   from memphis import Memphis")
    _output.write_line(
        f"            memphis = Memphis(); await memphis.connect(host={host!r}, "
        f"port={ready.port}, username='root', password=...)"
    )
    if is_loopback(ready.host) and not settings.engine:
        _output.write_line(
            "  reach     this machine only; see --host and --root-password for others"
        )
    _output.write_line("Ctrl-C stops the broker; what it stored stays.")


def _is_wildcard(host: str) -> bool:
    return host in {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to
