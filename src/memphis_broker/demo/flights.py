"""The week of flights that comes with the package, and files like it.

Invariant: flights come in the order of the file, which is the order in which they are produced.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files

COLUMNS = (
    "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time",
    "sched_arr_time", "arr_delay", "carrier", "flight", "tailnum", "origin", "dest", "air_time",
    "distance", "hour", "minute", "time_hour",
)  # fmt: skip

_WEEK = "flights_week.csv.xz"
_CARRIER = COLUMNS.index("carrier")
_DEPARTURE = COLUMNS.index("dep_time")


class FlightsFileError(Exception):
    """A file is not a table of flights with the columns of nycflights13."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One flight: its row in the file, and that row's text. A year of them fits into memory."""

    row: int
    """From 1; the line with the names of the columns does not count."""
    line: str

    @property
    def carrier(self) -> str:
        """The two letters of the airline."""
        return self.line.split(",", _CARRIER + 1)[_CARRIER]

    @property
    def was_cancelled(self) -> bool:
        """Whether it never left: the data has no time of departure then."""
        return not self.line.split(",", _DEPARTURE + 1)[_DEPARTURE].isdigit()

    @property
    def columns(self) -> dict[str, str]:
        """All columns by name."""
        return dict(zip(COLUMNS, self.line.split(","), strict=True))


def read_flights(lines: Iterable[str]) -> Iterator[Flight]:
    """The flights of a CSV file, one after another.

    Raises:
        FlightsFileError: The first line does not name the columns of nycflights13.
    """
    rest = iter(lines)
    if tuple(next(rest, "").strip().split(",")) != COLUMNS:
        raise FlightsFileError("the first line does not name the columns of nycflights13")
    for row, line in enumerate(rest, start=1):
        yield Flight(row, line.rstrip("\r\n"))


def week_of_flights() -> list[Flight]:
    """All flights of the packaged week."""
    packed = files(__package__).joinpath(_WEEK).read_bytes()
    return list(read_flights(lzma.decompress(packed).decode().splitlines()))
