"""Records of entities in a JetStream key-value bucket, written by compare-and-set only.

Three verbs are enough: read, write if unchanged, erase if unchanged. Reads go to the bucket's
leader, because a decision to delete must not rest on a replica that lags; only :meth:`scan`, which
lists, may be served by any replica. :meth:`scan_at_leader` is dearer, and for decisions.

Invariant: a revision belongs to one value for ever. An erased key keeps a small marker for an hour,
so that the revision of a key that comes back is known, and then costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nats.js import api
from nats.js.errors import APIError, NotFoundError

from memphis_broker.engine.concurrency import for_each
from memphis_broker.engine.direct import read_page, sequence_of
from memphis_broker.engine.failures import (
    STREAM_NAME_IN_USE,
    WRONG_LAST_SEQUENCE,
    engine_failures,
)

if TYPE_CHECKING:
    from nats.aio.client import Client

_MARKER_TTL_S: Final = 3600

# What key-value buckets agree on (NATS ADR-8), so that any NATS tool can read ours.
_OPERATION: Final = "KV-Operation"
_PURGE: Final = "PURGE"
_ROLLUP: Final = "Nats-Rollup"
_ROLLUP_SUBJECT: Final = "sub"


class RecordConflictError(Exception):
    """The record changed since it was read: read it again and decide again."""


@dataclass(frozen=True)
class Record:
    """A record as it was read; ``value`` is None where there is none.

    ``revision`` is what a write must name to prove that nothing happened in between.
    """

    key: str
    value: bytes | None
    revision: int


class RecordStore:
    """One bucket. Safe for many tasks and many brokers at once."""

    def __init__(self, client: Client, bucket: str, replicas: int) -> None:
        """Args: ``replicas`` is used when the bucket is made; an existing one keeps its own."""
        self._client = client
        self._js = client.jetstream()
        self._bucket = bucket
        self._stream = f"KV_{bucket}"
        self._prefix = f"$KV.{bucket}."
        self._replicas = replicas

    async def open(self) -> None:
        """Make sure that the bucket exists. Idempotent; brokers may do it at once."""
        with engine_failures(f"opening the bucket {self._bucket}"):
            try:
                await self._js.stream_info(self._stream)
            except NotFoundError:
                await self._make()

    async def _make(self) -> None:
        config = api.StreamConfig(
            name=self._stream,
            subjects=[f"{self._prefix}>"],
            storage=api.StorageType.FILE,
            num_replicas=self._replicas,
            max_msgs_per_subject=1,
            discard=api.DiscardPolicy.NEW,
            allow_direct=True,
            allow_rollup_hdrs=True,
            allow_msg_ttl=True,
            deny_delete=True,
            max_consumers=-1,
            max_msgs=-1,
            max_bytes=-1,
            duplicate_window=120,
        )
        try:
            await self._js.add_stream(config)
        except APIError as error:
            # Another broker, with another idea of the cluster's size, made it first.
            if error.err_code != STREAM_NAME_IN_USE:
                raise

    async def read(self, key: str) -> Record:
        """The record as the leader has it now."""
        with engine_failures(f"reading the record {key} in {self._bucket}"):
            try:
                message = await self._js.get_msg(self._stream, subject=self._prefix + key)
            except NotFoundError:
                return Record(key, None, 0)
        erased = bool(message.headers and message.headers.get(_OPERATION))
        return Record(key, None if erased else message.data or b"", message.seq or 0)

    async def write(self, key: str, value: bytes, revision: int) -> int:
        """Write the record if it still has this revision.

        Returns:
            The new revision.

        Raises:
            RecordConflictError: It has changed; nothing was written.
            Refusal: The engine refused or did not answer; if it did not answer, the record may or
                may not be written.
        """
        return await self._put(key, value, revision, {})

    async def erase(self, key: str, revision: int) -> None:
        """Remove the record if it still has this revision.

        Raises:
            RecordConflictError: It has changed; nothing was removed.
        """
        marker = {_OPERATION: _PURGE, _ROLLUP: _ROLLUP_SUBJECT, "Nats-TTL": f"{_MARKER_TTL_S}s"}
        await self._put(key, b"", revision, marker)

    async def _put(self, key: str, value: bytes, revision: int, headers: dict[str, str]) -> int:
        guard = {api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(revision)}
        with engine_failures(f"writing the record {key} in {self._bucket}"):
            try:
                acknowledged = await self._js.publish(
                    self._prefix + key, value, headers={**guard, **headers}
                )
            except APIError as error:
                if error.err_code in WRONG_LAST_SEQUENCE:
                    raise RecordConflictError(key) from error
                raise
        return acknowledged.seq

    async def scan(self, below: str = "") -> list[Record]:
        """All records, or those whose keys begin with ``below`` and a dot.

        Read in pages, not as one snapshot: a record written meanwhile is seen old or new, once.
        """
        found: dict[str, Record] = {}
        subject = f"{self._prefix}{below}.>" if below else f"{self._prefix}>"
        start = 1
        while start:
            messages, start = await read_page(self._client, self._stream, subject, start)
            for message in messages:
                headers = message.headers or {}
                key = headers["Nats-Subject"].removeprefix(self._prefix)
                erased = _OPERATION in headers
                found[key] = Record(key, None if erased else message.data, sequence_of(message))
        return [record for record in found.values() if record.value is not None]

    async def scan_at_leader(self) -> list[Record]:
        """All records that were there when this began, each as the leader has it: a request for each."""
        with engine_failures(f"listing the records in {self._bucket}"):
            info = await self._js.stream_info(self._stream, subjects_filter=f"{self._prefix}>")
        keys = [subject.removeprefix(self._prefix) for subject in info.state.subjects or {}]
        records = await for_each(keys, self.read)
        return [record for record in records if record.value is not None]
