"""A report that fetches in a loop: partitions, keys, numbers, prefetch, and a fetch without a consumer."""

import asyncio
import os
from collections import defaultdict

from memphis import Memphis, MemphisError
from memphis.message import Message
from memphis.types import Retention, Storage

STATION = os.environ["STATION"]


async def fetched(consumer, **options):
    """An empty station was an error to some versions of the original's NATS library."""
    try:
        return await consumer.fetch(**options)
    except MemphisError as error:
        if error.message:
            raise
        return []


async def main():
    memphis = Memphis()
    await memphis.connect(
        host=os.environ["MEMPHIS_HOST"],
        port=int(os.environ["MEMPHIS_PORT"]),
        username="root",
        password="memphis",
        reconnect_interval_ms=1500,
        timeout_ms=5000,
    )
    station = await memphis.station(
        name=STATION,
        partitions_number=3,
        storage_type=Storage.MEMORY,
        retention_type=Retention.MESSAGES,
        retention_value=3000,
    )
    producer = await memphis.producer(STATION, "p")
    for number in range(30):
        key = f"customer {number % 4}"
        await producer.produce({"number": number}, producer_partition_key=key)
    await producer.produce("by number", producer_partition_number=2)

    consumer = await memphis.consumer(STATION, "report", last_messages=-1)
    by_key: dict[str, list[Message]] = defaultdict(list)
    count = 0
    while count < 31:
        messages: list[Message] = await fetched(consumer, batch_size=8, prefetch=True)
        for message in messages:
            count += 1
            assert message.get_sequence_number() >= 1
            if message.get_data() != b"by number":
                number = int(message.get_data().split(b":")[1].rstrip(b"}"))
                by_key[f"customer {number % 4}"].append(number)
            await message.ack()
    print(count, all(numbers == sorted(numbers) for numbers in by_key.values()))
    await consumer.destroy()

    second = await memphis.consumer(STATION, "second", start_consume_from_sequence=1)
    found = []
    while b"by number" not in found:
        for message in await fetched(second, batch_size=50, consumer_partition_number=2):
            found.append(message.get_data())
            await message.ack()
    mine = await fetched(second, batch_size=50, consumer_partition_key="customer 1")
    print(bool(mine) or b'"number": 1}' in b"".join(found) or b'"number":1}' in b"".join(found))

    rest = []
    while len(rest) < 31:
        rest += await memphis.fetch_messages(STATION, "third", batch_size=20)
    print(len(rest), {type(message.get_data()).__name__ for message in rest})

    for options in ({"batch_size": 5001}, {"consumer_partition_number": 9}):
        try:
            await consumer.fetch(**options)
        except MemphisError as error:
            print("refused:", isinstance(error, Exception))
    await station.destroy()
    await memphis.close()


asyncio.run(main())

# It prints:
# 31 True
# True
# 31 {'bytearray'}
# refused: True
# refused: True
