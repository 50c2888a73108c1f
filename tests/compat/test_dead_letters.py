"""Dead letters of memphis-py 1.3.1's groups, kept and given back here."""

from __future__ import annotations

import asyncio

import pytest

from memphis import Retention
from tests.compat.conftest import OriginalError
from tests.integration.sdk.helpers import SOON_S
from tests.waiting import eventually

CONSUMER = """
kept.consumer = await kept.memphis.consumer(NAME, "c", "g.1", max_ack_time_ms=1000, max_msg_deliveries=2)
"""
IGNORE = "return len(await fetch(kept.consumer, 10))"
FETCH_AND_ACK = """
found = []
for message in await fetch(kept.consumer, 10):
    found.append(message.get_data())
    await message.ack()
return found
"""


async def _given_up(connected, memphis, name, count=1):
    """Have its consumer ignore what it gets, until these are dead letters."""

    async def dead():
        await connected(IGNORE)
        letters = [x async for x in memphis.dead_letters() if x.station == name]
        return letters if len(letters) == count else None

    return await eventually(dead, SOON_S)


async def test_what_it_never_acknowledges_is_kept_and_given_back(connected, memphis, name):
    """Its group gets it again by its usual fetch, and acknowledges it like any message."""
    station = await memphis.station(name)
    await memphis.produce(name, "p", "poison", headers={"k": "v"})
    await connected(CONSUMER, NAME=name)
    (letter,) = await _given_up(connected, memphis, name)
    assert (letter.group, letter.kind, letter.deliveries) == ("g.1", "poison", 2)
    assert (letter.get_headers()["k"], letter.get_data()) == ("v", b"poison")
    await letter.redrive()
    found = []

    async def settled() -> bool:
        found.extend(await connected(FETCH_AND_ACK))
        (group,) = (await station.info()).groups
        return (group.pending, group.unacknowledged, group.dead_letters) == (0, 0, 0)

    await eventually(settled, SOON_S)
    assert found == ["poison"]


async def test_a_second_failure_comes_with_its_history(connected, memphis, name):
    """Also where the engine counts the deliveries."""
    await memphis.produce(name, "p", "poison")
    await connected(CONSUMER, NAME=name)
    (letter,) = await _given_up(connected, memphis, name)
    await letter.redrive()
    (again,) = await _given_up(connected, memphis, name)
    assert len(again.history) == 1


async def test_with_retention_by_acks(connected, memphis, name):
    """What is given up does not stay in the station for ever."""
    station = await memphis.station(name, retention_type=Retention.ACK_BASED)
    await connected(CONSUMER, NAME=name)
    await memphis.produce(name, "p", "poison")
    await _given_up(connected, memphis, name)

    async def gone() -> bool:
        return (await station.info()).messages == 0

    await eventually(gone, SOON_S)


async def test_its_dead_letter_call_loses_the_message(connected, memphis, name):
    """Its own fault: it terminates first, then fails, and reports nothing. Nobody here ever hears of it."""
    await memphis.produce(name, "p", "x")
    await connected(CONSUMER, NAME=name)
    with pytest.raises(OriginalError, match="not callable"):
        await connected("await (await fetch(kept.consumer, 1))[0].dead_letter('why')")
    assert await connected(IGNORE) == 0
    assert [x async for x in memphis.dead_letters() if x.station == name] == []


async def test_what_its_other_sdks_report_is_kept(connected, memphis, name):
    """Those terminate as well, and then do report it, in these words."""
    await memphis.station(name, partitions_number=2)
    await memphis.produce(name, "p", "x", producer_partition_number=2)
    await connected(CONSUMER, NAME=name)
    await connected(
        """
        message = (await fetch(kept.consumer, 1, consumer_partition_number=2))[0]
        await message.message.term()
        report = {"station_name": STATION, "error": "cannot", "partition": 2, "cg_name": "g.1",
                  "seq": message.get_sequence_number()}
        for _ in range(2):
            await kept.memphis.broker_manager.publish(
                "$memphis_nacked_dls", json.dumps(report).encode()
            )
        """,
        STATION=name.replace(".", "#"),
    )

    async def letters():
        return [x async for x in memphis.dead_letters() if x.station == name]

    await eventually(letters, SOON_S)
    (letter,) = await letters()
    assert (letter.group, letter.partition, letter.sequence) == ("g.1", 2, 1)
    assert (letter.reason, letter.get_data()) == ("cannot", b"x")


async def test_acknowledgements_of_what_was_sent_again_are_tolerated(connected, memphis, name):
    """Nothing is sent again in the original's way, so nobody needs to hear of this; it does no harm."""
    await connected(
        """
        for body in (b'{"id": 1, "cg_name": "g"}', b"junk", b""):
            await kept.memphis.broker_manager.publish("$memphis_pm_acks", body)
            await kept.memphis.broker_manager.publish("$memphis_notifications", body)
        await kept.memphis.broker_manager.flush()
        """
    )
    assert await connected("return kept.memphis.is_connected()")


async def test_a_broker_that_was_away(original, fresh_broker, name):
    """Reports made while no broker runs are read by the next; the engine keeps them."""
    from tests.compat.conftest import CONNECT  # noqa: PLC0415 - not the shared broker's
    from tests.fixtures.sdk import connect  # noqa: PLC0415

    await original(CONNECT, HOST=fresh_broker.host, PORT=fresh_broker.port)
    await original("await kept.memphis.station(NAME)", NAME=name)
    await asyncio.to_thread(fresh_broker.kill)
    await original(
        """
        report = {"station_name": STATION, "producer": {"name": "p", "connection_id": "x"},
                  "message": {"data": b"bad".hex(), "headers": {"k": "v"}}, "validation_error": "why"}
        await kept.memphis.broker_manager.publish(
            "$memphis_schemaverse_dls", json.dumps(report).encode()
        )
        await kept.memphis.broker_manager.flush()
        """,
        STATION=name.replace(".", "#"),
    )
    await asyncio.to_thread(fresh_broker.start)
    async with await connect(fresh_broker) as memphis:

        async def letters():
            return [x async for x in memphis.dead_letters()]

        await eventually(letters, SOON_S)
        (letter,) = await letters()
        assert (letter.kind, letter.reason, letter.get_data()) == ("schema", "why", b"bad")
        assert (letter.producer, letter.get_headers()["k"]) == ("p", "v")
