"""The nine requests of the original's SDKs: shapes of replies, the words they test, and who asks."""

from __future__ import annotations

import json
import random

import pytest

from memphis.wire import legacy
from memphis.wire.models import GroupJoin, StationGet, StationInfoGet
from tests.integration.api.legacy_requests import (
    BODIES,
    OriginalSdk,
    both,
    original_sdk,
    state_of,
)
from tests.integration.api.test_malformed import NO_JSON, NO_OBJECT
from tests.waiting import eventually

NAMES = ["", "-x", "a b", "x#y", "x" * 129, "ü", "not exist", "already exists"]
MAKING = [legacy.STATION_CREATIONS, legacy.PRODUCER_CREATIONS, legacy.CONSUMER_CREATIONS]


@pytest.fixture
async def sdk(app, engine):
    async with original_sdk(engine) as sdk:
        yield sdk


async def _groups(ask, name="s.x"):
    return [g["name"] for g in (await ask.ok(StationInfoGet(name=name)))["groups"]]


async def test_the_life_of_a_station(sdk, ask):
    """Plain text, empty for success; what its SDKs take for one has the words that they look for."""
    assert await sdk(legacy.STATION_CREATIONS) == ""
    assert await sdk(legacy.STATION_CREATIONS, retention_value=9) == ""
    options = (await ask.ok(StationGet(name="s.x")))["options"]
    assert (options["retention_value"], options["partitions_number"]) == (3600, 2)
    assert await sdk(legacy.STATION_DESTRUCTIONS) == ""
    assert "does not exist" in await sdk(legacy.STATION_DESTRUCTIONS)


async def test_a_producer(sdk, ask):
    """All seven members; its station is made where it is missing."""
    assert json.loads(await sdk(legacy.PRODUCER_CREATIONS)) == {
        "error": "",
        "schema_update": {
            "schema_name": "",
            "active_version": {
                "version_number": 0,
                "descriptor": "",
                "schema_content": "",
                "message_struct_name": "",
            },
            "type": "",
        },
        "partitions_update": {"partitions_list": [1]},
        "schemaverse_to_dls": True,
        "send_notification": False,
        "station_version": 2,
        "station_partitions_first_functions": {},
    }
    assert await sdk(legacy.PRODUCER_DESTRUCTIONS) == ""
    assert await sdk(legacy.PRODUCER_DESTRUCTIONS, name="never-made") == ""
    refused = json.loads(await sdk(legacy.PRODUCER_CREATIONS, name="-"))
    assert refused["error"]
    assert refused["partitions_update"] == {"partitions_list": None}
    assert refused["station_partitions_first_functions"] == {}


async def test_a_consumer(sdk, ask, client):
    """Its group reads every partition by the time that it hears so; errors are plain text."""
    await sdk(legacy.STATION_CREATIONS)
    reply = json.loads(await sdk(legacy.CONSUMER_CREATIONS, max_msg_deliveries=3))
    assert sorted(reply) == ["error", "partitions_update", "schema_update"]
    assert reply["partitions_update"] == {"partitions_list": [1, 2]}
    for partition in (1, 2):
        info = await client.jetstream().consumer_info(f"s#x${partition}", "g#1")
        assert (info.config.max_deliver, info.config.ack_wait) == (3, 30)
    for wrong in ({"start_consume_from_sequence": 0}, {"last_messages": -2}, {"name": ""}):
        text = await sdk(legacy.CONSUMER_CREATIONS, **wrong)
        assert text
        assert not text.startswith("{")
    assert await sdk(legacy.CONSUMER_DESTRUCTIONS) == ""
    assert await _groups(ask) == []
    assert "does not exist" in await sdk(legacy.CONSUMER_DESTRUCTIONS)
    assert "does not exist" in await sdk(legacy.CONSUMER_DESTRUCTIONS, station_name="missing")


async def test_a_consumer_without_a_group_is_one_of_its_own(sdk, ask):
    """Of its name; numbers that make no sense have the original's defaults."""
    await sdk(
        legacy.CONSUMER_CREATIONS, consumers_group="", max_ack_time_ms=0, max_msg_deliveries=11
    )
    assert await _groups(ask) == ["c"]


