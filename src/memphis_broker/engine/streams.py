"""Streams of the engine, as the broker needs them: create, look, read one message, purge, delete.

This is the mapping between our words and the engine's configuration; it knows nothing of stations.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import nats.errors
from nats.js import api
from nats.js.errors import APIError, NotFoundError

from memphis.wire.headers import HEADER_BYTES_MAX, decode_block, encode_block
from memphis_broker.engine.direct import read_page, sequence_of
from memphis_broker.engine.failures import (
    MESSAGE_NOT_DELETED,
    MESSAGE_NOT_THERE,
    STREAM_NAME_IN_USE,
    engine_failures,
)

if TYPE_CHECKING:
    from nats.aio.client import Client

_REQUEST_DEADLINE_S: Final = 5.0
_NANOSECONDS: Final = 1_000_000_000
_PURGE_DEADLINE_S: Final = 30.0
"""With a subject, the engine looks at every message that may be concerned."""


class StreamExistsError(Exception):
    """There is a stream of this name with another configuration."""


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """A stream to make. Limits of None mean unlimited."""

    name: str
    subjects: tuple[str, ...]
    in_memory: bool = False
    replicas: int = 1
    until_acknowledged: bool = False
    """Messages go when every consumer has acknowledged them."""
    until_done: bool = False
    """Messages are work: each goes when the one consumer that may have it has acknowledged it."""
    age_max_s: int | None = None
    messages_max: int | None = None
    messages_per_subject_max: int | None = None
    bytes_max: int | None = None
    duplicate_window_ms: int = 120_000
    acknowledge_before_write: bool = False
    transform: tuple[str, str] | None = None
    """Messages on the first subject are stored under the second."""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StreamState:
    """What a stream holds now."""

    name: str
    metadata: Mapping[str, str]
    created_at: datetime
    messages: int
    bytes: int
    first_sequence: int
    last_sequence: int
    consumers: int


@dataclass(frozen=True)
class StoredMessage:
    """One message out of a stream."""

    subject: str
    sequence: int
    headers: Mapping[str, str]
    payload: bytes
    stored_at: str
    """RFC 3339, as the engine wrote it."""


class FoundMessage(NamedTuple):
    """Where a message is, and how many there are from it on under the subject it was looked for."""

    sequence: int
    following: int
    """Itself included."""


class Appended(NamedTuple):
    """Where a message is stored, and whether it was before."""

    sequence: int
    duplicate: bool


def engine_config(spec: StreamSpec) -> api.StreamConfig:
    """The engine's configuration for a spec."""
    durations = spec.duplicate_window_ms / 1000
    return api.StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        retention=_retention(spec),
        storage=api.StorageType.MEMORY if spec.in_memory else api.StorageType.FILE,
        num_replicas=spec.replicas,
        # The engine's own default, 1000 consumers for a stream, would end in a surprise.
        max_consumers=-1,
        max_msgs=-1 if spec.messages_max is None else spec.messages_max,
        max_msgs_per_subject=(
            -1 if spec.messages_per_subject_max is None else spec.messages_per_subject_max
        ),
        max_bytes=-1 if spec.bytes_max is None else spec.bytes_max,
        max_age=spec.age_max_s,
        discard=api.DiscardPolicy.OLD,
        duplicate_window=durations,
        subject_transform=None if spec.transform is None else api.SubjectTransform(*spec.transform),
        allow_direct=True,
        # The engine excludes batches from streams that acknowledge before they write.
        allow_atomic=None if spec.acknowledge_before_write else True,
        persist_mode=api.PersistMode.ASYNC if spec.acknowledge_before_write else None,
        metadata=dict(spec.metadata) or None,
    )


def _retention(spec: StreamSpec) -> api.RetentionPolicy:
    if spec.until_done:
        return api.RetentionPolicy.WORK_QUEUE
    return api.RetentionPolicy.INTEREST if spec.until_acknowledged else api.RetentionPolicy.LIMITS


def _state_of(info: api.StreamInfo) -> StreamState:
    return StreamState(
        name=info.config.name or "",
        metadata=info.config.metadata or {},
        created_at=info.created or datetime.fromtimestamp(0, UTC),
        messages=info.state.messages,
        bytes=info.state.bytes,
        first_sequence=info.state.first_seq,
        last_sequence=info.state.last_seq,
        consumers=info.state.consumer_count,
    )


