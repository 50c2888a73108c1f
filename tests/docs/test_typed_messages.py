"""The Python of the page about typed messages runs as it stands there."""

from __future__ import annotations

from memphis import Memphis
from tests.docs import blocks
from tests.waiting import eventually

PAGE = "docs/guide/typed-messages.md"
FIRST, HANDLER = blocks.blocks_of(PAGE)


async def test_the_page_prints_what_it_says(memphis: Memphis, capsys):
    """Two orders are handed over; one that is none is put aside with its reason, and no other."""
    names = await blocks.run(FIRST, PAGE, {"memphis": memphis})
    assert capsys.readouterr().out == "1 tea\n2 milk\n"
    await memphis.produce("orders", "stranger", {"number": "many"})
    await memphis.produce("orders", "stranger", {"number": 3, "item": "sugar"})
    await blocks.run(HANDLER, PAGE, names)
    station = await memphis.existing_station("orders")

    async def is_put_aside() -> list[str]:
        return [letter.reason for letter in await station.dead_letters().newest(10)]

    (reason,) = await eventually(is_put_aside)
    assert "message 3 of partition 1 of station orders is no Order: number: " in reason
    await eventually(lambda: capsys.readouterr().out == "3\n")
    await station.destroy()
