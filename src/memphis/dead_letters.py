"""Dead letters: messages that a group could not process or that failed their station's schema.

Each is kept until somebody gives it back, drops it, or its retention ends.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from memphis._core.arguments import checked
from memphis._core.payload import encode_payload
from memphis.exceptions import (
    MemphisClosedError,
    MemphisConnectError,
    MemphisNotFoundError,
    MemphisTimeoutError,
    MemphisUsageError,
)
from memphis.headers import Headers, as_mapping
from memphis.wire.dead_letters import (
    BATCH_MAX,
    PREVIEW_BYTES_MAX,
    DeadLetterDrop,
    DeadLetterEdit,
    DeadLetterEdited,
    DeadLetterGet,
    DeadLetterInfo,
    DeadLetterList,
    DeadLetterPage,
    DeadLetterRedrive,
    DeadLetterRefused,
    DeadLettersDropped,
    DeadLettersMoved,
    Failure,
    Selection,
)
from memphis.wire.errors import refusal_to_exception
from memphis.wire.subjects import KINDS

if TYPE_CHECKING:
    from memphis._core.rpc import Rpc

__all__ = ["DeadLetter", "DeadLetters", "Failure", "RedriveResult"]

_log = logging.getLogger(__name__)

_PAGE: Final = 200
_WATCH_EVERY_S: Final = 0.5
_REFUSALS_KEPT: Final = 1000
_PACES_PER_S: Final = 4
"""A rate is kept by so many batches in a second."""
_BATCH_TIMEOUT_S: Final = 90.0
"""The messages of a batch may have to be tried on a schema."""


class RedriveResult(NamedTuple):
    """What became of dead letters that were to be given back.

    Attributes:
        moved: How many were given back.
        refused: Those that could not be and stay, with ``id``, ``code`` and ``reason``; of many, the
            first thousand.
        refused_count: How many these are in all.
    """

    moved: int
    refused: list[DeadLetterRefused]
    refused_count: int


class DeadLetter:
    """One dead letter, as it was when it was read; its attributes are those of ``info``."""

    def __init__(self, rpc: Rpc, info: DeadLetterInfo, payload: bytes) -> None:
        self._rpc = rpc
        self._payload = payload
        self.info = info
        """Everything about it but the payload."""

    def __repr__(self) -> str:
        whose = f" of group {self.group}" if self.group else ""
        return f"<DeadLetter {self.id} {self.kind} of station {self.station}{whose}>"

    @property
    def id(self) -> int:
        """By which it is given back, dropped or edited."""
        return self.info.id

    @property
    def station(self) -> str:
        """The station that it is from."""
        return self.info.station

    @property
    def partition(self) -> int:
        """The partition that it was in; 0 for one that failed its schema and never got in."""
        return self.info.partition

    @property
    def sequence(self) -> int:
        """Its place in that partition; 0 likewise."""
        return self.info.sequence

    @property
    def group(self) -> str:
        """The consumer group that could not process it; empty for one that failed its schema."""
        return self.info.group

    @property
    def kind(self) -> str:
        """``poison``, ``schema``, or ``malformed`` for what nobody can understand."""
        return self.info.kind

    @property
    def reason(self) -> str:
        """Why it is here."""
        return self.info.reason

    @property
    def deliveries(self) -> int:
        """How often the group had been given it."""
        return self.info.deliveries

    @property
    def failed_at(self) -> datetime:
        """When it became a dead letter, in UTC."""
        return self.info.failed_at

    @property
    def sent_at(self) -> datetime | None:
        """When the station stored it, in UTC; None for one that never got in."""
        return self.info.sent_at

    @property
    def producer(self) -> str:
        """The name of the producer."""
        return self.info.producer

    @property
    def history(self) -> list[Failure]:
        """The failures before this one, oldest first: it was given back after each of them."""
        return list(self.info.history)

    def get_data(self) -> bytearray:
        """The payload; a new object each time. Empty if ``info.payload_is_gone``."""
        return bytearray(self._payload)

    def get_headers(self) -> dict[str, str]:
        """All headers that the message had, those of Memphis included; a new dict each time."""
        return dict(self.info.headers)

    async def redrive(self, station: str = "") -> None:
        """Give it back: to its group, or, if it failed its schema, into its station.

        It is stored there first and then deleted here. The group gets it like any message, with its
        deliveries counted anew; if it fails again it comes back with its history.

        Args:
            station: Another station to put it into, as a new message.

        Raises:
            MemphisNotFoundError: It is gone, or its group or station is; then it stays here.
            MemphisSchemaRefusedError: It does not fit the station's schema; it stays here.
            MemphisRequestError: It cannot be given back for another reason; it stays here.
            MemphisConnectError: No broker answered.
        """
        result = await DeadLetters(self._rpc, ids=[self.id]).redrive(station=station)
        for refused in result.refused:
            raise refusal_to_exception(refused.code, refused.reason)

    async def drop(self) -> bool:
        """Delete it for good; False if it is gone already.

        Raises:
            MemphisConnectError: No broker answered.
        """
        return await DeadLetters(self._rpc, ids=[self.id]).drop() > 0

    async def edit(
        self, message: Any = None, headers: Headers | Mapping[str, str] | None = None
    ) -> DeadLetter:
        """Replace its payload or its headers; what results must fit the station's schema.

        Args:
            message: The new payload, as ``produce`` takes it without a schema; None: as it is.
            headers: All of the application's headers; None: as they are.

        Returns:
            The edited dead letter, which has an id of its own; this one is gone.

        Raises:
            MemphisNotFoundError: It is gone.
            MemphisSchemaRefusedError: The edited form does not fit; nothing has changed.
            MemphisRequestError: It is malformed, or a header cannot be sent; nothing has changed.
        """
        if message is None and headers is None:
            raise MemphisUsageError("give a message, or headers, or both")
        encoded = None if message is None else base64.b64encode(encode_payload(message)).decode()
        request = checked(
            DeadLetterEdit,
            id=self.id,
            payload=encoded,
            headers=None if headers is None else dict(as_mapping(headers)),
        )
        # Asked twice, it finds that it has been done: the first answer's id is then not known.
        reply = await self._rpc.call(
            request, DeadLetterEdited, timeout_s=_BATCH_TIMEOUT_S, retries=0
        )
        return await read_dead_letter(self._rpc, reply.id)


class DeadLetters:
    """Some of the dead letters. Made by ``Station.dead_letters`` and ``Memphis.dead_letters``.

    ``async for letter in …`` gives them newest first, each with its payload, as they are when their page
    is read.
    """

    def __init__(
        self,
        rpc: Rpc,
        *,
        station: str = "",
        kind: str | None = None,
        group: str | None = None,
        since: datetime | None = None,
        ids: list[int] | None = None,
    ) -> None:
        if kind is not None and kind not in KINDS:
            raise MemphisUsageError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        if since is not None and (not isinstance(since, datetime) or since.tzinfo is None):
            raise MemphisUsageError("since must be a datetime with a time zone")
        self._rpc = rpc
        selected = checked(
            Selection, station=station, kind=kind or "", group=group or "", since=since,
            ids=ids or [],
        )  # fmt: skip
        self._selection = selected.model_dump()

    async def __aiter__(self) -> AsyncIterator[DeadLetter]:
        async for info in self.headlines():
            letter = await _whole_if_there(self._rpc, info)
            if letter is not None:
                yield letter

    async def headlines(
        self, preview_bytes: int = PREVIEW_BYTES_MAX
    ) -> AsyncIterator[DeadLetterInfo]:
        """Newest first, each with the beginning of its payload only, in base64.

        Raises:
            MemphisNotFoundError: The station is gone.
            MemphisConnectError: No broker answered.
        """
        before, more = 0, True
        while more:
            page = await self._page(before=before, limit=_PAGE, preview_bytes=preview_bytes)
            for info in page.letters:
                yield info
            more = page.more and bool(page.letters)
            before = page.letters[-1].id if page.letters else 0

    async def newest(self, count: int, preview_bytes: int = 0) -> list[DeadLetterInfo]:
        """The newest ``count``, without their payloads or with their beginnings."""
        found: list[DeadLetterInfo] = []
        more = True
        while more and len(found) < count:
            page = await self._page(
                before=found[-1].id if found else 0,
                limit=min(count - len(found), BATCH_MAX),
                preview_bytes=preview_bytes,
            )
            found += page.letters
            more = page.more and bool(page.letters)
        return found

    async def watch(self) -> AsyncGenerator[DeadLetter, None]:
        """Those that come from now on, as they come, without an end.

        It goes on by itself when a broker that was away is back; what came meanwhile is not missed.
        """
        after = (await self._page(limit=1)).newest
        while True:
            coming = await self._coming(after)
            for info, letter in coming:
                after = info.id
                if letter is not None:
                    yield letter
            if not coming:
                await asyncio.sleep(_WATCH_EVERY_S)

    async def _coming(self, after: int) -> list[tuple[DeadLetterInfo, DeadLetter | None]]:
        """Those above an id; none while no broker answers."""
        try:
            page = await self._page(after=after, limit=_PAGE, preview_bytes=PREVIEW_BYTES_MAX)
            return [(info, await _whole_if_there(self._rpc, info)) for info in page.letters]
        except MemphisClosedError:
            raise
        except (MemphisConnectError, MemphisTimeoutError) as error:
            _log.debug("watching dead letters goes on when a broker answers: %s", error)
            return []

    async def redrive(
        self,
        *,
        station: str = "",
        rate: float | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> RedriveResult:
        """Give back all of them that there are now, oldest first; see :meth:`DeadLetter.redrive`.

        Those that cannot be given back stay, and do not keep the others. Cancelled, or with the broker
        killed, it has given back some; done again it gives back the rest.

        Args:
            station: Another station to put them into, as new messages.
            rate: How many a second at most; None: as fast as it goes.
            progress: Called with how many have been seen to so far.

        Raises:
            MemphisUsageError: A rate that is no positive number.
            MemphisNotFoundError: The station is gone.
            MemphisConnectError: No broker answered.
        """
        if rate is not None and not (isinstance(rate, int | float) and rate > 0):
            raise MemphisUsageError(f"rate must be a positive number, not {rate!r}")
        limit = BATCH_MAX if rate is None else max(1, min(BATCH_MAX, int(rate / _PACES_PER_S)))
        moved = refused_count = after = through = 0
        refused: list[DeadLetterRefused] = []
        more, started = True, time.monotonic()
        if not self._selection["ids"]:
            through = (await self._page(limit=1)).newest
        while more:
            request = DeadLetterRedrive(
                **self._selection, after=after, through=through, limit=limit, target=station
            )
            reply = await self._rpc.call(request, DeadLettersMoved, timeout_s=_BATCH_TIMEOUT_S)
            moved += reply.moved
            refused_count += len(reply.refused)
            refused += reply.refused[: _REFUSALS_KEPT - len(refused)]
            after, more = reply.reached, reply.more
            if progress is not None:
                progress(moved + refused_count)
            if rate is not None and more:
                await asyncio.sleep(
                    max(0.0, started + (moved + refused_count) / rate - time.monotonic())
                )
        return RedriveResult(moved, refused, refused_count)

    async def drop(self) -> int:
        """Delete all of them that there are now, for good; how many there were.

        Raises:
            MemphisNotFoundError: The station is gone.
            MemphisConnectError: No broker answered.
        """
        through = 0 if self._selection["ids"] else (await self._page(limit=1)).newest
        if not through and not self._selection["ids"]:
            return 0
        request = DeadLetterDrop(**self._selection, through=through)
        reply = await self._rpc.call(request, DeadLettersDropped, timeout_s=_BATCH_TIMEOUT_S)
        return reply.dropped

    async def _page(self, **options: Any) -> DeadLetterPage:
        request = checked(DeadLetterList, **self._selection, **options)
        return await self._rpc.call(request, DeadLetterPage)


async def read_dead_letter(rpc: Rpc, letter_id: int) -> DeadLetter:
    """One dead letter by its id.

    Raises:
        MemphisNotFoundError: There is none of this id.
        MemphisConnectError: No broker answered.
    """
    info = await rpc.call(checked(DeadLetterGet, id=letter_id), DeadLetterInfo)
    return await _whole(rpc, info)


async def _whole_if_there(rpc: Rpc, info: DeadLetterInfo) -> DeadLetter | None:
    """None for one that went while its payload was being read: somebody gave it back, or dropped it."""
    try:
        return await _whole(rpc, info)
    except MemphisNotFoundError:
        return None


async def _whole(rpc: Rpc, info: DeadLetterInfo) -> DeadLetter:
    """The dead letter with all of its payload, the rest of which is asked for."""
    payload = base64.b64decode(info.payload)
    while len(payload) < info.size:
        request = DeadLetterGet(id=info.id, offset=len(payload))
        chunk = base64.b64decode((await rpc.call(request, DeadLetterInfo)).payload)
        if not chunk:
            break
        payload += chunk
    return DeadLetter(rpc, info.model_copy(update={"payload": ""}), payload)
