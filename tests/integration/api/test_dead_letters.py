"""Dead letters through real requests: what the engine gave up, what is malformed, what was cut off."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import api
from nats.js.errors import NotFoundError

from memphis.types import Retention
from memphis.wire.dead_letters import (
    DeadLetterDrop,
    DeadLetterEdit,
    DeadLetterGet,
    DeadLetterList,
    DeadLetterRedrive,
    write_label,
)
from memphis.wire.errors import ErrorCode
from memphis.wire.models import (
    GroupJoin,
    StationConfigure,
    StationInfoGet,
)
from memphis_broker.app import App
from memphis_broker.dead_letters.store import DeadLetterStore
from memphis_broker.engine.records import RecordStore
from tests.integration.api.conftest import Asker, Engine
from tests.integration.api.dead_letter_helpers import (
    STREAM,
    label,
    letters,
    put,
    some_letters,
    station,
)
from tests.waiting import eventually

GIVEN_UP = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"


async def fail_by_force(client: Client, name: str, group: str, **config: Any) -> None:
    """A consumer of another NATS client, with a limit of the engine, reads a message and gives it up."""
    js = client.jetstream()
    limited = api.ConsumerConfig(
        durable_name=group, ack_wait=60, max_deliver=1, filter_subject=f"{name}.final", **config
    )
    await js.add_consumer(name, limited)
    pulling = await js.pull_subscribe_bind(group, name)
    (message,) = await pulling.fetch(1)
    await message.nak()

    async def is_given_up() -> bool:
        # The engine says so when somebody asks for more.
        try:
            await pulling.fetch(1, timeout=0.1)
        except TimeoutError:
            info = await js.consumer_info(name, group)
            return not info.num_ack_pending
        return False

    await eventually(is_given_up)


# What the engine gave up.


async def test_a_consumer_of_another_client_has_dead_letters_as_well(ask: Asker, client: Client):
    """What the engine gives up for it is kept, with everything, once."""
    await station(ask)
    headers = {"Nats-Msg-Id": "one", "msg-id": "one", "trace": "ünïcode"}
    await client.jetstream().publish("s#x$1.in", b"\x00payload", headers=headers)
    await fail_by_force(client, "s#x$1", "foreign")
    (letter,) = await some_letters(ask, station="s.x")
    assert (letter["group"], letter["sequence"], letter["deliveries"]) == ("foreign", 1, 1)
    assert letter["headers"] == {"msg-id": "one", "trace": "ünïcode"}
    shown = await ask.ok(DeadLetterGet(id=letter["id"]))
    assert shown["payload"] == "AHBheWxvYWQ="

    async def is_seen_to() -> bool:
        return (await client.jetstream().stream_info("memphis_given_up")).state.messages == 0

    await eventually(is_seen_to)
    assert (await ask.ok(StationInfoGet(name="s.x")))["messages"] == 1


async def test_word_of_the_engine_waits_for_a_broker(engine: Engine, client: Client):
    """While none runs the engine's own stream keeps it."""
    async with engine.app():
        await station(Asker(client))
        await client.jetstream().publish("s#x$1.in", b"payload")
    await fail_by_force(client, "s#x$1", "foreign")
    async with engine.app():
        (letter,) = await some_letters(Asker(client))
        assert letter["group"] == "foreign"


async def test_with_retention_by_acks_the_message_goes_then(ask: Asker, client: Client):
    """The engine itself would keep it for ever."""
    await station(ask, retention_type=Retention.ACK_BASED)
    js = client.jetstream()
    await js.add_consumer("s#x$1", durable_name="foreign-too")  # or nobody would want the message
    await js.publish("s#x$1.in", b"payload")
    await js.delete_consumer("s#x$1", "foreign-too")
    await js.add_consumer(
        "s#x$1",
        api.ConsumerConfig(durable_name="foreign", max_deliver=1, ack_wait=60),
    )
    await js.publish("s#x$1.in", b"payload")
    pulling = await js.pull_subscribe_bind("foreign", "s#x$1")
    (message,) = await pulling.fetch(1)
    await message.nak()

    async def is_empty() -> bool:
        with contextlib.suppress(TimeoutError):
            await pulling.fetch(1, timeout=0.1)
        return (await ask.ok(StationInfoGet(name="s.x")))["messages"] == 0

    await eventually(is_empty)
    assert len(await letters(ask)) == 1


