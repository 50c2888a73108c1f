"""A desk with a handler: what it is told, when the station is dry, and how it ends."""

import asyncio
import json
import os

from memphis import Memphis, MemphisConnectError, MemphisError, MemphisHeaderError
from memphis.headers import Headers

STATION = os.environ["STATION"]


async def main():
    handled = []
    dry = asyncio.Event()

    async def msg_handler(msgs, error, context):
        try:
            for msg in msgs:
                order = json.loads(msg.get_data())
                handled.append((context["desk"], order["number"], msg.get_headers()["by"]))
                await msg.ack()
            if error:
                if error.message == "Memphis: TimeoutError" and len(handled) == 20:
                    dry.set()
                assert "TimeoutError" in str(error)
        except (MemphisError, MemphisConnectError, MemphisHeaderError) as e:
            print(e)
            return

    memphis = Memphis()
    try:
        await memphis.connect(
            os.environ["MEMPHIS_HOST"], "root", 1, "", "memphis", int(os.environ["MEMPHIS_PORT"])
        )
        consumer = await memphis.consumer(
            station_name=STATION.upper(),
            consumer_name="Desk-1",
            consumer_group="Desk",
            pull_interval_ms=50,
            batch_size=7,
            batch_max_time_to_wait_ms=100,
            max_ack_time_ms=30000,
            max_msg_deliveries=2,
        )
        print(consumer.station_name == STATION, consumer.consumer_name, consumer.consumer_group)
        consumer.set_context({"desk": 1})
        consumer.consume(msg_handler)
        producer = await memphis.producer(STATION, "shop")
        for number in range(20):
            headers = await make_headers()
            await producer.produce({"number": number}, headers=headers)
        while memphis.is_connection_active and not dry.is_set():
            await asyncio.wait([asyncio.create_task(dry.wait())], timeout=1)
        await consumer.destroy()
        print(handled == [(1, number, "the shop") for number in range(20)], memphis.is_connected())
    finally:
        await memphis.close()
        print(memphis.is_connected(), memphis.is_connection_active)


async def make_headers():
    headers = Headers()
    headers.add("by", "the shop")
    return headers


asyncio.run(main())

# It prints:
# True desk-1 desk
# True True
# False False
