"""Messages that meet their deadline before the socket took them."""

from __future__ import annotations

import asyncio

import pytest

from memphis.exceptions import MemphisNotConfirmedError, MemphisProduceError
from memphis.transport import Publisher
from tests.fixtures.engine import Engine
from tests.fixtures.transport import Connect, create_stream, send, send_numbers, stored_payloads


async def test_what_is_said_not_to_be_stored_never_is(engine: Engine, connect: Connect) -> None:
    """A message that waited for a full socket until its deadline is not written after all."""
    connection = await connect(engine.address)
    await create_stream(connection, "unsent", allow_direct=True)
    publisher = Publisher(connection)
    engine.pause()
    filling = []
    written = -1
    while written < connection.statistics().bytes_out:
        written = connection.statistics().bytes_out
        filling.append(send(publisher, b"unsent.in", bytes(100_000), resend_s=0, deadline_s=60))
        for _ in range(3):
            await asyncio.sleep(0)  # the turn in which it is written, if it can be
    (unsent,) = send_numbers(publisher, b"unsent.in", range(1), resend_s=0, deadline_s=0.05)
    with pytest.raises(MemphisProduceError) as caught:
        await unsent
    engine.resume()
    await asyncio.gather(*filling)
    await connection.flush(20)
    is_stored = b"0" in await stored_payloads(connection, "unsent")
    assert not is_stored or isinstance(caught.value, MemphisNotConfirmedError)
