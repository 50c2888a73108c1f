"""Dead letters through real requests: hostile and careless ones hurt nobody else."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client

from memphis.wire.dead_letters import (
    DeadLetterDrop,
    DeadLetterEdit,
    DeadLetterGet,
    DeadLetterRedrive,
    Failure,
    write_label,
)
from memphis.wire.errors import ErrorCode
from memphis.wire.models import (
    GroupJoin,
    StationInfoGet,
    StationRemove,
)
from tests.integration.api.conftest import Asker
from tests.integration.api.dead_letter_helpers import (
    NOW,
    STREAM,
    label,
    letters,
    put,
    some_letters,
    station,
)
from tests.waiting import eventually

# What is stored by members, good and bad.


async def test_what_members_store_is_read_strictly(ask: Asker, client: Client):
    """Without a label, or with one that contradicts its subject: malformed, seen by everybody."""
    life = await station(ask)
    js = client.jetstream()
    good = await put(client, label(life), b"payload", key="value")
    await put(client, label(life, sequence=2), **{"$memphis_deadLetter": "no json"})
    await js.publish(f"$memphis.dead_letters.{life}.1.g#one.poison", b"bare")
    await js.publish(
        f"$memphis.dead_letters.{life}.1.other.poison", b"x",
        headers={"$memphis_deadLetter": write_label(label(life))},
    )  # fmt: skip
    kinds = [letter["kind"] for letter in await letters(ask, station="s.x")]
    assert kinds == ["malformed", "malformed", "malformed", "poison"]
    shown = await ask.ok(DeadLetterGet(id=good))
    assert (shown["headers"], shown["reason"]) == ({"key": "value"}, "why")


async def test_headers_that_look_like_the_engines_mislead_nobody(ask: Asker, client: Client):
    """A message may carry any; the engine's own word about it counts."""
    life = await station(ask)
    hostile = {
        "Nats-Sequence": "1", "Nats-Subject": "x", "Nats-Time-Stamp": "never", "Status": "404",
        "Nats-Num-Pending": "0",
    }  # fmt: skip
    ids = [await put(client, label(life, sequence=n), **hostile) for n in range(1, 8)]
    assert [x["id"] for x in await letters(ask)] == ids[::-1]
    assert [x["id"] for x in await letters(ask, limit=3, before=ids[5])] == ids[2:5][::-1]
    assert [x["id"] for x in await letters(ask, after=ids[1], limit=2)] == ids[2:4]
    assert await ask.ok(DeadLetterDrop(ids=[ids[2]])) == {"dropped": 1}
    assert await ask.ok(DeadLetterDrop(station="s.x", through=ids[4])) == {"dropped": 4}
    assert [x["id"] for x in await letters(ask)] == ids[5:][::-1]


async def test_stored_again_it_is_the_same(ask: Asker, client: Client):
    """By what it is, for a day."""
    life = await station(ask)
    first = await put(client, label(life))
    assert await put(client, label(life, failures=[Failure(reason="other", at=NOW)])) == first
    assert await put(client, label(life, round=1)) != first
    assert len(await letters(ask)) == 2


async def test_a_hostile_label_hurts_nobody_else(ask: Asker, client: Client):
    """It is listed as malformed, whatever it says; all others are listed, given back and followed."""
    life = await station(ask, dls_station="dead")
    hostile = label("-", station="", partition=0, sequence=0, group="", kind="malformed")
    js = client.jetstream()
    written = write_label(hostile.model_copy(update={"payload_is_left": True}))
    aside = "$memphis.dead_letters.-.0.-.malformed"
    await js.publish(aside, b"x", headers={"$memphis_deadLetter": written})
    text = write_label(label(life)).replace('"sequence":1', f'"sequence":{10**23}')
    await js.publish(
        f"$memphis.dead_letters.{life}.1.g#one.poison", b"x",
        headers={"$memphis_deadLetter": text},
    )  # fmt: skip
    left = label(life, sequence=7, payload_is_left=True, sent_at=NOW)
    good = [await put(client, left), await put(client, label(life, sequence=8))]
    found = await letters(ask)
    assert [x["kind"] for x in found] == ["poison", "poison", "malformed", "malformed"]
    assert [x["payload_is_gone"] for x in found][:2] == [False, True]
    await ask.ok(GroupJoin(station="s.x", group="g.one"))
    moved = await ask.ok(DeadLetterRedrive())
    assert moved["moved"] == 1
    assert {r["id"] for r in moved["refused"]} == {x["id"] for x in found} - {good[1]}

    async def is_copied() -> bool:
        return bool((await ask.ok(StationInfoGet(name="dead")))["messages"])

    await eventually(is_copied)


