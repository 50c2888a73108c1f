"""Tells a web address of new dead letters: counts, at most once in a while, never in anybody's way.

The follower only adds to counts here; a worker of its own sends what has gathered. What could not be
sent after some attempts is logged and forgotten, because the dead letters themselves are all there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from memphis.wire.dead_letters import Label
from memphis_broker.config import WebhookFormat

logger = logging.getLogger(__name__)

_EVERY_S: Final = 10.0
_TIMEOUT_S: Final = 5.0
_ATTEMPTS: Final = 4
_PAUSE_FIRST_S: Final = 1.0
_GROUPS_MAX: Final = 1000
"""Stations and groups that are told apart; the rest is counted together."""
_LINES_MAX: Final = 20
_OK: Final = range(200, 300)

Origin = tuple[str, str, str]
"""Station, group and kind."""
_OTHERS: Final = ("(others)", "", "")


@dataclass
class _Gathered:
    """What is new since the last notification."""

    counts: Counter[Origin] = field(default_factory=Counter)
    reasons: dict[Origin, str] = field(default_factory=dict)

    def note(self, label: Label) -> None:
        origin = (label.station, label.group, label.kind)
        if origin not in self.counts and len(self.counts) >= _GROUPS_MAX:
            origin = _OTHERS
        self.counts[origin] += 1
        self.reasons[origin] = label.failures[-1].reason


class Notifier:
    """Gathers and sends. :meth:`step` is one round of work.

    Args:
        url: Where to send; None: nobody is notified.
        shape: How the body looks.
        every_s: The shortest time between two notifications.
    """

    def __init__(self, url: str | None, shape: WebhookFormat, every_s: float = _EVERY_S) -> None:
        self._url = url
        self._shape = shape
        self._every_s = every_s
        self._gathered = _Gathered()
        self._there_is_news = asyncio.Event()
        self._stopping = asyncio.Event()

    def note(self, label: Label) -> None:
        """A message has become a dead letter."""
        if self._url is not None:
            self._gathered.note(label)
            self._there_is_news.set()

    async def step(self) -> None:
        """Wait for news, for a while; send them, and rest."""
        if not await _within(self._there_is_news, 1.0):
            return
        gathered, self._gathered = self._gathered, _Gathered()
        self._there_is_news.clear()
        await self._send(_BODIES[self._shape](gathered))
        await _within(self._stopping, self._every_s)

    def stop(self) -> None:
        """Rest no longer."""
        self._stopping.set()

    async def _send(self, body: Mapping[str, Any]) -> None:
        import httpx  # noqa: PLC0415 - a broker that notifies nobody starts without it

        assert self._url is not None, "without an address nothing is gathered"
        pause_s = _PAUSE_FIRST_S
        async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    answer = await client.post(self._url, json=body)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    failure = repr(error)
                else:
                    if answer.status_code in _OK:
                        return
                    failure = f"status {answer.status_code}"
                if attempt < _ATTEMPTS and not await _within(self._stopping, pause_s):
                    pause_s *= 2
                    continue
                break
        logger.warning(
            "nobody was notified of new dead letters, because the webhook failed %d times: %s; "
            "the next ones are told again",
            attempt, failure,
        )  # fmt: skip


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _generic(gathered: _Gathered) -> dict[str, Any]:
    """For programs."""
    return {
        "event": "dead_letters",
        "count": gathered.counts.total(),
        "of": [
            {
                "station": station,
                "group": group,
                "kind": kind,
                "count": count,
                "latest_reason": gathered.reasons[station, group, kind],
            }
            for (station, group, kind), count in gathered.counts.most_common()
        ],
    }


def _slack(gathered: _Gathered) -> dict[str, Any]:
    """For a Slack channel, whose incoming webhooks take a text."""
    total = gathered.counts.total()
    lines = [f"*{total} new dead letter{'' if total == 1 else 's'}*"]
    for (station, group, kind), count in gathered.counts.most_common(_LINES_MAX):
        whose = f", group {group}" if group else ""
        reason = gathered.reasons[station, group, kind]
        lines.append(f"• {station}{whose} ({kind}): {count}, the latest: {_quoted(reason)}")
    left_out = len(gathered.counts) - _LINES_MAX
    if left_out > 0:
        lines.append(f"• and {left_out} more stations or groups")
    return {"text": "\n".join(lines)}


def _quoted(text: str) -> str:
    """A stranger's text, so that Slack shows it and obeys nothing in it."""
    return text[:300].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_BODIES: Final = {WebhookFormat.GENERIC: _generic, WebhookFormat.SLACK: _slack}
