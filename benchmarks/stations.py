"""The stations that clients of the engine are measured on: made, filled and removed outside the time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator

from benchmarks.clients import CHECKED_ROWS, CONSUMING_ROWS, HEADERS
from benchmarks.orders import JSON_SCHEMA
from memphis import Memphis


class WrongCountError(RuntimeError):
    """A station does not hold what a client says it produced."""


@contextlib.asynccontextmanager
async def prepared_station(
    memphis: Memphis, name: str, row: str, size: int, messages: int
) -> AsyncIterator[None]:
    """A fresh station, already filled for the rows that consume.

    Afterwards the messages in it are counted: a client that is told "stored" too early, or says so
    itself, measures nothing.

    Raises:
        WrongCountError: There are fewer or more than ``messages``.
    """
    station = await memphis.station(name)
    if row in CHECKED_ROWS:
        await memphis.create_schema("bench-orders", "json", content=json.dumps(JSON_SCHEMA))
        await memphis.enforce_schema("bench-orders", name)
    if row in CONSUMING_ROWS:
        producer = await memphis.producer(name, "filler")
        payload = b"0" * size
        for _ in range(messages):
            await producer.produce(payload, headers=HEADERS, nonblocking=True)
        await producer.flush()
        await producer.destroy()
    yield
    stored = (await station.info()).messages
    if stored != messages:
        raise WrongCountError(
            f"{row} should have stored {messages:,} messages; it holds {stored:,}"
        )
    await station.destroy()