async def test_what_retention_took_first_is_told(engine: Engine, client: Client):
    """There is a dead letter that says so; it has no payload and cannot be given back as it is."""
    async with engine.app():
        await station(Asker(client))
        await client.jetstream().publish("s#x$1.in", b"payload")
    await fail_by_force(client, "s#x$1", "foreign")
    await client.jetstream().purge_stream("s#x$1")
    async with engine.app():
        ask = Asker(client)
        (letter,) = await some_letters(ask)
        assert letter["payload_is_gone"]
        assert "retention" in letter["reason"]
        moved = await ask.ok(DeadLetterRedrive(ids=[letter["id"]]))
        assert [r["code"] for r in moved["refused"]] == [ErrorCode.DEAD_LETTER_STUCK]


async def test_a_station_that_keeps_none(ask: Asker, client: Client):
    """The engine's word is read, and nothing is stored."""
    await station(ask, send_poison_msg_to_dls=False)
    await client.jetstream().publish("s#x$1.in", b"payload")
    await fail_by_force(client, "s#x$1", "foreign")

    async def is_seen_to() -> bool:
        state = (await client.jetstream().stream_info("memphis_given_up")).state
        return state.last_seq == 1 and not state.messages

    await eventually(is_seen_to)
    assert await letters(ask) == []


@pytest.mark.parametrize(
    "word",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"stream": 5, "consumer": "c", "stream_seq": 1, "deliveries": 1}',
        b'{"stream": "s#x$1", "consumer": "c", "stream_seq": -1, "deliveries": 1}',
        b'{"stream": "s#x$1", "consumer": "c", "stream_seq": "1", "deliveries": 1}',
        b"\xff\x00",
    ],
    ids=str,
)
async def test_malformed_words_of_the_engine_are_set_aside(ask: Asker, client: Client, word: bytes):
    """They are among the dead letters, as what they are, and nobody is busy with them for ever."""
    await client.jetstream().publish(f"{GIVEN_UP}.s.c", word)
    (letter,) = await some_letters(ask, kind="malformed")
    assert "cannot be understood" in letter["reason"]
    assert letter["size"] == len(word)
    state = (await client.jetstream().stream_info("memphis_given_up")).state
    assert state.messages == 0
    moved = await ask.ok(DeadLetterRedrive(ids=[letter["id"]]))
    assert [r["code"] for r in moved["refused"]] == [ErrorCode.DEAD_LETTER_STUCK]
    edit = DeadLetterEdit(id=letter["id"], payload="")
    assert await ask.refused(edit) == ErrorCode.DEAD_LETTER_STUCK
    assert await ask.ok(DeadLetterDrop(kind="malformed")) == {"dropped": 1}


@pytest.mark.parametrize("stream", ["other", "s#x$2", "S!$1", "nothing$1", "$", "s#x$one"])
async def test_words_about_streams_that_are_no_stations(ask: Asker, client: Client, stream: str):
    """They are read and forgotten."""
    await station(ask)
    word = {"stream": stream, "consumer": "c", "stream_seq": 1, "deliveries": 1}
    await client.jetstream().publish(f"{GIVEN_UP}.s.c", json.dumps(word).encode())

    async def is_seen_to() -> bool:
        return (await client.jetstream().stream_info("memphis_given_up")).state.messages == 0

    await eventually(is_seen_to)
    assert await letters(ask) == []


# Requests.


