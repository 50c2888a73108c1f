"""What a client knows about a station, in one object.

Everyone on a connection who uses a station shares one :class:`StationState`, which
:mod:`memphis._core.updates` keeps true. It never goes back: a station that is created again under the
same name is a new life with a new state.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from memphis._core.enforcement import PENDING, EnforcedSchema
from memphis.exceptions import MemphisNotFoundError, MemphisSchemaError
from memphis.wire.errors import ErrorCode
from memphis.wire.names import StationName

if TYPE_CHECKING:
    from memphis.wire.models import StationDescription


class StationState:
    """One life of one station, as this connection sees it."""

    def __init__(self, description: StationDescription) -> None:
        self.name = StationName.parse(description.name)
        self.description = description
        self.removed = False
        self.is_stale = False
        """Whether the broker said that something changed, and was not asked since."""
        self.is_enforcing = False
        """Whether anybody here produces, so that ``enforced`` has to be kept true."""
        self.enforced: EnforcedSchema | None = None
        """What messages have to fit; None where the station has no schema."""
        self._schema_known = asyncio.Event()
        self._schema_known.set()

    @property
    def partitions(self) -> list[int]:
        """The partition numbers, from 1."""
        return self.description.partitions

    def apply(self, description: StationDescription | None) -> None:
        """Take over what the broker says of the station now; None: it is gone."""
        if description is None or description.id != self.description.id:
            self.removed = True
            self._schema_known.set()  # nobody need wait any longer
        else:
            self.description = description

    def enforce(self, schema: EnforcedSchema | None) -> None:
        """Have messages checked by this from now on; :data:`PENDING`: have them wait."""
        self.enforced = schema
        if schema is PENDING:
            self._schema_known.clear()
        else:
            self._schema_known.set()

    async def schema_known(self, deadline_s: float) -> None:
        """Wait until it is known what messages have to fit.

        Raises:
            MemphisSchemaError: It was not within ``deadline_s`` seconds.
            MemphisNotFoundError: The station was removed.
        """
        try:
            async with asyncio.timeout(deadline_s):
                await self._schema_known.wait()
        except TimeoutError as error:
            raise MemphisSchemaError(
                f"the schema of station {self.name} could not be loaded within {deadline_s:g} s, so the "
                "message was not sent; is the broker running?"
            ) from error
        self.check_present()

    def check_present(self) -> None:
        """Raise MemphisNotFoundError if the station is known to be removed."""
        if self.removed:
            raise MemphisNotFoundError(
                f"the station {self.name!r} was removed; make a new producer or consumer to have "
                "it created again",
                ErrorCode.STATION_NOT_FOUND,
            )
