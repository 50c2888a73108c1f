"""How far ahead of its caller a consumer may read, by how quickly the caller takes what it gets.

What is read ahead has cost a delivery, and no other member of the group can have it meanwhile. So it must
be soon handled, or very little. (docs/adr/0007)
"""

from __future__ import annotations

import time
from typing import Final

QUICK_S: Final = 0.5


class Pace:
    """The pace of one caller: one message ahead at first and after a slow step, else ever more."""

    def __init__(self) -> None:
        self.lead = 1
        """How many messages are asked for at a time."""
        self._since = -QUICK_S

    def step(self, lead_max: int) -> int:
        """The caller has taken what it was given and wants more: twice as many, if it was quick."""
        is_quick = time.monotonic() - self._since < QUICK_S
        self.lead = min(2 * self.lead, lead_max) if is_quick else 1
        return self.lead

    def given(self) -> None:
        """The caller's time begins now."""
        self._since = time.monotonic()
