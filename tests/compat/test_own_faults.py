"""Faults of memphis-py 1.3.1 that no broker can mend, as they are: whoever stays with it has them still.

Others stand where they belong: dead_letter() in test_dead_letters, live schema changes in test_schemas. What
this project's own SDK does instead is in docs/compat.md.
"""

from __future__ import annotations

import pytest

from tests.compat.conftest import OriginalError
from tests.integration.sdk.helpers import SOON_S
from tests.waiting import eventually


async def test_a_message_id_leaks_into_the_next_message(connected, memphis, name):
    """It writes into the caller's headers, so the next message goes out under the old id, and is lost."""
    await connected(
        """
        producer = await kept.memphis.producer(NAME, "p")
        headers = Headers()
        headers.add("k", "v")
        await producer.produce("first", headers=headers, msg_id="1")
        await producer.produce("second", headers=headers)
        kept.headers = dict(headers.headers)
        """,
        NAME=name,
    )
    assert (await connected("return kept.headers"))["msg-id"] == "1"
    assert (await (await memphis.existing_station(name)).info()).messages == 1


async def test_the_time_of_a_message_is_never_known(connected, memphis, name):
    """It asks its NATS library in a way that fails, and hides that."""
    await memphis.produce(name, "p", "x")
    found = await connected(
        """
        (message,) = await fetch(await kept.memphis.consumer(NAME, "c"), 1)
        await message.ack()
        return message.get_timesent()
        """,
        NAME=name,
    )
    assert found is None


async def test_an_idle_handler_is_told_of_a_time_out(connected, memphis, name):
    """At every poll that finds nothing, as an error."""
    await memphis.station(name)
    await connected(
        """
        kept.errors = []
        async def handle(messages, error, context):
            kept.errors.append(str(error))
        consumer = await kept.memphis.consumer(NAME, "c", pull_interval_ms=10)
        consumer.consume(handle)
        """,
        NAME=name,
    )

    async def told() -> bool:
        return await connected("return len(kept.errors)") >= 1

    await eventually(told, SOON_S)
    assert "Timeout" in (await connected("return kept.errors"))[0]


async def test_a_random_suffix_cannot_be_destroyed(connected, name):
    """It keeps the consumer under one name and looks for it under another."""
    with pytest.raises(OriginalError):
        await connected(
            """
            consumer = await kept.memphis.consumer(NAME, "c", generate_random_suffix=True)
            await consumer.destroy()
            """,
            NAME=name,
        )


async def test_a_handler_that_raises_ends_consuming(connected, memphis, name):
    """Without a word; messages that come later stay where they are."""
    producer = await memphis.producer(name, "p")
    await producer.produce("bad")
    await connected(
        """
        kept.calls = 0
        async def handle(messages, error, context):
            kept.calls += 1
            raise RuntimeError("a mistake")
        kept.consumer = await kept.memphis.consumer(NAME, "c", pull_interval_ms=10)
        kept.consumer.consume(handle)
        """,
        NAME=name,
    )

    async def ended() -> bool:
        return await connected("return kept.consumer.t_consume.done()")

    await eventually(ended, SOON_S)
    assert await connected("return kept.calls") == 1
