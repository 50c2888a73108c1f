"""What a producer enforces, in every order in which pushes, answers and contents may come.

The order is what is tested, so the connection and the requests are stand-ins here that answer when
the test says so; the same flows on a real broker are in ``tests/integration/sdk``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from memphis._core import enforcement
from memphis._core.enforcement import PENDING, Codecs
from memphis._core.station_state import StationState
from memphis._core.tasks import TaskOwner
from memphis._core.updates import StationStates
from memphis.exceptions import (
    MemphisError,
    MemphisNotFoundError,
    MemphisSchemaError,
    MemphisTimeoutError,
)
from memphis.wire.errors import ErrorCode
from memphis.wire.models import (
    AttachedSchema,
    StationDescription,
    StationGet,
    StationOptions,
    StationUpdate,
)
from memphis.wire.names import StationName
from memphis.wire.schemas import SchemaDefinition, SchemaVersionGet
from tests.waiting import eventually

NAME = StationName.parse("st")


class Subscription:
    def __init__(self, subscriptions: dict[str, Any], subject: str) -> None:
        self._subscriptions = subscriptions
        self._subject = subject

    def unsubscribe(self) -> None:
        self._subscriptions.pop(self._subject, None)


class Connection:
    """Takes subscriptions."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Callable[[Any], None]] = {}

    def add_listener(self, listener: object) -> None:
        """Nobody tells it anything; the test calls the methods itself."""

    def subscribe(self, subject: str, callback: Callable[[Any], None]) -> Subscription:
        self.callbacks[subject] = callback
        return Subscription(self.callbacks, subject)


class Requests:
    """Keeps every question until the test answers it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, asyncio.Future[Any]]] = []

    async def call(self, request: Any, reply_type: type, **_options: Any) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.asked.append((request, answer))
        return await answer

    async def next(self, request_type: type) -> asyncio.Future[Any]:
        """The oldest question of this type that has no answer yet."""

        def find() -> list[asyncio.Future[Any]]:
            return [
                answer
                for request, answer in self.asked
                if isinstance(request, request_type) and not answer.done()
            ]

        return (await eventually(find, what=f"{request_type.__name__} is asked"))[0]


class Scene:
    """One connection's states, and what happens to them."""

    def __init__(self) -> None:
        self.connection = Connection()
        self.requests = Requests()
        self.tasks = TaskOwner()
        self.states = StationStates(
            self.connection,  # type: ignore[arg-type]
            self.requests,  # type: ignore[arg-type]
            Codecs(self.requests),  # type: ignore[arg-type]
            self.tasks,
        )

    def push(self) -> None:
        """The broker says that the station changed."""
        update = StationUpdate(event="changed", station_id="life").model_dump_json().encode()
        for callback in list(self.connection.callbacks.values()):
            callback((0, 0, 0, 0, b"", update))

    async def answer(self, request_type: type, reply: Any) -> None:
        """Answer the oldest open question of this type; an exception is raised there."""
        future = await self.requests.next(request_type)
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    async def quiet(self) -> None:
        """Return when nothing is under way any more."""
        await self.tasks.finish(10)

    async def enforcing(self, version: int = 0) -> StationState:
        """A state that enforces this version; 0: none."""
        state = self.states.open(described(version))
        loading = asyncio.create_task(self.states.enforce(state))
        if version:
            await self.answer(SchemaVersionGet, content(version))
        await loading
        return state


def described(version: int = 0, options_name: str = "") -> StationDescription:
    """The station with this version of the schema s; 0: with none."""
    attached = AttachedSchema(name="s", id="aa", version=version) if version else None
    return StationDescription(
        name="st",
        id="life",
        options=StationOptions(schema_name="s" if version else options_name),
        partitions=[1],
        created_at=datetime.now(UTC),
        attached_schema=attached,
    )


def content(version: int) -> SchemaDefinition:
    return SchemaDefinition(
        name="s", id="aa", version=version, type="json", content=f'{{"const": {version}}}'
    )


def version_of(state: StationState) -> int | None:
    """The version that is enforced; 0: none, None: whatever comes waits or is refused."""
    if state.enforced is None:
        return 0
    return None if state.enforced.version is None else state.enforced.version.version


async def test_an_older_answer_that_comes_late_changes_nothing():
    """After a reconnect and a push at once, what the broker said last is what holds."""
    scene = Scene()
    state = await scene.enforcing()
    scene.states.connection_restored()
    await scene.requests.next(StationGet)
    scene.push()
    scene.push()
    await scene.answer(StationGet, described())  # from before the push
    await scene.answer(StationGet, described(1))
    await scene.answer(SchemaVersionGet, content(1))
    await scene.quiet()
    assert version_of(state) == 1
    assert len(scene.requests.asked) == 3


