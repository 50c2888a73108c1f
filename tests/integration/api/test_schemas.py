"""Schemas as the broker keeps them: versions, activation, removal, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.errors import NoKeysError

from memphis.types import Compatibility
from memphis.wire.errors import ErrorCode
from memphis.wire.models import (
    GroupJoin,
    StationCreate,
    StationGet,
    StationOptions,
    StationRemove,
    StationUpdate,
)
from memphis.wire.names import StationName
from memphis.wire.schemas import (
    SCHEMA_CONTENT_LENGTH_MAX,
    SchemaActivate,
    SchemaAttach,
    SchemaCheck,
    SchemaConfigure,
    SchemaCreate,
    SchemaDetach,
    SchemaGet,
    SchemaList,
    SchemaRemove,
    SchemaVersionGet,
)
from memphis.wire.subjects import updates_subject
from tests.integration.api.conftest import Asker, Engine

NUMBERS = '{"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}'
TEXTS = '{"type": "object", "properties": {"n": {"type": "string"}}, "required": ["n"]}'
PROTO = 'syntax = "proto3";\nmessage Order { int64 id = 1; }\nmessage Item { string sku = 1; }\n'


def create(content: str = NUMBERS, **fields: Any) -> SchemaCreate:
    return SchemaCreate(**{"name": "orders", "type": "json", "content": content, **fields})


async def test_the_same_content_is_the_same_version(ask: Asker):
    """New content is a new version, inactive; content known already makes none, also an old one."""
    assert await ask.ok(create(name="Orders")) == {
        "name": "orders",
        "version": 1,
        "created": True,
        "active_version": 1,
    }
    second = await ask.ok(create(TEXTS))
    assert (second["version"], second["created"], second["active_version"]) == (2, True, 1)
    again = await ask.ok(create())
    assert (again["version"], again["created"], again["active_version"]) == (1, False, 1)
    other_type = create(type="avro", content='"string"')
    assert await ask.refused(other_type) == ErrorCode.SCHEMA_TYPE_DIFFERS
    description = await ask.ok(SchemaGet(name="orders"))
    assert [v["version"] for v in description["versions"]] == [1, 2]
    assert [v["active"] for v in description["versions"]] == [True, False]
    stored = await ask.ok(SchemaVersionGet(name="orders", version=2))
    assert stored["content"] == TEXTS


async def test_an_activation_is_told_to_the_stations_that_use_the_schema(
    ask: Asker, client: Client
):
    """Attach, new version, activation back and forth, detach: each is in the description, and pushed."""
    await ask.ok(create())
    await ask.ok(create(TEXTS))
    await ask.ok(StationCreate(name="s"))
    heard = await client.subscribe(updates_subject(StationName.parse("s")))

    async def version_after(request: Any) -> int | None:
        await ask.ok(request)
        message = await heard.next_msg(timeout=10)
        assert StationUpdate.model_validate_json(message.data).event == "changed"
        attached = (await ask.ok(StationGet(name="s")))["attached_schema"]
        return None if attached is None else attached["version"]

    assert await version_after(SchemaAttach(name="orders", station="s")) == 1
    assert await version_after(SchemaActivate(name="orders", version=2)) == 2
    assert await version_after(SchemaActivate(name="orders", version=1)) == 1
    assert await version_after(create('{"type": "array"}', activate=True)) == 3
    joined = await ask.ok(GroupJoin(station="s", group="g"))
    assert joined["station"]["attached_schema"]["version"] == 3
    assert (await ask.ok(SchemaGet(name="orders")))["stations"] == ["s"]
    assert await version_after(SchemaDetach(station="s")) is None
    await ask.ok(SchemaDetach(station="s"))  # none is as good


async def test_what_is_not_there_has_its_number(ask: Asker):
    """Unknown schemas, versions and stations are told apart."""
    assert await ask.refused(SchemaGet(name="nope")) == ErrorCode.SCHEMA_NOT_FOUND
    assert await ask.refused(SchemaGet(name="no pe")) == ErrorCode.INVALID_NAME
    assert await ask.refused(SchemaRemove(name="nope")) == ErrorCode.SCHEMA_NOT_FOUND
    attach = SchemaAttach(name="nope", station="s")
    assert await ask.refused(attach) == ErrorCode.SCHEMA_NOT_FOUND
    with_schema = StationCreate(name="s", options=StationOptions(schema_name="nope"))
    assert await ask.refused(with_schema) == ErrorCode.SCHEMA_NOT_FOUND
    await ask.ok(create())
    attach = SchemaAttach(name="orders", station="nope")
    assert await ask.refused(attach) == ErrorCode.STATION_NOT_FOUND
    activate = SchemaActivate(name="orders", version=2)
    assert await ask.refused(activate) == ErrorCode.SCHEMA_VERSION_NOT_FOUND
    get = SchemaVersionGet(name="orders", version=7)
    assert await ask.refused(get) == ErrorCode.SCHEMA_VERSION_NOT_FOUND
    other_life = SchemaVersionGet(name="orders", id="0" * 32)
    assert await ask.refused(other_life) == ErrorCode.SCHEMA_NOT_FOUND


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"content": "{"}, ErrorCode.SCHEMA_INVALID),
        ({"content": '{"type": "nope"}'}, ErrorCode.SCHEMA_INVALID),
        ({"content": '{"$ref": "http://127.0.0.1:1/s.json"}'}, ErrorCode.SCHEMA_INVALID),
        ({"content": '{"not":' * 5000 + "{}" + "}" * 5000}, ErrorCode.SCHEMA_INVALID),
        ({"type": "protobuf", "content": "message Order {"}, ErrorCode.SCHEMA_INVALID),
        ({"type": "protobuf", "content": 'syntax = "proto3";'}, ErrorCode.SCHEMA_INVALID),
        (
            {"type": "protobuf", "content": PROTO, "message_struct_name": "Nope"},
            ErrorCode.SCHEMA_INVALID,
        ),
        (
            {"type": "protobuf", "content": 'import "nope.proto";\n' + PROTO},
            ErrorCode.SCHEMA_INVALID,
        ),
        (
            {"type": "protobuf", "content": PROTO, "imports": {"../x.proto": PROTO}},
            ErrorCode.SCHEMA_INVALID,
        ),
        (
            {"type": "protobuf", "content": "message A {" * 3000 + "}" * 3000},
            ErrorCode.SCHEMA_INVALID,
        ),
        ({"type": "graphql", "content": "type Query {"}, ErrorCode.SCHEMA_INVALID),
        ({"type": "graphql", "content": "type A { b: Nope }"}, ErrorCode.SCHEMA_INVALID),
        (
            {"type": "graphql", "content": "type Query { a: " + "[" * 5000 + "Int" + "]" * 5000},
            ErrorCode.SCHEMA_INVALID,
        ),
        ({"type": "avro", "content": '{"type": "record"}'}, ErrorCode.SCHEMA_INVALID),
        ({"type": "avro", "content": '"nope"'}, ErrorCode.SCHEMA_INVALID),
        (
            {
                "type": "avro",
                "content": '{"type":"array","items":' * 3000 + '"int"' + "}" * 3000,
            },
            ErrorCode.SCHEMA_INVALID,
        ),
        ({"type": "xml", "content": "<a/>"}, ErrorCode.INVALID_OPTION),
        ({"encoding": "binary"}, ErrorCode.INVALID_OPTION),
        ({"message_struct_name": "Order"}, ErrorCode.INVALID_OPTION),
        ({"name": "no pe"}, ErrorCode.INVALID_NAME),
    ],
)
async def test_a_schema_that_cannot_be_used_is_refused_and_not_stored(
    ask: Asker, fields: dict[str, Any], code: ErrorCode
):
    """Unparsable, remote, endlessly nested or of no known kind: a number, soon, and nothing stored."""
    envelope = await ask(create(**fields))
    assert envelope.error is not None
    assert envelope.error.code == code, envelope.error
    assert len(envelope.error.message) > 20
    assert (await ask.ok(SchemaList()))["schemas"] == []


async def test_a_request_larger_than_a_schema_may_be_is_refused(ask: Asker):
    """More characters than allowed, in one file or in many; the largest possible one is taken."""
    too_long = json.dumps({"description": "x" * SCHEMA_CONTENT_LENGTH_MAX})
    body = json.dumps({"name": "orders", "type": "json", "content": too_long}).encode()
    refused = await ask.raw("$memphis.api.v1.schema.create", body)
    assert refused.error is not None
    assert refused.error.code == ErrorCode.MALFORMED_REQUEST
    many = {f"{n}.proto": PROTO + "//" + "x" * 400_000 for n in range(2)}
    assert (
        await ask.refused(create(PROTO, type="protobuf", imports=many)) == ErrorCode.INVALID_OPTION
    )
    largest = json.dumps({"description": "x" * (SCHEMA_CONTENT_LENGTH_MAX - 19)})
    for n in range(3):
        made = await ask.ok(create(largest.replace("x", str(n))))
        assert made["version"] == n + 1


async def test_protobuf_files_are_compiled_with_their_imports(ask: Asker):
    """The first message is the default, another can be named, and is another version."""
    money = 'syntax = "proto3";\npackage common;\nmessage Money { int64 cents = 1; }\n'
    order = (
        'syntax = "proto3";\npackage shop;\nimport "common/money.proto";\n'
        'import "google/protobuf/timestamp.proto";\n'
        "message Order { common.Money total = 1; google.protobuf.Timestamp at = 2; }\n"
        "message Refund { int64 order = 1; }\n"
    )
    fields = {"type": "protobuf", "imports": {"common/money.proto": money}}
    assert (await ask.ok(create(order, **fields)))["version"] == 1
    assert (await ask.ok(create(order, message_struct_name="Order", **fields)))["version"] == 1
    named = await ask.ok(create(order, message_struct_name="shop.Refund", **fields))
    assert (named["version"], named["created"]) == (2, True)
    first = await ask.ok(SchemaVersionGet(name="orders", version=1))
    assert first["message_struct_name"] == "shop.Order"
    assert first["imports"] == {"common/money.proto": money}
    assert first["descriptor"]
    second = await ask.ok(SchemaVersionGet(name="orders", version=2))
    assert second["message_struct_name"] == "shop.Refund"


async def test_a_version_that_breaks_the_promise_is_not_stored(ask: Asker):
    """The mode is that of the schema, can be changed, and the reason is in words."""
    await ask.ok(create(compatibility=Compatibility.BACKWARD))
    envelope = await ask(create(TEXTS))
    assert envelope.error is not None
    assert envelope.error.code == ErrorCode.SCHEMA_INCOMPATIBLE
    assert "n" in envelope.error.message
    assert "number became string" in envelope.error.message
    description = await ask.ok(SchemaGet(name="orders"))
    assert description["compatibility"] == "BACKWARD"
    assert len(description["versions"]) == 1
    await ask.ok(SchemaConfigure(name="orders", compatibility=Compatibility.NONE))
    assert (await ask.ok(create(TEXTS)))["version"] == 2
    await ask.ok(SchemaConfigure(name="orders", compatibility=Compatibility.FULL_TRANSITIVE))
    assert await ask.refused(create('{"type": "array"}')) == ErrorCode.SCHEMA_INCOMPATIBLE


async def test_a_schema_in_use_is_not_removed(ask: Asker):
    """Refused while a station has it; afterwards it goes with all versions, and its name is free."""
    await ask.ok(create())
    await ask.ok(create(TEXTS))
    old = await ask.ok(SchemaVersionGet(name="orders", version=2))
    await ask.ok(StationCreate(name="s", options=StationOptions(schema_name="orders")))
    assert await ask.refused(SchemaRemove(name="orders")) == ErrorCode.SCHEMA_IN_USE
    assert (await ask.ok(SchemaGet(name="orders")))["stations"] == ["s"]
    await ask.ok(SchemaAttach(name="orders", station="s"))
    await ask.ok(StationRemove(name="s"))
    await ask.ok(SchemaRemove(name="orders"))
    assert await ask.refused(SchemaGet(name="orders")) == ErrorCode.SCHEMA_NOT_FOUND
    assert (await ask.ok(SchemaList()))["schemas"] == []
    assert (await ask.ok(create(TEXTS)))["version"] == 1
    new = await ask.ok(SchemaVersionGet(name="orders"))
    assert new["id"] != old["id"]
    of_the_old = SchemaVersionGet(name="orders", version=1, id=old["id"])
    assert await ask.refused(of_the_old) == ErrorCode.SCHEMA_NOT_FOUND


async def test_removed_contents_are_gone_from_the_store(ask: Asker, engine: Engine):
    """Nothing of a removed schema is left behind but markers that go by themselves."""
    await ask.ok(create())
    await ask.ok(create(TEXTS))
    await ask.ok(SchemaRemove(name="orders"))
    async with engine.connect("broker") as control:
        bucket = await control.jetstream().key_value("memphis_schema_contents")
        with pytest.raises(NoKeysError):
            await bucket.keys()


async def test_attaching_and_removing_at_once_leave_no_station_without_its_schema(ask: Asker):
    """Whoever wins: an attachment that was granted holds, and a schema that was removed is nowhere."""
    for n in range(10):
        name = f"schema-{n}"
        await ask.ok(create(name=name))
        await ask.ok(StationCreate(name=f"s-{n}"))
        first, removal, second = await asyncio.gather(
            ask(SchemaAttach(name=name, station=f"s-{n}")),
            ask(SchemaRemove(name=name)),
            ask(SchemaAttach(name=name, station=f"s-{n}")),
        )
        granted = first.error is None or second.error is None
        assert granted != (removal.error is None), (first, removal, second)
        station = await ask.ok(StationGet(name=f"s-{n}"))
        assert station["options"]["schema_name"] == (name if granted else "")
        assert (station["attached_schema"] is not None) == granted
        assert ((await ask(SchemaGet(name=name))).error is None) == granted


async def test_versions_made_at_once_are_all_kept(ask: Asker):
    """Six contents stored at the same time are six versions, whoever came first."""
    contents = [json.dumps({"minimum": n}) for n in range(6)]
    made = await asyncio.gather(*(ask.ok(create(content)) for content in contents * 2))
    assert {stored["version"] for stored in made} == set(range(1, 7))
    assert sum(stored["created"] for stored in made) == 6


async def test_two_brokers_make_one_history(engine: Engine, client: Client):
    """Versions that two brokers store at once get numbers of their own, none twice, none lost."""
    async with engine.app(alone=False), engine.app(alone=False):
        ask = Asker(client)
        contents = [json.dumps({"minimum": n}) for n in range(6)]
        made = await asyncio.gather(*(ask.ok(create(content)) for content in contents))
        assert sorted(stored["version"] for stored in made) == list(range(1, 7))
        for stored, content in zip(made, contents, strict=True):
            kept = await ask.ok(SchemaVersionGet(name="orders", version=stored["version"]))
            assert kept["content"] == content


async def test_a_removal_that_was_interrupted_is_finished_at_the_next_start(
    engine: Engine, client: Client
):
    """A schema marked as going is gone after a start; one that a station has is whole again."""
    async with engine.app():
        ask = Asker(client)
        await ask.ok(create(name="unused"))
        await ask.ok(create(name="used"))
        await ask.ok(StationCreate(name="s", options=StationOptions(schema_name="used")))
    async with engine.connect("broker") as control:
        bucket = await control.jetstream().key_value("memphis_schema_heads")
        for key in ("unused", "used"):
            entry = await bucket.get(key)
            assert entry.value is not None
            head = json.loads(entry.value)
            await bucket.put(key, json.dumps({**head, "state": "removing"}).encode())
    async with engine.app():
        ask = Asker(client)
        assert await ask.refused(SchemaGet(name="unused")) == ErrorCode.SCHEMA_NOT_FOUND
        assert (await ask.ok(SchemaGet(name="used")))["stations"] == ["s"]


async def test_a_schema_is_listed_page_by_page(ask: Asker):
    """In the order of names, each once, with who uses it."""
    for n in range(5):
        await ask.ok(create(name=f"schema.{n}"))
    await ask.ok(StationCreate(name="s", options=StationOptions(schema_name="schema.3")))
    first = await ask.ok(SchemaList(limit=3))
    assert first["more"] is True
    rest = await ask.ok(SchemaList(after=first["schemas"][-1]["name"], limit=3))
    assert rest["more"] is False
    listed = first["schemas"] + rest["schemas"]
    assert [line["name"] for line in listed] == [f"schema.{n}" for n in range(5)]
    assert [line["stations"] for line in listed] == [0, 0, 0, 1, 0]


async def test_a_schema_is_tried_on_what_a_station_holds(ask: Asker, client: Client):
    """The newest messages of all partitions; those that do not fit are named, nothing is changed."""
    await ask.ok(create())
    await ask.ok(create(TEXTS))
    await ask.ok(StationCreate(name="s", options=StationOptions(partitions_number=2)))
    stream = client.jetstream()
    for n in range(10):
        await stream.publish(f"s${n % 2 + 1}.in", b'{"n": %d}' % n)
    await stream.publish("s$2.in", b'{"n": "ten"}')
    await stream.publish("s$2.in", b"no JSON at all")
    report = await ask.ok(SchemaCheck(name="orders", station="s"))
    assert (report["version"], report["checked"], report["refused"]) == (1, 12, 2)
    assert report["complete"] is True
    assert [(f["partition"], f["sequence"]) for f in report["failures"]] == [(2, 6), (2, 7)]
    assert "number" in report["failures"][0]["reason"]
    newest = await ask.ok(SchemaCheck(name="orders", station="s", last=4))
    assert (newest["checked"], newest["refused"]) == (4, 2)
    texts = await ask.ok(SchemaCheck(name="orders", station="s", version=2))
    assert texts["refused"] == 11
    empty = await ask.ok(StationCreate(name="empty"))
    assert empty["created"]
    nothing = await ask.ok(SchemaCheck(name="orders", station="empty"))
    assert (nothing["checked"], nothing["refused"], nothing["complete"]) == (0, 0, True)
    missing = SchemaCheck(name="orders", station="nope")
    assert await ask.refused(missing) == ErrorCode.STATION_NOT_FOUND


async def test_an_attachment_made_again_is_told_again(ask: Asker, client: Client):
    """Whoever attached it first may have been killed before telling: the repetition heals that."""
    await ask.ok(create())
    await ask.ok(StationCreate(name="s", options=StationOptions(schema_name="orders")))
    heard = await client.subscribe(updates_subject(StationName.parse("s")))
    for request in (
        SchemaAttach(name="orders", station="s"),
        SchemaActivate(name="orders", version=1),
        SchemaDetach(station="s"),
        SchemaDetach(station="s"),
    ):
        await ask.ok(request)
        assert await heard.next_msg(timeout=10)


async def test_a_broker_that_starts_tells_all_clients(engine: Engine, client: Client):
    """On an engine that stood while a broker was killed, nobody else would tell them."""
    async with engine.app(alone=False):
        ask = Asker(client)
        await ask.ok(create())
        await ask.ok(StationCreate(name="s", options=StationOptions(schema_name="orders")))
    heard = await client.subscribe(updates_subject(StationName.parse("s")))
    async with engine.app(alone=False):
        assert await heard.next_msg(timeout=10)


async def test_the_default_message_is_the_first_whatever_was_stored_before(ask: Asker):
    """A version with a message that was named is not what a request without a name means."""
    named = await ask.ok(create(PROTO, type="protobuf", message_struct_name="Item"))
    default = await ask.ok(create(PROTO, type="protobuf"))
    assert (named["version"], default["version"]) == (1, 2)
    assert (await ask.ok(SchemaVersionGet(name="orders", version=2)))["message_struct_name"] == (
        "Order"
    )
    assert (await ask.ok(create(PROTO, type="protobuf")))["version"] == 2
    assert (await ask.ok(create(PROTO, type="protobuf", message_struct_name="Item")))[
        "version"
    ] == 1
