"""A shop that tells of its orders: headers, ids, and many messages that it does not wait for."""

import asyncio
import os

from memphis import Headers, Memphis, MemphisConnectError, MemphisError, MemphisHeaderError

STATION = os.environ["STATION"]


async def main():
    memphis = Memphis()
    try:
        await memphis.connect(
            host=os.environ["MEMPHIS_HOST"],
            port=os.environ["MEMPHIS_PORT"],
            username="root",
            password="memphis",
            account_id=os.environ.get("MEMPHIS_ACCOUNT_ID"),
            max_reconnect=10,
        )
        await memphis.station(STATION, retention_value=600, idempotency_window_ms=60000)
        producer = await memphis.producer(station_name=STATION, producer_name="Shop")

        headers = Headers()
        headers.add("source", "web")
        for number in range(5):
            headers.add("number", str(number))
            await producer.produce(bytearray(f"order {number}", "utf-8"), headers=headers)
        for _ in range(3):
            await producer.produce({"order": 5, "paid": True}, msg_id="order-5")
        for number in range(6, 106):
            await producer.produce(f"order {number}", nonblocking=True, concurrent_task_limit=50)
        await memphis.produce(STATION, "office", "closed for today", ack_wait_sec=30)
        try:
            headers.add("$memphis_own", "x")
        except MemphisHeaderError:
            print("a reserved header is refused")
        await producer.destroy()

        consumer = await memphis.consumer(STATION, "counter", batch_size=200)
        found = []
        while len(found) < 107:
            for message in await consumer.fetch(200):
                found.append(message)
                await message.ack()
        await consumer.destroy()
        print(len(found), "messages")
        first = found[0].get_headers()
        print(found[0].get_data(), first["source"], first["number"], first["$memphis_producedBy"])
        print(sum(m.get_headers().get("msg-id") == "order-5" for m in found), "with the id")
    except (MemphisError, MemphisConnectError) as error:
        print(error)
    finally:
        await memphis.close()


if __name__ == "__main__":
    asyncio.run(main())

# It prints:
# a reserved header is refused
# 107 messages
# bytearray(b'order 0') web 0 shop
# 1 with the id
