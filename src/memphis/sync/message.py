"""Messages, for code without an event loop."""

from __future__ import annotations

import logging
from typing import Generic

from memphis import message as asynchronous
from memphis._core.models import ModelT
from memphis.exceptions import MemphisError
from memphis.sync._faces import Face, blocking, direct
from memphis.sync._loop import Loop

__all__ = ["Message"]

_log = logging.getLogger(__name__)
_Message = asynchronous.Message


class Message(Face[_Message[ModelT]], Generic[ModelT]):
    """See ``memphis.Message``. A message is settled from one thread; it is read from any."""

    __slots__ = ("_is_settled",)

    def __init__(self, loop: Loop, inner: _Message[ModelT]) -> None:
        super().__init__(loop, inner)
        self._is_settled = False

    @property
    def partition(self) -> int:
        """As ``memphis.Message.partition``."""
        return self._inner.partition

    @property
    def station_name(self) -> str:
        """As ``memphis.Message.station_name``."""
        return self._inner.station_name

    @property
    def consumer_group(self) -> str:
        """As ``memphis.Message.consumer_group``."""
        return self._inner.consumer_group

    @property
    def delivery_count(self) -> int:
        """As ``memphis.Message.delivery_count``."""
        return self._inner.delivery_count

    @property
    def value(self) -> ModelT:
        """As ``memphis.Message.value``; validated in the caller's thread."""
        return self._inner.value

    get_data = direct(_Message.get_data)
    get_data_deserialized = blocking(_Message.get_data_deserialized)
    get_headers = direct(_Message.get_headers)
    get_sequence_number = direct(_Message.get_sequence_number)
    get_timesent = direct(_Message.get_timesent)

    def ack(self) -> None:
        """Tell the engine that the group is done with this message; does not wait for it to be written.

        Acknowledgements are written in their order and before anything that is asked for later, ``close``
        included. One that cannot be written has the message delivered again. A second call does nothing.

        Raises:
            MemphisUsageError: The message was settled in another way before.
            MemphisClosedError: The connection was closed.
        """
        if self._is_settled:
            self._loop.run(self._inner.ack)
        else:
            self._loop.post(self._ack)

    def nack(self) -> None:
        """As ``memphis.Message.nack``."""
        self._loop.run(self._inner.nack)
        self._is_settled = True

    def delay(self, delay: float) -> None:
        """As ``memphis.Message.delay``."""
        self._loop.run(lambda: self._inner.delay(delay))
        self._is_settled = True

    def dead_letter(self, reason: str) -> None:
        """As ``memphis.Message.dead_letter``."""
        self._loop.run(lambda: self._inner.dead_letter(reason))
        self._is_settled = True

    def _ack(self) -> None:
        # It has nothing to wait for, so that its first step is its last, and needs no task.
        acknowledging = self._inner.ack()
        try:
            acknowledging.send(None)
        except StopIteration:
            return
        except MemphisError as error:
            _log.warning("%r was not acknowledged, so it comes again: %s", self, error)
