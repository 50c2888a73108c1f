"""Schemas through the SDK: storing, enforcing, reading back, and what is refused."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, computed_field
from pydantic.alias_generators import to_camel

from memphis import (
    Compatibility,
    MemphisBatchError,
    MemphisError,
    MemphisNotFoundError,
    MemphisPartlyProducedError,
    MemphisRequestError,
    MemphisSchemaError,
    MemphisSchemaRefusedError,
    MemphisUsageError,
)
from memphis.wire.errors import ErrorCode
from memphis.wire.headers import SCHEMA
from memphis.wire.names import StationName
from memphis.wire.subjects import ingest_subject
from memphis_broker.demo.flights import week_of_flights
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import foreign_client, read, read_one
from tests.integration.sdk.schema_samples import KINDS, as_read, samples

ORDER = """{
  "type": "object",
  "properties": {
    "id": {"type": "integer"},
    "items": {"type": "array", "items": {"type": "object",
      "properties": {"price": {"type": "number", "maximum": 10}}, "required": ["price"]}}
  },
  "required": ["id"]
}"""


class Item(BaseModel):
    price: float


class Order(BaseModel):
    id: int
    items: list[Item] = []


class Named(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")
    flight_number: int
    is_late: bool = False

    @computed_field
    def twice(self) -> int:
        return 2 * self.flight_number


@pytest.mark.parametrize("kind", KINDS)
async def test_a_consumer_that_never_produced_reads_objects(broker, memphis, name, kind):
    """On another connection, each call gives an equal and new object."""
    sample = samples(kind)[0]
    await memphis.create_schema(f"{name}.schema", kind, content=sample.content)
    await memphis.station(name, schema_name=f"{name}.schema")
    producer = await memphis.producer(name, "p")
    await producer.produce(sample.message)
    async with await connect(broker) as other:
        message = await read_one(await other.consumer(name, "c"))
        one, two = await message.get_data_deserialized(), await message.get_data_deserialized()
        assert as_read(kind, one) == as_read(kind, two) == sample.reads_as
        assert one is not two or isinstance(one, str)


async def test_nothing_leaks_from_one_protobuf_message_into_the_next(memphis, name):
    """Dicts with different fields become messages with just these, and stay as they were given out."""
    proto = 'syntax = "proto3"; message M { int32 a = 1; int32 b = 2; repeated int32 c = 3; }'
    await memphis.create_schema(f"{name}.schema", "protobuf", content=proto)
    await memphis.station(name, schema_name=f"{name}.schema")
    producer = await memphis.producer(name, "p")
    for given in ({"a": 1, "c": [1]}, {"b": 2}, {"c": [3]}):
        await producer.produce(given)
    messages = await read(await memphis.consumer(name, "c"), 3)
    values = [await message.get_data_deserialized() for message in messages]
    assert [(v.a, v.b, list(v.c)) for v in values] == [(1, 0, [1]), (0, 2, []), (0, 0, [3])]
    again = await messages[0].get_data_deserialized()
    again.a = 7
    assert values[0].a == 1


async def test_data_from_before_the_schema_is_not_deserialized(broker, memphis, name):
    """A string that was produced before a protobuf schema was attached comes back as it is."""
    producer = await memphis.producer(name, "p")
    await producer.produce("just a string")
    sample = samples("protobuf")[0]
    await memphis.create_schema(f"{name}.schema", "protobuf", content=sample.content)
    await memphis.enforce_schema(f"{name}.schema", name)
    async with foreign_client(broker) as foreign:
        subject = ingest_subject(StationName.parse(name), 1)
        await foreign.jetstream().publish(subject, b"from elsewhere")
    before, foreign_one = await read(await memphis.consumer(name, "c"), 2)
    assert await before.get_data_deserialized() == b"just a string"
    assert await foreign_one.get_data_deserialized() == b"from elsewhere"


async def test_data_that_does_not_fit_what_it_says_is_refused(broker, memphis, name):
    """A foreign message with a mark that lies, or that is no mark: an error, and the bytes remain."""
    sample = samples("json")[0]
    schema = await memphis.create_schema(f"{name}.schema", "json", content=sample.content)
    schema_id = (await schema.describe()).id
    await memphis.station(name)
    marks = [f"{schema.name}/1/{schema_id}", f"{schema.name}/2/{schema_id}", "nonsense"]
    async with foreign_client(broker) as foreign:
        for mark in marks:
            await foreign.jetstream().publish(
                ingest_subject(StationName.parse(name), 1), b"no JSON", headers={SCHEMA: mark}
            )
    for message in await read(await memphis.consumer(name, "c"), 3):
        with pytest.raises(MemphisSchemaError):
            await message.get_data_deserialized()
        assert message.get_data() == b"no JSON"


async def test_messages_of_a_removed_schema_keep_their_bytes(broker, memphis, name):
    """They are not read as a later schema of the same name."""
    sample, other = samples("json")[:2]
    schema = await memphis.create_schema(f"{name}.schema", "json", content=sample.content)
    await memphis.station(name, schema_name=schema.name)
    await (await memphis.producer(name, "p")).produce(sample.message)
    with pytest.raises(MemphisRequestError) as refused:
        await schema.remove()
    assert refused.value.code == ErrorCode.SCHEMA_IN_USE
    await memphis.detach_schema(name)
    await schema.remove()
    await memphis.create_schema(schema.name, "json", content=other.content)
    async with await connect(broker) as stranger:  # who has never seen the schema
        message = await read_one(await stranger.consumer(name, "c"))
        with pytest.raises(MemphisSchemaError, match="removed"):
            await message.get_data_deserialized()
        assert message.get_data() == b'{"first":1}'


async def test_the_error_says_where_and_what(memphis, name):
    """Path and expected type are attributes, and in the text with the schema's name and version."""
    await memphis.create_schema(f"{name}.schema", "json", content=ORDER)
    await memphis.station(name, schema_name=f"{name}.schema")
    producer = await memphis.producer(name, "p")
    with pytest.raises(MemphisSchemaError) as refused:
        await producer.produce({"id": 1, "items": [{"price": 1}, {"price": "ten"}]})
    assert refused.value.path == "items[1].price"
    assert refused.value.expected == "number"
    for part in (f"{name}.schema", "version 1", "items[1].price", "number", "ten"):
        assert part in str(refused.value)
    with pytest.raises(MemphisSchemaError) as refused:
        await producer.produce(b'{"id": 1, "items": [{"price": 11}]}', nonblocking=True)
    assert refused.value.path == "items[0].price"
    info = await (await memphis.existing_station(name)).info()
    assert info.messages == 0