async def test_unknown_dead_letters(ask: Asker):
    """Each request has its number for them; to drop one is done already."""
    assert await ask.refused(DeadLetterGet(id=5)) == ErrorCode.DEAD_LETTER_NOT_FOUND
    edit = DeadLetterEdit(id=5, payload="")
    assert await ask.refused(edit) == ErrorCode.DEAD_LETTER_NOT_FOUND
    assert await ask.ok(DeadLetterDrop(ids=[5])) == {"dropped": 0}
    moved = await ask.ok(DeadLetterRedrive(ids=[5, 9]))
    assert moved["moved"] == 0
    assert [(r["id"], r["code"]) for r in moved["refused"]] == [
        (5, ErrorCode.DEAD_LETTER_NOT_FOUND),
        (9, ErrorCode.DEAD_LETTER_NOT_FOUND),
    ]


@pytest.mark.parametrize(
    ("selected", "code"),
    [
        ({"kind": "odd"}, ErrorCode.INVALID_OPTION),
        ({"station": "missing"}, ErrorCode.STATION_NOT_FOUND),
        ({"station": "no good"}, ErrorCode.INVALID_NAME),
        ({"group": "no good"}, ErrorCode.INVALID_NAME),
        ({"ids": [1], "kind": "poison"}, ErrorCode.INVALID_OPTION),
        ({"since": datetime(2026, 1, 1)}, ErrorCode.INVALID_OPTION),  # noqa: DTZ001 - on purpose
    ],
    ids=str,
)
async def test_selections_that_cannot_be(ask: Asker, selected: dict[str, Any], code: ErrorCode):
    """Every request that selects says so, and drops and moves nothing."""
    for request in (DeadLetterList, DeadLetterRedrive, DeadLetterDrop):
        assert await ask.refused(request(**selected)) == code


async def test_edits_that_cannot_be(ask: Asker, client: Client):
    """No base64, a reserved header: refused, and the dead letter is as it was."""
    life = await station(ask)
    letter_id = await put(client, label(life), key="value")
    for wrong in ({"payload": "*"}, {"headers": {"Nats-Msg-Id": "1"}}, {"headers": {"a b": "1"}}):
        edit = DeadLetterEdit(id=letter_id, **wrong)
        assert await ask.refused(edit) == ErrorCode.INVALID_OPTION
    (letter,) = await letters(ask)
    assert (letter["id"], letter["headers"]) == (letter_id, {"key": "value"})


async def test_limits_of_the_broker_change_with_its_settings(engine: Engine, client: Client):
    """A broker that is started with others has them hold, also for what is there."""
    async with engine.app():
        life = await station(Asker(client))
        for sequence in range(1, 6):
            await put(client, label(life, sequence=sequence))
    async with engine.app(settings={"dead_letter_count_max": 3, "dead_letter_age_max_s": 60}):
        assert len(await letters(Asker(client))) == 3
    config = (await client.jetstream().stream_info(STREAM)).config
    assert (config.max_msgs, config.max_age) == (3, 60)


# What was cut off.


async def test_a_batch_that_was_cut_off_is_finished(
    engine: Engine, client: Client, monkeypatch: pytest.MonkeyPatch
):
    """Killed after it stored the copies: the next broker deletes, and nobody gets anything twice."""

    class Killed(BaseException):
        pass

    async def killed(*_: Any) -> list[Any]:
        raise Killed

    async with engine.app() as app:
        ask = Asker(client)
        await ask.ok(GroupJoin(station="s.x", group="g.one"))
        life = await station(ask)
        ids = [await put(client, label(life, sequence=n)) for n in (1, 2, 3)]
        with monkeypatch.context() as patch:
            patch.setattr(DeadLetterStore, "delete_all", killed)
            found = [await app_store(app).get(i) for i in ids]
            with pytest.raises(Killed):
                await app_redriver(app).move([f for f in found if f], "")
        assert len(await letters(ask)) == 3
    async with engine.app():
        assert await letters(Asker(client)) == []
    js = client.jetstream()
    pulling = await js.pull_subscribe_bind("g#one", "s#x$1")
    messages = await pulling.fetch(10, timeout=1)
    assert [m.subject for m in messages] == [f"s#x$1.redrive.g#one.{i}" for i in ids]
    async with engine.connections() as connections:
        assert await RecordStore(connections.control, "memphis_redrives", 1).scan() == []


