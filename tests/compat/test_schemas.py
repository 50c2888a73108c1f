"""Each schema type that memphis-py 1.3.1 supports, and what it makes of changes."""

from __future__ import annotations

import base64
import json

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from memphis import MemphisSchemaError
from tests.compat.conftest import OriginalError
from tests.integration.sdk.helpers import SOON_S, read
from tests.integration.sdk.schema_samples import KINDS, samples
from tests.waiting import eventually

ATTACHED = """
await kept.memphis.create_schema(SCHEMA, KIND, PATH)
await kept.memphis.station(NAME)
await kept.memphis.enforce_schema(SCHEMA, NAME)
kept.producer = await kept.memphis.producer(NAME, "p")
"""


async def _attach(connected, tmp_path, name, kind):
    file = tmp_path / f"schema.{kind}"
    file.write_text(samples(kind)[0].content)
    schema = f"{name}-schema"
    await connected(ATTACHED, NAME=name, SCHEMA=schema, KIND=kind, PATH=str(file))
    return schema


@pytest.mark.parametrize("kind", KINDS)
async def test_a_schema_it_made_is_enforced_by_both(connected, memphis, name, kind, tmp_path):
    """What fits gets in from both; what does not is refused by both, and kept as a dead letter."""
    await _attach(connected, tmp_path, name, kind)
    good, other = samples(kind)[:2]
    await connected("await kept.producer.produce(MESSAGE)", MESSAGE=good.message)
    producer = await memphis.producer(name, "ours")
    await producer.produce(good.message)
    consumer = await memphis.consumer(name, "reader")
    messages = await read(consumer, 2)
    for message in messages:
        assert await message.get_data_deserialized()
    with pytest.raises(OriginalError) as refused:
        await connected("await kept.producer.produce(MESSAGE)", MESSAGE=other.message)
    assert refused.value.kind == "MemphisSchemaError"
    with pytest.raises(MemphisSchemaError):
        await producer.produce(other.message)
    station = await memphis.existing_station(name)

    async def both() -> bool:
        return (await station.info()).dead_letters.schema_failed == 2

    await eventually(both, SOON_S)


@pytest.mark.parametrize("kind", KINDS)
async def test_it_reads_what_the_sdk_here_wrote(connected, memphis, name, kind, tmp_path):
    """Deserialized by the same schema."""
    await _attach(connected, tmp_path, name, kind)
    await (await memphis.producer(name, "ours")).produce(samples(kind)[0].message)
    found = await connected(
        """
        consumer = await kept.memphis.consumer(NAME, "c")
        (message,) = await fetch(consumer, 1)
        await message.ack()
        return str(await message.get_data_deserialized())
        """,
        NAME=name,
    )
    assert "first" in found


@pytest.mark.parametrize("kind", KINDS)
async def test_what_it_wrote_names_no_version(connected, memphis, name, kind, tmp_path):
    """So it is read as bytes here, until its producer uses the SDK here as well."""
    await _attach(connected, tmp_path, name, kind)
    await connected("await kept.producer.produce(MESSAGE)", MESSAGE=samples(kind)[0].message)
    (message,) = await read(await memphis.consumer(name, "reader"), 1)
    value = await message.get_data_deserialized()
    assert (type(value), value) == (bytearray, message.get_data())


async def test_what_it_is_told_of_a_protobuf_schema(connected, memphis, name):
    """One file, named as the SDK for Go looks for it, and the message without its package."""
    content = 'syntax = "proto3"; package shop; message Order { int64 id = 1; }'
    schema = await memphis.create_schema(f"{name}-schema", "protobuf", content=content)
    await memphis.create_schema(f"{name}-schema", "protobuf", content=content + "\n", activate=True)
    await memphis.station(name, schema_name=schema.name)
    told = await connected(
        """
        reply = await kept.memphis.broker_manager.request(
            "$memphis_producer_creations",
            json.dumps({"name": "p", "station_name": NAME, "req_version": 4}).encode(), timeout=10,
        )
        return json.loads(reply.data)
        """,
        NAME=name,
    )
    update = told["schema_update"]
    version = update["active_version"]
    files = FileDescriptorSet.FromString(base64.b64decode(version["descriptor"]))
    assert [file.name for file in files.file] == [f"{schema.name}_2.proto"]
    assert (version["version_number"], version["message_struct_name"]) == (2, "Order")
    assert (update["type"], version["schema_content"]) == ("protobuf", content + "\n")
    assert told["station_version"] == 2
    assert told["station_partitions_first_functions"] == {}
    assert told["partitions_update"] == {"partitions_list": [1]}
    assert (told["error"], told["schemaverse_to_dls"], told["send_notification"]) == (
        "",
        True,
        False,
    )


