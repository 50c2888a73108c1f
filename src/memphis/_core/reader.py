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
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from memphis._core.arrivals import Partition
from memphis._core.claims import give_back, renew
from memphis._core.pace import Pace
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
_BYTES_AT_ONCE: Final = 32 * 1024 * 1024
"""Half of what the engine holds for a connection (its max_pending) before it drops it as too slow."""
_CONTROL_LINE_BYTES: Final = 64 * 1024
"""More than subject and reply subject can have, which the engine counts as part of a message."""
_SLICE_FIRST_S: Final = 0.05
_SLICE_LONGEST_S: Final = 1.0
_ANSWER_GRACE_S: Final = 1.0
"""How long past its deadline a read waits for the engine's word that a pull has ended."""
_SWEEP_LONGEST_S: Final = 10.0
_REFRESH_SHARE: Final = 1 / 3
"""How often the time of buffered messages is started anew, as a part of the ack time."""
_HELD_ACK_TIMES_MAX: Final = 10
_FRESH_SHARE: Final = 0.9
"""With less of its time left than this, a message's time is started anew when it is taken."""
_EXPIRY_AGE: Final = 0.9
"""From here on it is left to the engine: its clock began to run when it sent the message."""


class GroupReader(Generic[_M]):
    """The messages of one group, for one member. One read at a time; others wait their turn.

    Args:
        connection: Where acknowledgements go.
        puller: Asks the engine.
        subjects: For each partition number, where its messages are asked for.
        make_message: Makes a message from its partition and its frame.
        screen: Takes out what the group is not to be given any more, and sees to it.
        is_gone: Asks whether the group has really ended; the engine gives the same answer for a
            group that is gone and for one whose server is just being replaced.
        max_ack_time_s: After this time the engine delivers an unacknowledged message again.
    """

    def __init__(
        self,
        connection: Connection,
        puller: Puller,
        subjects: dict[int, str],
        make_message: Callable[[int, MessageFrame], _M],
        screen: Callable[[int, Sequence[MessageFrame]], Sequence[MessageFrame]],
        is_gone: Callable[[], Awaitable[bool]],
        max_ack_time_s: float,
    ) -> None:
        self._connection = connection
        self._puller = puller
        self._make_message = make_message
        self._screen = screen
        self._is_gone = is_gone
        self._max_ack_time_s = max_ack_time_s
        self._expiry_s = _EXPIRY_AGE * max_ack_time_s
        self._partitions = {
            number: Partition(number, subject, self._expiry_s)
            for number, subject in subjects.items()
        }
        self._latest: Partition | None = None
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._first = 0
        self._closed = False
        self._interrupted = False
        self._pace = Pace()
        self._refreshing: asyncio.TimerHandle | None = None
        connection.add_listener(self)

    @property
    def buffered(self) -> int:
        """Messages that have arrived and were not taken yet."""
        return sum(p.buffer.count for p in self._partitions.values())

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    async def read(self, batch_size: int, wait_s: float, numbers: Sequence[int]) -> list[_M]:
        """Up to ``batch_size`` messages of these partitions, waiting up to ``wait_s`` for them.

        Raises:
            MemphisNotFoundError: The station or the group is gone.
            MemphisConnectError: There is nothing to return, and the connection is closed or given up.
            MemphisClosedError: The consumer was destroyed.

        Cancelling is safe: what has arrived is given to the next read.
        """
        async with self._turn:
            chosen = await self._fill(batch_size, wait_s, numbers, batch_size)
            return self._take(batch_size, chosen)

    async def arrive(self, batch_size: int, wait_s: float, numbers: Sequence[int]) -> None:
        """Return as soon as a message is there for :meth:`take_one`; as :meth:`read` otherwise.

        How many are asked for follows the caller's pace, up to the batch.
        """
        async with self._turn:
            await self._fill(self._pace.step(batch_size), wait_s, numbers, 1)
            self._pace.given()

    async def _fill(
        self, batch_size: int, wait_s: float, numbers: Sequence[int], enough: int
    ) -> list[Partition]:
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
        if not _ready(chosen):
            self._connection.check_open()
        return chosen

    def take_rest(self, numbers: Sequence[int]) -> list[_M]:
        """What has arrived of these partitions, to be handled before the caller stops."""
        self._drop_expired()
        return self._take(self.buffered, [self._partitions[number] for number in numbers])

    def prefetch(self, batch_size: int, wait_s: float, numbers: Sequence[int]) -> None:
        """Ask for the next batch without waiting for it; never more than one batch ahead.

        Of several partitions only what they have now is asked for.
        """
        if not self._closed:
            # Whatever partitions it is for: one batch ahead in all is the promise.
            under_way = self._partitions.values()
            # Shares that wait at empty partitions would keep the others from being asked.
            wait_s = wait_s if len(numbers) == 1 else 0
            self._ask(batch_size, under_way, deque(self._rotated(numbers)), wait_s)

    def take_one(self, batch_size: int, wait_s: float, numbers: Sequence[int]) -> _M | None:
        """A message that has arrived, if there is any; those of one partition before another's.

        For a caller that is quick, more are asked for before the last ones are taken; the arguments
        are those of :meth:`arrive`.
        """
        now = time.monotonic()
        partition = self._latest
        if partition is None or not self._has_fresh(partition, now):
            fresh = (p for p in self._partitions.values() if self._has_fresh(p, now))
            partition = self._latest = next(fresh, None)
            if partition is None:
                return None
        message = self._take_from(partition, 1, now)[0]
        # Not for the first: a program that takes one message and ends must use up no other.
        if self._pace.lead > 1 and 2 * partition.buffer.count <= self._pace.lead:
            self._top_up(batch_size, wait_s, numbers)
        return message

    def _top_up(self, batch_size: int, wait_s: float, numbers: Sequence[int]) -> None:
        under_way = any(p.outstanding for p in self._partitions.values())
        if under_way or 2 * self.buffered > self._pace.lead or not self._connection.is_connected:
            return
        if self._pace.step(batch_size) > 1:
            self.prefetch(self._pace.lead, wait_s, numbers)
            self._pace.given()

    def wake(self) -> None:
        """Have a read that is waiting return with what it has, and wait in the engine no more."""
        self._interrupted = True
        self._changed.set()
        self._cancel_waiting()

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
        # First: what is given back must not come to a pull of our own, and be counted again.
        self._cancel_waiting()
        self.release()

    async def release_rest(self) -> None:
        """As :meth:`release`, once the read that is under way has taken what it returns."""
        await self.ask_no_more()
        async with self._turn:
            self.release()

    async def ask_no_more(self) -> None:
        """End what was asked for ahead; what is on its way has arrived when this returns."""
        async with self._turn:
            self._cancel_waiting()
            if not self._closed:
                every = list(self._partitions.values())
                with contextlib.suppress(MemphisClosedError):  # who closes it gives back what comes
                    await self._wait_ends(every, time.monotonic() + _ANSWER_GRACE_S)

    def release(self) -> None:
        """Give back what has arrived and was not taken: nobody here will take it."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            self._refreshing = None
        for partition in self._partitions.values():
            for frames, _ in partition.buffer.take(partition.buffer.count):
                give_back(self._connection, frames)

    # The phases of a read.

    async def _sweep(self, batch_size: int, chosen: list[Partition], enough: int) -> None:
        queue = deque(chosen)
        deadline = time.monotonic() + _SWEEP_LONGEST_S
        while queue and _ready(chosen) < enough:
            asked = self._ask(batch_size, chosen, queue, 0)
            # What was asked for ahead without waiting is about to end, too.
            ending = asked or [p for p in chosen if p.outstanding and p.pull is None]
            if not ending or not await self._wait_ends(ending, deadline):
                return
            # Filled: it may have more, so it is asked again, after the others.
            queue.extend(p for p in asked if p.end is PullEnd.FILLED)
            await self._check_alive(chosen)

    async def _wait(
        self, batch_size: int, chosen: list[Partition], enough: int, deadline: float
    ) -> None:
        slice_s = _SLICE_FIRST_S
        queue = deque(chosen)
        while _ready(chosen) < enough and not self._interrupted:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            if not self._connection.is_connected:
                if not await self._came_back(left_s, chosen):
                    return
                continue
            wait_s = left_s if len(chosen) == 1 else min(slice_s, left_s)
            asked = self._ask(batch_size, chosen, queue.copy(), wait_s)
            queue.rotate(-len(asked))
            await self._wait_enough(chosen, enough, deadline)
            if not await self._check_alive(chosen):
                await asyncio.sleep(min(slice_s, left_s))
            slice_s = min(2 * slice_s, _SLICE_LONGEST_S)
        # The answers to pulls that end with the deadline are on their way.
        ending = [p for p in chosen if p.outstanding and p.until <= deadline + _SLICE_FIRST_S]
        if _ready(chosen) < enough and ending and not self._interrupted:
            await self._wait_ends(ending, deadline + _ANSWER_GRACE_S)

    async def _came_back(self, left_s: float, chosen: list[Partition]) -> bool:
        """Wait for the lost connection; False if it is not back in time."""
        try:
            return await self.wait_connected(left_s)
        except MemphisConnectError:
            if not _ready(chosen):
                raise
            return False

    async def _wait_enough(self, chosen: list[Partition], enough: int, deadline: float) -> None:
        """Wait until enough has arrived or none of the pulls is under way."""
        while _ready(chosen) < enough and any(p.outstanding for p in chosen):
            if self._interrupted or not await self._wait_change(deadline):
                return

    async def _wait_ends(self, asked: Sequence[Partition], deadline: float) -> bool:
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
        counted: Iterable[Partition],
        queue: deque[Partition],
        expires_s: float,
    ) -> list[Partition]:
        """Pull from the next partitions that are not being asked already; return and unqueue them.

        What may still be asked for is shared among them, so that what is here and under way for all
        the ``counted`` partitions never exceeds the batch.
        """
        wanted = batch_size - sum(p.buffer.count + p.outstanding for p in counted)
        idle = (p for p in queue if not p.outstanding)
        asked = list(itertools.islice(idle, max(0, min(wanted, _PARTITIONS_AT_ONCE))))
        if not asked:
            return asked
        share, rest = divmod(wanted, len(asked))
        bytes_max = max(
            _BYTES_AT_ONCE // len(asked), self._connection.max_payload + _CONTROL_LINE_BYTES
        )
        for index, partition in enumerate(asked):
            queue.remove(partition)
            self._pull(partition, share + (index < rest), bytes_max, expires_s)
        return asked

    def _pull(self, partition: Partition, count: int, bytes_max: int, expires_s: float) -> None:
        partition.outstanding = count
        partition.until = time.monotonic() + expires_s
        partition.end = None

        def arrived(frames: Sequence[MessageFrame]) -> None:
            partition.outstanding = max(0, partition.outstanding - len(frames))
            self._keep(partition, self._screen(partition.number, frames))

        def ended(end: PullEnd) -> None:
            partition.outstanding = 0
            partition.pull = None
            partition.end = end
            self._changed.set()

        pull = self._puller.pull(
            partition.subject,
            batch=count,
            bytes_max=bytes_max,
            expires_s=expires_s,
            on_messages=arrived,
            on_end=ended,
        )
        partition.pull = pull if expires_s > 0 else None

    def _cancel_waiting(self) -> None:
        """End the pulls that wait for messages.

        Those that do not wait end by themselves at once, and what they bring is better taken.
        """
        for partition in self._partitions.values():
            if partition.pull is not None:
                partition.pull.cancel()

    def _keep(self, partition: Partition, frames: Sequence[MessageFrame]) -> None:
        if self._closed:
            give_back(self._connection, frames)
        else:
            partition.buffer.keep(frames, time.monotonic())
            if self._refreshing is None:
                self._refresh_later()
        self._changed.set()

    async def _check_alive(self, chosen: list[Partition]) -> bool:
        """False if the engine did not find the group just now; raises if it is gone for good."""
        if any(p.end is PullEnd.LOST for p in chosen):
            return False  # the engine has no place for this pull at the moment
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
        now = time.monotonic()
        for partition in self._partitions.values():
            partition.buffer.drop_expired(now)

    def _refresh_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._refreshing = loop.call_later(_REFRESH_SHARE * self._max_ack_time_s, self._refresh)

    def _refresh(self) -> None:
        """Tell the engine that what waits here is still ours, so that waiting costs no delivery.

        Not for ever: whoever has forgotten this consumer must not keep messages from its group.
        """
        self._refreshing = None
        self._drop_expired()
        now = time.monotonic()
        oldest = now - _HELD_ACK_TIMES_MAX * self._max_ack_time_s
        for partition in self._partitions.values():
            renew(self._connection, partition.buffer.renew(now, oldest))
        if self.buffered:
            self._refresh_later()

    def _take(self, batch_size: int, chosen: list[Partition]) -> list[_M]:
        now = time.monotonic()
        taken: list[_M] = []
        for partition in chosen:
            taken += self._take_from(partition, batch_size - len(taken), now)
        return taken

    def _take_from(self, partition: Partition, count: int, now: float) -> list[_M]:
        make_message, number = self._make_message, partition.number
        taken: list[_M] = []
        for frames, until in partition.buffer.take(count):
            if until - now < _FRESH_SHARE * self._expiry_s:
                renew(self._connection, frames)
            taken += [make_message(number, frame) for frame in frames]
        return taken

    def _has_fresh(self, partition: Partition, now: float) -> bool:
        partition.buffer.drop_expired(now)
        return partition.buffer.count > 0

    def _rotated(self, numbers: Sequence[int]) -> list[Partition]:
        """The partitions, beginning with another one each time."""
        first = self._first % len(numbers)
        self._first += 1
        return [self._partitions[n] for n in itertools.chain(numbers[first:], numbers[:first])]


def _ready(chosen: list[Partition]) -> int:
    return sum(p.buffer.count for p in chosen)
