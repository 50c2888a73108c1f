"""Reads one group's messages from the partitions of one station.

The engine counts a delivery the moment it sends a message, and a group's last delivery that nobody
processes is a lost chance. So the reader never asks for more than it was asked for, and what arrives
stays in its buffer until a caller takes it: a ``read`` that is cancelled, or returns while an answer is
still on its way, loses nothing.

How a read goes, for ``batch_size`` messages from partitions that may be many:

1. *Sweep*: ask the partitions in turn for what they have, without waiting there. What is still wanted is
   shared among up to 32 partitions at a time; one that gave its full share is asked again.
2. *Wait*: if more is wanted and time is left, ask with a waiting time. A partition that runs out of its
   share while others stay empty would starve, so the wait is cut into slices (50 ms, doubling to
   1 s), with a new sharing for each.
3. A read that would return nothing sweeps once more, because in a wait with fewer messages wanted than
   there are partitions some partitions were not asked.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from memphis.exceptions import (
    MemphisClosedError,
    MemphisConnectError,
    MemphisNotFoundError,
)
from memphis.transport.protocol import MessageFrame
from memphis.transport.puller import PullEnd
from memphis.wire.errors import ErrorCode

if TYPE_CHECKING:
    from memphis.transport.connection import Connection
    from memphis.transport.puller import Puller

_M = TypeVar("_M")

_PARTITIONS_AT_ONCE: Final = 32
_SLICE_FIRST_S: Final = 0.05
_SLICE_LONGEST_S: Final = 1.0
_ANSWER_GRACE_S: Final = 1.0
"""How long past its deadline a read waits for the engine's word that a pull has ended."""
_REFRESH_AGE: Final = 0.1
"""From this part of the ack time on, a buffered message's time is started anew when it is taken."""
_IN_PROGRESS: Final = b"+WPI"
_NAK: Final = b"-NAK"


_Buffered: TypeAlias = tuple[MessageFrame, float]
"""A message as it came, and when."""


class _Partition:
    """One partition as the reader sees it: where to ask, what is under way, what has arrived."""

    __slots__ = ("buffer", "end", "number", "outstanding", "subject", "until")

    def __init__(self, number: int, subject: str) -> None:
        self.number = number
        self.subject = subject.encode()
        self.buffer: deque[_Buffered] = deque()
        self.outstanding = 0
        self.until = 0.0
        self.end: PullEnd | None = None