async def test_schemas(sdk, ask):
    """Created as JSON, attached and detached as text; a schema or station that is missing is named."""
    await sdk(legacy.STATION_CREATIONS)
    assert json.loads(await sdk(legacy.SCHEMA_CREATIONS)) == {"error": ""}
    assert "already exists" in json.loads(await sdk(legacy.SCHEMA_CREATIONS))["error"]
    other = json.loads(await sdk(legacy.SCHEMA_CREATIONS, type="avro"))["error"]
    assert "already exist" in other
    assert "already exists" not in other
    for wrong in ({"schema_content": ""}, {"name": "new", "schema_content": "{"}, {"type": "xml"}):
        assert json.loads(await sdk(legacy.SCHEMA_CREATIONS, **wrong))["error"]
    assert "missing" in await sdk(legacy.SCHEMA_ATTACHMENTS, name="missing")
    assert "missing" in await sdk(legacy.SCHEMA_ATTACHMENTS, station_name="missing")
    assert "missing" in await sdk(legacy.SCHEMA_DETACHMENTS, station_name="missing")
    assert await sdk(legacy.SCHEMA_DETACHMENTS) == ""
    assert await sdk(legacy.SCHEMA_ATTACHMENTS) == ""
    update = json.loads(await sdk(legacy.PRODUCER_CREATIONS))["schema_update"]
    assert (update["schema_name"], update["type"]) == ("schema", "json")


async def test_keys_have_no_case(sdk, ask):
    """One SDK writes capitals; unknown members are left alone, null is like missing."""
    body = {
        "NAME": "capitals", "Retention_Type": "MESSAGES", "RETENTION_VALUE": 7, "Unknown": [{}],
        "DLS_Configuration": {"POISON": False, "schemaVerse": False}, "storage_type": None,
    }  # fmt: skip
    assert await sdk.raw(legacy.STATION_CREATIONS, json.dumps(body).encode()) == b""
    options = (await ask.ok(StationGet(name="capitals")))["options"]
    assert (options["retention_type"], options["retention_value"]) == ("messages", 7)
    assert not options["send_poison_msg_to_dls"]
    assert not options["send_schema_failed_msg_to_dls"]


@pytest.mark.parametrize("version", [2, 3, 4, 5])
async def test_versions_that_are_served(sdk, version):
    """Older ones are read as if they had said what newer ones add."""
    changes = {"req_version": version}
    assert json.loads(await sdk(legacy.PRODUCER_CREATIONS, **changes))["error"] == ""
    assert json.loads(await sdk(legacy.CONSUMER_CREATIONS, **changes))["error"] == ""


@pytest.mark.parametrize("version", [None, 0, 1])
async def test_versions_from_before_partitions_are_refused(sdk, engine, version):
    """They would write where no station listens; nothing is made for them."""
    before = await state_of(engine)
    assert (
        "partitions"
        in json.loads(await sdk(legacy.PRODUCER_CREATIONS, req_version=version))["error"]
    )
    assert "partitions" in await sdk(legacy.CONSUMER_CREATIONS, req_version=version)
    assert await state_of(engine) == before


async def test_identity_is_the_connections(app, engine, ask):
    """Whatever the body says: nobody ends another connection's consumer."""
    async with original_sdk(engine) as one, original_sdk(engine) as other:
        await one(legacy.CONSUMER_CREATIONS)
        stolen = {"connection_id": one.connection_id}
        assert "does not exist" in await other(legacy.CONSUMER_DESTRUCTIONS, **stolen)
        assert await _groups(ask) == ["g.1"]
        assert await one(legacy.CONSUMER_DESTRUCTIONS) == ""
        assert await _groups(ask) == []


async def test_a_group_of_two(app, engine, ask):
    """It ends with its last member, whoever that is, and then for good."""
    async with original_sdk(engine) as one, original_sdk(engine) as other:
        await both(one(legacy.CONSUMER_CREATIONS), other(legacy.CONSUMER_CREATIONS))
        assert await one(legacy.CONSUMER_DESTRUCTIONS) == ""
        assert await _groups(ask) == ["g.1"]
        assert await other(legacy.CONSUMER_DESTRUCTIONS) == ""

        async def ended() -> bool:
            return await _groups(ask) == []

        await eventually(ended, 30)