class Streams:
    """The streams of one account. Safe for many tasks at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = client.jetstream()

    async def create(self, spec: StreamSpec) -> None:
        """Make the stream; one with exactly this configuration already is as good.

        Raises:
            StreamExistsError: The name is taken by a stream with another configuration.
            Refusal: The engine refused, or did not answer.
        """
        with engine_failures(f"creating the stream {spec.name}"):
            try:
                await self._js.add_stream(engine_config(spec))
            except APIError as error:
                if error.err_code == STREAM_NAME_IN_USE:
                    raise StreamExistsError(spec.name) from error
                raise

    async def state(self, name: str) -> StreamState | None:
        """What the stream holds now, or None if there is no such stream."""
        with engine_failures(f"looking at the stream {name}"):
            try:
                return _state_of(await self._js.stream_info(name))
            except NotFoundError:
                return None

    async def states(self) -> dict[str, StreamState]:
        """All streams of the account by name, read in the engine's own pages."""
        found: dict[str, StreamState] = {}
        offset, total = 0, 1
        while offset < total:
            with engine_failures("listing the streams"):
                page = await self._js.streams_info_iterator(offset)
            # Declared as any iterable, but it is this one, and its total is needed.
            assert isinstance(page, api.StreamsListIterator)
            states = [_state_of(info) for info in page]
            if not states:
                break
            found.update((state.name, state) for state in states)
            offset, total = offset + len(states), page.total
        return found

    async def delete(self, name: str) -> None:
        """Delete the stream and all it holds; a missing one is as good.

        Raises:
            Refusal: The engine refused or did not answer. While there is no connection nothing is
                sent: a deletion that waits in a buffer could hit a later stream of the same name.
        """
        with engine_failures(f"deleting the stream {name}"):
            if not self._client.is_connected:
                raise nats.errors.ConnectionReconnectingError
            try:
                await self._js.delete_stream(name)
            except NotFoundError:
                return

    async def ensure(self, spec: StreamSpec) -> None:
        """Make the stream, or give the one of this name the limits of the spec.

        Raises:
            Refusal: The engine refused, or did not answer.
        """
        try:
            await self.create(spec)
        except StreamExistsError:
            with engine_failures(f"changing the stream {spec.name}"):
                held = (await self._js.stream_info(spec.name)).config
                wanted = held.evolve(
                    max_age=spec.age_max_s or 0,
                    max_msgs=-1 if spec.messages_max is None else spec.messages_max,
                    duplicate_window=spec.duplicate_window_ms / 1000,
                    subjects=list(spec.subjects),
                )
                if wanted != held:
                    await self._js.update_stream(wanted)

    async def counts(self, name: str, subject: str) -> dict[str, int]:
        """How many messages the stream holds under each subject that ``subject`` covers."""
        found: dict[str, int] = {}
        with engine_failures(f"counting in the stream {name}"):
            try:
                info = await self._js.stream_info(name, subjects_filter=subject)
            except NotFoundError:
                return found
            found.update(info.state.subjects or {})
        return found

    async def purge(self, name: str, *, subject: str = "", below: int = 0, keep: int = 0) -> int:
        """Delete messages of the stream.

        Args:
            name: The stream; a missing one has none.
            subject: Only those on subjects that this covers.
            below: Only those before this sequence; 0: all.
            keep: Of these, spare so many of the newest; not together with ``below``.

        Returns:
            How many were deleted.
        """
        wish = {"filter": subject, "seq": below, "keep": keep}
        with engine_failures(f"purging the stream {name}"):
            reply = await self._client.request(
                f"$JS.API.STREAM.PURGE.{name}",
                json.dumps({key: value for key, value in wish.items() if value}).encode(),
                timeout=_PURGE_DEADLINE_S,
            )
            body = json.loads(reply.data)
            if "error" not in body:
                return int(body["purged"])
            try:
                APIError.from_error(body["error"])
            except NotFoundError:
                return 0
        return 0

    async def delete_message(self, name: str, sequence: int) -> bool:
        """Delete one message; False if it is not there (any more)."""
        with engine_failures(f"deleting message {sequence} of the stream {name}"):
            reply = await self._client.request(
                f"$JS.API.STREAM.MSG.DELETE.{name}",
                json.dumps({"seq": sequence, "no_erase": True}).encode(),
                timeout=_REQUEST_DEADLINE_S,
            )
            body = json.loads(reply.data)
            if "error" not in body:
                return True
            code = body["error"].get("err_code")
            if code in MESSAGE_NOT_THERE:
                return False
            if code == MESSAGE_NOT_DELETED and await self.message(name, sequence) is None:
                return False
            APIError.from_error(body["error"])
        return False

    async def message(self, name: str, sequence: int) -> StoredMessage | None:
        """One message, from the stream's leader, or None if it is not there (any more)."""
        with engine_failures(f"reading message {sequence} of the stream {name}"):
            reply = await self._client.request(
                f"$JS.API.STREAM.MSG.GET.{name}",
                json.dumps({"seq": sequence}).encode(),
                timeout=_REQUEST_DEADLINE_S,
            )
            body = json.loads(reply.data)
            if "error" in body:
                try:
                    APIError.from_error(body["error"])
                except NotFoundError:
                    return None
        message = body["message"]
        return StoredMessage(
            subject=message["subject"],
            sequence=message["seq"],
            headers=decode_block(base64.b64decode(message.get("hdrs", ""))),
            payload=base64.b64decode(message.get("data", "")),
            stored_at=message["time"],
        )

    async def count_from(self, name: str, subject: str, start: int) -> int:
        """How many messages on ``subject`` have this sequence or a later one."""
        found = await read_page(self._client, name, subject, start, 1)
        if not found.messages:
            return 0
        return int((found.messages[0].headers or {})["Nats-Num-Pending"]) + 1

    async def payloads(
        self, name: str, subject: str, first: int, last: int
    ) -> AsyncIterator[tuple[int, bytes]]:
        """Sequence and payload of the messages on ``subject`` within these sequences, in their order."""
        start = first
        while 0 < start <= last:
            messages, start = await read_page(self._client, name, subject, start)
            for message in messages:
                sequence = sequence_of(message)
                if sequence > last:
                    return
                yield sequence, message.data

    async def found_at(self, name: str, subject: str, time_ns: int) -> FoundMessage | None:
        """The first message on ``subject`` that was stored at or after a time, None if there is none.

        Args:
            name: The stream.
            subject: Under which subject.
            time_ns: Nanoseconds since the epoch.
        """
        query = {"start_time": _rfc3339(time_ns), "next_by_subj": subject, "batch": 1}
        with engine_failures(f"searching the stream {name}"):
            reply = await self._client.request(
                f"$JS.API.DIRECT.GET.{name}",
                json.dumps(query).encode(),
                timeout=_REQUEST_DEADLINE_S,
            )
        said = reply.headers or {}
        if "Nats-Sequence" not in said:
            return None
        return FoundMessage(int(said["Nats-Sequence"]), int(said["Nats-Num-Pending"]) + 1)

    async def append(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> Appended:
        """Store a message in whichever stream captures ``subject``.

        Raises:
            Refusal: It is too large, or the engine refused it or did not answer; in the last case
                it may or may not be stored.
        """
        with engine_failures(f"storing a message on {subject}"):
            self._check_size(payload, headers)
            stored = await self._js.publish(subject, payload, headers=dict(headers))
        return Appended(stored.seq, bool(stored.duplicate))

    def fits(self, payload: bytes, headers: Mapping[str, str]) -> bool:
        """Whether the engine takes a message of this size."""
        # No character has more than four bytes: for nearly all this says enough, and quickly.
        characters = sum(len(key) + len(value) + 4 for key, value in headers.items())
        if 4 * characters + 16 <= min(HEADER_BYTES_MAX, self._client.max_payload - len(payload)):
            return True
        block = len(encode_block(headers))
        return block <= HEADER_BYTES_MAX and len(payload) + block <= self._client.max_payload

    def _check_size(self, payload: bytes, headers: Mapping[str, str]) -> None:
        # The engine closes the connection of a client that sends too much; so it is not sent.
        if not self.fits(payload, headers):
            raise nats.errors.MaxPayloadError


def _rfc3339(time_ns: int) -> str:
    seconds, fraction = divmod(time_ns, _NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
