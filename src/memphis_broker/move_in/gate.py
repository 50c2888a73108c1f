"""What the station here makes of a message from there: how it is stored, or why its schema refuses it.

Messages of the past fitted the schema of their time. So the active version is tried first, and then the
others, newest first; a message is stored with the mark of the version that it fits, by which consumers read
it. One that fits none becomes a dead letter of the station, whatever the station's switches say: a mirror
loses nothing, and the message can be edited and put in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from memphis._core.session import Session
from memphis.exceptions import MemphisNotFoundError, MemphisSchemaError
from memphis.schema import Codec
from memphis.transport.errors import bare_text
from memphis.transport.protocol import MessageFrame
from memphis.wire.dead_letters import Failure, Label, as_reason, write_label
from memphis.wire.headers import (
    BLOCK_END,
    BLOCK_START,
    DEAD_LETTER,
    MESSAGE_ID,
    SCHEMA,
    carried_lines,
    encode_lines,
)
from memphis.wire.models import StationDescription, StationGet
from memphis.wire.names import StationName
from memphis.wire.schemas import SchemaDescription, SchemaGet, write_mark
from memphis.wire.subjects import (
    KIND_SCHEMA,
    ingest_subject,
    schema_failure_subject,
    updates_subject,
)
from memphis_broker.move_in.model import MoveInError

_REASON_LENGTH_MAX: Final = 1000
_CARRIED_KEPT_MAX: Final = 64
_SCHEMA_KEY: Final = SCHEMA.lower().encode() + b":"


class Admission(NamedTuple):
    """How a message is stored here."""

    subject: bytes
    header: bytes
    refusal: str = ""
    """Why it is a dead letter; empty for a message of the station."""


class _Version(NamedTuple):
    codec: Codec
    mark: bytes


class Gate:
    """The door of one station here. :meth:`open` it before the first message.

    Args:
        session: With this broker.
        station: Its name.
    """

    def __init__(self, session: Session, station: StationName) -> None:
        self._session = session
        self._station = station
        self._description: StationDescription | None = None
        self._versions: list[_Version] = []
        self._is_stale = True
        self._reconnects = -1
        self._renewing = asyncio.Lock()
        self._carried: dict[bytes, bytes] = {}
        self._subscription = session.connection.subscribe(
            updates_subject(station), lambda _: self._note_change()
        )

    @property
    def description(self) -> StationDescription:
        """The station as it was when last looked at."""
        assert self._description is not None, "open it first"
        return self._description

    async def open(self) -> None:
        """Make sure that what is known of the station is what holds; quick where nothing changed.

        Raises:
            MoveInError: The station is gone, or another one has its name.
            MemphisConnectError: No broker answers here.
        """
        # Word of a change may have been missed while the connection was away.
        reconnects = self._session.connection.statistics().reconnects
        if not self._is_stale and reconnects == self._reconnects:
            return
        async with self._renewing:
            while self._is_stale or reconnects != self._reconnects:
                self._is_stale = False
                self._reconnects = reconnects
                await self._renew()

    def close(self) -> None:
        """Look no longer. Idempotent."""
        self._subscription.unsubscribe()

    def admit(self, frame: MessageFrame, partition: int, message_id: str) -> Admission:
        """How to store a message from there.

        Args:
            frame: The message.
            partition: Where to, here.
            message_id: By which a second copy of it is known.
        """
        payload = frame[5]
        carried = self._carried_of(frame[4])
        first_line = f"{MESSAGE_ID}: {message_id}\r\n".encode()
        refusal = ""
        for version in self._versions:
            try:
                version.codec.encode(payload)
            except MemphisSchemaError as error:
                refusal = refusal or bare_text(error)
            else:
                header = BLOCK_START + first_line + version.mark + carried + BLOCK_END
                return Admission(self._subject(partition), header)
        if not self._versions:
            return Admission(
                self._subject(partition), BLOCK_START + first_line + carried + BLOCK_END
            )
        label = self._label(refusal)
        header = BLOCK_START + first_line + encode_lines({DEAD_LETTER: label}) + carried + BLOCK_END
        return Admission(schema_failure_subject(self.description.id).encode(), header, refusal)

    def _subject(self, partition: int) -> bytes:
        return ingest_subject(self._station, partition).encode()

    def _carried_of(self, block: bytes) -> bytes:
        """The headers that go with a message: a producer's are the same again and again."""
        kept = self._carried.get(block)
        if kept is None:
            lines = carried_lines(block)
            if _SCHEMA_KEY in lines.lower():
                # A mark of there names a version of there.
                lines = b"".join(
                    line
                    for line in lines.splitlines(keepends=True)
                    if not line.lower().startswith(_SCHEMA_KEY)
                )
            if len(self._carried) >= _CARRIED_KEPT_MAX:
                self._carried.clear()
            kept = self._carried[block] = lines
        return kept

    def _label(self, refusal: str) -> str:
        failure = Failure(reason=as_reason(refusal)[:_REASON_LENGTH_MAX], at=datetime.now(UTC))
        label = Label(
            station=str(self._station),
            station_id=self.description.id,
            kind=KIND_SCHEMA,
            failures=[failure],
        )
        return write_label(label)

    def _note_change(self) -> None:
        self._is_stale = True

    async def _renew(self) -> None:
        try:
            found = await self._session.rpc.call(StationGet(name=self._station), StationDescription)
        except MemphisNotFoundError as error:
            raise MoveInError(
                f"there is no station {self._station} here; make it with `memphis import`, or by hand"
            ) from error
        if self._description is not None and found.id != self._description.id:
            raise MoveInError(
                f"the station {self._station} was removed here and made anew; start again"
            )
        attached = found.attached_schema
        versions: list[_Version] = []
        if attached is not None:
            for number in await self._numbers(attached.name, attached.version):
                one = attached.model_copy(update={"version": number})
                codec = await self._session.codecs.get(one)
                mark = encode_lines({SCHEMA: write_mark(one)})
                versions.append(_Version(codec, mark))
        elif found.options.schema_name:
            raise MoveInError(
                f"the schema {found.options.schema_name} of station {self._station} is not here"
            )
        self._versions = versions
        self._description = found

    async def _numbers(self, schema: str, active: int) -> Sequence[int]:
        """The versions in the order in which they are tried."""
        described = await self._session.rpc.call(SchemaGet(name=schema), SchemaDescription)
        others = [version.version for version in described.versions if version.version != active]
        return [active, *sorted(others, reverse=True)]