@pytest.mark.parametrize("subject", BODIES)
async def test_a_request_made_again_changes_nothing_twice(sdk, engine, subject):
    """At the same time, as an SDK does that hears nothing, and afterwards."""
    await sdk(legacy.STATION_CREATIONS)
    await sdk(legacy.SCHEMA_CREATIONS)
    if subject in (legacy.CONSUMER_DESTRUCTIONS, legacy.SCHEMA_DETACHMENTS):
        await sdk(legacy.CONSUMER_CREATIONS)
        await sdk(legacy.SCHEMA_ATTACHMENTS)
    changes = {"name": "another"} if subject == legacy.SCHEMA_CREATIONS else {}
    replies = await both(*[sdk(subject, **changes) for _ in range(4)])
    assert len(set(replies)) == 1
    once = await state_of(engine)
    again = await sdk(subject, **changes)
    assert again == replies[0] or "exist" in again
    twice = await state_of(engine)
    for stream in ("client/s#x$1", "client/s#x$2"):
        assert twice.get(stream) == once.get(stream)
    assert set(twice) == set(once)


@pytest.mark.parametrize("subject", BODIES)
async def test_no_request_at_all(sdk, engine, subject):
    """Bytes that are nothing: an answer, and nothing changed."""
    before = await state_of(engine)
    for body in [*NO_JSON, *NO_OBJECT]:
        assert await sdk.raw(subject, body), body[:100]
    assert await state_of(engine) == before


STRANGE = [True, -1, 2**64, 10**400, 1.5, "x" * 400_000, [], {}, [[[[]]]], {"a": {"b": None}}]


@pytest.mark.parametrize("subject", BODIES)
async def test_wrong_values(sdk, engine, subject):
    """Each member in turn of a wrong type or size: what is refused has changed nothing."""
    for member in BODIES[subject]:
        for value in STRANGE:
            before = await state_of(engine)
            reply = await sdk(subject, **{member: value})
            refused = reply and '"error": ""' not in reply
            if refused:
                assert await state_of(engine) == before, (member, value)
            else:
                assert _is_harmless(subject, member, value), (member, value, reply)
    assert await sdk(legacy.STATION_CREATIONS, name="alive") == ""


def _is_harmless(subject, member, value):
    """Whether a strange value may be granted: nobody reads it, or a number is only out of bounds."""
    ignored = {
        "username", "producer_type", "consumer_type", "app_id", "sdk_lang", "created_by_username",
        "connection_id", "req_version",
    }  # fmt: skip
    if member in ignored:
        return True
    bounded = {
        "retention_value", "replicas", "idempotency_window_in_ms", "max_ack_time_ms",
        "max_msg_deliveries", "last_messages",
    }  # fmt: skip
    if member in bounded and value == -1:
        return True
    # An object without the known members asks for the defaults.
    return member in {"tiered_storage_enabled", "dls_configuration"} and (
        value is True or isinstance(value, dict)
    )


@pytest.mark.parametrize("subject", BODIES)
async def test_missing_members(sdk, engine, subject):
    """Whatever is missing: an answer, and names are needed."""
    for member in BODIES[subject]:
        body = {key: value for key, value in BODIES[subject].items() if key != member}
        before = await state_of(engine)
        reply = (await sdk.raw(subject, json.dumps(body).encode())).decode()
        if member in {"name", "station_name", "schema_content", "start_consume_from_sequence"}:
            assert reply, member
            assert await state_of(engine) == before


@pytest.mark.parametrize("subject", BODIES)
async def test_random_bytes(sdk, engine, subject):
    """Nothing that is random is a request."""
    chance = random.Random(subject)
    before = await state_of(engine)
    for size in (1, 10, 10, 10, 1000, 1000, 100_000):
        assert await sdk.raw(subject, chance.randbytes(size))
    assert await state_of(engine) == before


@pytest.mark.parametrize("subject", MAKING)
async def test_a_bad_name_is_no_success(sdk, engine, subject):
    """Also one that quotes what an SDK takes for one."""
    before = await state_of(engine)
    key = "name" if subject == legacy.STATION_CREATIONS else "station_name"
    for name in NAMES:
        reply = await sdk(subject, **{key: name})
        text = json.loads(reply)["error"] if reply.startswith("{") else reply
        assert text
        assert "already exist" not in text
        assert "not exist" not in text
    assert await state_of(engine) == before


async def test_native_requests_go_on_beside(sdk, client, ask):
    """Both edges over the same services."""
    await sdk(legacy.STATION_CREATIONS)
    assert (await ask.ok(StationGet(name="S.X")))["name"] == "s.x"


