"""A worker that cannot process everything: again, later, never, and a station for what is left over."""

import asyncio
import os

from memphis import Memphis, MemphisError

STATION = os.environ["STATION"]


async def read(consumer, count=10):
    try:
        return await consumer.fetch(count)
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
    )
    await memphis.station(
        STATION,
        send_poison_msg_to_dls=True,
        send_schema_failed_msg_to_dls=True,
        dls_station=f"{STATION}-failed",
    )
    for text in ("again", "later", "never"):
        await memphis.produce(STATION, "p", text)

    consumer = await memphis.consumer(
        STATION, "worker", "workers", max_ack_time_ms=1000, max_msg_deliveries=3
    )
    failed = await memphis.consumer(f"{STATION}-failed", "cleaner")
    seen = {"again": 0, "later": 0, "never": 0}
    left_over = []
    while not left_over:
        for message in await read(consumer):
            text = message.get_data().decode()
            seen[text] += 1
            if text == "never":
                continue  # not acknowledged: it comes again after a second
            if seen[text] > 1:
                await message.ack()
            elif text == "again":
                await message.nack()
            else:
                await message.delay(0.1)
        for message in await read(failed):
            left_over.append(message.get_data().decode())
            await message.ack()
    print(seen)
    print(left_over)
    await memphis.close()


asyncio.run(main())

# It prints:
# {'again': 2, 'later': 2, 'never': 3}
# ['never']
