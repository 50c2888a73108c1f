"""What a mirror has done, counted on both sides, and whether that agrees. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

REFUSALS_KEPT_MAX: Final = 10


class StreamCount(NamedTuple):
    """What one partition holds there now."""

    messages: int
    is_whole: bool
    """Whether none of its messages ever went."""


class Refusal(NamedTuple):
    """A message that the schema here refused, by its place there."""

    partition: int
    sequence: int
    reason: str


@dataclass
class PartitionCount:
    """One partition of a station there, as far as the mirror has come."""

    number: int
    copied: int = 0
    """Stored here by this run."""
    known: int = 0
    """That an earlier run had stored here."""
    refused: int = 0
    """Dead letters made of them by this run."""
    refusals: list[Refusal] = field(default_factory=list)
    """The first of these."""
    there: StreamCount | None = None
    """What the partition holds there in the end; None where that is not told."""
    waiting: int = 0
    """What was not brought over yet in the end."""
    here: int | None = None
    """What the partition of the same number holds here; None where there is none."""


@dataclass
class StationCount:
    """One station, and its partitions there."""

    station: str
    partitions: list[PartitionCount]
    here: int = 0
    """What the station holds here in the end."""
    dead_letters: int = 0
    """Its dead letters that failed the schema."""
    is_added: bool = False
    """Whether it held messages before the first came: then there may be more here."""
    goes_by_acks: bool = False
    """Whether messages go here as groups acknowledge them: then there may be fewer."""

    @property
    def copied(self) -> int:
        """Messages stored here by this run."""
        return sum(one.copied for one in self.partitions)

    @property
    def refused(self) -> int:
        """Dead letters that this run made."""
        return sum(one.refused for one in self.partitions)

    @property
    def there(self) -> StreamCount | None:
        """What the station holds there; None where that is not told."""
        told = [one.there for one in self.partitions if one.there is not None]
        if len(told) < len(self.partitions):
            return None
        return StreamCount(sum(n.messages for n in told), all(n.is_whole for n in told))

    def mismatches(self) -> Iterator[str]:
        """What does not agree, in words; nothing if all that is there is here."""
        for one in self.partitions:
            where = f"station {self.station}" + (f", partition {one.number}" if one.number else "")
            if one.waiting:
                yield f"{where}: {_messages(one.waiting)} not brought over yet"
            if one.here is not None and not one.waiting:
                yield from self._compared(where, one.there, one.here)
        if all(one.here is None and not one.waiting for one in self.partitions):
            yield from self._compared(f"station {self.station}", self.there, self.here)
        if self.refused:
            yield (
                f"station {self.station}: {_messages(self.refused)} failed its schema, and became "
                f"dead letters; see: memphis dls ls {self.station}"
            )

    def _compared(self, where: str, there: StreamCount | None, here: int) -> Iterator[str]:
        if there is None or self.goes_by_acks:
            return
        if here < there.messages:
            hint = ""
            if self.dead_letters:
                hint = f"; {self.dead_letters:,} of the station are dead letters that failed its schema"
            fewer = there.messages - here
            yield f"{where}: {_messages(fewer)} fewer here than the {there.messages:,} there{hint}"
        # What retention took there since may be here still.
        elif here > there.messages and there.is_whole and not self.is_added:
            more = here - there.messages
            yield (
                f"{where}: {_messages(more)} more here than the {there.messages:,} there; do others "
                "produce here?"
            )


def agree(stations: Sequence[StationCount]) -> bool:
    """Whether nothing is missing, nor too much."""
    return not any(True for station in stations for _ in station.mismatches())


def _messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"
