"""What a client knows about a station, in one object, kept true by the broker's updates.

Everyone on a connection who uses a station shares one :class:`StationState`. It changes in one
method, :meth:`StationState.apply`, and never goes back: a station that is created again under the
same name is a new life with a new state.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pydantic import ValidationError

from memphis.exceptions import MemphisError, MemphisNotFoundError
from memphis.wire.errors import ErrorCode
from memphis.wire.models import StationDescription, StationGet, StationUpdate
from memphis.wire.names import StationName
from memphis.wire.subjects import updates_subject

if TYPE_CHECKING:
    from memphis._core.rpc import Rpc
    from memphis._core.tasks import TaskOwner
    from memphis.transport.connection import Connection
    from memphis.transport.subscriptions import Subscription

_log = logging.getLogger(__name__)


class StationState:
    """One life of one station, as this connection sees it."""

    def __init__(self, description: StationDescription) -> None:
        self.name = StationName.parse(description.name)
        self.description = description
        self.removed = False

    @property
    def partitions(self) -> list[int]:
        """The partition numbers, from 1."""
        return self.description.partitions

    def apply(self, description: StationDescription | None) -> None:
        """Take over what the broker says of the station now; None: it is gone."""
        if description is None or description.id != self.description.id:
            self.removed = True
        else:
            self.description = description

    def check_present(self) -> None:
        """Raise MemphisNotFoundError if the station is known to be removed."""
        if self.removed:
            raise MemphisNotFoundError(
                f"the station {self.name!r} was removed; make a new producer or consumer to have "
                "it created again",
                ErrorCode.STATION_NOT_FOUND,
            )


class StationStates:
    """The states of the stations that one connection uses; follows the broker's updates."""

    def __init__(self, connection: Connection, rpc: Rpc, tasks: TaskOwner) -> None:
        self._connection = connection
        self._rpc = rpc
        self._tasks = tasks
        self._states: dict[StationName, StationState] = {}
        self._subscriptions: dict[StationName, Subscription] = {}
        connection.add_listener(self)

    def open(self, description: StationDescription) -> StationState:
        """The shared state for this description; a new life of the station replaces the old one."""
        name = StationName.parse(description.name)
        state = self._states.get(name)
        if state is not None:
            state.apply(description)
        if state is None or state.removed:
            state = self._states[name] = StationState(description)
        if name not in self._subscriptions:
            self._subscriptions[name] = self._connection.subscribe(
                updates_subject(name), lambda frame: self._updated(name, frame[5])
            )
        return state

    def _updated(self, name: StationName, payload: bytes) -> None:
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
        self._tasks.start(self._refresh(state), f"refresh of station {name}")

    async def _refresh(self, state: StationState) -> None:
        """Ask the broker how the station is. A failure changes nothing: the next use will tell."""
        try:
            state.apply(await self._rpc.call(StationGet(name=state.name), StationDescription))
        except MemphisNotFoundError:
            state.apply(None)
            self._forget(state)
        except MemphisError as error:
            _log.warning("the state of station %s could not be refreshed: %s", state.name, error)

    def _forget(self, state: StationState) -> None:
        """A station that is gone is followed no more; whoever still holds its state sees that."""
        if self._states.get(state.name) is state:
            del self._states[state.name]
            self._subscriptions.pop(state.name).unsubscribe()

    def connection_lost(self, reason: str) -> None:
        """Nothing to do: the states are asked for anew after the reconnect."""

    def connection_restored(self) -> None:
        """Updates may have been missed meanwhile."""
        self._tasks.start(self._refresh_all(list(self._states.values())), "refresh of stations")

    async def _refresh_all(self, states: list[StationState]) -> None:
        """One after another: a program with a thousand stations must not storm a new broker."""
        for state in states:
            if not state.removed:
                await self._refresh(state)

    def connection_closed(self, reason: str) -> None:
        """Nothing to do: whoever uses a state finds the connection closed."""
