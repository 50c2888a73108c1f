"""Many engine requests at once, but never more than a limit.

A station can have ten thousand partitions: one after the other would take too long, all at once
would fill the engine's request queue and starve everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

ENGINE_REQUESTS_MAX: Final = 32
"""How many engine requests one operation keeps in flight."""

Item = TypeVar("Item")
Result = TypeVar("Result")


async def for_each(
    items: Iterable[Item],
    act: Callable[[Item], Awaitable[Result]],
    limit: int = ENGINE_REQUESTS_MAX,
) -> list[Result]:
    """Run ``act`` on every item, at most ``limit`` at a time.

    Returns:
        The results in the order of the items.

    The first failure cancels what is running, starts nothing more, and is raised as it was.
    """
    todo = list(items)
    if len(todo) == 1:
        # Most stations have one partition, and a task of its own would only cost.
        return [await act(todo[0])]
    pending = enumerate(todo)
    results: dict[int, Result] = {}

    async def work() -> None:
        for index, item in pending:
            results[index] = await act(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(limit, len(todo))):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        # TaskGroup lists failures in the order in which they happened; the first is the cause.
        first = failures.exceptions[0]
        raise first from first.__cause__
    return [results[index] for index in sorted(results)]
