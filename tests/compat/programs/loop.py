"""A synchronous program that steps an event loop by hand, as many did before asyncio.run()."""

import asyncio
import os

from memphis import Memphis
from memphis.consumer import Consumer
from memphis.producer import Producer

STATION = os.environ["STATION"]


class Queue:
    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.memphis = Memphis()
        self.producer: Producer = None
        self.consumer: Consumer = None

    def run(self, work):
        return self.loop.run_until_complete(work)

    def open(self):
        self.run(
            self.memphis.connect(
                host=os.environ["MEMPHIS_HOST"],
                port=os.environ["MEMPHIS_PORT"],
                username="root",
                password="memphis",
            )
        )
        self.station = self.run(self.memphis.station(STATION))
        self.producer = self.run(self.memphis.producer(STATION, "p"))
        self.consumer = self.run(self.memphis.consumer(STATION, "c"))

    def put(self, text):
        self.run(self.producer.produce(text))

    def get(self):
        (message,) = self.run(self.consumer.fetch(1))
        self.run(message.ack())
        return message.get_data().decode()

    def close(self):
        self.run(self.producer.destroy())
        self.run(self.consumer.destroy())
        self.run(self.station.destroy())
        self.run(self.memphis.close())


queue = Queue()
queue.open()
queue.put("one")
queue.put("two")
print(queue.get(), queue.get())
queue.close()

# It prints:
# one two
