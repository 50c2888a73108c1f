"""`memphis mirror`: the messages of an original Memphis.dev installation, brought here."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memphis_broker.cli import _output
from memphis_broker.cli._client import DEFAULT_PORT, FAILED, INTERRUPTED, Credentials, located

if TYPE_CHECKING:
    from memphis_broker.move_in.counts import StationCount
    from memphis_broker.move_in.endpoint import Endpoint
    from memphis_broker.move_in.mirror import Mirror

_PANEL = "The original"
_DEFAULT_USER = "root"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _of_the_original(text: str, variable: str | None = None) -> Any:
    return typer.Option(help=text, envvar=variable, rich_help_panel=_PANEL, show_default=False)


Stations = Annotated[
    list[str] | None,
    typer.Argument(metavar="STATION", help="Which. [all of the original's]"),
]
Source = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="HOST",
        help=f"Its broker, like old-host or old-host:{DEFAULT_PORT}.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
SourceUser = Annotated[
    str, _of_the_original("Root or an application user. [root]", "MEMPHIS_SOURCE_USER")
]
SourcePassword = Annotated[str, _of_the_original("The password.", "MEMPHIS_SOURCE_PASSWORD")]
SourceToken = Annotated[
    str, _of_the_original("The connection token, instead of a password.", "MEMPHIS_SOURCE_TOKEN")
]
CaFile = Annotated[str, _of_the_original("For TLS: whom to trust.")]
CertFile = Annotated[str, _of_the_original("For TLS: who we are.")]
KeyFile = Annotated[str, _of_the_original("For TLS: the key to that.")]
Group = Annotated[
    str, typer.Option("--group", "-g", help="The group there that keeps the position.")
]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on when nothing is left, until Ctrl-C.")
]
Add = Annotated[
    bool, typer.Option("--add", help="Also into stations that hold messages of another origin.")
]
AckTime = Annotated[
    int,
    typer.Option(
        min=1,
        max=3600,
        help="After which time a message that was not acknowledged there is sent again; so long waits "
        "a run that follows one that was killed.",
    ),
]


@located
async def mirror(
    credentials: Credentials,
    stations: Stations = None,
    source: Source = "",
    source_user: SourceUser = _DEFAULT_USER,
    source_password: SourcePassword = "",
    source_token: SourceToken = "",
    source_ca_file: CaFile = "",
    source_cert_file: CertFile = "",
    source_key_file: KeyFile = "",
    group: Group = "memphis-mirror",
    follow: Follow = False,
    add: Add = False,
    ack_time_s: AckTime = 30,
) -> None:
    """Bring the messages of an original Memphis.dev installation to the stations of this broker.

    Each is acknowledged there once it is stored here; run it again, and it goes on where it was. At the
    end both sides are counted. The exit code is 0 if all that is there is here.

    For example: memphis mirror --from old-host --source-password ... --follow
    """
    from memphis_broker.move_in.endpoint import Endpoint  # noqa: PLC0415 - only when it is run
    from memphis_broker.move_in.mirror import Wish, open_mirror  # noqa: PLC0415

    if not source:
        raise typer.BadParameter("say where from: --from")
    if bool(source_password) == bool(source_token):
        raise typer.BadParameter(
            "give the original's password or its token: --source-password, or --source-token"
        )
    there = Endpoint(
        host=source,
        port=DEFAULT_PORT,
        username=source_user,
        password=source_password,
        token=source_token,
        cert_file=source_cert_file,
        key_file=source_key_file,
        ca_file=source_ca_file,
    )
    wish = Wish(stations=stations or [], group=group, follow=follow, add=add, ack_time_s=ack_time_s)
    async with open_mirror(there, _endpoint(credentials), wish, _output.write_note) as mirroring:
        with _stopped_by_signals(mirroring), _output.progress("mirroring", None) as show:
            counts = await mirroring.run(
                lambda done, total: show(done, f"{done:,} of {max(done, total):,} messages")
            )
    _report(counts)
    if any(True for count in counts for _ in count.mismatches()):
        raise typer.Exit(FAILED)
    if mirroring.was_stopped and not follow:
        raise typer.Exit(INTERRUPTED)


def _endpoint(credentials: Credentials) -> Endpoint:
    from memphis_broker.move_in.endpoint import Endpoint  # noqa: PLC0415 - only when it is run

    return Endpoint(
        host=credentials.host,
        port=credentials.port,
        username=credentials.username,
        password=credentials.password,
        token=credentials.token,
    )


@contextmanager
def _stopped_by_signals(mirroring: Mirror) -> Iterator[None]:
    """The first Ctrl-C ends it in good order, the second at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        _output.write_note("stopping: what is under way is stored first; Ctrl-C again ends at once")
        mirroring.stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _report(counts: Sequence[StationCount]) -> None:
    _output.write_table(
        ["STATION", ">PARTITION", ">THERE", ">COPIED", ">KNOWN", ">DEAD LETTERS", ">HERE"],
        [row for count in counts for row in _rows(count)],
    )
    for count in counts:
        for one in count.partitions:
            for refusal in one.refusals:
                _output.write_note(
                    f"refused: station {count.station}, partition {refusal.partition}, sequence "
                    f"{refusal.sequence}: {refusal.reason}"
                )
        for mismatch in count.mismatches():
            _output.write_error(mismatch)


def _rows(count: StationCount) -> Iterator[list[str]]:
    for one in count.partitions:
        yield [
            count.station,
            str(one.number or "-"),
            _told(one.there.messages if one.there else None),
            f"{one.copied:,}",
            f"{one.known:,}",
            f"{one.refused:,}",
            _told(one.here),
        ]
    if all(one.here is None for one in count.partitions):
        there = count.there
        yield [
            count.station,
            "all",
            _told(there.messages if there else None),
            f"{count.copied:,}",
            f"{sum(one.known for one in count.partitions):,}",
            f"{count.refused:,}",
            f"{count.here:,}",
        ]


def _told(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
