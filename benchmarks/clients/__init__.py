"""The clients that are measured, one file each, all with the same five rows.

A client is a module with ``async def open_client(target) -> Client`` where the client has any of the methods
in :data:`ROWS`; a row that a client lacks is not measured for it. Each method does its row ``count`` times
and returns the number it did; ``latency`` returns seconds per message instead. A worker process
imports exactly one of these modules, so none sees another's libraries.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ROWS: Final = (
    "produce_awaited",
    "produce_nonblocking",
    "fetch_ack",
    "consume_handler",
    "latency",
)

HEADERS: Final = {"source": "benchmark", "kind": "order"}
"""Sent with every message where the client can send headers."""


class Target(NamedTuple):
    """Where a client measures, and on what."""

    port: int
    station: str
    payload: bytes
    count: int
    """Messages of this row; those to be consumed are stored already."""
    rate: int
    """Messages a second in the latency row."""
