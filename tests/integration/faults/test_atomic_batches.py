"""Atomic batches where the SDK's stations do not come: streams that take none, and cut wires."""

from __future__ import annotations

import random

import pytest

from memphis.exceptions import MemphisNotConfirmedError, MemphisProduceError
from memphis.transport.atomic import store_together
from tests.fixtures.engine import Engine
from tests.fixtures.faults import FaultyProxy
from tests.fixtures.transport import Connect, create_stream, jetstream

MESSAGES = [(b"NATS/1.0\r\n\r\n", b"%d" % number) for number in range(5)]


async def test_no_stream(shared_engine: Engine, connect: Connect) -> None:
    """Where nothing answers, nothing is stored, and the text asks for the station."""
    connection = await connect(shared_engine.address)
    with pytest.raises(MemphisProduceError, match="no stream takes nothing") as failed:
        await store_together(connection, b"nothing", MESSAGES, deadline_s=5)
    assert not isinstance(failed.value, MemphisNotConfirmedError)


async def test_a_stream_that_takes_no_batches(shared_engine: Engine, connect: Connect) -> None:
    """It says so at the first message, with the engine's number."""
    connection = await connect(shared_engine.address)
    await create_stream(connection, "single")
    with pytest.raises(MemphisProduceError, match="refused the batch") as failed:
        await store_together(connection, b"single.in", MESSAGES, deadline_s=5)
    assert failed.value.code == 10174
    info = await jetstream(connection, "STREAM.INFO.single")
    assert info["state"]["messages"] == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_cut_at_any_byte(
    engine_wire: FaultyProxy, shared_engine: Engine, connect: Connect, seed: int
) -> None:
    """However the wire is cut: whole and reported as stored or unknown, or not there."""
    chance = random.Random(seed)
    name = f"cut-batch-{seed}"
    steady = await connect(shared_engine.address, inbox_prefix="_INBOX.root.steady")
    await create_stream(steady, name, allow_atomic=True)
    connection = await connect(engine_wire.address, reconnect_interval_s=0.001)
    stored = 0
    for _ in range(25):
        await connection.wait_connected(10)
        engine_wire.cuts.append(chance.randrange(1, 250))
        try:
            assert stored + 5 == await store_together(
                connection, f"{name}.in".encode(), MESSAGES, deadline_s=10
            )
            possible = {stored + 5}
        except MemphisNotConfirmedError:
            possible = {stored, stored + 5}
        except MemphisProduceError:
            possible = {stored}
        engine_wire.cuts.clear()
        stored = (await jetstream(steady, f"STREAM.INFO.{name}"))["state"]["messages"]
        assert stored in possible
    assert engine_wire.cuts_made > 5
