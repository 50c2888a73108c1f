"""A connection to a broker, for code without an event loop."""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, Final, ParamSpec, Self

from memphis import memphis as asynchronous
from memphis import message as asynchronous_message
from memphis import schemas as asynchronous_schemas
from memphis._core.models import ModelT
from memphis._core.sending import ErrorCallback
from memphis.sync._faces import Face, blocking, making, making_directly
from memphis.sync._loop import Loop
from memphis.sync.consumer import Consumer
from memphis.sync.dead_letters import DeadLetter, DeadLetters
from memphis.sync.message import Message
from memphis.sync.producer import Producer, faces, make_producer
from memphis.sync.schemas import Schema
from memphis.sync.station import Station

__all__ = ["Memphis"]

_Memphis = asynchronous.Memphis
_P = ParamSpec("_P")

_HAND_OVER_S: Final = 30.0
"""How long a closing connection waits until messages that were produced are with the loop."""


def _connecting(
    method: Callable[Concatenate[_Memphis, _P], Awaitable[None]],
) -> Callable[Concatenate[Memphis, _P], None]:
    """The loop runs from here on, unless this fails."""

    @functools.wraps(method, ("__name__", "__qualname__", "__doc__"))
    def call(self: Memphis, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        self._loop.check_process()
        with self._changing:
            self._loop.start()
            try:
                self._loop.run(lambda: method(self._inner, *args, **kwargs))
                self._is_connected = True
            finally:
                if not self._is_connected:
                    self._loop.stop(for_good=False)

    return call


def _schemas(loop: Loop, found: list[asynchronous_schemas.Schema]) -> list[Schema]:
    return [Schema(loop, schema) for schema in found]


def _messages(loop: Loop, found: list[asynchronous_message.Message]) -> list[Message]:
    return [Message(loop, message) for message in found]


class Memphis(Face[_Memphis]):
    """A connection to a Memphis broker, for scripts and web workers: no event loop in your code.

    Everything has the names, parameters and defaults of ``memphis.Memphis``, and returns when it is done::

        with Memphis() as memphis:
            memphis.connect(host="localhost", username="root", password="memphis")
            memphis.produce("flights", "radar", {"carrier": "UA"})

    One object, and all that is made by it, may be used from any number of threads. Its event loop has a
    thread of its own, from :meth:`connect` to :meth:`close`. It does not survive ``fork``: in the child every
    call raises ``MemphisUsageError``; connect in each process, after the fork.
    """

    __slots__ = ("_changing", "_is_connected")

    def __init__(self) -> None:
        super().__init__(Loop(), _Memphis())
        self._changing = threading.RLock()
        self._is_connected = False
        """Whether it was ever connected."""

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    connect = _connecting(_Memphis.connect)

    def is_connected(self) -> bool:
        """Whether the connection stands at this moment; never raises."""
        return not self._loop.is_forked and self._inner.is_connected()

    @property
    def is_connection_active(self) -> bool:
        """Whether it was connected, and neither closed nor given up; reconnecting, it is still True."""
        return not self._loop.is_forked and self._inner.is_connection_active

    def close(self) -> None:
        """End everything in good order, as ``memphis.Memphis.close``, and then the thread of the loop.

        Waits up to 30 s for handlers that run, like there. Calling it again, before :meth:`connect`, or in a
        child process, does no harm; another thread that calls it meanwhile waits as well.

        Raises:
            MemphisError: Messages failed whose results nobody asked for and no error callback was told
                of. The connection is closed all the same.
        """
        if self._loop.is_forked:
            return
        with self._changing:
            try:
                if self._loop.is_running:
                    self._loop.finish_pipes(_HAND_OVER_S)
                    self._loop.run(self._inner.close)
            finally:
                self._loop.stop(for_good=True)

    def producer(
        self,
        station_name: str | Sequence[str],
        producer_name: str,
        generate_random_suffix: bool = False,
        timeout_retries: int = 5,
        on_error: ErrorCallback | None = None,
        model: type[ModelT] | None = None,
    ) -> Producer[ModelT]:
        """As ``memphis.Memphis.producer``; ``on_error`` is called in a thread of its own.

        That thread is the producer's; ``flush()`` does not wait for it, ``destroy()`` and ``close()`` do.
        """
        return make_producer(
            self._loop,
            lambda tell: self._inner.producer(
                station_name, producer_name, generate_random_suffix, timeout_retries, tell, model
            ),
            on_error,
        )

    station = making(_Memphis.station, Station)
    existing_station = making(_Memphis.existing_station, Station)
    stations = blocking(_Memphis.stations)
    dead_letters = making_directly(_Memphis.dead_letters, DeadLetters)
    dead_letter = making(_Memphis.dead_letter, DeadLetter)
    produce = making(_Memphis.produce, faces)
    consumer = making(_Memphis.consumer, Consumer)
    fetch_messages = making(_Memphis.fetch_messages, _messages)
    create_schema = making(_Memphis.create_schema, Schema)
    schema = making(_Memphis.schema, Schema)
    schemas = making(_Memphis.schemas, _schemas)
    schema_summaries = blocking(_Memphis.schema_summaries)
    enforce_schema = blocking(_Memphis.enforce_schema)
    attach_schema = blocking(_Memphis.attach_schema)
    detach_schema = blocking(_Memphis.detach_schema)
    create_user = blocking(_Memphis.create_user)
    users = blocking(_Memphis.users)
    remove_user = blocking(_Memphis.remove_user)
    set_password = blocking(_Memphis.set_password)
    enforce_schmea = enforce_schema
    detach_schmea = detach_schema
