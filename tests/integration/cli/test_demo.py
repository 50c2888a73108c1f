"""`memphis demo`: the first thing that anybody runs."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from memphis_broker.demo.flights import week_of_flights
from memphis_broker.demo.run import GROUPS, GroupCount, Outcome
from tests.integration.cli.conftest import CommandLine


def test_the_demo_counts_every_flight(memphis: CommandLine, tmp_path: Path) -> None:
    """Without a terminal too: the table agrees, nothing is lost, something came again, all is clean."""
    result = memphis("demo", TMPDIR=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert result.stderr == b""
    rows = [line.split() for line in result.stdout.decode().splitlines() if " 6,099 " in line]
    assert [row[0] for row in rows[-3:]] == ["sent", "group", "group"]
    redelivered = 0
    for row in rows[-2:]:
        _, name, members, read, again, lost, rate = row
        assert int(members) == GROUPS[name]
        assert (read, lost) == ("6,099", "0")
        redelivered += int(again.replace(",", ""))
        assert re.fullmatch(r"[\d,]+", rate)
    assert redelivered > 0
    assert not list(tmp_path.iterdir())
    assert tempfile.gettempdir() != str(tmp_path)


def test_the_packaged_week_is_whole() -> None:
    """The data that comes with the package is the week it says it is."""
    flights = week_of_flights()
    assert len(flights) == 6099
    assert [flights[0].row, flights[-1].row] == [1, 6099]
    assert {flight.columns["day"] for flight in flights} == set("1234567")
    assert {flight.columns["month"] for flight in flights} == {"1"}
    assert sum(flight.was_cancelled for flight in flights) == 35


def test_counts_that_differ_do_not_agree() -> None:
    """A flight that one group did not read, or that was never confirmed, is noticed."""
    outcome = Outcome(2, [GroupCount("a", 1), GroupCount("b", 1)])
    outcome.sent = {(1, 1), (1, 2)}
    outcome.groups[0].read = {(1, 1), (1, 2)}
    outcome.groups[1].read = {(1, 1)}
    assert not outcome.agrees
    assert outcome.groups[1].lost_of(outcome.sent) == 1
    outcome.groups[1].read = {(1, 1), (1, 2)}
    assert outcome.agrees
    outcome.sent.remove((1, 2))
    assert not outcome.agrees
