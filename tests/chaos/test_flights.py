"""Nothing acknowledged is lost and nothing is out of order while broker and engine are killed."""

from __future__ import annotations

import os
import random
import sys

import pytest

from memphis_broker.demo.flights import week_of_flights
from tests.chaos.flights import KILLS, run, whole_file

FULL = "MEMPHIS_TEST_WHOLE_YEAR"


async def test_a_week_of_flights_survives_three_kills() -> None:
    """The packaged week, at moments that are new in every run; the seed repeats them."""
    seed = random.randrange(10_000)
    sys.stdout.write(f"seed {seed}\n")  # pytest shows it if the test fails
    record = await run(week_of_flights(), seed)
    assert len(record.kills) == len(KILLS)
    assert not record.missing()
    assert not record.refused


@pytest.mark.skipif(FULL not in os.environ, reason=f"takes minutes: set {FULL}=1")
async def test_a_year_of_flights_survives_three_kills() -> None:
    """All 336,776 flights, where the file is at hand."""
    flights = whole_file()
    if flights is None:
        pytest.skip("the file with the whole year is not at hand")
    record = await run(flights, seed=2013)
    assert len(record.acknowledged) == len(flights)
