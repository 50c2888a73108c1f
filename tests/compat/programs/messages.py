"""Everything that could be sent to a station without a schema, by all that sends."""

import asyncio
import json
import os

from google.protobuf.struct_pb2 import Struct
from graphql import parse

from memphis import Memphis

STATION = os.environ["STATION"]


class Order:
    """As classes of other libraries for protobuf look to a producer."""

    def SerializeToString(self):
        return b"\x08\x01"


async def main():
    memphis = Memphis()
    await memphis.connect(
        host=os.environ["MEMPHIS_HOST"],
        port=int(os.environ["MEMPHIS_PORT"]),
        username="root",
        password="memphis",
    )
    struct = Struct()
    struct.update({"a": 1})
    producer = await memphis.producer(STATION, "p")
    messages = ["text, é", bytearray(b"\xff\x00"), {"a": [1, None, {"b": "é"}]}, struct, Order()]
    for message in messages:
        await producer.produce(message)
    await producer.produce(parse("{ order }"))
    await memphis.produce(station_name=STATION, producer_name="q", message="", msg_id="")

    several = await memphis.producer([STATION, f"{STATION}-2"], "r")
    await several.produce("to both")
    await several.destroy()

    consumer = await memphis.consumer(STATION, "c")
    found = []
    while len(found) < 8:
        for message in await consumer.fetch(10):
            found.append(bytes(message.get_data()))
            await message.ack()
    print(found[0].decode(), found[1], json.loads(found[2]))
    print(Struct.FromString(found[3])["a"], found[4], found[5].split(), found[6], found[7])
    second = await memphis.fetch_messages(f"{STATION}-2", "c", batch_size=1)
    print([message.get_data().decode() for message in second])
    await memphis.close()


asyncio.run(main())

# It prints:
# text, é b'\xff\x00' {'a': [1, None, {'b': 'é'}]}
# 1.0 b'\x08\x01' [b'{', b'order', b'}'] b'' b'to both'
# ['to both']
