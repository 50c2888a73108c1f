"""The producer or the consumer of a measurement of memory, in a process of its own.

benchmarks/memory.py starts both, and reads from each a line of JSON per fifth of the messages, and
one about all of them at the end. Invariant: no line includes what this held before its own fifth.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Final

from benchmarks.clients import BATCH
from benchmarks.connecting import connected
from benchmarks.process_memory import peak_mib, reset_peak, resident_mib

PARTS: Final = 5
STATION: Final = "memory"
_PAYLOAD_BYTES: Final = 256
_NUMBER_BYTES: Final = 8
_SILENCE_SECONDS: Final = 60.0
"""A consumer that gets nothing for so long reports what is missing."""


class _Marks:
    """Prints the memory of this process after each fifth of the messages."""

    def __init__(self, messages: int) -> None:
        self._messages = messages
        self._part = 0
        self.next = self._place(1)
        reset_peak(os.getpid())

    def _place(self, part: int) -> int:
        return self._messages * part // PARTS

    def pass_one(self, done: int) -> None:
        """Call it when ``done`` has reached ``next``."""
        pid = os.getpid()
        _say(messages=done, peak_mib=peak_mib(pid), resident_mib=resident_mib(pid))
        reset_peak(pid)
        self._part += 1
        self.next = self._place(self._part + 1) if self._part < PARTS else sys.maxsize


def _say(**figures: object) -> None:
    print(json.dumps(figures), flush=True)


async def produce(port: int, messages: int) -> None:
    """Every message is confirmed, and none is waited for; each begins with its number."""
    memphis = await connected(port)
    producer = await memphis.producer(STATION, "memory")
    filler = b"0" * (_PAYLOAD_BYTES - _NUMBER_BYTES)
    marks = _Marks(messages)
    for number in range(messages):
        if number == marks.next:
            marks.pass_one(number)
        await producer.produce(number.to_bytes(_NUMBER_BYTES, "big") + filler, nonblocking=True)
    await producer.flush()
    marks.pass_one(messages)
    await memphis.close()
    _say(confirmed=messages)


async def consume(port: int, messages: int) -> None:
    """Fetch and acknowledge, and keep one bit per message to know which have come."""
    memphis = await connected(port)
    consumer = await memphis.consumer(STATION, "memory", batch_size=BATCH, pull_interval_ms=0)
    seen = bytearray(messages // 8 + 1)
    distinct = repeated = 0
    marks = _Marks(messages)
    last = time.monotonic()
    while distinct < messages and time.monotonic() - last < _SILENCE_SECONDS:
        for message in await consumer.fetch(BATCH):
            number = int.from_bytes(message.get_data()[:_NUMBER_BYTES], "big")
            bit = 1 << (number & 7)
            if seen[number >> 3] & bit:
                repeated += 1
            else:
                seen[number >> 3] |= bit
                distinct += 1
            await message.ack()
            last = time.monotonic()
            if distinct == marks.next:
                marks.pass_one(distinct)
    await memphis.close()
    _say(received=distinct, lost=messages - distinct, repeated=repeated)


WORK: Final = {"producer": produce, "consumer": consume}


def main(name: str, port: str, messages: str) -> None:
    """Be the client that the arguments name."""
    asyncio.run(WORK[name](int(port), int(messages)))


if __name__ == "__main__":
    main(*sys.argv[1:])
