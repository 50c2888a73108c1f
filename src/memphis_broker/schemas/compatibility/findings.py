"""What a comparison of two versions of a schema finds, and the limits it keeps to.

Every schema type's module walks a reader and a writer side by side with one :class:`Comparison` in
hand, and leaves in it a :class:`Finding` for each reason why data that fits the writer may not be
understood with the reader. Invariant: no findings means that there is no such reason, so whatever
is not decided must be left as a doubt, and a walk that is cut short ends in :class:`TooMuchError`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

STEPS_MAX: Final = 300_000
"""Parts compared in one comparison of two versions: about two seconds."""
DEPTH_MAX: Final = 120
"""Parts within each other. Each takes up to four of Python's frames, of which there are 1000."""
_SHOWN_LENGTH_MAX: Final = 80


@dataclass(frozen=True)
class Finding:
    """One reason why data that fits the writer may not be understood with the reader.

    Attributes:
        path: Where, like ``items[].sku``; empty for the message as a whole.
        text: What is in the way, in words, from the older version to the newer.
        certain: False where the rules cannot tell; ``text`` is then what differs.
    """

    path: str
    text: str
    certain: bool = True


class TooMuchError(Exception):
    """A comparison met its limit of steps or depth, and knows no answer."""


class Budget:
    """How many steps are left; comparisons may share one."""

    def __init__(self, steps: int = STEPS_MAX) -> None:
        self._left = steps

    def spend(self, steps: int = 1) -> None:
        """Take steps.

        Raises:
            TooMuchError: None are left.
        """
        self._left -= steps
        if self._left < 0:
            raise TooMuchError

    @property
    def exhausted(self) -> bool:
        """Whether a comparison has met the limit."""
        return self._left < 0


class Comparison:
    """The state of one walk over a reader and a writer. Not to be used twice.

    Types may contain themselves. A pair of parts that is met again is taken to be compatible, which
    is sound because the first meeting is what decides about it: if that one leaves a finding, the
    whole is refused. Inside :meth:`attempt` the same holds for the attempt.
    """

    def __init__(self, *, reader_is_newer: bool, budget: Budget) -> None:
        self.found: list[Finding] = []
        self.reader_is_newer = reader_is_newer
        self._budget = budget
        self._depth = 0
        self._assumed: set[Hashable] = set()
        self._trail: list[Hashable] = []
        self._failed: dict[Hashable, tuple[str, list[Finding]]] = {}

    def refuse(self, path: str, text: str) -> None:
        """Leave a reason."""
        self.found.append(Finding(path, text))

    def doubt(self, path: str, text: str) -> None:
        """Leave a difference that the rules do not judge."""
        self.found.append(Finding(path, text, certain=False))

    def became(self, path: str, *, reader: str, writer: str) -> None:
        """Leave the reason that one thing became another, in the order of the versions."""
        self.refuse(path, self.change(reader=reader, writer=writer))

    def change(self, *, reader: str, writer: str) -> str:
        """``old became new``, whichever of the two is the newer one."""
        old, new = (writer, reader) if self.reader_is_newer else (reader, writer)
        return f"{old} became {new}"

    def by_age(self, *, reader_newer: str, reader_older: str) -> str:
        """The words for a difference, which depend on whether it came or went."""
        return reader_newer if self.reader_is_newer else reader_older

    def assume(self, pair: Hashable) -> bool:
        """Whether this pair of parts is met for the first time, and so must be compared."""
        if pair in self._assumed:
            return False
        self._assumed.add(pair)
        self._trail.append(pair)
        return True

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Around the comparison of one part.

        Raises:
            TooMuchError: Too deep, or too many of them.
        """
        self._budget.spend()
        if self._depth >= DEPTH_MAX:
            raise TooMuchError
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def attempt(self, key: Hashable, path: str, compare: Callable[[], None]) -> list[Finding]:
        """What a comparison at ``path`` would find, for alternatives of which one must hold.

        Leaves nothing behind. A failed attempt fails again, as assumptions only ever help it, so
        its findings are kept under ``key``, for wherever the same pair is met again; without that,
        alternatives within alternatives would take exponential time.
        """
        known = self._failed.get(key)
        if known is not None:
            return [_moved(finding, known[0], path) for finding in known[1]]
        before, mark = self.found, len(self._trail)
        self.found = []
        try:
            compare()
        finally:
            attempted, self.found = self.found, before
        if attempted:
            self._assumed.difference_update(self._trail[mark:])
            del self._trail[mark:]
            self._failed[key] = (path, attempted)
        return attempted


def joined(path: str, name: str) -> str:
    """The path of a field inside the part at ``path``."""
    return f"{path}.{shown(name)}" if path else shown(name)


def _moved(finding: Finding, base: str, path: str) -> Finding:
    """The same finding about a part that stands at ``path`` instead of ``base``."""
    if base == path:
        return finding
    inside = finding.path[len(base) :].removeprefix(".")
    moved = path + inside if not inside or inside[0] in "[{" else joined(path, inside)
    return replace(finding, path=moved)


def shown(value: object, length_max: int = _SHOWN_LENGTH_MAX) -> str:
    """A value or a name as it stands in a reason: on one line, and not endless."""
    text = str(value) if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= length_max else text[: length_max - 1] + "…"
