"""The handle of a station, for code without an event loop."""

from __future__ import annotations

from memphis import station as asynchronous
from memphis._core.models import ModelT
from memphis._core.sending import ErrorCallback
from memphis.station import StationInfo, StationOptions, StationSummary
from memphis.sync._faces import Face, blocking, making, making_directly
from memphis.sync.consumer import Consumer
from memphis.sync.dead_letters import DeadLetters
from memphis.sync.producer import Producer, make_producer

__all__ = ["Station", "StationInfo", "StationOptions", "StationSummary"]

_Station = asynchronous.Station


class Station(Face[_Station]):
    """See ``memphis.Station``."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """As ``memphis.Station.name``."""
        return self._inner.name

    @property
    def options(self) -> StationOptions:
        """As ``memphis.Station.options``."""
        return self._inner.options

    @property
    def partitions(self) -> list[int]:
        """As ``memphis.Station.partitions``."""
        return self._inner.partitions

    info = blocking(_Station.info)

    def producer(
        self,
        producer_name: str,
        generate_random_suffix: bool = False,
        timeout_retries: int = 5,
        on_error: ErrorCallback | None = None,
        model: type[ModelT] | None = None,
    ) -> Producer[ModelT]:
        """As ``memphis.Station.producer``; ``on_error`` is called in a thread of its own."""
        return make_producer(
            self._loop,
            lambda tell: self._inner.producer(
                producer_name, generate_random_suffix, timeout_retries, tell, model
            ),
            on_error,
        )

    consumer = making(_Station.consumer, Consumer)
    dead_letters = making_directly(_Station.dead_letters, DeadLetters)
    configure = blocking(_Station.configure)
    purge = blocking(_Station.purge)
    destroy = blocking(_Station.destroy)
