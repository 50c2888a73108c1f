"""Keeps the states of stations true: follows the broker's pushes, and asks it anew.

A push only says that something changed; what is true is what the broker answers. Answers of two
questions may overtake each other, so of one station only one question is under way, and a push that
comes meanwhile has it asked once more.
Invariant: from the moment a schema is known to be required until it is loaded, no message of this
connection gets in: it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from memphis._core.enforcement import PENDING, EnforcedSchema, refuse_all
from memphis._core.station_state import StationState
from memphis.exceptions import MemphisError, MemphisNotFoundError, MemphisSchemaError
from memphis.transport.errors import bare_text
from memphis.wire.models import StationDescription, StationGet, StationUpdate
from memphis.wire.names import StationName
from memphis.wire.subjects import updates_subject

if TYPE_CHECKING:
    from memphis._core.enforcement import Codecs
    from memphis._core.rpc import Rpc
    from memphis._core.tasks import TaskOwner
    from memphis.transport.connection import Connection
    from memphis.transport.subscriptions import Subscription
    from memphis.wire.models import AttachedSchema

_log = logging.getLogger(__name__)

_CATCH_UP_S: Final = 5.0
_PAUSE_S: Final = 1.0
"""Between attempts to learn how a station is, each of which has had its own repetitions."""


class StationStates:
    """The states of the stations that one connection uses."""

    def __init__(self, connection: Connection, rpc: Rpc, codecs: Codecs, tasks: TaskOwner) -> None:
        self._connection = connection
        self._rpc = rpc
        self._codecs = codecs
        self._tasks = tasks
        self._states: dict[StationName, StationState] = {}
        self._subscriptions: dict[StationName, Subscription] = {}
        self._opening: Counter[StationName] = Counter()
        self._changed_early: set[StationName] = set()
        """Stations that changed while they were being opened."""
        self._refreshing: dict[StationState, asyncio.Task[None]] = {}
        self._closing = asyncio.Event()
        connection.add_listener(self)

    @contextlib.contextmanager
    def opening(self, name: StationName) -> Iterator[None]:
        """Around the request whose answer is given to :meth:`open`.

        The station is followed before it is asked for, so that no change falls in between.
        """
        self._opening[name] += 1
        self._follow(name)
        try:
            yield
        finally:
            self._opening[name] -= 1
            if not self._opening[name]:
                del self._opening[name]
                self._changed_early.discard(name)
                if name not in self._states:
                    self._unfollow(name)

    def open(self, description: StationDescription) -> StationState:
        """The shared state for this description; a new life of the station replaces the old one."""
        name = StationName.parse(description.name)
        self._follow(name)
        state = self._states.get(name)
        # Answers and updates may have overtaken each other: what differs is asked for once more.
        in_doubt = name in self._changed_early
        if state is not None:
            in_doubt = in_doubt or description != state.description
            state.apply(description)
        if state is None or state.removed:
            state = self._states[name] = StationState(description)
        if in_doubt:
            self._start_refresh(state)
        return state

    async def enforce(self, state: StationState) -> None:
        """Load the station's schema, and keep ``state.enforced`` true from now on.

        Raises:
            MemphisSchemaError: The schema cannot be used here.
            MemphisConnectError: No broker answered.
        """
        state.is_enforcing = True  # first, so that a change meanwhile is followed as well
        try:
            await self._load_schema(state)
        except MemphisError:
            if state.enforced is PENDING:
                self._start_refresh(state)  # others may be waiting
            raise

    def close(self) -> None:
        """Follow nothing any more; refreshes under way end soon."""
        self._closing.set()

    def _updated(self, name: StationName, payload: bytes) -> None:
        if name in self._opening:
            self._changed_early.add(name)
        state = self._states.get(name)
        if state is None:
            return
        try:
            update = StationUpdate.model_validate_json(payload)
        except ValidationError:
            _log.warning("an update of station %s is not understood and asked for anew", name)
        else:
            if update.station_id != state.description.id:
                return
            if update.event == "removed":
                state.apply(None)
                self._forget(state)
                return
        self._start_refresh(state)

    async def catch_up(self, concerned: Callable[[StationState], bool]) -> None:
        """Learn of a change that this connection itself has made, before its caller goes on.

        Args:
            concerned: Which of the states may have changed.

        Waits some seconds at most; what is not known by then follows like any other change.
        """
        tasks = [self._start_refresh(s) for s in list(self._states.values()) if concerned(s)]
        if tasks:
            await asyncio.wait(tasks, timeout=_CATCH_UP_S)

    def _start_refresh(self, state: StationState) -> asyncio.Task[None]:
        """Ask anew; while that is under way, once more after it, so that the last answer counts."""
        state.is_stale = True
        task = self._refreshing.get(state)
        if task is None:
            task = self._tasks.start(self._refresh(state), f"refresh of station {state.name}")
            self._refreshing[state] = task
        return task

    async def _refresh(self, state: StationState) -> None:
        """Ask the broker how the station is, and again until it has answered after the last push."""
        try:
            while state.is_stale and not state.removed and not self._closing.is_set():
                state.is_stale = False
                if not await self._refresh_once(state):
                    state.is_stale = True
                    await self._pause()
        finally:
            del self._refreshing[state]

    async def _refresh_once(self, state: StationState) -> bool:
        """Whether it worked, or need not be tried again."""
        try:
            state.apply(await self._rpc.call(StationGet(name=state.name), StationDescription))
            if state.is_enforcing and not state.removed:
                await self._load_schema(state)
        except MemphisNotFoundError:
            state.apply(None)
            self._forget(state)
        except MemphisSchemaError as error:
            _log.warning("%s", bare_text(error))  # another version may be usable; this one is not
        except MemphisError as error:
            _log.warning("the state of station %s could not be refreshed: %s", state.name, error)
            return False
        return True

    async def _load_schema(self, state: StationState) -> None:
        """Make ``state.enforced`` what the description says, also if that changes meanwhile.

        Raises:
            MemphisSchemaError: The schema cannot be used here; nothing gets in until it changes.
            MemphisError: It could not be loaded now; messages wait until it is.
        """
        while True:
            description = state.description
            name, version = description.options.schema_name, description.attached_schema
            if not name:
                state.enforce(None)
                return
            if version is None:
                state.enforce(
                    refuse_all(
                        f"the schema {name} of station {state.name} was removed; attach another, "
                        "or detach it"
                    )
                )
                return
            if state.enforced is not None and state.enforced.version == version:
                return
            if await self._load_version(state, version):
                return

    async def _load_version(self, state: StationState, version: AttachedSchema) -> bool:
        """Load one version; False if by then another one is asked for."""
        loaded = refuse_all(f"the schema {version.name} could not be loaded; the log says why")
        state.enforce(PENDING)
        try:
            loaded = EnforcedSchema(version, await self._codecs.get(version))
        except MemphisSchemaError as error:
            if state.description.attached_schema != version:
                return False
            loaded = refuse_all(
                f"version {version.version} of the schema {version.name}, which station {state.name} "
                f"requires, cannot be used: {bare_text(error)}"
            )
            raise
        except MemphisError:
            loaded = PENDING
            raise
        finally:
            # Whatever happened, nothing gets in by a version that is not asked for any more.
            if state.description.attached_schema == version:
                state.enforce(loaded)
        return state.description.attached_schema == version

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE_S):
                await self._closing.wait()

    def _follow(self, name: StationName) -> None:
        if name not in self._subscriptions:
            self._subscriptions[name] = self._connection.subscribe(
                updates_subject(name), lambda frame: self._updated(name, frame[5])
            )

    def _unfollow(self, name: StationName) -> None:
        subscription = self._subscriptions.pop(name, None)
        if subscription is not None:
            subscription.unsubscribe()

    def _forget(self, state: StationState) -> None:
        """A station that is gone is followed no more; whoever still holds its state sees that."""
        if self._states.get(state.name) is state:
            del self._states[state.name]
            if state.name not in self._opening:
                self._unfollow(state.name)

    def connection_lost(self, reason: str) -> None:
        """Nothing to do: the states are asked for anew after the reconnect."""

    def connection_restored(self) -> None:
        """Updates may have been missed meanwhile."""
        self._tasks.start(self._refresh_all(list(self._states.values())), "refresh of stations")

    async def _refresh_all(self, states: list[StationState]) -> None:
        """One after another: a program with a thousand stations must not storm a new broker."""
        for state in states:
            await asyncio.wait([self._start_refresh(state)])

    def connection_closed(self, reason: str) -> None:  # noqa: ARG002 - a listener is told
        """Whoever uses a state finds the connection closed."""
        self.close()
