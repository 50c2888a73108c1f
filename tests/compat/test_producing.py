"""Messages produced by memphis-py 1.3.1 in every way that it has, read by this project's own SDK."""

from __future__ import annotations

import pytest

from tests.compat.conftest import OriginalError
from tests.integration.sdk.helpers import read
from tests.waiting import eventually

OWN = {"$memphis_producedBy", "$memphis_connectionId"}


async def _read(memphis, name, count):
    return await read(await memphis.consumer(name, "reader", "readers"), count)


async def test_every_kind_of_message(connected, memphis, name):
    """Text, bytearray, dict; what it refuses itself is its own business."""
    await connected(
        """
        producer = await kept.memphis.producer(NAME, "Prod")
        await producer.produce("text")
        await producer.produce(bytearray(b"bytes"))
        await producer.produce({"a": 1})
        await kept.memphis.produce(NAME, "other", "kept producer")
        await producer.destroy()
        """,
        NAME=name,
    )
    messages = await _read(memphis, name, 4)
    assert [m.get_data() for m in messages] == [b"text", b"bytes", b'{"a": 1}', b"kept producer"]
    assert [m.get_headers()["$memphis_producedBy"] for m in messages] == ["prod"] * 3 + ["other"]
    with pytest.raises(OriginalError, match="Unsupported message type"):
        await connected(
            "await (await kept.memphis.producer(NAME, 'p')).produce(b'bytes')", NAME=name
        )


async def test_headers_arrive(connected, memphis, name):
    """Its own and the user's."""
    await connected(
        """
        headers = Headers()
        headers.add("Key", "välue")
        producer = await kept.memphis.producer(NAME, "p")
        await producer.produce("x", headers=headers)
        """,
        NAME=name,
    )
    (message,) = await _read(memphis, name, 1)
    assert set(message.get_headers()) == {"Key", *OWN}
    assert message.get_headers()["Key"] == "välue"


@pytest.mark.parametrize("how", ["async_produce=True", "nonblocking=True"])
async def test_nonblocking(connected, memphis, name, how):
    """Thousands that it does not wait for are all stored, in their order."""
    await connected(
        f"""
        producer = await kept.memphis.producer(NAME, "p")
        for number in range(2000):
            await producer.produce(str(number), {how})
        """,
        NAME=name,
    )
    station = await memphis.existing_station(name)

    async def stored() -> bool:
        return (await station.info()).messages == 2000

    await eventually(stored, 30)
    messages = await _read(memphis, name, 2000)
    assert [int(m.get_data()) for m in messages] == list(range(2000))


async def test_an_id_sent_twice_is_stored_once(connected, memphis, name):
    """Its promise of idempotency holds, on an engine that does not know its header."""
    await connected(
        """
        producer = await kept.memphis.producer(NAME, "p")
        for body, id in [("a", "1"), ("again", "1"), ("b", "2"), ("again", "1"), ("c", None)]:
            await producer.produce(body, msg_id=id)
        """,
        NAME=name,
    )
    messages = await _read(memphis, name, 3)
    assert [m.get_data() for m in messages] == [b"a", b"b", b"c"]
    assert messages[0].get_headers()["msg-id"] == "1"
    assert (await (await memphis.existing_station(name)).info()).messages == 3


async def test_ids_of_both_sdks_are_the_same_ids(connected, memphis, name):
    """What the one has sent is known when the other sends it."""
    producer = await memphis.producer(name, "ours")
    await producer.produce("ours", msg_id="1")
    await connected(
        """
        producer = await kept.memphis.producer(NAME, "theirs")
        await producer.produce("theirs", msg_id="1")
        await producer.produce("theirs", msg_id="2")
        """,
        NAME=name,
    )
    assert (await producer.produce("ours", msg_id="2")).duplicate
    assert [m.get_data() for m in await _read(memphis, name, 2)] == [b"ours", b"theirs"]


async def test_keys_lead_to_the_same_partition(connected, memphis, name):
    """For both SDKs; so do numbers."""
    station = await memphis.station(name, partitions_number=3)
    keys = [f"key-{number}" for number in range(12)] + ["héé"]
    await connected(
        """
        producer = await kept.memphis.producer(NAME, "p")
        for key in KEYS:
            await producer.produce(key, producer_partition_key=key)
        for number in (1, 2, 3):
            await producer.produce(str(number), producer_partition_number=number)
        """,
        NAME=name,
        KEYS=keys,
    )
    producer = await memphis.producer(name, "ours")
    here = {key: (await producer.produce("", producer_partition_key=key)).partition for key in keys}
    consumer = await memphis.consumer(name, "reader")
    there = {
        message.get_data().decode(): partition
        for partition in (1, 2, 3)
        for message in await consumer.fetch(100, consumer_partition_number=partition)
    }
    assert {key: there[key] for key in keys} == here
    assert [there[str(number)] for number in (1, 2, 3)] == [1, 2, 3]
    assert (await station.info()).messages == 2 * len(keys) + 3


async def test_round_robin_begins_at_the_first(connected, memphis, name):
    """Without key and number each producer spreads its messages evenly."""
    await memphis.station(name, partitions_number=3)
    await connected(
        """
        producer = await kept.memphis.producer(NAME, "p")
        for number in range(7):
            await producer.produce(str(number))
        """,
        NAME=name,
    )
    info = await (await memphis.existing_station(name)).info()
    assert [p.messages for p in info.partitions] == [3, 2, 2]


async def test_to_several_stations_at_once(connected, memphis, name):
    """A producer of two stations."""
    await connected(
        """
        producer = await kept.memphis.producer([NAME, NAME + ".2"], "p")
        await producer.produce("both")
        """,
        NAME=name,
    )
    for station in (name, f"{name}.2"):
        assert [m.get_data() for m in await _read(memphis, station, 1)] == [b"both"]


async def test_a_station_that_is_gone(connected, memphis, name):
    """Its producer fails; it is not told that the message was stored."""
    await connected("kept.producer = await kept.memphis.producer(NAME, 'p')", NAME=name)
    await (await memphis.existing_station(name)).destroy()
    with pytest.raises(OriginalError):
        await connected("await kept.producer.produce('x', ack_wait_sec=2)")
