"""The Python of the README runs as it stands there."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from memphis import Memphis
from tests.docs import blocks
from tests.waiting import eventually

README = "README.md"
PROGRAM, PRODUCE, CONSUME, FETCH, ITERATE, DEAD_LETTERS, SCHEMAS = blocks.blocks_of(README)


def test_the_quick_start_prints_what_the_readme_says(broker_factory, tmp_path):
    """The first program, in a process of its own against a fresh broker."""
    broker = broker_factory().start()
    program = tmp_path / "app.py"
    program.write_text(PROGRAM.replace('host="localhost"', f'host="localhost:{broker.port}"'))
    outcome = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome.stderr == ""
    assert outcome.stdout == '{"carrier":"UA","flight":1545}\n'


async def test_the_producer_block_stores_every_message(memphis: Memphis):
    """One awaited, ten thousand nonblocking, one with an id."""
    await memphis.station("flights")
    names = await _run(PRODUCE, memphis)
    info = await (await memphis.existing_station("flights")).info()
    assert info.messages == 10_002
    assert names["result"].sequence == 1
    await (await memphis.existing_station("flights")).destroy()


@pytest.mark.parametrize("block", [CONSUME, FETCH, ITERATE], ids=["consume", "fetch", "iterate"])
async def test_the_consumer_blocks_acknowledge_every_message(memphis: Memphis, block: str):
    """Each way of consuming, on a few messages."""
    station = await memphis.station("flights")
    await memphis.produce("flights", "radar", "one")
    await memphis.produce("flights", "radar", "two")
    consumer = await memphis.consumer("flights", "board-1", "board")
    running = asyncio.create_task(_run(block, memphis, consumer=consumer))

    async def done() -> bool:
        groups = (await station.info()).groups
        return [(g.name, g.pending, g.unacknowledged) for g in groups] == [("board", 0, 0)]

    await eventually(done)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled() or running.exception() is None
    await station.destroy()


async def test_the_dead_letter_block_prints_what_the_readme_says(memphis: Memphis, capsys):
    """Looked at, mended and given back, given back together, dropped."""
    station = await memphis.station("flights")
    consumer = await memphis.consumer("flights", "board-1", "board", max_ack_time_ms=600_000)
    for number in (1, 2):
        await memphis.produce("flights", "radar", f"flight {number}")
        (message,) = await consumer.fetch(1)
        await message.dead_letter("late")
    await _run(DEAD_LETTERS, memphis)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[1] for line in lines[:2]] == ["late 1 flight 2", "late 1 flight 1"]
    assert lines[2:] == ["1 0"]
    assert sorted([m.get_data() for m in await consumer.fetch(2)]) == [b"flight 1545", b"flight 2"]
    await station.destroy()


async def test_the_schema_block_prints_what_the_readme_says(memphis: Memphis, capsys):
    """One message gets in and comes back as a dict, one is refused with place and type."""
    await _run(SCHEMAS, memphis)
    printed = capsys.readouterr().out
    assert printed == "number integer\n{'carrier': 'UA', 'number': 1545}\n"
    await (await memphis.existing_station("departures")).destroy()
    await (await memphis.schema("flight")).remove()


async def _run(block: str, memphis: Memphis, **names: object) -> dict[str, object]:
    return await blocks.run(block, README, {"memphis": memphis, **names})
