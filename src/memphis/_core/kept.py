"""Objects that are made at their first use and kept for the next: what ``Memphis.produce`` works with.

Invariant: of callers that come at the same time with the same key one makes the object and the
others get the same one, because two producers would be two orders and two consumers two members.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar


class Stalable(Protocol):
    """Something that may come to its end without being told to."""

    @property
    def is_stale(self) -> bool:
        """Whether it is of no more use."""
        ...


_K = TypeVar("_K")
_S = TypeVar("_S", bound=Stalable)


class Kept(Generic[_K, _S]):
    """One object for each key.

    Args:
        retire: Called with an object that has gone stale, before another takes its place.
    """

    def __init__(self, retire: Callable[[_S], Awaitable[None]]) -> None:
        self._retire = retire
        self._kept: dict[_K, _S] = {}
        self._locks: dict[_K, asyncio.Lock] = {}

    async def get(self, key: _K, make: Callable[[], Awaitable[_S]]) -> _S:
        """The object of this key; ``make`` is called if there is none, or none of use."""
        kept = self._kept.get(key)
        if kept is not None and not kept.is_stale:
            return kept
        async with self._locks.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is not None and not kept.is_stale:
                return kept
            if kept is not None:
                del self._kept[key]
                await self._retire(kept)
            made = self._kept[key] = await make()
            return made

    def clear(self) -> None:
        """Keep nothing any more."""
        self._kept.clear()
        self._locks.clear()
