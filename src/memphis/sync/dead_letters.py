"""Dead letters, for code without an event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from memphis import dead_letters as asynchronous
from memphis.dead_letters import Failure, RedriveResult
from memphis.headers import Headers
from memphis.sync._faces import Face, blocking, direct, each, iterating
from memphis.sync._worker import Worker, told_by
from memphis.wire.dead_letters import DeadLetterInfo

__all__ = ["DeadLetter", "DeadLetters", "Failure", "RedriveResult"]

_DeadLetter = asynchronous.DeadLetter
_DeadLetters = asynchronous.DeadLetters


class DeadLetter(Face[_DeadLetter]):
    """See ``memphis.DeadLetter``."""

    __slots__ = ()

    @property
    def info(self) -> DeadLetterInfo:
        """As ``memphis.DeadLetter.info``."""
        return self._inner.info

    @property
    def id(self) -> int:
        """As ``memphis.DeadLetter.id``."""
        return self._inner.id

    @property
    def station(self) -> str:
        """As ``memphis.DeadLetter.station``."""
        return self._inner.station

    @property
    def partition(self) -> int:
        """As ``memphis.DeadLetter.partition``."""
        return self._inner.partition

    @property
    def sequence(self) -> int:
        """As ``memphis.DeadLetter.sequence``."""
        return self._inner.sequence

    @property
    def group(self) -> str:
        """As ``memphis.DeadLetter.group``."""
        return self._inner.group

    @property
    def kind(self) -> str:
        """As ``memphis.DeadLetter.kind``."""
        return self._inner.kind

    @property
    def reason(self) -> str:
        """As ``memphis.DeadLetter.reason``."""
        return self._inner.reason

    @property
    def deliveries(self) -> int:
        """As ``memphis.DeadLetter.deliveries``."""
        return self._inner.deliveries

    @property
    def failed_at(self) -> datetime:
        """As ``memphis.DeadLetter.failed_at``."""
        return self._inner.failed_at

    @property
    def sent_at(self) -> datetime | None:
        """As ``memphis.DeadLetter.sent_at``."""
        return self._inner.sent_at

    @property
    def producer(self) -> str:
        """As ``memphis.DeadLetter.producer``."""
        return self._inner.producer

    @property
    def history(self) -> list[Failure]:
        """As ``memphis.DeadLetter.history``."""
        return self._inner.history

    get_data = direct(_DeadLetter.get_data)
    get_headers = direct(_DeadLetter.get_headers)
    redrive = blocking(_DeadLetter.redrive)
    drop = blocking(_DeadLetter.drop)

    def edit(
        self, message: Any = None, headers: Headers | Mapping[str, str] | None = None
    ) -> DeadLetter:
        """As ``memphis.DeadLetter.edit``."""
        edited = self._loop.run(lambda: self._inner.edit(message, headers))
        return DeadLetter(self._loop, edited)


class DeadLetters(Face[_DeadLetters]):
    """See ``memphis.DeadLetters``. ``for letter in …`` gives them newest first, with their payloads."""

    __slots__ = ()

    def __iter__(self) -> Iterator[DeadLetter]:
        for letter in each(self._loop, aiter(self._inner)):
            yield DeadLetter(self._loop, letter)

    headlines = iterating(_DeadLetters.headlines)
    newest = blocking(_DeadLetters.newest)
    drop = blocking(_DeadLetters.drop)

    def watch(self) -> Iterator[DeadLetter]:
        """As ``memphis.DeadLetters.watch``; waits for the next on purpose, without a deadline."""
        for letter in each(self._loop, self._inner.watch()):
            yield DeadLetter(self._loop, letter)

    def redrive(
        self,
        *,
        station: str = "",
        rate: float | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> RedriveResult:
        """As ``memphis.DeadLetters.redrive``; ``progress`` is called in a thread of its own.

        That thread has ended when this returns, unless ``progress`` does not return for seconds.
        """
        if progress is None:
            return self._loop.run(lambda: self._inner.redrive(station=station, rate=rate))
        worker = Worker(self._loop, "memphis progress")
        tell = told_by(worker, progress)
        try:
            return self._loop.run(
                lambda: self._inner.redrive(station=station, rate=rate, progress=tell)
            )
        finally:
            worker.end()