async def test_a_message_delivered_to_the_edge_is_no_request(sdk, client, ask):
    """A pull may name any reply subject; what comes then has the subject it was stored under."""
    await sdk(legacy.STATION_CREATIONS, partitions_number=1)
    await sdk(legacy.CONSUMER_CREATIONS)
    for subject in (*legacy.REQUESTS, "$memphis.api.v1.station.get"):
        await client.jetstream().publish("s#x$1.in", b"{}")
        await client.publish("$JS.API.CONSUMER.MSG.NEXT.s#x$1.g#1", b'{"batch": 1}', reply=subject)
    await client.flush()
    assert await sdk(legacy.STATION_CREATIONS) == ""
    assert (await ask.ok(StationGet(name="s.x")))["name"] == "s.x"


async def test_a_client_that_names_no_connection_is_nobodys_member(app, engine, client):
    """The engine says who it is; the id in its body counts for nothing."""
    async with original_sdk(engine) as victim:
        await victim(legacy.CONSUMER_CREATIONS)
        plain = OriginalSdk(client, "")
        for subject in (legacy.CONSUMER_CREATIONS, legacy.CONSUMER_DESTRUCTIONS):
            reply = await plain(subject, connection_id=victim.connection_id)
            assert "<uuid>" in reply
        assert await victim(legacy.CONSUMER_DESTRUCTIONS) == ""


async def test_one_name_in_two_groups(app, engine, ask):
    """Both are members; ending one of them ends that one's group."""
    async with original_sdk(engine) as one:
        await one(legacy.CONSUMER_CREATIONS)
        await one(legacy.CONSUMER_CREATIONS, consumers_group="g.2")
        async with original_sdk(engine) as other:
            await other(legacy.CONSUMER_CREATIONS)
            assert await other(legacy.CONSUMER_DESTRUCTIONS) == ""
        assert await _groups(ask) == ["g.1", "g.2"]
        assert await one(legacy.CONSUMER_DESTRUCTIONS) == ""
        assert await one(legacy.CONSUMER_DESTRUCTIONS) == ""

        async def ended() -> bool:
            return await _groups(ask) == []

        await eventually(ended, 30)


async def test_a_refused_consumer_is_no_member(app, engine, ask):
    """The group ends with the last that was not refused."""
    async with original_sdk(engine) as one, original_sdk(engine) as refused:
        await one(legacy.CONSUMER_CREATIONS)
        both_starts = {"start_consume_from_sequence": 5, "last_messages": 5}
        assert "not both" in await refused(legacy.CONSUMER_CREATIONS, **both_starts)
        assert "does not exist" in await refused(legacy.CONSUMER_DESTRUCTIONS)
        await one(legacy.CONSUMER_DESTRUCTIONS)
        assert await _groups(ask) == []


async def test_a_group_destroyed_and_made_again_at_once_is_made_anew(app, engine, ask, client):
    """Also one that was shared, which takes a while to end: its position is not inherited."""
    async with original_sdk(engine) as one, original_sdk(engine) as other:
        await one(legacy.STATION_CREATIONS)
        await one(legacy.CONSUMER_CREATIONS)
        await other(legacy.CONSUMER_CREATIONS)
        for number in range(4):
            await client.jetstream().publish(f"s#x${number % 2 + 1}.in", b"x")
        for sdk in (one, other):
            assert await sdk(legacy.CONSUMER_DESTRUCTIONS) == ""
        assert json.loads(await one(legacy.CONSUMER_CREATIONS, last_messages=0))["error"] == ""
        (group,) = (await ask.ok(StationInfoGet(name="s.x")))["groups"]
        assert (group["name"], group["pending"]) == ("g.1", 0)


async def test_a_native_member_does_not_change_the_limits_of_living_ones(app, engine, ask):
    """Of either kind; one that needs the engine to keep the limit may."""
    join = GroupJoin(station="s.x", group="g.1", max_ack_time_ms=2000, max_msg_deliveries=1)
    async with original_sdk(engine) as one:
        await one(legacy.CONSUMER_CREATIONS, max_ack_time_ms=60_000, max_msg_deliveries=5)
        joined = await ask.ok(join)
        assert (joined["max_ack_time_ms"], joined["max_msg_deliveries"]) == (60_000, 5)
        await one(legacy.CONSUMER_CREATIONS, name="d", max_msg_deliveries=3)
        joined = await ask.ok(join)
        assert joined["max_msg_deliveries"] == 3
