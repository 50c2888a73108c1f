"""What SDKs of the original tell without being asked, and what they publish."""

from __future__ import annotations

import asyncio
import json

import nats.errors
import nats.js.errors
import pytest
from nats.js.errors import APIError

from memphis.wire import legacy, subjects
from memphis.wire.dead_letters import DeadLetterList, read_label
from memphis.wire.headers import DEAD_LETTER
from memphis.wire.models import GroupJoin, StationConfigure, StationInfoGet
from tests.integration.api.legacy_requests import original_sdk
from tests.integration.sdk.helpers import SOON_S
from tests.waiting import eventually

SCHEMA_FAILURE = {
    "station_name": "s#x",
    "producer": {"name": "p", "connection_id": "c"},
    "message": {"data": b"bad".hex(), "headers": {"Key": "v", "$memphis_producedBy": "p"}},
    "validation_error": "why",
}
GIVEN_UP = {"station_name": "s#x", "error": "why", "partition": 1, "cg_name": "g.1", "seq": 1}

HOSTILE = [
    b"", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b"x" * 900_000,
    json.dumps({**SCHEMA_FAILURE, "station_name": ">"}).encode(),
    json.dumps({**SCHEMA_FAILURE, "station_name": 7}).encode(),
    json.dumps({**SCHEMA_FAILURE, "message": {"data": "abc"}}).encode(),
    json.dumps({**SCHEMA_FAILURE, "message": "text"}).encode(),
    json.dumps({**GIVEN_UP, "partition": 0}).encode(),
    json.dumps({**GIVEN_UP, "partition": 9}).encode(),
    json.dumps({**GIVEN_UP, "seq": 99}).encode(),
    json.dumps({**GIVEN_UP, "seq": -1}).encode(),
    json.dumps({**GIVEN_UP, "cg_name": "nobody"}).encode(),
    json.dumps({**GIVEN_UP, "cg_name": "*"}).encode(),
]  # fmt: skip


@pytest.fixture
async def sdk(app, engine):
    async with original_sdk(engine) as sdk:
        await sdk(legacy.STATION_CREATIONS, partitions_number=1)
        await sdk(legacy.CONSUMER_CREATIONS)
        yield sdk


async def _tell(sdk, subject, report):
    body = report if isinstance(report, bytes) else json.dumps(report).encode()
    await sdk.client.jetstream().publish(subject, body)


async def _letters(ask, **wanted):
    return (await ask.ok(DeadLetterList(ids=[], **wanted)))["letters"]


async def _all_read(sdk):
    info = await sdk.client.jetstream().stream_info("memphis_legacy_reports")
    return info.state.messages == 0


async def test_hostile_reports_are_set_aside(sdk, ask):
    """Each where a person can see it; after them, a good one is read."""
    for subject in legacy.REPORTS:
        for body in HOSTILE:
            await _tell(sdk, subject, body)
    await _tell(sdk, legacy.SCHEMA_FAILURES, SCHEMA_FAILURE)
    await eventually(lambda: _all_read(sdk), SOON_S)
    aside = await _letters(ask, kind=subjects.KIND_MALFORMED)
    assert len(aside) == 2 * len(HOSTILE)
    assert all("original SDK" in letter["reason"] for letter in aside)
    (letter,) = await _letters(ask, kind=subjects.KIND_SCHEMA)
    assert (letter["station"], letter["reason"], letter["producer"]) == ("s.x", "why", "p")
    assert letter["headers"]["Key"] == "v"


async def test_reports_of_a_station_that_keeps_none(sdk, ask, client):
    """Switched off, nothing is stored; of a station that is gone neither."""
    await ask.ok(
        StationConfigure(
            name="s.x", send_schema_failed_msg_to_dls=False, send_poison_msg_to_dls=False
        )
    )
    await client.jetstream().publish("s#x$1.final", b"x")
    await _tell(sdk, legacy.SCHEMA_FAILURES, SCHEMA_FAILURE)
    await _tell(sdk, legacy.GIVEN_UP, GIVEN_UP)
    await _tell(sdk, legacy.SCHEMA_FAILURES, {**SCHEMA_FAILURE, "station_name": "gone"})
    await eventually(lambda: _all_read(sdk), SOON_S)
    assert await _letters(ask) == []


async def test_a_message_that_was_terminated_before_it_was_reported(app, engine, ask, client):
    """With retention by acks the engine has let it go by then; that it was lost is on record."""
    async with original_sdk(engine) as sdk:
        await sdk(legacy.STATION_CREATIONS, retention_type="ack_based", partitions_number=1)
        await sdk(legacy.CONSUMER_CREATIONS)
        js = client.jetstream()
        await js.publish("s#x$1.final", b"x")
        consumer = await js.pull_subscribe_bind("g#1", "s#x$1")
        (message,) = await consumer.fetch(1)
        await message.term()
        await _tell(sdk, legacy.GIVEN_UP, GIVEN_UP)
        await eventually(lambda: _all_read(sdk), SOON_S)
    (letter,) = await _letters(ask)
    assert (letter["sequence"], letter["payload_is_gone"]) == (1, True)