async def test_an_edit_that_was_cut_off_is_finished(engine: Engine, client: Client):
    """Killed after it stored the edited form: whoever follows the stream deletes the old one."""
    async with engine.app(serve=False):
        pass
    async with engine.app() as app:
        ask = Asker(client)
        life = await station(ask)
        old = await put(client, label(life))
        new = await put(client, label(life, edits=1, replaces=old))
        assert [x["id"] for x in await some_letters(ask)] == [new]
        assert app.statistics()["refused"] == 0


async def test_what_a_group_that_is_gone_was_given_is_taken_back(ask: Asker, client: Client):
    """It ended in the same moment: what nobody would ever read is among the dead letters again."""
    life = await station(ask)
    written = label(life, round=1)
    await client.jetstream().publish(
        "s#x$1.redrive.g#one.5", b"x", headers={"$memphis_deadLetter": write_label(written)}
    )
    # A broker looks at all stations when it starts, so this one is told of another redrive.
    await ask.ok(GroupJoin(station="s.x", group="here"))
    other = await put(client, label(life, group="here"))
    assert (await ask.ok(DeadLetterRedrive(ids=[other])))["moved"] == 1
    (letter,) = await some_letters(ask, group="g.one")
    assert (letter["redriven"], letter["reason"]) == (1, "why")
    info = await client.jetstream().stream_info("s#x$1", subjects_filter="s#x$1.redrive.>")
    assert list(info.state.subjects or {}) == [f"s#x$1.redrive.here.{other}"]


async def test_a_stream_that_has_the_engines_words_already(engine: Engine, client: Client):
    """On an engine of somebody else's: the broker goes without them, says so, and serves."""
    await client.jetstream().add_stream(name="mine", subjects=[f"{GIVEN_UP}.>"])
    async with engine.app():
        await station(Asker(client))
        assert await letters(Asker(client)) == []


async def test_copies_for_a_dls_station_come_once(engine: Engine, client: Client):
    """However often brokers begin anew, and also for what came while none ran."""
    async with engine.app():
        ask = Asker(client)
        life = await station(ask, dls_station="dead")
        await put(client, label(life, sequence=1))
    await put(client, label(life, sequence=2))
    async with engine.app(), engine.app(alone=False):

        async def both() -> bool:
            return bool((await ask.ok(StationInfoGet(name="dead")))["messages"] == 2)

        await eventually(both)
        await ask.ok(StationConfigure(name="s.x", dls_station=""))
        await put(client, label(life, sequence=3))
        await some_letters(ask, 3)

        async def is_read() -> bool:
            info = await client.jetstream().consumer_info(STREAM, "follower")
            return not info.num_pending and not info.num_ack_pending

        await eventually(is_read)
        assert await both()


def app_store(app: App) -> Any:
    """The dead letters as the control plane sees them."""
    return app._dead_letter_work._redriver._store


def app_redriver(app: App) -> Any:
    """What gives them back."""
    return app._dead_letter_work._redriver


async def test_a_missing_stream_is_no_disaster(ask: Asker, client: Client):
    """Somebody deleted it: nothing is listed, and the next broker makes it anew."""
    await client.jetstream().delete_stream(STREAM)
    with pytest.raises(NotFoundError):
        await client.jetstream().stream_info(STREAM)
    await station(ask)
    assert (await ask.ok(StationInfoGet(name="s.x")))["dead_letters"] == {
        "poison": 0,
        "schema_failed": 0,
    }
