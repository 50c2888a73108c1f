"""What goes wrong is caught by the classes that the original had."""

import asyncio
import os

from memphis import (
    Memphis,
    MemphisConnectError,
    MemphisError,
    MemphisHeaderError,
    MemphisSchemaError,
)
from memphis.exceptions import MemphisError as SameError
from memphis.headers import Headers

STATION = os.environ["STATION"]
ADDRESS = {"host": "http://" + os.environ["MEMPHIS_HOST"], "port": int(os.environ["MEMPHIS_PORT"])}


async def fails(what, work):
    try:
        await work
    except MemphisError as error:
        print(what, "is an error:", str(error).startswith("memphis: "), bool(error.message))


async def main():
    print(
        SameError is MemphisError,
        all(
            issubclass(kind, MemphisError)
            for kind in (MemphisConnectError, MemphisHeaderError, MemphisSchemaError)
        ),
    )
    refused = {**ADDRESS, "username": "root", "reconnect": False}
    await fails("a wrong password", Memphis().connect(**refused, password="wrong"))
    await fails("no login", Memphis().connect(**refused))
    await fails("two logins", Memphis().connect(**refused, password="a", connection_token="b"))
    try:
        Headers().add("$memphis_x", "y")
    except MemphisHeaderError as error:
        print("a reserved header is one:", bool(error.message))

    memphis = Memphis()
    await memphis.close()  # before it is connected
    await memphis.connect(**ADDRESS, username="root", password="memphis")
    station = await memphis.station(STATION, partitions_number=2)
    again = await memphis.station(name=STATION, partitions_number=2)
    print(station.name == again.name == STATION)
    await fails("a bad name", memphis.station("not a name"))
    await fails("a missing schema", memphis.enforce_schema("no-such-schema", STATION))
    await fails("a large batch", memphis.consumer(STATION, "c", batch_size=5001))
    await fails("sequence 0", memphis.consumer(STATION, "c", start_consume_from_sequence=0))
    await fails(
        "two beginnings",
        memphis.consumer(STATION, "c", start_consume_from_sequence=2, last_messages=3),
    )
    producer = await memphis.producer(STATION, "p")
    await fails("partition 9", producer.produce("x", producer_partition_number=9))
    await fails(
        "key and number",
        producer.produce("x", producer_partition_key="k", producer_partition_number=1),
    )
    await fails("a number", producer.produce(5))
    try:
        raise MemphisError("of our own")
    except SameError as error:
        print(error, "/", error.message)
    await station.destroy()
    await fails("a station that is gone", producer.produce("x", ack_wait_sec=1))
    await memphis.close()
    await memphis.close()


asyncio.run(main())

# It prints:
# True True
# a wrong password is an error: True True
# no login is an error: True True
# two logins is an error: True True
# a reserved header is one: True
# True
# a bad name is an error: True True
# a missing schema is an error: True True
# a large batch is an error: True True
# sequence 0 is an error: True True
# two beginnings is an error: True True
# partition 9 is an error: True True
# key and number is an error: True True
# a number is an error: True True
# memphis: of our own / of our own
# a station that is gone is an error: True True