async def test_ids_make_duplicates_known(sdk, client, ask):
    """Through the worker: once for an id, as often as it is sent without one; the client hears it."""
    js = client.jetstream()
    first = await js.publish("s#x$1.final", b"a", headers={"msg-id": "1"})
    again = await js.publish("s#x$1.final", b"b", headers={"msg-id": "1"})
    assert (first.seq, first.duplicate, again.seq, again.duplicate) == (1, None, 1, True)
    for _ in range(2):
        await js.publish("s#x$1.final", b"c")
        await js.publish("s#x$1.final", b"c", headers={"msg-id": ""})
    assert (await ask.ok(StationInfoGet(name="s.x")))["messages"] == 5
    stored = await js.get_msg("s#x$1", 1)
    assert (stored.subject, stored.data) == ("s#x$1.final", b"a")


async def test_the_largest_message(sdk, client):
    """One that the id makes too large is refused with the engine's own number, and does no harm."""
    js = client.jetstream()
    headers = {"msg-id": "x" * 100}
    room = client.max_payload - len(b"NATS/1.0\r\nmsg-id: \r\n\r\n") - 100
    with pytest.raises(APIError) as refused:
        await js.publish("s#x$1.final", b"x" * room, headers=headers)
    assert refused.value.err_code == 10054
    added = len(b"Nats-Msg-Id: \r\n") + 100
    assert (await js.publish("s#x$1.final", b"x" * (room - added), headers=headers)).seq == 1


async def test_where_no_station_is(sdk, client):
    """Nobody confirms what nobody stores."""
    with pytest.raises((nats.errors.Error, nats.js.errors.Error)):
        await client.jetstream().publish("nobody$1.final", b"x", timeout=2)


async def test_what_is_published_without_a_reply_is_stored(sdk, client, ask):
    """Nobody waits for an answer, and all arrive in order."""
    for number in range(100):
        await client.publish("s#x$1.final", str(number).encode())

    async def stored() -> bool:
        return (await ask.ok(StationInfoGet(name="s.x")))["messages"] == 100

    await eventually(stored, SOON_S)
    assert (await client.jetstream().get_msg("s#x$1", 100)).data == b"99"


async def test_it_is_the_dead_letter_that_a_native_member_would_store(sdk, client):
    """Under the same id, so that a message which both give up is one dead letter."""
    js = client.jetstream()
    await js.publish("s#x$1.final", b"x")
    await _tell(sdk, legacy.GIVEN_UP, GIVEN_UP)
    await eventually(lambda: _all_read(sdk), SOON_S)
    stored = await js.get_msg(subjects.DEAD_LETTER_STREAM, 1)
    life = (await js.consumer_info("s#x$1", "g#1")).config.metadata["memphis.group.made_by"]
    label = read_label(stored.headers[DEAD_LETTER])
    assert life
    assert label.group_life == life
    assert stored.headers["Nats-Msg-Id"] == label.identity


async def test_a_member_of_an_earlier_life_of_the_station_ends_no_later_group(sdk, ask, client):
    """The station is removed and made again before the member is ended."""
    assert await sdk(legacy.STATION_DESTRUCTIONS) == ""
    await sdk(legacy.STATION_CREATIONS, partitions_number=1)
    await ask.ok(GroupJoin(station="s.x", group="g.1"))
    assert await sdk(legacy.CONSUMER_DESTRUCTIONS) == ""
    groups = (await ask.ok(StationInfoGet(name="s.x")))["groups"]
    assert [group["name"] for group in groups] == ["g.1"]


async def test_a_malformed_header_block_harms_no_other_message(app, engine, client):
    """The engine takes any bytes for one; what came together with it is stored."""
    async with original_sdk(engine) as sdk:
        await sdk(legacy.STATION_CREATIONS, partitions_number=1)
        block = b"NATS/1.0\r\nmsg-id: 1"
        bad = b"HPUB s#x$1.final %d %d\r\n%sx\r\n" % (len(block), len(block) + 1, block)
        good = b"PUB s#x$1.final 1\r\nx\r\n"
        host, _, port = engine.url.removeprefix("nats://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        login = b'CONNECT {"user":"client","pass":"p","headers":true,"verbose":false}\r\n'
        writer.write(login + 5 * good + bad + 5 * good + b"PING\r\n")
        while b"PONG" not in await reader.readline():
            pass

        async def stored() -> bool:
            info = await client.jetstream().stream_info("s#x$1")
            return info.state.messages >= 10

        await eventually(stored, SOON_S)
        writer.close()
        await writer.wait_closed()


async def test_a_broker_that_stops_passes_on_what_it_was_given(engine, client):
    """Of two, one is stopped in order while a producer goes on: every message is confirmed."""
    async with engine.app(alone=False), original_sdk(engine) as sdk:
        await sdk(legacy.STATION_CREATIONS, partitions_number=1)
        js = client.jetstream()
        async with engine.app(alone=False):
            waiting = [await js.publish_async("s#x$1.final", b"x") for _ in range(2000)]
        waiting += [await js.publish_async("s#x$1.final", b"x") for _ in range(100)]
        async with asyncio.timeout(SOON_S):
            confirmed = await asyncio.gather(*waiting)
    assert len({ack.seq for ack in confirmed}) == 2100