async def test_models_are_schemas_and_messages(memphis, name):
    """A pydantic model is the content of a JSON schema, and its objects are messages."""
    await memphis.create_schema(f"{name}.schema", "json", content=Order)
    await memphis.station(name, schema_name=f"{name}.schema")
    producer = await memphis.producer(name, "p")
    order = Order(id=1, items=[Item(price=2.5)])
    await producer.produce(order)
    with pytest.raises(MemphisSchemaError):
        await producer.produce({"id": "one"})
    message = await read_one(await memphis.consumer(name, "c"))
    assert Order(**await message.get_data_deserialized()) == order


async def test_a_model_fits_the_schema_that_was_made_of_it(memphis, name):
    """Also with aliases and computed fields, and where nothing but what is named may be there."""
    await memphis.create_schema(f"{name}.schema", "json", content=Named)
    await memphis.station(name, schema_name=f"{name}.schema")
    producer = await memphis.producer(name, "p")
    await producer.produce(Named(flight_number=3))
    message = await read_one(await memphis.consumer(name, "c"))
    assert await message.get_data_deserialized() == {"flightNumber": 3, "isLate": False}
    assert Named(**await message.get_data_deserialized()) == Named(flight_number=3)
    await memphis.produce(f"{name}.lax", "p", Named(flight_number=3))
    lax = await read_one(await memphis.consumer(f"{name}.lax", "c"))
    assert lax.get_data() == message.get_data()


async def test_a_batch_with_a_misfit_sends_nothing(memphis, name):
    """Single or atomic: the error is raised before any message is sent."""
    sample = samples("json")[0]
    await memphis.create_schema(f"{name}.schema", "json", content=sample.content)
    station = await memphis.station(name, schema_name=f"{name}.schema")
    producer = await memphis.producer(name, "p")
    for atomic in (False, True):
        with pytest.raises(MemphisSchemaError) as refused:
            await producer.produce_batch([sample.message, {"nope": 1}], atomic=atomic)
        assert not isinstance(refused.value, MemphisBatchError)
        assert "message 1 of the batch" in str(refused.value)
    assert (await station.info()).messages == 0
    await producer.produce_batch([sample.message] * 3, atomic=True)
    for message in await read(await memphis.consumer(name, "c"), 3):
        assert await message.get_data_deserialized() == sample.reads_as


