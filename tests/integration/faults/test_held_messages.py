"""Messages that waited for a stream to appear: once written, they may be stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from memphis.exceptions import MemphisNotConfirmedError
from memphis.transport import Publisher
from tests.fixtures.engine import Engine
from tests.fixtures.faults import FaultyProxy
from tests.fixtures.transport import Connect, create_stream, send, stored_payloads
from tests.waiting import eventually


@pytest.fixture
async def framed_wire(shared_engine: Engine) -> AsyncIterator[FaultyProxy]:
    """A wire that can swallow single frames of the engine."""
    proxy = FaultyProxy(shared_engine.address, by_frame=True)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


@pytest.mark.parametrize("how", ["cut", "deadline", "close"])
async def test_held_and_then_sent(
    framed_wire: FaultyProxy, shared_engine: Engine, connect: Connect, how: str
) -> None:
    """Held back behind a first one, stored, and their answers lost: unknown, and never doubled."""
    name = f"held-then-{how}"
    steady = await connect(shared_engine.address, inbox_prefix="_INBOX.root.steady")
    connection = await connect(framed_wire.address)
    publisher = Publisher(connection)
    subject = f"{name}.in".encode()
    deadline_s = 1.0 if how == "deadline" else 20.0
    first = send(publisher, subject, b"1", resend_s=0, deadline_s=20)
    await eventually(
        lambda: publisher._stalled, what="the first one is answered that no stream is there"
    )
    held = [
        send(publisher, subject, payload, resend_s=0, deadline_s=deadline_s)
        for payload in (b"2", b"3")
    ]
    framed_wire.swallow = lambda frame: b'"seq":2' in frame or b'"seq":3' in frame
    await create_stream(steady, name, allow_direct=True)
    assert (await first).sequence == 1

    async def are_stored() -> bool:
        return await stored_payloads(steady, name) == [b"1", b"2", b"3"]

    await eventually(are_stored)
    framed_wire.pass_all()
    if how == "cut":
        framed_wire.cut()
    elif how == "close":
        await connection.close()
    outcomes = await asyncio.gather(*held, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [MemphisNotConfirmedError] * 2
    if how == "cut":
        await connection.wait_connected(10)
        await connection.flush(5)
    assert await stored_payloads(steady, name) == [b"1", b"2", b"3"]