async def test_nobody_deletes_a_dead_letter_by_claiming_to_replace_it(ask: Asker, client: Client):
    """Only another form of the same one, which is newer, does."""
    life = await station(ask)
    kept = await put(client, label(life))
    await put(client, label(life, sequence=2, edits=1, replaces=kept))
    await put(client, label(life, group="other", edits=1, replaces=kept))
    await put(client, label(life, edits=5, replaces=kept))
    await client.jetstream().publish(
        "$memphis.dead_letters.z.0.-.schema", b"x",
        headers={"$memphis_deadLetter": write_label(label("z", edits=1, replaces=kept))},
    )  # fmt: skip

    async def is_followed() -> bool:
        info = await client.jetstream().consumer_info(STREAM, "follower")
        return not info.num_pending and not info.num_ack_pending

    await eventually(is_followed)
    assert kept in [x["id"] for x in await letters(ask)]


async def test_a_header_that_occurs_twice_is_its_first(ask: Asker, client: Client):
    """Whichever way a dead letter is read or given back."""
    life = await station(ask)
    written = label(life)
    block = (
        f"NATS/1.0\r\nNats-Msg-Id: x\r\n$memphis_deadLetter: {write_label(written)}\r\n"
        "trace: first\r\ntrace: second\r\n\r\n"
    ).encode()
    subject = f"$memphis.dead_letters.{life}.1.g#one.poison"
    await client._send_command(b"HPUB %b %d %d\r\n%bp\r\n" % (
        subject.encode(), len(block), len(block) + 1, block,
    ))  # fmt: skip
    await client.flush()
    (letter,) = await some_letters(ask)
    shown = await ask.ok(DeadLetterGet(id=letter["id"]))
    assert letter["headers"] == shown["headers"] == {"trace": "first"}


async def test_two_edits_at_once(ask: Asker, client: Client):
    """One of them counts, the other is told so."""
    life = await station(ask)
    letter_id = await put(client, label(life))
    edits = [DeadLetterEdit(id=letter_id, payload=text) for text in ("AAAA", "BBBB")]
    answers = await asyncio.gather(*map(ask, edits))
    codes = [answer.error.code if answer.error else 0 for answer in answers]
    assert sorted(codes) == [0, ErrorCode.DEAD_LETTER_NOT_FOUND]
    (letter,) = await letters(ask, preview_bytes=10)
    assert letter["payload"] == edits[codes.index(0)].payload


async def test_the_tidying_goes_on_when_a_station_goes(ask: Asker, client: Client):
    """Also for a station that is made again under its name: nothing of the old life concerns it."""
    for name in ("s.x", "other"):
        await ask.ok(GroupJoin(station=name, group="g.one"))
    for name in ("s.x", "other"):
        life = await station(ask, name)
        for sequence in range(1, 4):
            await put(client, label(life, station=name, sequence=sequence))
    assert (await ask.ok(DeadLetterRedrive(station="s.x")))["moved"] == 3
    await ask.ok(StationRemove(name="s.x"))
    await ask.ok(GroupJoin(station="s.x", group="g.one"))
    life = await station(ask)
    await put(client, label(life, sequence=9))
    assert (await ask.ok(DeadLetterRedrive()))["moved"] == 4
    js = client.jetstream()
    for stream, count in (("other$1", 3), ("s#x$1", 1)):
        pulling = await js.pull_subscribe_bind("g#one", stream)
        messages = await pulling.fetch(count, timeout=10)
        assert len(messages) == count
        for message in messages:
            await message.ack_sync()

    async def is_tidy() -> bool:
        states = [(await js.stream_info(stream)).state for stream in ("other$1", "s#x$1")]
        return not any(state.messages for state in states)

    await eventually(is_tidy)