async def test_one_of_several_stations_refuses(memphis, name):
    """The others have the message; the error says which has it and which not."""
    sample = samples("json")[0]
    await memphis.create_schema(f"{name}.schema", "json", content=sample.content)
    await memphis.station(f"{name}.strict", schema_name=f"{name}.schema")
    producer = await memphis.producer([f"{name}.strict", f"{name}.lax"], "p")
    with pytest.raises(MemphisPartlyProducedError) as partly:
        await producer.produce({"nope": 1})
    assert isinstance(partly.value.results[f"{name}.strict"], MemphisSchemaError)
    assert partly.value.results[f"{name}.lax"].sequence == 1
    await producer.produce(sample.message)


async def test_flights_as_avro_and_as_protobuf(memphis, name):
    """Five hundred real flights go through stations of both kinds, and come back the same."""
    flights = [flight.columns for flight in week_of_flights()[:500]]
    wanted = [
        {key: flight[key] for key in ("carrier", "flight", "origin", "dest")} for flight in flights
    ]
    fields = [{"name": key, "type": "string"} for key in wanted[0]]
    avro = {"type": "record", "name": "Flight", "fields": fields}
    lines = "".join(f"string {key} = {n}; " for n, key in enumerate(wanted[0], start=1))
    proto = f'syntax = "proto3"; message Flight {{ {lines} }}'
    for kind, content, encoding in (
        ("avro", json.dumps(avro), ""),
        ("avro", json.dumps(avro), "binary"),
        ("protobuf", proto, ""),
    ):
        station = f"{name}.{kind}{encoding}"
        await memphis.create_schema(station, kind, content=content, encoding=encoding)
        await memphis.station(station, schema_name=station)
        producer = await memphis.producer(station, "p")
        for flight in wanted:
            await producer.produce(flight, nonblocking=True)
        await producer.flush()
        messages = await read(await memphis.consumer(station, "c"), len(wanted))
        values = [as_read(kind, await message.get_data_deserialized()) for message in messages]
        assert values == wanted


async def test_versions_are_listed_compared_and_activated(memphis, name):
    """The handle tells of all versions, their difference, and who uses the schema."""
    first, second = samples("json")[:2]
    schema = await memphis.create_schema(f"{name}.schema", "json", content=first.content)
    assert schema.stored is not None
    assert (schema.stored.version, schema.stored.created) == (1, True)
    assert (await schema.versions())[0].active
    again = await memphis.create_schema(f"{name}.schema", "json", content=first.content)
    assert again.stored is not None
    assert (again.stored.version, again.stored.created) == (1, False)
    await memphis.create_schema(f"{name}.schema", "json", content=second.content)
    assert [version.version for version in await schema.versions()] == [1, 2]
    difference = await schema.diff()
    assert "first" in difference
    assert "second" in difference
    assert await schema.diff(2, 2) == ""
    assert schema.name in [found.name for found in await memphis.schemas()]
    with pytest.raises(MemphisNotFoundError):
        await schema.activate(3)
    with pytest.raises(MemphisUsageError):
        await schema.activate(0)
    with pytest.raises(MemphisNotFoundError):
        await memphis.schema(f"{name}.nope")


async def test_compatibility_is_asked_for_and_kept(memphis, name):
    """A version that breaks the promise raises with the reason; the mode can be changed."""
    schema = await memphis.create_schema(
        f"{name}.schema", "json", content=ORDER, compatibility=Compatibility.BACKWARD
    )
    changed = ORDER.replace('"number"', '"string"').replace(', "maximum": 10', "")
    with pytest.raises(MemphisSchemaRefusedError, match="number became string") as refused:
        await memphis.create_schema(schema.name, "json", content=changed)
    assert refused.value.code == ErrorCode.SCHEMA_INCOMPATIBLE
    assert isinstance(refused.value, MemphisSchemaError)
    await schema.set_compatibility(Compatibility.NONE)
    await memphis.create_schema(schema.name, "json", content=changed)


