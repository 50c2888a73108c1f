"""Waiting in tests: for a condition, with a deadline, never for a duration.

This is the only file of the tests that may sleep. The deadline is there so that a broken program
ends the test; it is no assertion about speed, so it is generous and a passing test never meets it.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

DEADLINE_S = 10.0
_PAUSE_S = 0.01

T = TypeVar("T")


class NeverHappenedError(AssertionError):
    """The condition did not come true before the deadline."""


async def eventually(
    condition: Callable[[], T | Awaitable[T]], deadline_s: float = DEADLINE_S, what: str = ""
) -> T:
    """Call ``condition``, awaiting what it returns if need be, until that is true; return it.

    Exceptions of the condition pass through. Raises NeverHappenedError, which names ``what``.
    """
    end = time.monotonic() + deadline_s
    while True:
        outcome = condition()
        value = await outcome if inspect.isawaitable(outcome) else outcome
        if value:
            return cast("T", value)
        if time.monotonic() > end:
            raise NeverHappenedError(_describe(condition, deadline_s, what))
        await asyncio.sleep(_PAUSE_S)


def eventually_sync(
    condition: Callable[[], T], deadline_s: float = DEADLINE_S, what: str = ""
) -> T:
    """The same for code without an event loop."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise NeverHappenedError(_describe(condition, deadline_s, what))
        time.sleep(_PAUSE_S)


def _describe(condition: Callable[..., object], deadline_s: float, what: str) -> str:
    return f"{what or inspect.getsource(condition).strip()} did not come true in {deadline_s} s"
