"""What a member of a group answers to a delivery, in the words of nats-server's JetStream.

The plain acknowledgement has a frame of its own in the transport, because it is sent for every message.
"""

from __future__ import annotations

import json
from typing import Final

_NANOSECONDS: Final = 1_000_000_000

AGAIN: Final = b"-NAK"
"""Deliver it again at once."""
IN_PROGRESS: Final = b"+WPI"
"""Start its ack time anew."""
_NEVER: Final = b"+TERM"


def again_after(delay_s: float) -> bytes:
    """Deliver it again after a while. A delay of 0 the engine would take for "after the ack time"."""
    if delay_s == 0:
        return AGAIN
    return AGAIN + b" " + json.dumps({"delay": int(delay_s * _NANOSECONDS)}).encode()


def never_again(reason: str) -> bytes:
    """Deliver it to this group no more; the reason, on one line, goes into the engine's advisory."""
    line = " ".join(reason.split())
    return _NEVER + b" " + line.encode() if line else _NEVER
