"""From frames to whoever wants them.

Place in the flow: ``Link → Connection → Incoming → callbacks``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memphis.transport.acknowledgement import AnswerRuns
from memphis.transport.protocol import ANSWERS, MSG, Frame, MessageFrame

_logger = logging.getLogger(__name__)


class Incoming:
    """Gives every frame to its callback.

    This is a supervisor: what a callback raises is its own fault and must not hurt others.

    Args:
        callbacks: For each subscription, who gets its messages.
        control: Gets the frames that are no messages.
    """

    def __init__(
        self,
        callbacks: Mapping[int, Callable[[MessageFrame], None]],
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

    def receive(self, frames: Sequence[Frame]) -> None:
        """Give each frame to whom it is for, in order."""
        self.frames += len(frames)
        callbacks = self._callbacks
        for frame in frames:
            kind = frame[0]
            if kind == MSG:
                callback: Callable[[Any], None] | None = callbacks.get(frame[1])
            elif kind == ANSWERS:
                callback = self._on_answers
            else:
                self._control(frame)
                continue
            if callback is None:
                continue
            try:
                callback(frame)
            except Exception:
                self.callback_errors += 1
                _logger.exception("the callback for subscription %d failed", frame[1])
