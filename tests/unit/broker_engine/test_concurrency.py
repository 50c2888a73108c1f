"""Many requests at once: order, the limit, and what the first failure does."""

from __future__ import annotations

import asyncio

import pytest

from memphis_broker.engine.concurrency import for_each


class Busy:
    """Counts who is at work, and who was ended."""

    def __init__(self) -> None:
        self.now = self.most = self.begun = self.cancelled = 0
        self.tasks: set[asyncio.Task[object] | None] = set()

    async def act(self, item: int) -> int:
        self.begun += 1
        self.now += 1
        self.most = max(self.most, self.now)
        self.tasks.add(asyncio.current_task())
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.now -= 1
        return 10 * item


@pytest.mark.parametrize("count", [0, 1, 2, 5, 40])
async def test_results_come_in_the_order_of_the_items(count: int) -> None:
    """However many there are, and from an iterator too; never more at once than the limit."""
    busy = Busy()
    assert await for_each(iter(range(count)), busy.act, limit=5) == [10 * n for n in range(count)]
    assert busy.most == min(5, count)


async def test_no_more_tasks_than_items() -> None:
    """One item runs in the caller's task, two in two of their own."""
    busy = Busy()
    await for_each([1], busy.act)
    assert busy.tasks == {asyncio.current_task()}
    busy = Busy()
    await for_each([1, 2], busy.act)
    assert len(busy.tasks) == 2


@pytest.mark.parametrize("count", [1, 2, 40])
async def test_the_first_failure_is_raised_as_it_was(count: int) -> None:
    """It keeps its cause, ends what is running and starts nothing more."""
    busy = Busy()
    cause = KeyError("cause")

    async def act(item: int) -> int:
        if item == 0:
            raise ValueError("first") from cause
        return await busy.act(item)

    with pytest.raises(ValueError, match="first") as raised:
        await for_each(range(count), act, limit=4)
    assert raised.value.__cause__ is cause
    assert busy.now == 0
    assert busy.begun <= 3


@pytest.mark.parametrize("count", [1, 2])
async def test_cancelling_cancels_what_is_running(count: int) -> None:
    """Nothing goes on when the caller does not."""
    busy = Busy()
    task = asyncio.create_task(for_each(range(count), busy.act))
    await asyncio.sleep(0)  # its task begins,
    await asyncio.sleep(0)  # and theirs
    assert busy.now == count
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert busy.cancelled == count