async def test_messages_wait_while_a_new_version_is_loaded():
    """Nothing is checked by the old one from the moment the new one is known."""
    scene = Scene()
    state = await scene.enforcing(1)
    scene.push()
    await scene.answer(StationGet, described(2))
    await scene.requests.next(SchemaVersionGet)
    assert state.enforced is PENDING
    waiting = asyncio.create_task(state.schema_known(10))
    await scene.answer(SchemaVersionGet, content(2))
    await waiting
    assert version_of(state) == 2


async def test_a_failure_that_comes_after_a_detach_blocks_nothing():
    """A version that nobody wants any more may be missing."""
    scene = Scene()
    state = scene.states.open(described(1))
    loading = asyncio.create_task(scene.states.enforce(state))
    content_asked = await scene.requests.next(SchemaVersionGet)
    scene.push()
    await scene.answer(StationGet, described())
    await eventually(lambda: version_of(state) == 0)
    content_asked.set_exception(MemphisNotFoundError("gone", ErrorCode.SCHEMA_NOT_FOUND))
    await loading
    await scene.quiet()
    assert version_of(state) == 0


async def test_a_content_that_comes_after_another_version_is_not_enforced():
    """Two loads at once: what is enforced is what is attached, whichever content came last."""
    scene = Scene()
    state = scene.states.open(described(1))
    loading = asyncio.create_task(scene.states.enforce(state))
    first = await scene.requests.next(SchemaVersionGet)
    scene.push()
    await scene.answer(StationGet, described(2))
    await eventually(lambda: len(scene.requests.asked) == 3)
    (request, second) = scene.requests.asked[-1]
    assert request.version == 2
    second.set_result(content(2))
    await eventually(lambda: version_of(state) == 2)
    first.set_result(content(1))
    await loading
    assert version_of(state) == 2


async def test_a_broker_that_does_not_answer_is_asked_again(monkeypatch):
    """Until it does, messages wait, and give up at their own deadline."""
    monkeypatch.setattr("memphis._core.updates._PAUSE_S", 0.01)
    scene = Scene()
    state = await scene.enforcing()
    scene.push()
    await scene.answer(StationGet, described(1))
    await scene.answer(SchemaVersionGet, MemphisTimeoutError("no answer"))
    await scene.requests.next(StationGet)
    assert state.enforced is PENDING
    with pytest.raises(MemphisSchemaError, match="could not be loaded"):
        await state.schema_known(0.01)
    await scene.answer(StationGet, described(1))
    await scene.answer(SchemaVersionGet, content(1))
    await scene.quiet()
    assert version_of(state) == 1


async def test_a_load_that_breaks_lets_nothing_in(monkeypatch):
    """Also when it ends in a way that nobody foresaw."""

    def break_down(_definition: SchemaDefinition) -> None:
        raise MemoryError

    scene = Scene()
    state = await scene.enforcing()
    monkeypatch.setattr(enforcement, "compile_schema", break_down)
    state.apply(described(1))
    loading = asyncio.create_task(scene.states.enforce(state))
    await scene.answer(SchemaVersionGet, content(1))
    with pytest.raises(MemoryError):
        await loading
    assert version_of(state) is None
    assert state.enforced is not None
    with pytest.raises(MemphisSchemaError, match="log says why"):
        state.enforced.codec.encode(b"1")


async def test_a_station_whose_schema_is_gone_takes_nothing():
    """It says so, and takes messages again when the schema is detached."""
    scene = Scene()
    state = await scene.enforcing(1)
    scene.push()
    await scene.answer(StationGet, described(options_name="s"))
    await eventually(lambda: version_of(state) is None)
    assert state.enforced is not None
    with pytest.raises(MemphisSchemaError, match="was removed"):
        state.enforced.codec.encode(b"1")
    scene.push()
    await scene.answer(StationGet, described())
    await eventually(lambda: version_of(state) == 0)


async def test_one_of_two_openings_that_fails_leaves_the_other_followed():
    """A change between its question and its answer is not missed."""
    scene = Scene()
    with scene.states.opening(NAME):
        with pytest.raises(MemphisError), scene.states.opening(NAME):
            raise MemphisNotFoundError("no such schema", ErrorCode.SCHEMA_NOT_FOUND)
        scene.push()
        state = scene.states.open(described())
    await scene.answer(StationGet, described(1))
    await scene.quiet()
    assert state.description.attached_schema is not None
    with pytest.raises(MemphisError), scene.states.opening(StationName.parse("other")):
        raise MemphisNotFoundError("no such schema", ErrorCode.SCHEMA_NOT_FOUND)
    assert len(scene.connection.callbacks) == 1


async def test_who_waits_for_a_schema_hears_that_the_station_went():
    """Nothing waits for what will never come."""
    scene = Scene()
    state = await scene.enforcing(1)
    state.enforce(PENDING)
    waiting = asyncio.create_task(state.schema_known(10))
    await asyncio.sleep(0)
    state.apply(None)
    with pytest.raises(MemphisNotFoundError):
        await waiting
