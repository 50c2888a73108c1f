"""One broker at a time creates or deletes a station, however many there are.

The engine cannot delete a stream "only if it still belongs to this life of the station". A broker
that was slow could therefore delete what another one has created since. So whoever creates or
deletes holds a claim: its name in the station's record. A claim is proved and prolonged by writing
the record anew, if unchanged, which gives it a new revision. Others wait; only a record whose
revision has not moved for :data:`PATIENCE_S`, by the waiting broker's own clock, is taken over.
No two clocks are ever compared.

Invariant: nothing is deleted by a broker that did not prove its claim within :data:`RENEW_AFTER_S`.
What remains is a deletion that the engine itself holds back for the difference of the two.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from memphis_broker.engine.records import Record, RecordConflictError, RecordStore
from memphis_broker.stations.model import StationRecord, StationState

PATIENCE_S: Final = 3.0
RENEW_AFTER_S: Final = 0.5


class ClaimLostError(Exception):
    """Another broker took over: stop, touch nothing more, and read the record again."""


class Claim:
    """The right to create or delete one life of a station. Made with :meth:`take`."""

    def __init__(self, records: RecordStore, key: str, record: StationRecord) -> None:
        self.record = record
        self._records = records
        self._key = key
        self._revision = 0
        self._proved_at = 0.0
        self._renewing = asyncio.Lock()

    @classmethod
    async def take(
        cls, records: RecordStore, found: Record, record: StationRecord, broker_id: str
    ) -> Claim:
        """Write ``record``, claimed, over the record that was ``found``.

        Raises:
            ClaimLostError: It has changed since.
        """
        claim = cls(records, found.key, record.model_copy(update={"claimed_by": broker_id}))
        claim._revision = found.revision
        await claim._write()
        return claim

    async def prove(self) -> None:
        """Make sure that the claim is still held, now. Call it before every step.

        Raises:
            ClaimLostError: It is not.
        """
        if time.monotonic() - self._proved_at < RENEW_AFTER_S:
            return
        async with self._renewing:
            if time.monotonic() - self._proved_at >= RENEW_AFTER_S:
                await self._write()

    async def advance(self, state: StationState) -> None:
        """Write the station's next state; ``READY`` gives the claim up.

        Raises:
            ClaimLostError: The claim is not held any more.
        """
        broker_id = "" if state is StationState.READY else self.record.claimed_by
        self.record = self.record.model_copy(update={"state": state, "claimed_by": broker_id})
        async with self._renewing:
            await self._write()

    async def erase(self) -> None:
        """Remove the record: the end of this life.

        Raises:
            ClaimLostError: The claim is not held any more.
        """
        try:
            await self._records.erase(self._key, self._revision)
        except RecordConflictError as error:
            raise ClaimLostError(self._key) from error

    async def _write(self) -> None:
        started_at = time.monotonic()
        try:
            self._revision = await self._records.write(
                self._key, self.record.model_dump_json().encode(), self._revision
            )
        except RecordConflictError as error:
            raise ClaimLostError(self._key) from error
        # Proved when it was asked, not when the answer came.
        self._proved_at = started_at
