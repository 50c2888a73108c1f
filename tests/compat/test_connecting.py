"""Unmodified memphis-py 1.3.1 logs in."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.compat.conftest import CONNECT, OriginalError
from tests.fixtures.sdk import connect


async def test_by_password(original, broker):
    """With the form of user that it sends, which has an account's number."""
    await original(CONNECT, HOST=broker.host, PORT=broker.port)
    assert await original("return kept.memphis.is_connected()") is True
    await original("await kept.memphis.close()")


async def test_by_token(original, broker_factory):
    """The user is the one that it names, as it names its connection."""
    broker = broker_factory(options=["--connection-token", "secret"])
    await asyncio.to_thread(broker.start)
    await original(
        """
        kept.memphis = Memphis()
        await kept.memphis.connect(host=HOST, port=PORT, username="app", connection_token="secret")
        producer = await kept.memphis.producer("by-token", "p")
        await producer.produce("hello")
        """,
        HOST=broker.host,
        PORT=broker.port,
    )
    assert await original("return kept.memphis.is_connected()") is True


@pytest.mark.parametrize("login", [{"password": "wrong"}, {"connection_token": "wrong"}])
async def test_what_is_wrong_is_refused(original, broker, login):
    """It says so, as its own broker made it say."""
    with pytest.raises(OriginalError) as refused:
        await original(
            """
            memphis = Memphis()
            await memphis.connect(host=HOST, port=PORT, username="root", reconnect=False, **LOGIN)
            """,
            HOST=broker.host,
            PORT=broker.port,
            LOGIN=login,
        )
    assert "authorization violation" in refused.value.text.lower()


async def test_a_broker_without_this_edge_answers_nothing(original, broker_factory):
    """With --no-legacy, it may log in no further than any client, and its requests reach nobody."""
    broker = broker_factory(options=["--no-legacy"])
    await asyncio.to_thread(broker.start)
    with pytest.raises(OriginalError):
        await original(
            CONNECT + 'await kept.memphis.station("s", timeout_retries=0)',
            HOST=broker.host,
            PORT=broker.port,
        )


async def test_as_a_user_with_a_password(original, broker):
    """As an application that comes from the original does; a wrong password is refused."""
    name, password = f"app-{uuid.uuid4().hex[:8]}", "a password of its own"
    async with await connect(broker) as root:
        await root.create_user(name, password)
    code = """
        kept.memphis = Memphis()
        await kept.memphis.connect(host=HOST, port=PORT, username=USER, password=PASSWORD)
        producer = await kept.memphis.producer("of-a-user", "p")
        await producer.produce(bytearray(b"hello"))
        consumer = await kept.memphis.consumer("of-a-user", "c", pull_interval_ms=100)
        messages = await fetch(consumer, 1)
        return [message.get_data().decode() for message in messages]
        """
    names = {"HOST": broker.host, "PORT": broker.port, "USER": name}
    assert await original(code, PASSWORD=password, **names) == ["hello"]
    await original("await kept.memphis.close()")
    with pytest.raises(OriginalError):
        await original(code, PASSWORD="a password of another", **names)