async def test_creating_again(connected, memphis, name, tmp_path):
    """The same content is a success; other content a new version, which is not active; another type not."""
    file = tmp_path / "schema"
    first, second = samples("json")[:2]
    create = "await kept.memphis.create_schema(NAME, KIND, PATH)"
    for content in (first.content, first.content, second.content):
        file.write_text(content)
        await connected(create, NAME=name, KIND="json", PATH=str(file))
    description = await (await memphis.schema(name)).describe()
    assert [(v.version, v.active) for v in description.versions] == [(1, True), (2, False)]
    file.write_text(samples("avro")[0].content)
    with pytest.raises(OriginalError, match="another type"):
        await connected(create, NAME=name, KIND="avro", PATH=str(file))
    file.write_text("{")
    with pytest.raises(OriginalError):
        await connected(create, NAME=f"{name}-new", KIND="json", PATH=str(file))


async def test_a_live_attachment_reaches_its_producers(connected, memphis, name):
    """Of protobuf, which is the one type that it compiles anew; detaching reaches them as well."""
    good, other = samples("protobuf")[:2]
    schema = await memphis.create_schema(f"{name}-schema", "protobuf", content=good.content)
    await memphis.station(name)
    await connected("kept.producer = await kept.memphis.producer(NAME, 'p')", NAME=name)
    await connected("await kept.producer.produce(MESSAGE)", MESSAGE=other.message)
    await memphis.enforce_schema(schema.name, name)

    async def refuses() -> bool:
        try:
            await connected("await kept.producer.produce(MESSAGE)", MESSAGE=other.message)
        except OriginalError as error:
            return error.kind == "MemphisSchemaError"
        return False

    await eventually(refuses, SOON_S)
    await connected("await kept.producer.produce(MESSAGE)", MESSAGE=good.message)
    await memphis.detach_schema(name)

    async def takes() -> bool:
        return not await refuses()

    await eventually(takes, SOON_S)


async def test_a_live_attachment_of_another_type_breaks_its_producers(connected, memphis, name):
    """Its own fault: it refuses every message until the producer is made again."""
    good = samples("json")[0]
    schema = await memphis.create_schema(f"{name}-schema", "json", content=good.content)
    await memphis.station(name)
    await connected("kept.producer = await kept.memphis.producer(NAME, 'p')", NAME=name)
    await memphis.enforce_schema(schema.name, name)

    async def refuses() -> bool:
        try:
            await connected("await kept.producer.produce(MESSAGE)", MESSAGE=good.message)
        except OriginalError as error:
            return error.kind == "MemphisSchemaError"
        return False

    await eventually(refuses, SOON_S)


async def test_an_activation_tells_it_nothing(connected, memphis, name):
    """It goes on with the version that it has; what is made anew gets the new one."""
    first, second = samples("json")[:2]
    schema = await memphis.create_schema(f"{name}-schema", "json", content=first.content)
    await memphis.station(name, schema_name=schema.name)
    await connected("kept.producer = await kept.memphis.producer(NAME, 'p')", NAME=name)
    await memphis.create_schema(schema.name, "json", content=second.content, activate=True)
    await connected("await kept.producer.produce(MESSAGE)", MESSAGE=first.message)


async def test_the_switch_for_dead_letters_reaches_it(connected, memphis, name, tmp_path):
    """Turned off while it runs, what fails is reported no more."""
    await _attach(connected, tmp_path, name, "json")
    station = await memphis.existing_station(name)
    switch = "return kept.memphis.cluster_configurations, kept.memphis.station_schemaverse_to_dls"
    internal = name.replace(".", "#")
    assert (await connected(switch))[1][internal] is True
    await station.configure(send_schema_failed_msg_to_dls=False)

    async def off() -> bool:
        return (await connected(switch))[1][internal] is False

    await eventually(off, SOON_S)
    with pytest.raises(OriginalError):
        await connected("await kept.producer.produce(MESSAGE)", MESSAGE=samples("json")[1].message)
    assert (await station.info()).dead_letters.schema_failed == 0


async def test_schemas_that_it_cannot_have(connected, memphis, name):
    """It is told so when it makes a producer, instead of writing what consumers cannot read."""
    avro = json.dumps({"type": "record", "name": "R", "fields": []})
    schema = await memphis.create_schema(f"{name}-s", "avro", content=avro, encoding="binary")
    await memphis.station(name, schema_name=schema.name)
    for call in ("producer(NAME, 'p')", "consumer(NAME, 'c')"):
        with pytest.raises(OriginalError, match="binary"):
            await connected(f"await kept.memphis.{call}", NAME=name)
