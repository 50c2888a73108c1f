"""Brings one partition over: pull there, store here, acknowledge there, in this order.

A message is acknowledged at the source once it is confirmed here, so the position of the group there is where
to go on, whatever was killed. What was stored but not acknowledged comes again, with the same id, and is
stored once as long as the station here knows the id (its idempotency window); within a run longer than that,
because the copier itself knows what it has sent.

Order: one pull at a time, and messages are sent in the order they came. What an earlier run was given and did
not acknowledge comes again only after the group's ack time; so a copier that finds such messages waits for
that first, or newer ones would come before them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from memphis._core.deliveries import parse_delivery
from memphis._core.session import Session
from memphis.exceptions import (
    MemphisConnectError,
    MemphisError,
    MemphisProduceError,
    MemphisTimeoutError,
)
from memphis.transport import Puller
from memphis.transport.errors import bare_text
from memphis.transport.protocol import MessageFrame
from memphis.transport.publisher import TOO_LARGE_CODE
from memphis.transport.puller import PullEnd
from memphis.transport.receipt import Receipt
from memphis_broker.move_in.counts import REFUSALS_KEPT_MAX, PartitionCount, Refusal
from memphis_broker.move_in.gate import Gate
from memphis_broker.move_in.model import MoveInError
from memphis_broker.move_in.original import OriginalBroker, SourcePartition
from memphis_broker.move_in.sequences import Sequences

_BATCH: Final = 1000
_BATCH_BYTES: Final = 4 * 1024 * 1024
_FRAME_BYTES: Final = 128 * 1024
"""More than subject, reply subject and headers can have beside the largest payload."""
_PAUSE_FIRST_S: Final = 0.05
_PAUSE_LONGEST_S: Final = 1.0
_DEADLINE_S: Final = 120.0
"""How long a message may be unconfirmed here, restarts of this broker included."""
_RESEND_SHARE: Final = 0.8
"""Of the idempotency window, in which the engine here still knows a message it may have stored."""
_PATIENCE_S: Final = 10.0
"""Beyond the ack time, how long messages that somebody else holds are waited for."""
_LEFTOVER_MARGIN_S: Final = 0.5
_GONE_AFTER_S: Final = 10.0


@dataclass
class Run:
    """What all copiers of a mirror share.

    Attributes:
        follow: Whether to go on when nothing is left.
        halted: Set when no more is to be pulled.
        turns: Limits how many batches are held at a time.
        tell: Takes a line for the person who waits.
    """

    original: OriginalBroker
    here: Session
    puller: Puller
    follow: bool
    halted: asyncio.Event
    turns: asyncio.Semaphore
    tell: Callable[[str], object]
    failure: MemphisError | None = None

    def fail(self, error: MemphisError) -> None:
        """Have everything end in good order; the first error is the one that is told."""
        self.failure = self.failure or error
        self.halted.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than until the mirror is halted."""
        try:
            async with asyncio.timeout(seconds):
                await self.halted.wait()
        except TimeoutError:
            pass