class GroupReader(Generic[_M]):
    """The messages of one group, for one member. One read at a time; others wait their turn.

    Args:
        connection: Where acknowledgements go.
        puller: Asks the engine.
        subjects: For each partition number, where its messages are asked for.
        make_message: Makes a message from partition, ack subject, header block and payload.
        is_gone: Asks whether the group has really ended; the engine gives the same answer for a
            group that is gone and for one whose server is just being replaced.
        max_ack_time_s: After this time the engine delivers an unacknowledged message again.
    """

    def __init__(
        self,
        connection: Connection,
        puller: Puller,
        subjects: dict[int, str],
        make_message: Callable[[int, bytes, bytes, bytes], _M],
        is_gone: Callable[[], Awaitable[bool]],
        max_ack_time_s: float,
    ) -> None:
        self._connection = connection
        self._puller = puller
        self._make_message = make_message
        self._is_gone = is_gone
        self._max_ack_time_s = max_ack_time_s
        self._refresh_age_s = _REFRESH_AGE * max_ack_time_s
        self._partitions = {number: _Partition(number, s) for number, s in subjects.items()}
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._first = 0
        self._closed = False
        self._interrupted = False
        connection.add_listener(self)

    @property
    def buffered(self) -> int:
        """Messages that have arrived and were not taken yet."""
        return sum(len(p.buffer) for p in self._partitions.values())

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    async def read(self, batch_size: int, wait_s: float, numbers: Sequence[int]) -> list[_M]:
        """Up to ``batch_size`` messages of these partitions, waiting up to ``wait_s`` for them.

        Raises:
            MemphisNotFoundError: The station or the group is gone.
            MemphisConnectError: There is nothing to return, and the connection is closed or was
                lost and did not come back in time.
            MemphisClosedError: The consumer was destroyed.

        Cancelling is safe: what has arrived is given to the next read.
        """
        async with self._turn:
            chosen = await self._fill(batch_size, wait_s, numbers, batch_size)
            return self._take(batch_size, chosen)

    async def arrive(self, batch_size: int, wait_s: float, numbers: Sequence[int]) -> None:
        """Return as soon as a message is there for :meth:`take_one`; as :meth:`read` otherwise."""
        async with self._turn:
            await self._fill(batch_size, wait_s, numbers, 1)

    async def _fill(
        self, batch_size: int, wait_s: float, numbers: Sequence[int], enough: int
    ) -> list[_Partition]:
        """Have messages in the buffers of these partitions; stop asking when there are enough."""
        deadline = time.monotonic() + wait_s
        self._check_open()
        self._interrupted = False
        self._drop_expired()
        chosen = self._rotated(numbers)
        if _ready(chosen) < enough:
            await self._sweep(batch_size, chosen, enough)
        if _ready(chosen) < enough:
            await self._wait(batch_size, chosen, enough, deadline)
        if len(chosen) > 1 and not _ready(chosen) and not self._interrupted:
            await self._sweep(batch_size, chosen, enough)
        if not _ready(chosen) and not self._connection.is_connected:
            raise MemphisConnectError("the connection is lost and did not come back in time")
        return chosen

    def prefetch(self, batch_size: int, wait_s: float, numbers: Sequence[int]) -> None:
        """Ask for the next batch without waiting for it; never more than one batch ahead."""
        if not self._closed:
            # Whatever partitions it is for: one batch ahead in all is the promise.
            under_way = self._partitions.values()
            self._ask(batch_size, under_way, deque(self._rotated(numbers)), wait_s)

    def take_one(self) -> _M | None:
        """A message that has arrived, if there is any."""
        self._drop_expired()
        for partition in self._partitions.values():
            if partition.buffer:
                return self._message(partition)
        return None

    def wake(self) -> None:
        """Have a read that is waiting return with what it has."""
        self._interrupted = True
        self._changed.set()

    async def wait_connected(self, wait_s: float) -> bool:
        """Wait for a lost connection; False if it was not back in time or :meth:`wake` came first.

        Raises:
            MemphisConnectError: It is closed or given up.
            MemphisClosedError: The consumer was destroyed.
        """
        deadline = time.monotonic() + wait_s
        while not self._connection.is_connected:
            self._connection.check_open()
            if self._interrupted or not await self._wait_change(deadline):
                return False
        return True

    def connection_lost(self, reason: str) -> None:
        """Nothing to do: pulls that were under way end by themselves."""

    def connection_restored(self) -> None:
        """Who waits for the connection goes on."""
        self._changed.set()

    def connection_closed(self, reason: str) -> None:  # noqa: ARG002 - what a listener is given
        """Who waits for the connection is told."""
        self._changed.set()

    def close(self) -> None:
        """Give what was not taken back to the group, for its other members; end a waiting read."""
        self._closed = True
        self._changed.set()
        self._connection.remove_listener(self)
        for partition in self._partitions.values():
            while partition.buffer:
                self._give_back(partition.buffer.popleft()[0])

    # The phases of a read.

    async def _sweep(self, batch_size: int, chosen: list[_Partition], enough: int) -> None:
        queue = deque(chosen)
        deadline = time.monotonic() + _ANSWER_GRACE_S
        while queue and _ready(chosen) < enough:
            asked = self._ask(batch_size, chosen, queue, 0)
            if not asked or not await self._wait_ends(asked, deadline):
                return
            # Filled: it may have more, so it is asked again, after the others.
            queue.extend(p for p in asked if p.end is PullEnd.FILLED)
            await self._check_alive(chosen)

    async def _wait(
        self, batch_size: int, chosen: list[_Partition], enough: int, deadline: float
    ) -> None:
        slice_s = _SLICE_FIRST_S
        while _ready(chosen) < enough and not self._interrupted:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            if not self._connection.is_connected:
                if not await self._came_back(left_s, chosen):
                    return
                continue
            wait_s = left_s if len(chosen) == 1 else min(slice_s, left_s)
            self._ask(batch_size, chosen, deque(chosen), wait_s)
            await self._wait_enough(chosen, enough, deadline)
            if not await self._check_alive(chosen):
                await asyncio.sleep(min(slice_s, left_s))
            slice_s = min(2 * slice_s, _SLICE_LONGEST_S)
        # The answers to pulls that end with the deadline are on their way.
        ending = [p for p in chosen if p.outstanding and p.until <= deadline + _SLICE_FIRST_S]
        if _ready(chosen) < enough and ending and not self._interrupted:
            await self._wait_ends(ending, deadline + _ANSWER_GRACE_S)

    async def _came_back(self, left_s: float, chosen: list[_Partition]) -> bool:
        """Wait for the lost connection; False if it is not back in time."""
        try:
            return await self.wait_connected(left_s)
        except MemphisConnectError:
            if not _ready(chosen):
                raise
            return False

    async def _wait_enough(self, chosen: list[_Partition], enough: int, deadline: float) -> None:
        """Wait until enough has arrived or none of the pulls is under way."""
        while _ready(chosen) < enough and any(p.outstanding for p in chosen):
            if self._interrupted or not await self._wait_change(deadline):
                return

    async def _wait_ends(self, asked: Sequence[_Partition], deadline: float) -> bool:
        """Wait until all these pulls have ended; False if the deadline came first."""
        while any(p.outstanding for p in asked):
            if not await self._wait_change(deadline):
                return False
        return True

    async def _wait_change(self, deadline: float) -> bool:
        """Wait until something arrives or ends; False if the deadline came first."""
        self._check_open()
        self._changed.clear()
        try:
            async with asyncio.timeout(max(0, deadline - time.monotonic())):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._check_open()
        return True

    # Pulls and what they bring.

    def _ask(
        self,
        batch_size: int,
        counted: Iterable[_Partition],
        queue: deque[_Partition],
        expires_s: float,
    ) -> list[_Partition]:
        """Pull from the next partitions that are not being asked already; return and unqueue them.

        What may still be asked for is shared among them, so that what is here and under way for all
        the ``counted`` partitions never exceeds the batch.
        """
        wanted = batch_size - sum(len(p.buffer) + p.outstanding for p in counted)
        idle = (p for p in queue if not p.outstanding)
        asked = list(itertools.islice(idle, max(0, min(wanted, _PARTITIONS_AT_ONCE))))
        if not asked:
            return asked
        share, rest = divmod(wanted, len(asked))
        for index, partition in enumerate(asked):
            queue.remove(partition)
            self._pull(partition, share + (index < rest), expires_s)
        return asked

    def _pull(self, partition: _Partition, count: int, expires_s: float) -> None:
        partition.outstanding = count
        partition.until = time.monotonic() + expires_s
        partition.end = None

        def arrived(frame: MessageFrame) -> None:
            if partition.outstanding:
                partition.outstanding -= 1
            self._keep(partition, frame)

        def ended(end: PullEnd) -> None:
            partition.outstanding = 0
            partition.end = end
            self._changed.set()

        self._puller.pull(
            partition.subject, batch=count, expires_s=expires_s, on_message=arrived, on_end=ended
        )

    def _keep(self, partition: _Partition, frame: MessageFrame) -> None:
        if self._closed:
            self._give_back(frame)
        else:
            partition.buffer.append((frame, time.monotonic()))
        self._changed.set()

    def _give_back(self, frame: MessageFrame) -> None:
        if self._connection.is_connected:
            self._connection.publish(frame[3], _NAK)

    async def _check_alive(self, chosen: list[_Partition]) -> bool:
        """False if the engine did not find the group just now; raises if it is gone for good."""
        gone = [p for p in chosen if p.end is PullEnd.GONE]
        if not gone:
            return True
        for partition in gone:
            partition.end = None
        if await self._is_gone():
            raise MemphisNotFoundError(
                "the consumer group is gone: it was destroyed, or its station was removed; make a "
                "new consumer to start it again",
                ErrorCode.GROUP_NOT_FOUND,
            )
        return False

    def _check_open(self) -> None:
        if self._closed:
            raise MemphisClosedError("the consumer was destroyed")

    # The buffer.

    def _drop_expired(self) -> None:
        """Forget what has run out of its ack time: the engine delivers it again by itself."""
        oldest = time.monotonic() - self._max_ack_time_s
        for partition in self._partitions.values():
            buffer = partition.buffer
            while buffer and buffer[0][1] <= oldest:
                buffer.popleft()

    def _take(self, batch_size: int, chosen: list[_Partition]) -> list[_M]:
        taken: list[_M] = []
        for partition in chosen:
            for _ in range(min(len(partition.buffer), batch_size - len(taken))):
                taken.append(self._message(partition))  # noqa: PERF401 - it has effects, too
        return taken

    def _message(self, partition: _Partition) -> _M:
        (_, _, _, ack_subject, header, payload), arrived = partition.buffer.popleft()
        if time.monotonic() - arrived > self._refresh_age_s:
            self._connection.publish(ack_subject, _IN_PROGRESS)
        return self._make_message(partition.number, ack_subject, header, payload)

    def _rotated(self, numbers: Sequence[int]) -> list[_Partition]:
        """The partitions, beginning with another one each time."""
        first = self._first % len(numbers)
        self._first += 1
        return [self._partitions[n] for n in itertools.chain(numbers[first:], numbers[:first])]


def _ready(chosen: list[_Partition]) -> int:
    return sum(len(p.buffer) for p in chosen)
