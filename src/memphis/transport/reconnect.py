"""Tries to get a connection back, patiently and not in step with everyone else.

Invariant: while it runs, every failed attempt is followed by another or by giving up; no kind of
failure, foreseen or not, ends the attempts silently.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from memphis.exceptions import MemphisConnectError
from memphis.transport.errors import bare_text
from memphis.transport.options import ConnectOptions

FIRST_PAUSE_MAX_S: Final = 0.05
"""Before an attempt that need not wait, so that many clients of one server do not come at once."""

_logger = logging.getLogger(__name__)


class Reconnector:
    """The loop of attempts of one connection.

    Args:
        options: How often, and how long between.
        connect_next: One attempt with a time limit in seconds; raises MemphisConnectError.
        pool_size: How many servers there are to try before one is tried again.
        on_success: Called after an attempt that worked.
        on_give_up: Called with the reason when no more attempts will be made.
    """

    def __init__(
        self,
        options: ConnectOptions,
        *,
        connect_next: Callable[[float], Awaitable[None]],
        pool_size: Callable[[], int],
        on_success: Callable[[], None],
        on_give_up: Callable[[str], None],
    ) -> None:
        self._options = options
        self._connect_next = connect_next
        self._pool_size = pool_size
        self._on_success = on_success
        self._on_give_up = on_give_up
        self._task: asyncio.Task[None] | None = None
        self._succeeded_at = -float("inf")

    def start(self, reason: str) -> None:
        """The connection broke because of ``reason``: begin, or give up at once if so configured."""
        if not self._options.reconnect or self._options.max_reconnect == 0:
            self._on_give_up(f"reconnecting is off: {reason}")
            return
        self._task = asyncio.get_running_loop().create_task(self._run(reason))

    async def stop(self) -> None:
        """End the attempts and wait until they have ended."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self, reason: str) -> None:
        """A supervisor: what an attempt raises unexpectedly is logged and counts as a failure."""
        failures = 0
        while failures != self._options.max_reconnect:
            await asyncio.sleep(self._pause_s(failures))
            try:
                await self._connect_next(self._options.connect_timeout_s)
            except MemphisConnectError as error:
                reason = bare_text(error)
                _logger.info("reconnecting failed: %s", reason)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                _logger.exception("reconnecting failed unexpectedly")
            else:
                self._succeeded_at = asyncio.get_running_loop().time()
                self._on_success()
                return
            failures += 1
        self._on_give_up(f"{failures} attempts to reconnect failed, the last because {reason}")

    def _pause_s(self, failures: int) -> float:
        interval = self._options.reconnect_interval_s
        since_success = asyncio.get_running_loop().time() - self._succeeded_at
        # A server that lets us in and throws us out at once must not be asked in a tight loop.
        if failures < self._pool_size() and since_success > interval:
            return random.uniform(0.0, min(FIRST_PAUSE_MAX_S, interval))  # noqa: S311 - no secret
        return random.uniform(0.5, 1.0) * interval  # noqa: S311 - jitter is no secret


async def connect_first(
    attempts: int, timeout_s: float, connect_next: Callable[[float], Awaitable[None]]
) -> None:
    """The very first connection: try each server once, within ``timeout_s`` in all.

    Raises:
        MemphisConnectError: No attempt worked; of several, the text names all.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    errors: list[MemphisConnectError] = []
    for tried in range(attempts):
        # The time left is shared out, so that one dead address cannot use it all up.
        share_s = max(deadline - loop.time(), 0.0) / (attempts - tried)
        try:
            await connect_next(share_s)
        except MemphisConnectError as error:
            errors.append(error)
        else:
            return
    if len(errors) == 1:
        raise errors[0]
    raise MemphisConnectError("; ".join(bare_text(error) for error in errors)) from errors[-1]
