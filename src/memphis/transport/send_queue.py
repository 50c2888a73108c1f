"""A publisher's messages between being sent by the application and being written to a socket.

Place in the flow: ``Publisher.post → SendQueue → Outbox``, a limited piece at a time.

Tokens are counted up, and messages are written in the order of tokens, so one number,
:attr:`SendQueue.first_unwritten`, tells which were ever handed to a socket: those may be stored, the
others certainly are not. Messages that are sent again, or were held back, come before new ones.

Invariant: a message that has failed leaves nothing here. While a connection stands still, messages meet
their deadlines, are reported as not stored, and must neither fill memory nor be stored later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from memphis.transport.receipt import Receipt

_PIECE_BYTES: Final = 512 * 1024
"""About what is handed over at a time, so that a socket that takes no more leaves the rest here."""


class SendQueue:
    """What one publisher has to write, in order."""

    __slots__ = ("_again", "bytes", "first_unwritten", "new")

    def __init__(self) -> None:
        self._again: deque[Receipt] = deque()
        self.new: deque[Receipt] = deque()
        """Messages that are sent for the first time; who adds one adds its :attr:`bytes`."""
        self.bytes = 0
        """Bytes of the frames that wait."""
        self.first_unwritten = 0
        """The first token that was never handed to a socket."""

    def add_again(self, receipt: Receipt) -> None:
        """A message that was written before, or held back until now; it goes before all new ones."""
        self._again.append(receipt)
        self.bytes += len(receipt.frame)

    def take(self) -> list[bytes]:
        """The next frames, until they make up a piece; they count as written from here on."""
        frames: list[bytes] = []
        add = frames.append
        taken = 0
        while self._again and taken < _PIECE_BYTES:
            receipt = self._again.popleft()
            taken += len(receipt.frame)
            add(receipt.frame)
            self._written(receipt)
        new = self.new
        if taken + self.bytes <= _PIECE_BYTES:
            frames += [receipt.frame for receipt in new]
            taken = self.bytes
            if new:
                self._written(new[-1])
                new.clear()
        while new and taken < _PIECE_BYTES:
            receipt = new.popleft()
            taken += len(receipt.frame)
            add(receipt.frame)
            self._written(receipt)
        # A message that was answered while it waited here has given up its frame.
        self.bytes = self.bytes - taken if self._again or new else 0
        return frames

    def _written(self, receipt: Receipt) -> None:
        # After a reconnect what was written to the last connection comes once more.
        self.first_unwritten = max(self.first_unwritten, receipt.token + 1)

    def drop(self, failed: set[int]) -> None:
        """Messages with these tokens have failed."""
        self._refill(
            (receipt for receipt in self._again if receipt.token not in failed),
            (receipt for receipt in self.new if receipt.token not in failed),
        )

    def restart(self, in_flight: Iterable[Receipt]) -> None:
        """A new connection: all of these are to be written, in this order."""
        self._refill((), in_flight)

    def clear(self) -> None:
        """There is no connection to write to."""
        self._refill((), ())

    def _refill(self, again: Iterable[Receipt], new: Iterable[Receipt]) -> None:
        self._again, self.new = deque(again), deque(new)
        self.bytes = sum(len(receipt.frame) for receipt in (*self._again, *self.new))
