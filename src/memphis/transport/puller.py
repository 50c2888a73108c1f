"""Pull requests: ask the engine for a batch of messages, and learn reliably how that ended.

Place in the flow: ``Consumer → Puller.pull → engine → on_messages … on_end``.

The engine delivers a pulled message under the subject it is *stored* with; only its status replies
carry the inbox. So which pull a message belongs to must be told by the subscription it comes
through: each pull occupies a *slot*, which is one long-lived subscription to
``<inbox>.<slot>.*``, and asks for replies at ``<inbox>.<slot>.<number>``. A slot is used again
only after an end that the engine itself declared, because then nothing more can come for the
old pull; after any other end it is given up and a new one is made.

Invariant: ``on_end`` is called exactly once for every pull, and every message goes either to
``on_messages`` of the pull that is open in its slot or to ``on_stray``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from time import monotonic
from typing import Final

from memphis.transport.connection import Connection
from memphis.transport.deadlines import DeadlineTimer
from memphis.transport.protocol import MessageFrame, encode_publish
from memphis.wire.headers import BLOCK_START, status_of

SAFETY_S: Final = 5.0
"""How long after its expiry a pull is waited for, in case its final status got lost."""

_NANOSECONDS: Final = 1_000_000_000
_STATUS_LENGTH: Final = len(BLOCK_START) - 2

_logger = logging.getLogger(__name__)


class PullEnd(Enum):
    """How a pull ended."""

    FILLED = "filled"
    """All messages came, or as many bytes as were asked for: there may be more."""
    EMPTY = "empty"
    """The engine had no (more) messages within the time."""
    GONE = "gone"
    """There is no such consumer, or nobody who answers for it: ask the broker before pulling again.
    An engine that is just starting may say this for a moment, too."""
    LOST = "lost"
    """The connection broke, or the engine ended the pull for a reason that passes: pull again."""
    CANCELLED = "cancelled"
    """The caller cancelled it."""


class Pull:
    """A batch that was asked for.

    Attributes:
        outstanding: How many messages of it have not come yet.
        status: The status number that ended it, 0 where none did.
        text: The engine's words for that; for logs.
    """

    __slots__ = (
        "_slot",
        "batch",
        "deadline",
        "number",
        "on_end",
        "on_messages",
        "outstanding",
        "status",
        "text",
    )

    def __init__(
        self,
        slot: _Slot,
        number: int,
        batch: int,
        deadline: float,
        on_messages: Callable[[Sequence[MessageFrame]], None],
        on_end: Callable[[PullEnd], None],
    ) -> None:
        self._slot = slot
        self.number = number
        self.batch = self.outstanding = batch
        self.deadline = deadline
        self.on_messages = on_messages
        self.on_end = on_end
        self.status = 0
        self.text = ""

    @property
    def is_open(self) -> bool:
        """Whether messages may still come."""
        return self._slot.pull is self

    def cancel(self) -> None:
        """End it from this side. Messages already on their way go to ``on_stray``. Idempotent."""
        if self.is_open:
            self._slot.end(PullEnd.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullerStatistics:
    """The numbers of a puller so far."""

    open_pulls: int
    free_slots: int
    pulls: int
    strays: int


class Puller:
    """Pulls over one connection. Not thread-safe.

    Args:
        connection: Carries it; the puller lives until :meth:`close` or as long as it.
        on_stray: Gets messages that belong to no open pull. They count as delivered at the engine,
            so handle or release them. Default: they are logged, and delivered again by the engine
            after its ack time.
    """

    def __init__(
        self, connection: Connection, *, on_stray: Callable[[MessageFrame], None] | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._on_stray = on_stray
        self._inbox = connection.new_inbox("pull")
        self._open: dict[int, _Slot] = {}
        self._free: list[_Slot] = []
        self._next_slot = 0
        self._next_pull = 0
        self._strays = 0
        self._timer = DeadlineTimer(self._loop, self._expire)
        connection.add_listener(self)

    def pull(
        self,
        subject: bytes,
        *,
        batch: int,
        bytes_max: int,
        expires_s: float,
        on_messages: Callable[[Sequence[MessageFrame]], None],
        on_end: Callable[[PullEnd], None],
    ) -> Pull:
        """Ask for up to ``batch`` messages.

        Both callbacks run on the event loop; ``on_end`` exactly once, after the last
        ``on_messages``, never before this call returns. Without a connection the pull ends LOST in
        the next turn: wait for the connection before pulling again.

        Args:
            subject: The CONSUMER.MSG.NEXT subject of the consumer.
            batch: How many messages at most, 1 or more.
            bytes_max: How many bytes at most, control lines included; more than any one message has. The
                engine drops a connection for which it holds more than it may.
            expires_s: How long the engine may wait for messages to appear; 0: only what is there.
            on_messages: Gets the message frames, as many together as came together.
            on_end: Gets how it ended.

        Raises:
            MemphisConnectError: The connection is closed or given up.
        """
        self._connection.check_open()
        slot = self._free.pop() if self._free else self._new_slot()
        number = self._next_pull
        self._next_pull += 1
        deadline = monotonic() + expires_s + SAFETY_S
        pull = Pull(slot, number, batch, deadline, on_messages, on_end)
        slot.pull = pull
        self._open[slot.number] = slot
        if self._connection.is_connected:
            reply = b"%b%d" % (slot.prefix, number)
            # Before the acknowledgements of the last batch: the engine can look for messages while
            # it reads those, and our consumers have no limit of unacknowledged messages.
            request = encode_publish(subject, _request(batch, bytes_max, expires_s), reply)
            self._connection.write_now(request, is_urgent=True)
            self._timer.note(deadline)
        else:
            self._loop.call_soon(slot.end_if_open, pull, PullEnd.LOST)
        return pull

    def close(self) -> None:
        """Cancel all pulls and end. Idempotent."""
        self._timer.cancel()
        self._connection.remove_listener(self)
        for slot in list(self._open.values()):
            slot.end(PullEnd.CANCELLED)
        self._give_up_free_slots()

    def statistics(self) -> PullerStatistics:
        """The numbers so far."""
        return PullerStatistics(
            open_pulls=len(self._open),
            free_slots=len(self._free),
            pulls=self._next_pull,
            strays=self._strays,
        )

    def stray(self, frame: MessageFrame) -> None:
        """For slots: a message that belongs to no open pull."""
        self._strays += 1
        if self._on_stray is not None:
            self._on_stray(frame)
        else:
            _logger.warning("a message on %r came after its pull had ended", frame[2])

    def slot_ended(self, slot: _Slot, *, reusable: bool) -> None:
        """For slots: its pull has ended."""
        self._open.pop(slot.number, None)
        if reusable:
            self._free.append(slot)
        else:
            slot.subscription.unsubscribe()

    def _new_slot(self) -> _Slot:
        self._next_slot += 1
        return _Slot(self, self._connection, self._inbox, self._next_slot)

    def _give_up_free_slots(self) -> None:
        free, self._free = self._free, []
        for slot in free:
            slot.subscription.unsubscribe()

    def _expire(self, now: float) -> float:
        earliest = inf
        for slot in list(self._open.values()):
            pull = slot.pull
            if pull is None:
                continue
            if pull.deadline <= now:
                _logger.warning("the engine never said how a pull ended; asking anew")
                slot.end(PullEnd.EMPTY)
            else:
                earliest = min(earliest, pull.deadline)
        return earliest

    # How the connection fares.

    def connection_lost(self, reason: str) -> None:
        """All pulls end, and all slots.

        The engine may still hold the old requests, and must not find anyone listening at their
        inboxes when we are back.
        """
        self._end_all(reason)
        self._give_up_free_slots()

    def connection_restored(self) -> None:
        """Nothing to do: whoever pulls is told by ``on_end`` and knows what to do next."""

    def connection_closed(self, reason: str) -> None:
        """All pulls end."""
        self._timer.cancel()
        self._end_all(reason)

    def _end_all(self, reason: str) -> None:
        for slot in list(self._open.values()):
            if slot.pull is not None:
                slot.pull.text = reason
            slot.end(PullEnd.LOST)


class _Slot:
    """One subscription, used by one pull at a time."""

    __slots__ = ("_puller", "number", "prefix", "pull", "subscription")

    def __init__(self, puller: Puller, connection: Connection, inbox: bytes, number: int) -> None:
        self._puller = puller
        self.number = number
        self.prefix = b"%b.%d." % (inbox, number)
        self.pull: Pull | None = None
        self.subscription = connection.subscribe_runs((self.prefix + b"*").decode(), self._received)

    def _received(self, frames: Sequence[MessageFrame]) -> None:
        messages = [frame for frame in frames if frame[3]]
        if len(messages) == len(frames):
            self._deliver(messages)
            return
        # A status among them, as the engine adds to every pull with a limit of bytes: still run by run.
        for is_status, run in itertools.groupby(frames, self._is_status):
            if is_status:
                for frame in run:
                    self._status(frame)
            else:
                self._deliver(list(run))

    def _is_status(self, frame: MessageFrame) -> bool:
        return not frame[3] and frame[2].startswith(self.prefix)

    def _deliver(self, messages: Sequence[MessageFrame]) -> None:
        pull = self.pull
        own = min(pull.outstanding, len(messages)) if pull is not None else 0
        if pull is not None and own:
            pull.outstanding -= own
            try:
                pull.on_messages(messages[:own])
            finally:
                if not pull.outstanding:
                    self.end_if_open(pull, PullEnd.FILLED)
        for frame in messages[own:]:
            self._puller.stray(frame)

    def _status(self, frame: MessageFrame) -> None:
        pull = self.pull
        if pull is None or frame[2][len(self.prefix) :] != b"%d" % pull.number:
            return
        status = status_of(frame[4])
        if status == _IDLE_HEARTBEAT:
            return
        pull.status = status
        pull.text = (
            frame[4].partition(b"\r\n")[0][_STATUS_LENGTH + 4 :].strip().decode("utf-8", "replace")
        )
        how = classify_status(status, pull.text)
        if how is PullEnd.FILLED and pull.outstanding == pull.batch:
            how = (
                PullEnd.LOST
            )  # not even one message fits: asking at once again would go on for ever
        self.end(how)

    def end_if_open(self, pull: Pull, how: PullEnd) -> None:
        """End this pull, unless it has ended already."""
        if self.pull is pull:
            self.end(how)

    def end(self, how: PullEnd) -> None:
        """End the pull of this slot; there must be one."""
        pull, self.pull = self.pull, None
        if pull is None:
            return
        declared = how is PullEnd.FILLED or pull.status != 0
        self._puller.slot_ended(self, reusable=declared)
        try:
            pull.on_end(how)
        except Exception:
            # A supervisor: where many pulls end together, one must not keep the others from it.
            _logger.exception("the callback for the end of a pull failed")


_IDLE_HEARTBEAT: Final = 100
_NO_MESSAGES: Final = 404
_REQUEST_TIMEOUT: Final = 408
_CONFLICT: Final = 409
_NO_RESPONDERS: Final = 503


def classify_status(status: int, text: str) -> PullEnd:
    """What the status that ended a pull means for whoever pulls.

    409 covers many things, which the engine tells apart only by its text (constants of nats-server,
    ``server/consumer.go``), so this is the one place that looks at it. A consumer that was deleted
    is GONE; a change of leader, a server that stops and everything unknown pass by themselves.
    """
    if status in (_NO_MESSAGES, _REQUEST_TIMEOUT):
        return PullEnd.EMPTY
    if status == _NO_RESPONDERS:
        return PullEnd.GONE
    if status == _CONFLICT and text.lower().startswith("message size exceeds maxbytes"):
        return PullEnd.FILLED
    if status == _CONFLICT and text.lower().startswith(("consumer deleted", "stream deleted")):
        return PullEnd.GONE
    return PullEnd.LOST


def _request(batch: int, bytes_max: int, expires_s: float) -> bytes:
    limits = {"batch": batch, "max_bytes": bytes_max}
    if expires_s <= 0:
        return json.dumps({**limits, "no_wait": True}).encode()
    return json.dumps({**limits, "expires": int(expires_s * _NANOSECONDS)}).encode()
