"""What the tests of dead letters share."""

from __future__ import annotations

from typing import Any

from memphis import Consumer, DeadLetter, Memphis, Station
from tests.integration.sdk.helpers import fill

LONG_MS = 600_000
SHORT_MS = 300


async def letters_of(station: Station, **selected: Any) -> list[DeadLetter]:
    """Newest first."""
    return [letter async for letter in station.dead_letters(**selected)]


async def some_dead(memphis: Memphis, name: str, count: int = 1, **station: Any) -> Station:
    """A station whose group ``g`` has given up so many messages, and has no others."""
    return (await dying(memphis, name, count, **station))[0]


async def dying(
    memphis: Memphis, name: str, count: int, **station: Any
) -> tuple[Station, Consumer]:
    """The same, and the member that gave them up."""
    made = await memphis.station(name, **station)
    consumer = await memphis.consumer(name, "c", "g", max_ack_time_ms=LONG_MS)
    await fill(await memphis.producer(name, "p"), range(count))
    left = count
    while left:
        for message in await consumer.fetch(left):
            await message.dead_letter("because")
            left -= 1
    return made, consumer


async def only(station: Station, **selected: Any) -> DeadLetter:
    """The one dead letter there is."""
    (letter,) = await letters_of(station, **selected)
    return letter
