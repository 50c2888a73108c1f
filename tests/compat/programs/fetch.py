"""A report that fetches in a loop: partitions, keys, numbers, prefetch, and a fetch without a consumer."""

import asyncio
import os
from collections import defaultdict

from memphis import Memphis, MemphisError
from memphis.message import Message
from memphis.types import Retention, Storage

STATION = os.environ["STATION"]


async def fetched(fetching):
    """An empty station is sometimes an error without a text, when the original's NATS library says so."""
    try:
        return await fetching
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
        partitions_number=2,
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
    by_sequence: dict[int, list[bytes]] = defaultdict(list)
    while sum(map(len, by_sequence.values())) < 31:
        messages: list[Message] = await fetched(consumer.fetch(batch_size=8, prefetch=True))
        for message in messages:
            by_sequence[message.get_sequence_number()].append(bytes(message.get_data()))
            await message.ack()
    read = [data for several in by_sequence.values() for data in several]
    print(len(set(read)), min(by_sequence), max(map(len, by_sequence.values())) <= 2)
    await consumer.destroy()

    second = await memphis.consumer(STATION, "second", start_consume_from_sequence=1)
    found = []
    while b"by number" not in found:
        for message in await fetched(second.fetch(batch_size=50, consumer_partition_number=2)):
            found.append(message.get_data())
            await message.ack()
    await producer.produce("by key", producer_partition_key="customer 1")
    while b"by key" not in found:
        fetching = second.fetch(batch_size=50, consumer_partition_key="customer 1")
        found += [message.get_data() for message in await fetched(fetching)]
    print(len(found) > 2)

    rest = []
    while len(rest) < 32:
        rest += await fetched(memphis.fetch_messages(STATION, "third", batch_size=20))
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
# 31 1 True
# True
# 32 {'bytearray'}
# refused: True
# refused: True
