"""What type checkers must find out; run by them, never by Python."""

from __future__ import annotations

from typing import Any, assert_type

from memphis import Consumer, Memphis, Message, Producer
from tests.unit.sdk.orders import Order, OrderStruct


async def models_reach_the_messages(memphis: Memphis) -> None:
    """From the model that is given to the value of each message, in all three ways to read."""
    producer = await memphis.producer("orders", "shop", model=Order)
    assert_type(producer, Producer[Order])
    await producer.produce(Order(orderNumber=1))
    await producer.produce({"orderNumber": 1})
    await producer.produce("text")  # type: ignore[arg-type]

    consumer = await memphis.consumer("orders", "billing", model=Order)
    assert_type(consumer, Consumer[Order])
    async for message in consumer:
        assert_type(message.value, Order)
    for message in await consumer.fetch():
        assert_type(message, Message[Order])

    async def handler(messages: list[Message[Order]], error: object, context: object) -> None:
        for message in messages:
            assert_type(message.value.number, int)

    consumer.consume(handler)


async def stations_do_the_same(memphis: Memphis) -> None:
    """With the other library."""
    station = await memphis.station("orders")
    assert_type(await station.producer("shop", model=OrderStruct), Producer[OrderStruct])
    consumer = await station.consumer("billing", model=OrderStruct)
    assert_type((await consumer.fetch())[0].value, OrderStruct)


async def without_a_model_anything_goes(memphis: Memphis) -> None:
    """Code that names no type argument is as good as before."""
    producer: Producer = await memphis.producer("orders", "shop")
    await producer.produce(b"anything")
    consumer: Consumer = await memphis.consumer("orders", "billing")
    messages: list[Message] = await consumer.fetch()
    assert_type(messages[0].value, Any)
