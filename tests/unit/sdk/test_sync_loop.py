"""The thread of the loop, and the pipeline into it, without a broker."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from memphis import MemphisClosedError, MemphisConnectError, MemphisUsageError
from memphis.sync._loop import Loop
from memphis.sync._pipeline import ITEMS_MAX, Item, Pipeline
from memphis.sync._worker import Worker
from tests.waiting import eventually_sync

SOON_S = 30.0


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop that runs, and leaves nothing behind."""
    before = set(threading.enumerate())
    running = Loop()
    running.start()
    yield running
    running.stop(for_good=True)
    assert set(threading.enumerate()) <= before


class Gate:
    """In the place of a producer: takes messages when it is open."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.taken: list[int] = []
        self.refused: list[Exception] = []

    async def produce(self, number: int) -> Any:
        await self.is_open.wait()
        self.taken.append(number)
        if number < 0:
            raise MemphisUsageError("negative")
        return number

    def fail(self, error: Exception) -> Any:
        self.refused.append(error)
        return error


def pipe(loop: Loop) -> tuple[Pipeline, Gate]:
    """A pipeline to a gate that is closed."""
    gate = Gate()
    return Pipeline(loop, gate.produce, gate.fail), gate


def test_what_is_posted_is_done_before_what_is_called_later(loop: Loop):
    """In its order, from each thread."""
    done: list[int] = []

    async def seen() -> list[int]:
        return list(done)

    for number in range(1000):
        loop.post(lambda number=number: done.append(number))
        if number % 100 == 0:
            assert loop.run(seen) == list(range(number + 1))
    assert loop.run(seen) == list(range(1000))


def test_a_call_that_is_under_way_ends_with_the_loop(loop: Loop):
    """It is cancelled and its caller told; later calls say that it was closed."""
    is_in = threading.Event()

    async def forever() -> None:
        is_in.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(loop.run, forever)
        assert is_in.wait(SOON_S)
        loop.stop(for_good=True)
        with pytest.raises(MemphisClosedError, match="under way"):
            call.result(SOON_S)
    with pytest.raises(MemphisClosedError):
        loop.run(forever)
    with pytest.raises(MemphisClosedError):
        loop.post(print)
    with pytest.raises(MemphisClosedError):
        loop.start()


def test_a_loop_can_be_started_again():
    """Until it is ended for good."""
    loop = Loop()
    with pytest.raises(MemphisConnectError):
        loop.post(print)

    async def thread() -> int:
        return threading.get_ident()

    identities = set()
    for _ in range(2):
        loop.start()
        loop.start()
        identities.add(loop.run(thread))
        loop.stop(for_good=False)
        assert not loop.is_running
    loop.stop(for_good=True)
    assert threading.get_ident() not in identities


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_that_something_ends_lets_nobody_wait(loop: Loop):
    """SystemExit in a task ends a loop, whoever raised it."""

    async def end() -> None:
        raise SystemExit(3)

    async def forever() -> None:
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(loop.run, forever)
        with contextlib.suppress(SystemExit, MemphisClosedError):
            loop.run(end)
        assert isinstance(waiting.exception(SOON_S), MemphisClosedError)
    eventually_sync(lambda: not loop.is_running)
    with pytest.raises(MemphisClosedError):
        loop.run(forever)


def test_the_pipeline_is_bounded_and_in_order(loop: Loop):
    """Whoever puts more than it holds waits until the loop has taken some."""
    pipeline, gate = pipe(loop)

    def put_all() -> None:
        for number in range(3 * ITEMS_MAX):
            pipeline.put(Item({"number": number}))

    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(put_all)
        eventually_sync(lambda: len(pipeline) == ITEMS_MAX)
        assert not pipeline.wait_passed(0)
        assert not putting.done()
        loop.post(gate.is_open.set)
        putting.result(SOON_S)
    assert pipeline.wait_passed()
    assert gate.taken == list(range(3 * ITEMS_MAX))
    assert len(pipeline) == 0
    pipeline.put(Item({"number": 7}))  # it wakes up again
    assert pipeline.wait_passed()
    assert gate.taken[-1] == 7


def test_what_the_producer_raises_is_the_items_failure(loop: Loop):
    """And those behind it go on."""
    pipeline, gate = pipe(loop)
    items = [Item({"number": number}) for number in (1, -1, 2)]
    for item in items:
        pipeline.put(item)
    loop.post(gate.is_open.set)
    assert pipeline.wait_passed()
    assert [item.inner for item in items] == [1, gate.refused[0], 2]
    assert isinstance(gate.refused[0], MemphisUsageError)


def test_a_closed_pipeline_takes_nothing_more(loop: Loop):
    """Also from who waits for room; what it holds is handed over."""
    pipeline, gate = pipe(loop)
    for number in range(ITEMS_MAX):
        pipeline.put(Item({"number": number}))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pipeline.put, Item({"number": ITEMS_MAX}))
        pipeline.close()
        assert isinstance(waiting.exception(SOON_S), MemphisClosedError)
    with pytest.raises(MemphisClosedError):
        pipeline.put(Item({"number": 0}))
    loop.post(gate.is_open.set)
    loop.finish_pipes(SOON_S)
    assert gate.taken == list(range(ITEMS_MAX))


def test_what_is_not_handed_over_in_time_has_failed(loop: Loop):
    """And is told of as a message that failed; only the one that is with the producer goes on."""
    pipeline, gate = pipe(loop)
    items = [Item({"number": number}) for number in range(10)]
    for item in items:
        pipeline.put(item)
    pipeline.finish(0)
    assert all(isinstance(item.inner, MemphisClosedError) for item in items[1:])
    assert len(gate.refused) == 9
    loop.post(gate.is_open.set)
    eventually_sync(lambda: items[0].inner == 0 and gate.taken == [0])


def test_a_loop_that_ends_tells_what_waits(loop: Loop):
    """Nobody waits for a message that the loop will never take."""
    pipeline, _ = pipe(loop)
    items = [Item({"number": number}) for number in range(10)]
    for item in items:
        pipeline.put(item)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pipeline.wait_passed)
        loop.stop(for_good=True)
        assert waiting.result(SOON_S)
    assert all(isinstance(item.failure, MemphisClosedError) for item in items)
    with pytest.raises(MemphisClosedError):
        pipeline.put(Item({"number": 0}))


def test_a_worker_calls_in_order_and_ends(loop: Loop, caplog):
    """What a callback raises is logged; a worker can end itself."""
    worker = Worker(loop, "w")
    told: list[int] = []

    def tell(number: int) -> None:
        told.append(number)
        if number == 1:
            raise ValueError("a fault of the application")

    for number in range(3):
        worker.tell(tell, number)
    worker.tell(worker.end)
    eventually_sync(lambda: not any(t.name == "w_0" for t in threading.enumerate()))
    assert told == [0, 1, 2]
    assert "a callback of the application failed" in caplog.text
    Worker(loop, "never used").end()