async def test_a_schema_is_tried_on_real_messages(memphis, name):
    """How many of the last messages it would refuse, before it is attached."""
    producer = await memphis.producer(name, "p")
    for message in ({"id": 1}, {"id": "two"}, {"id": 3}):
        await producer.produce(message)
    schema = await memphis.create_schema(f"{name}.schema", "json", content=ORDER)
    report = await schema.check(name)
    assert (report.checked, report.refused) == (3, 1)
    assert report.failures[0].sequence == 2
    with pytest.raises(MemphisUsageError):
        await schema.check(name, last=0)


async def test_protobuf_files_with_imports(memphis, name, tmp_path: Path):
    """A folder of files: those given are found under their path from the schema's own folder."""
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "money.proto").write_text(
        'syntax = "proto3"; package common; message Money { int64 cents = 1; }'
    )
    (tmp_path / "order.proto").write_text(
        'syntax = "proto3"; import "common/money.proto"; '
        "message Order { common.Money total = 1; } message Other { int32 n = 1; }"
    )
    with pytest.raises(MemphisSchemaError, match=r"common/money\.proto"):
        await memphis.create_schema(f"{name}.schema", "protobuf", tmp_path / "order.proto")
    await memphis.create_schema(
        f"{name}.schema",
        "Protobuf",
        tmp_path / "order.proto",
        imports=[tmp_path / "common" / "money.proto"],
    )
    await memphis.station(name, schema_name=f"{name}.schema")
    producer = await memphis.producer(name, "p")
    await producer.produce({"total": {"cents": "12"}})
    with pytest.raises(MemphisSchemaError) as refused:
        await producer.produce({"total": {"cents": "twelve"}})
    assert refused.value.path == "total.cents"
    message = await read_one(await memphis.consumer(name, "c"))
    assert (await message.get_data_deserialized()).total.cents == 12


async def test_what_is_no_schema_is_refused(memphis, name, tmp_path: Path):
    """Each mistake has an error that says what to do, and nothing is stored."""
    (tmp_path / "empty.json").write_text("  \n")
    (tmp_path / "large.json").write_text('"' + "x" * 10_000_000 + '"')
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    schema = f"{name}.schema"
    for file in ("empty.json", "large.json", "binary.json", "missing.json"):
        with pytest.raises(MemphisSchemaError, match=file):
            await memphis.create_schema(schema, "json", tmp_path / file)
    for arguments in (
        {"schema_path": ""},
        {"schema_path": tmp_path / "empty.json", "content": "{}"},
        {"content": Order, "schema_type": "avro"},
        {"content": 5},
        {"content": "{}", "imports": "x.proto"},
    ):
        with pytest.raises(MemphisUsageError):
            await memphis.create_schema(schema, **{"schema_type": "json", **arguments})
    for arguments in (
        {"schema_type": "xml", "content": "<a/>"},
        {"schema_type": 5, "content": "{}"},
        {"content": "{}", "encoding": "binary"},
        {"content": "{"},
    ):
        with pytest.raises(MemphisSchemaError):
            await memphis.create_schema(schema, **{"schema_type": "json", **arguments})
    with pytest.raises(MemphisError):
        await memphis.create_schema("no pe", "json", content="{}")
    with pytest.raises(MemphisNotFoundError):
        await memphis.schema(schema)


async def test_a_remote_reference_is_never_fetched(memphis, name):
    """Nobody connects to where a $ref points, neither broker nor client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        with pytest.raises(MemphisSchemaError):
            await memphis.create_schema(
                name, "json", content=f'{{"$ref": "http://127.0.0.1:{port}/schema.json"}}'
            )
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_a_pattern_built_to_hang_ends_soon(memphis, name):
    """Other work on the connection goes on, and the message is refused or taken, not awaited for ever."""
    content = r'{"type": "string", "pattern": "^(?=(a+))(a|aa)+\\1$"}'
    await memphis.create_schema(name, "json", content=content)
    await memphis.station(name, schema_name=name)
    producer = await memphis.producer(name, "p")
    async with asyncio.timeout(30):
        with pytest.raises(MemphisSchemaError):
            await producer.produce('"' + "a" * 2000 + '!"')
