"""`memphis demo`: a broker, a week of real flights, and the sums."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import typer

from memphis_broker.cli import _output
from memphis_broker.cli._client import FAILED, Credentials, run

if TYPE_CHECKING:
    from memphis_broker.demo.run import GroupCount, Outcome


def demo() -> None:
    """Stream a week of real flights through a broker, and count every one of them.

    Starts a broker on a free port in a temporary directory, sends 6,099 flights to a station with
    three partitions, reads them with two groups, lets one handler fail on a few of them, and shows
    what was sent, read, delivered again and lost. Nothing is left behind. The exit code is 0 only
    if every flight arrived everywhere.
    """
    # The handler that fails on purpose would fill the screen with tracebacks.
    logging.getLogger("memphis").addHandler(logging.NullHandler())
    logging.getLogger("memphis").propagate = False
    run(_demo)


async def _demo() -> None:
    from memphis_broker.demo import run as demo_run  # noqa: PLC0415 - only when it is run
    from memphis_broker.demo.flights import week_of_flights  # noqa: PLC0415
    from memphis_broker.testing import BrokerFailedError, BrokerProcess  # noqa: PLC0415

    flights = week_of_flights()
    _output.write_line("starting a broker on a free port in a temporary directory")
    try:
        async with BrokerProcess() as broker:
            _output.write_line(
                f"sending {len(flights):,} flights to station {demo_run.STATION!r} with "
                f"{demo_run.PARTITIONS} partitions; {len(demo_run.GROUPS)} groups read them"
            )
            credentials = Credentials(broker.host, broker.port, "root", password="memphis")  # noqa: S106 - a fresh broker's own
            with _output.progress("streaming", demo_run.amount_in_all(flights)) as update:
                outcome = await demo_run.run(
                    credentials.connect,
                    flights,
                    lambda now: update(now.amount, f"{len(now.sent):,} sent"),
                )
    except BrokerFailedError as error:
        _output.write_error(f"the broker failed: {error}")
        raise typer.Exit(FAILED) from error
    _report(outcome)


def _report(outcome: Outcome) -> None:
    sending_s = outcome.sent_at - outcome.started_at
    _output.write_line()
    _output.write_table(
        ["", ">MEMBERS", ">MESSAGES", ">REDELIVERED", ">LOST", ">MESSAGES/S"],
        [
            ["sent", "1", f"{len(outcome.sent):,}", "", "", _rate(outcome.flights, sending_s)],
            *[_group_row(group, outcome) for group in outcome.groups],
        ],
    )
    _output.write_line()
    if not outcome.agrees:
        _output.write_error("the counts do not agree")
        raise typer.Exit(FAILED)
    failures = sum(group.failures for group in outcome.groups)
    _output.write_line(
        f"every flight arrived in every group; a handler failed {failures} times, and what it had "
        "not acknowledged came again"
    )


def _group_row(group: GroupCount, outcome: Outcome) -> list[str]:
    return [
        f"group {group.name}",
        str(group.members),
        f"{len(group.read):,}",
        f"{group.redelivered:,}",
        f"{group.lost_of(outcome.sent):,}",
        _rate(len(group.read), group.seconds),
    ]


def _rate(messages: int, seconds: float) -> str:
    return f"{messages / seconds:,.0f}" if seconds > 0 else "-"
