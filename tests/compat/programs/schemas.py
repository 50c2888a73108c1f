"""An application with a schema of each type: made, attached, kept, and detached."""

import asyncio
import os
import tempfile

from graphql import parse

from memphis import Memphis, MemphisSchemaError

STATION = os.environ["STATION"]
SCHEMAS = {
    "json": '{"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}',
    "avro": '{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}',
    "protobuf": 'syntax = "proto3"; message Order { int64 id = 1; }',
    "graphql": "type Query { order(id: Int!): String }",
}
FIT = {
    "json": [{"id": 1}, bytearray(b'{"id": 2}')],
    "avro": [{"id": 1}, bytearray(b'{"id": 2}')],
    "protobuf": [{"id": 1}, bytearray(b"\x08\x02")],
    "graphql": ["{ order(id: 1) }", bytearray(b"{ order(id: 2) }"), parse("{ order(id: 3) }")],
}
DO_NOT = {
    "json": [{"id": "one"}, {}, bytearray(b"no JSON")],
    "avro": [{"id": "one"}, {}],
    "protobuf": [{"id": "one"}, {"no": 1}],
    "graphql": ["{ order }", "{"],
}


async def try_out(memphis, kind):
    name = f"{STATION}.{kind}"
    with tempfile.NamedTemporaryFile("w", suffix=".schema") as file:
        file.write(SCHEMAS[kind])
        file.flush()
        await memphis.create_schema(f"{name}-schema", kind, file.name)
    station = await memphis.station(name, schema_name=f"{name}-schema")
    producer = await memphis.producer(name, "p")
    for message in FIT[kind]:
        await producer.produce(message)
    refused = 0
    for message in DO_NOT[kind]:
        try:
            await producer.produce(message)
        except MemphisSchemaError:
            refused += 1
    consumer = await memphis.consumer(name, "c")
    ids = []
    while len(ids) < len(FIT[kind]):
        for message in await consumer.fetch(10):
            value = await message.get_data_deserialized()
            if kind == "protobuf":
                ids.append(value.id)
            elif kind == "graphql":
                ids.append(int(value.partition("id:")[2].partition(")")[0]))
            else:
                ids.append(value["id"])
            await message.ack()
    print(kind, refused, "refused, read", ids)
    await memphis.detach_schema(name)
    await memphis.enforce_schema(f"{name}-schema", name)
    await producer.destroy()
    await consumer.destroy()
    await station.destroy()


async def main():
    memphis = Memphis()
    await memphis.connect(
        host=os.environ["MEMPHIS_HOST"],
        port=int(os.environ["MEMPHIS_PORT"]),
        username="root",
        password="memphis",
    )
    for kind in SCHEMAS:
        await try_out(memphis, kind)
    await memphis.close()


asyncio.run(main())

# It prints:
# json 3 refused, read [1, 2]
# avro 2 refused, read [1, 2]
# protobuf 2 refused, read [1, 2]
# graphql 2 refused, read [1, 2, 3]
