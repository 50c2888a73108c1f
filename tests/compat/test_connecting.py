"""Unmodified memphis-py 1.3.1 logs in."""

from __future__ import annotations

import asyncio

import pytest

from tests.compat.conftest import CONNECT, OriginalError


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
