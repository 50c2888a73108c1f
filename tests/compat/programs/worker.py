"""A worker that calls consume() once more each round, believing that it must."""

import asyncio
import os

from memphis import Memphis, MemphisError

STATION = os.environ["STATION"]
ROUND_S = 0.1


class Worker:
    def __init__(self, memphis):
        self.memphis = memphis
        self.handled = set()

    async def handle(self, messages, error, _context):
        if error or not messages:
            return
        for message in messages:
            self.handled.add(message.get_data().decode())
            await message.ack()

    async def start(self):
        self.consumer = await self.memphis.consumer(
            station_name=STATION,
            consumer_name="worker",
            consumer_group=STATION,
            pull_interval_ms=100,
            batch_max_time_to_wait_ms=1000,
        )
        rounds = 0
        while len(self.handled) < 3 or rounds < 3:
            self.consumer.consume(self.handle)
            rounds += 1
            await asyncio.sleep(ROUND_S)


async def main():
    memphis = Memphis()
    try:
        if not memphis.is_connection_active:
            await memphis.connect(
                host=os.environ["MEMPHIS_HOST"],
                port=int(os.environ["MEMPHIS_PORT"]),
                username="root",
                password="memphis",
            )
        worker = Worker(memphis)
        for text in ("one", "two", "three"):
            await memphis.produce(STATION, "p", text, async_produce=False)
        await worker.start()
        print(sorted(worker.handled))
    except MemphisError as error:
        print("failed:", error)
    finally:
        await memphis.close()


asyncio.run(main())

# It prints:
# ['one', 'three', 'two']
