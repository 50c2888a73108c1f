"""Who is connected to the engine, by its own word.

Asked of the system account, of every server at once. Where that account cannot be entered, or a server
does not answer in time, the answer is "it cannot be told", never a guess.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any, Final

import nats.errors

from memphis_broker.engine.accounts import CLIENTS_ACCOUNT
from memphis_broker.engine.failures import engine_failures

if TYPE_CHECKING:
    from nats.aio.client import Client

_SUBJECT: Final = "$SYS.REQ.SERVER.PING.CONNZ"
_SERVERS_SUBJECT: Final = "$SYS.REQ.SERVER.PING"
_SERVERS_S: Final = 0.5
_PAGE: Final = 1024
_DEADLINE_S: Final = 2.0


class Presence:
    """The connections of the clients' account."""

    def __init__(self, system: Client | None, servers: int) -> None:
        """Args: ``system`` is a connection in the system account; of ``servers``, each has to answer."""
        self._system = system
        self._servers = servers

    @property
    def can_be_asked(self) -> bool:
        """Whether the engine can be asked at all; if not, nothing will ever be told."""
        return self._system is not None

    async def names(self, listening_on: str) -> frozenset[str] | None:
        """The names of the connections that listen on a subject; None if it cannot be told.

        Raises:
            Refusal: ``ENGINE_UNAVAILABLE`` where the connection is closed.
        """
        if self._system is None:
            return None
        found: set[str] = set()
        offset = 0
        while True:
            pages = await self._ask(self._system, listening_on, offset)
            if len(pages) < self._servers:
                return None
            found.update(
                str(connection.get("name", ""))
                for page in pages
                for connection in page.get("connections") or ()
            )
            offset += _PAGE
            if all(page.get("total", 0) <= offset for page in pages):
                return frozenset(found)

    async def _ask(self, system: Client, listening_on: str, offset: int) -> list[dict[str, Any]]:
        """A page of each server that answers in time."""
        wish = {
            "auth": True,
            "acc": CLIENTS_ACCOUNT,
            "filter_subject": listening_on,
            "offset": offset,
            "limit": _PAGE,
        }
        body = json.dumps(wish).encode()
        answers = await _answers(system, _SUBJECT, body, self._servers, _DEADLINE_S)
        return [_data(answer) for answer in answers]


async def count_servers(system: Client) -> int:
    """How many servers answer within a moment.

    Raises:
        Refusal: ``ENGINE_UNAVAILABLE`` where the connection is closed.
    """
    return len(await _answers(system, _SERVERS_SUBJECT, b"", sys.maxsize, _SERVERS_S))


async def _answers(
    system: Client, subject: str, body: bytes, enough: int, deadline_s: float
) -> list[bytes]:
    """What the servers answer, until there are enough or time is up."""
    found: list[bytes] = []
    with engine_failures("asking the engine's servers"):
        inbox = system.new_inbox()
        subscription = await system.subscribe(inbox)
        try:
            await system.publish(subject, body, reply=inbox)
            async with asyncio.timeout(deadline_s):
                while len(found) < enough:
                    found.append((await subscription.next_msg(timeout=None)).data)
        except (TimeoutError, nats.errors.TimeoutError):
            return found
        finally:
            await subscription.unsubscribe()
    return found


def _data(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body).get("data")
    except (ValueError, AttributeError):
        return {}
    return data if isinstance(data, dict) else {}
