"""A broker as a test sees it: where it is, a connection to it, and an end to what the test left there.

The pytest plugin of this distribution hands one out as its fixture ``memphis_broker``. It needs no more
than the SDK, so it is as good for a broker that runs elsewhere. What starts a broker is
``memphis_broker.testing``, because the SDK knows nothing of the broker's inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from memphis.exceptions import MemphisNotFoundError, MemphisPermissionError
from memphis.memphis import Memphis
from memphis.users import UserSummary

__all__ = ["Contents", "RunningBroker"]

_REMOVED_AT_ONCE_MAX: Final = 32
"""The broker works on twice as many requests at a time."""
_CONNECT_MS: Final = 10_000
"""A machine that runs tests may be busy."""


@dataclass(frozen=True)
class Contents:
    """The stations, schemas and users of a broker, each by its name and when it was created.

    One that was removed and created anew is another one.
    """

    stations: frozenset[tuple[str, datetime]] = frozenset()
    schemas: frozenset[tuple[str, datetime]] = frozenset()
    users: frozenset[tuple[str, datetime]] = frozenset()
    """None where this user may not see them."""


_NOTHING: Final = Contents()


@dataclass(frozen=True, kw_only=True)
class RunningBroker:
    """A broker that runs, and how to log in there. It may be used in many threads and event loops.

    Attributes:
        host: Where it listens.
        port: The same.
        username: Somebody who may do everything.
        password: Of that user.
    """

    host: str = "127.0.0.1"
    port: int = 6666
    username: str = "root"
    password: str = field(default="memphis", repr=False)

    @property
    def connection(self) -> dict[str, Any]:
        """Arguments for ``Memphis.connect``: host, port, username and password."""
        return {
            "host": self.host,
            "port": self.port,
            "username": self.username,
            "password": self.password,
        }

    @asynccontextmanager
    async def connect(self, **arguments: Any) -> AsyncIterator[Memphis]:
        """A connection for an ``async with`` block, closed at its end.

        Args:
            arguments: More of ``Memphis.connect``, or others than those of :attr:`connection`;
                ``timeout_ms`` is 10 seconds here.

        Raises:
            MemphisConnectError: As ``Memphis.connect`` does.
        """
        async with Memphis() as memphis:
            await memphis.connect(**{"timeout_ms": _CONNECT_MS, **self.connection, **arguments})
            yield memphis

    async def contents(self) -> Contents:
        """What there is now.

        Raises:
            MemphisError: The broker cannot be reached.
        """
        async with self.connect() as memphis:
            return await _contents(memphis)

    async def clear(self, keep: Contents = _NOTHING) -> None:
        """Remove every station, with its messages, groups and dead letters, every schema and every user.

        What others create meanwhile may be left, as may be a schema that they put to use. Cancelled, it has
        removed some of them; it can be called again.

        Args:
            keep: What stays, if it is still the same.

        Raises:
            MemphisError: The broker cannot be reached, or something to be kept uses a schema that is not.
        """
        async with self.connect() as memphis:
            found = await _contents(memphis)
            stations = [name for name, _ in found.stations - keep.stations]
            schemas = [name for name, _ in found.schemas - keep.schemas]
            # Stations first: a schema that one of them has cannot be removed.
            await _all_of(_remove_station(memphis, name) for name in stations)
            await _all_of(_remove_schema(memphis, name) for name in schemas)
            await _all_of(_remove_user(memphis, name) for name, _ in found.users - keep.users)


async def _contents(memphis: Memphis) -> Contents:
    stations, schemas, users = await asyncio.gather(
        memphis.stations(), memphis.schema_summaries(), _users(memphis)
    )
    return Contents(
        frozenset((station.name, station.created_at) for station in stations),
        frozenset((schema.name, schema.created_at) for schema in schemas),
        frozenset((user.name, user.created_at) for user in users),
    )


async def _users(memphis: Memphis) -> list[UserSummary]:
    with suppress(MemphisPermissionError):
        return await memphis.users()
    return []


async def _remove_station(memphis: Memphis, name: str) -> None:
    with suppress(MemphisNotFoundError):
        await (await memphis.existing_station(name)).destroy()


async def _remove_schema(memphis: Memphis, name: str) -> None:
    with suppress(MemphisNotFoundError):
        await (await memphis.schema(name)).remove()


async def _remove_user(memphis: Memphis, name: str) -> None:
    with suppress(MemphisNotFoundError):
        await memphis.remove_user(name)


async def _all_of(removals: Iterable[Awaitable[None]]) -> None:
    """Some at a time; raises the first failure after all have ended."""
    turns = asyncio.Semaphore(_REMOVED_AT_ONCE_MAX)

    async def in_turn(removal: Awaitable[None]) -> None:
        async with turns:
            await removal

    outcomes = await asyncio.gather(*map(in_turn, removals), return_exceptions=True)
    for failure in outcomes:
        if failure is not None:
            raise failure
