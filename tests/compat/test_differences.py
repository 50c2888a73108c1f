"""What works with memphis-py 1.3.1 and not with the SDK here: each case, told by both.

These are meant, and stand in docs/compat.md. A case that is mended here fails here, and goes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.compat.conftest import CONNECT, PYTHON, Original, OriginalError, need


class Case(NamedTuple):
    """The body of a coroutine, and what comes of it with either SDK: a value, or the name of an error."""

    code: str
    theirs: Any
    ours: Any


CASES = {
    "a number that JSON does not have": Case(
        "await kept.memphis.produce(NAME, 'p', {'x': float('nan')})", None, "MemphisUsageError"
    ),
    "JSON as text": Case(
        """
        await kept.memphis.produce(NAME, "p", {"a": 1, "b": "é"})
        consumer = await kept.memphis.consumer(NAME, "c")
        (message,) = await fetch(consumer, 1)
        return message.get_data().decode()
        """,
        '{"a": 1, "b": "\\u00e9"}',
        '{"a":1,"b":"é"}',
    ),
    "an unknown type of message": Case(
        "await (await kept.memphis.producer(NAME, 'p')).produce(5)",
        "MemphisSchemaError",
        "MemphisUsageError",
    ),
    "headers of a message, sent on": Case(
        """
        await kept.memphis.produce(NAME, "p", "x")
        (message,) = await fetch(await kept.memphis.consumer(NAME, "c"), 1)
        headers = Headers()
        headers.headers = dict(message.get_headers())
        await kept.memphis.produce(NAME, "p", "x", headers=headers)
        """,
        None,
        "MemphisHeaderError",
    ),
    "an id that is a header": Case(
        """
        for _ in range(2):
            headers = Headers()
            headers.add("msg-id", "1")
            await kept.memphis.produce(NAME, "p", "x", headers=headers)
        return len(await fetch(await kept.memphis.consumer(NAME, "c"), 10))
        """,
        1,
        2,
    ),
    "a value in a header that has two lines": Case(
        """
        headers = Headers()
        headers.add("k", "one\\ntwo")
        await kept.memphis.produce(NAME, "p", "x", headers=headers)
        """,
        None,
        "MemphisHeaderError",
    ),
    "a partition that is not there": Case(
        "await (await kept.memphis.producer(NAME, 'p')).produce('x', producer_partition_number=9)",
        None,
        "MemphisUsageError",
    ),
    "partition 0": Case(
        """
        await kept.memphis.station(NAME, partitions_number=2)
        await (await kept.memphis.producer(NAME, "p")).produce("x", producer_partition_number=0)
        """,
        None,
        "MemphisUsageError",
    ),
    "no partitions": Case(
        "await kept.memphis.station(NAME, partitions_number=0)", None, "MemphisUsageError"
    ),
    "no retention": Case(
        "await kept.memphis.station(NAME, retention_value=0)", None, "MemphisUsageError"
    ),
    "no deliveries": Case(
        "await kept.memphis.consumer(NAME, 'c', max_msg_deliveries=0)", None, "MemphisUsageError"
    ),
    "a part of a millisecond": Case(
        "await kept.memphis.consumer(NAME, 'c', pull_interval_ms=100.0)", None, "MemphisUsageError"
    ),
    "a station twice": Case(
        "await (await kept.memphis.producer([NAME, NAME], 'p')).produce('x')",
        None,
        "MemphisUsageError",
    ),
    "two handlers at once": Case(
        """
        async def handle(messages, error, context):
            pass
        await kept.memphis.station(NAME, partitions_number=2)
        consumer = await kept.memphis.consumer(NAME, "c")
        for number in (1, 2):
            consumer.consume(handle, consumer_partition_number=number)
        await consumer.destroy()
        """,
        None,
        "MemphisUsageError",
    ),
    "destroy() as a coroutine": Case(
        """
        consumer = await kept.memphis.consumer(NAME, "c")
        await asyncio.create_task(consumer.destroy())
        """,
        None,
        "TypeError",
    ),
    "fetch after close": Case(
        """
        memphis = Memphis()
        await memphis.connect(host=HOST, port=PORT, username="root", password="memphis")
        consumer = await memphis.consumer(NAME, "c")
        await memphis.close()
        return await consumer.fetch()
        """,
        [],
        "MemphisClosedError",
    ),
    "connect after close": Case(
        """
        memphis = Memphis()
        for _ in range(2):
            await memphis.connect(host=HOST, port=PORT, username="root", password="memphis")
            await memphis.consumer(NAME, "c")
            await memphis.close()
        """,
        None,
        "MemphisClosedError",
    ),
}


@pytest.mark.parametrize("sdk", ["original", "ours"])
async def test_each_difference(sdk, broker, name):
    """It is as it is told, with either SDK."""
    python = PYTHON if sdk == "original" else Path(sys.executable)
    need(python)
    process = Original(python)
    told = {}
    try:
        await process(CONNECT, HOST=broker.host, PORT=broker.port)
        for number, (what, case) in enumerate(CASES.items()):
            station = f"{name}-{sdk}-{number}"
            try:
                told[what] = await process(
                    case.code, NAME=station, HOST=broker.host, PORT=broker.port
                )
            except OriginalError as error:
                told[what] = error.kind
    finally:
        process.kill()
    assert told == {
        what: case.theirs if sdk == "original" else case.ours for what, case in CASES.items()
    }
