"""The clients that are measured, one file each, all with the same rows.

A client is a module with

- ``NAME``, for people, and ``LIBRARIES``, the distributions whose versions belong to its figures;
- a class ``Client`` with any of the methods in :data:`ROWS`; a row that it lacks is not measured for
  it. Each method does its row ``target.messages`` times and returns the number it did; ``latency``
  returns seconds per message instead. ``close`` ends it;
- ``async def open_client(target) -> Client``, which is not timed.

Clients of the engine find a station that was made, and for :data:`CONSUMING_ROWS` filled, before.
The others have two more methods: ``fill``, run in a process of its own before these rows, and
``drop``, which removes what the row left in their server.

A worker process imports exactly one of these modules, so none sees another's libraries. What some
share is beside them: ``pacing``, ``consuming`` and ``nats_connection``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ROWS: Final = (
    "produce_awaited",
    "produce_nonblocking",
    "fetch_ack",
    "fetch_ahead_ack",
    "consume_handler",
    "latency",
    "produce_unsynced",
    "produce_orders",
    "produce_orders_checked",
    "produce_order_bytes",
    "produce_order_bytes_checked",
)

CHECKED_ROWS: Final = ("produce_orders_checked", "produce_order_bytes_checked")
"""Into a station with the JSON schema of ``benchmarks/orders.py``, whose order is the message."""

CONSUMING_ROWS: Final = ("fetch_ack", "fetch_ahead_ack", "consume_handler")

BATCH: Final = 500
"""Messages that a client asks for, sends or has unconfirmed at once, where it wants a number."""

STAMP_BYTES: Final = 20
"""The first bytes of a payload, which carry the time in the latency row."""

HEADERS: Final = {"source": "benchmark", "kind": "order"}
"""Sent with every message; as fields, where a message has no headers."""


class Target(NamedTuple):
    """Where a client measures, and on what."""

    port: int
    station: str
    payload: bytes
    messages: int
    """Messages of this row; those to be consumed are stored already."""
    rate: int
    """Messages a second in the latency row."""
