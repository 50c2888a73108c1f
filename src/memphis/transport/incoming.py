"""From frames to whoever wants them.

Place in the flow: ``Link → Connection → Incoming → callbacks``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memphis.transport.acknowledgement import AnswerRuns
from memphis.transport.protocol import ANSWERS, MSG, Frame
from memphis.transport.subscriptions import MessageCallback, RunCallback

_logger = logging.getLogger(__name__)


class Incoming:
    """Gives every frame to its callback.

    This is a supervisor: what a callback raises is its own fault and must not hurt others.

    Args:
        callbacks: For each subscription, who gets its messages: those that came one after another
            together, because handing over each by itself would cost as much as reading it.
        control: Gets the frames that are no messages.
    """

    def __init__(
        self,
        callbacks: Mapping[int, RunCallback],
        control: Callable[[Frame], None],
    ) -> None:
        self._callbacks = callbacks
        self._control = control
        self._on_answers: Callable[[Frame], None] | None = None
        self.answers: tuple[int, AnswerRuns] | None = None
        """What a link's parser needs to find runs of answers."""
        self.frames = 0
        self.callback_errors = 0

    def expect_answers(
        self, sid: int, prefix: bytes, callback: Callable[[Frame], None]
    ) -> tuple[int, AnswerRuns] | None:
        """See :meth:`Connection.expect_answers`; None if somebody has it already."""
        if self.answers is not None:
            return None
        self._on_answers = callback
        self.answers = (sid, AnswerRuns(prefix, sid))
        return self.answers

    def one_by_one(self, callback: MessageCallback) -> RunCallback:
        """A callback for runs that calls ``callback`` for each message of a run."""

        def each(frames: Sequence[Frame]) -> None:
            for frame in frames:
                self._call(callback, frame)

        return each

    def receive(self, frames: Sequence[Frame]) -> None:
        """Give each frame to whom it is for, in order."""
        self.frames += len(frames)
        count = len(frames)
        position = 0
        while position < count:
            frame = frames[position]
            kind = frame[0]
            following = position + 1
            if kind == MSG:
                sid = frame[1]
                while following < count:
                    other = frames[following]
                    if other[0] != MSG or other[1] != sid:
                        break
                    following += 1
                callback = self._callbacks.get(sid)
                if callback is not None:
                    self._call(callback, frames[position:following])
            elif kind == ANSWERS and self._on_answers is not None:
                self._call(self._on_answers, frame)
            else:
                self._control(frame)
            position = following

    def _call(self, callback: Callable[[Any], None], frames: Any) -> None:
        try:
            callback(frames)
        except Exception:
            self.callback_errors += 1
            _logger.exception("the callback for a subscription failed")