class Copier:
    """One partition of a station.

    Args:
        run: What it is a part of.
        source: Where from.
        target: The number of the partition here.
        gate: Of the station here.
    """

    def __init__(self, run: Run, source: SourcePartition, target: int, gate: Gate) -> None:
        self._run = run
        self.source = source
        self.target = target
        self._gate = gate
        self._life = ""
        self._sent = Sequences()
        self._in_flight: set[int] = set()
        self._settled = asyncio.Event()
        self._settled.set()
        self._latest = self._answered = time.monotonic()
        self.count = PartitionCount(source.number)

    async def run(self) -> None:
        """Go on until nothing is left, or the mirror is halted; errors are told to the mirror."""
        try:
            await self._copy()
        except MemphisError as error:
            self._run.fail(error)
        # Whatever was sent gets its end: every publish has a deadline.
        await self._settled.wait()

    async def _copy(self) -> None:
        run = self._run
        progress = await run.original.progress(self.source)
        self._life = progress.created
        if progress.unacknowledged:
            run.tell(
                f"{self.source}: {progress.unacknowledged:,} messages of an earlier run are open there; "
                f"they come again within {progress.ack_wait_s:.0f} s"
            )
            await run.pause(progress.ack_wait_s + _LEFTOVER_MARGIN_S)
        pause_s = _PAUSE_FIRST_S
        self._latest = self._answered = time.monotonic()
        while not run.halted.is_set():
            frames, end = await self._round()
            if frames:
                pause_s = _PAUSE_FIRST_S
                continue
            if end is PullEnd.EMPTY and not run.follow and await self._is_finished():
                return
            await run.pause(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_LONGEST_S)

    async def _round(self) -> tuple[Sequence[MessageFrame], PullEnd]:
        """Pull once, and send what came.

        Raises:
            MoveInError: The group is gone, or the source was away for too long.
        """
        run, connection = self._run, self._run.original.connection
        connection.check_open()
        if connection.is_connected:
            async with run.turns:
                if run.halted.is_set():
                    return (), PullEnd.CANCELLED
                await self._gate.open()
                frames, end = await self._pull()
                await self._send_all(frames)
            if end not in (PullEnd.GONE, PullEnd.LOST):
                self._answered = time.monotonic()
                return frames, end
        away_s = time.monotonic() - self._answered
        # An engine that is just starting says for a moment that nothing is there.
        if connection.is_connected and away_s > _GONE_AFTER_S:
            await run.original.progress(self.source)  # which says so, if the group is gone
        if not run.follow and away_s > _DEADLINE_S:
            raise MoveInError(f"{self.source}: the source is away; run this again when it is back")
        return (), PullEnd.LOST

    async def _pull(self) -> tuple[list[MessageFrame], PullEnd]:
        """A batch of what is there now."""
        connection = self._run.original.connection
        frames: list[MessageFrame] = []
        ended: asyncio.Future[PullEnd] = asyncio.get_running_loop().create_future()
        pull = self._run.puller.pull(
            self.source.pull_subject,
            batch=_BATCH,
            bytes_max=max(_BATCH_BYTES, connection.max_payload + _FRAME_BYTES),
            expires_s=0,
            on_messages=frames.extend,
            on_end=lambda how: None if ended.done() else ended.set_result(how),
        )
        try:
            return frames, await ended
        finally:
            pull.cancel()

    async def _send_all(self, frames: Sequence[MessageFrame]) -> None:
        publisher = self._run.here.publisher
        for frame in frames:
            if not publisher.has_room:
                await publisher.wait_room()
            if self._run.failure is not None:
                return
            self._send(frame)

    def _send(self, frame: MessageFrame) -> None:
        sequence = parse_delivery(frame[3]).sequence
        if sequence in self._sent:
            # Its acknowledgement was lost, or is still to come.
            if sequence not in self._in_flight:
                self._acknowledge(frame[3])
            return
        place = f"{self.source.station}/{self.source.number}/{sequence}"
        admission = self._gate.admit(frame, self.target, f"mirror/{self._life}/{place}")
        receipt = _Copied(self, sequence, frame[3], admission.refusal)
        window_s = self._gate.description.options.idempotency_window_ms / 1000
        try:
            self._run.here.publisher.post(
                receipt,
                admission.subject,
                frame[5],
                admission.header,
                _RESEND_SHARE * window_s,
                _DEADLINE_S,
            )
        except MemphisProduceError as error:
            self._run.fail(self._explained(sequence, error))
            return
        self._sent.add(sequence)
        self._in_flight.add(sequence)
        self._settled.clear()

    def confirmed(self, receipt: _Copied, *, duplicate: bool) -> None:
        """A message is stored here, by this run or an earlier one."""
        if receipt.refusal:
            self.count.refused += 1
            if len(self.count.refusals) < REFUSALS_KEPT_MAX:
                self.count.refusals.append(
                    Refusal(self.source.number, receipt.sequence, receipt.refusal)
                )
        elif duplicate:
            self.count.known += 1
        else:
            self.count.copied += 1
        self._acknowledge(receipt.reply)
        self._landed(receipt)

    def failed(self, receipt: _Copied, error: MemphisProduceError) -> None:
        """A message is not stored here, or nobody knows; the source still has it."""
        self._run.fail(self._explained(receipt.sequence, error))
        self._landed(receipt)

    def _landed(self, receipt: _Copied) -> None:
        self._latest = time.monotonic()
        self._in_flight.discard(receipt.sequence)
        if not self._in_flight:
            self._settled.set()

    def _acknowledge(self, reply: bytes) -> None:
        try:
            self._run.original.connection.acknowledge(reply)
        except MemphisError as error:
            self._run.fail(error)  # it comes again, and is known then

    def _explained(self, sequence: int, error: MemphisProduceError) -> MoveInError:
        hint = (
            "; start this broker with a larger --max-message-size, and run this again"
            if error.code == TOO_LARGE_CODE
            else ""
        )
        return MoveInError(
            f"{self.source}, sequence {sequence} cannot be stored here: {bare_text(error)}{hint}"
        )

    async def _is_finished(self) -> bool:
        """Whether the group has nothing more, once all that was sent is acknowledged.

        Raises:
            MoveInError: Somebody else holds messages of the group, or they were lost there.
        """
        await self._settled.wait()
        connection = self._run.original.connection
        if not connection.is_connected:
            return False
        try:
            progress = await self._run.original.progress(self.source)
        except (MemphisConnectError, MemphisTimeoutError):
            return False
        if not progress.waiting:
            return True
        patience_s = progress.ack_wait_s + _PATIENCE_S
        if not progress.pending and time.monotonic() - self._latest > patience_s:
            raise MoveInError(
                f"{self.source}: {progress.unacknowledged:,} messages are held by another member of "
                "the mirror's group; does another mirror run?"
            )
        return False


class _Copied(Receipt):
    """One message on its way."""

    __slots__ = ("_copier", "refusal", "reply", "sequence")

    def __init__(self, copier: Copier, sequence: int, reply: bytes, refusal: str) -> None:
        self._copier = copier
        self.sequence = sequence
        self.reply = reply
        self.refusal = refusal

    def confirmed(self, sequence: int, duplicate: bool) -> None:  # noqa: ARG002 - its place here is of no interest
        self.frame = b""
        self._copier.confirmed(self, duplicate=duplicate)

    def failed(self, error: MemphisProduceError) -> None:
        self.frame = b""
        self._copier.failed(self, error)
