"""The latency row's producer: messages at a fixed rate, each carrying when it was sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from benchmarks.clients import STAMP_BYTES, Target


async def paced_payloads(target: Target) -> AsyncIterator[bytes]:
    """Each payload when its turn comes; late ones without a pause, so that no time is lost."""
    filler = target.payload[STAMP_BYTES:]
    start = time.perf_counter()
    for number in range(target.messages):
        ahead = start + number / target.rate - time.perf_counter()
        if ahead > 0:
            await asyncio.sleep(ahead)
        yield b"%020.9f" % time.perf_counter() + filler


def seconds_since(payload: bytes | bytearray | memoryview) -> float:
    """How long ago the payload was sent, by the one clock that all processes of a machine share."""
    return time.perf_counter() - float(bytes(payload[:STAMP_BYTES]))
