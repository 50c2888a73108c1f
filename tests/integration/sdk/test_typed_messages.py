"""Producers that send one model and consumers that hand it over, against a real broker."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from memphis import (
    BatchMessage,
    Memphis,
    MemphisClosedError,
    MemphisNotFoundError,
    MemphisPartlyProducedError,
    MemphisSchemaError,
    MemphisUsageError,
)
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import SOON_S, group_info, read_one
from tests.unit.sdk.orders import Order, OrderStruct, order
from tests.waiting import eventually

BOTH = pytest.mark.parametrize(
    ("kind", "sample"),
    [(Order, order(7)), (OrderStruct, OrderStruct(7))],
    ids=["pydantic", "msgspec"],
)
TEXT = b'{"orderNumber":7,"prices":[],"note":null}'


@BOTH
async def test_what_is_sent_is_handed_over(memphis: Memphis, name: str, kind: Any, sample: Any):
    """As an object of the model; the bytes are there as well, and the value is made once."""
    station = await memphis.station(name)
    producer = await station.producer("shop", model=kind)
    consumer = await station.consumer("billing", model=kind)
    await producer.produce(sample)
    await producer.produce({"orderNumber": 8}, nonblocking=True)
    await producer.flush()
    message = await read_one(consumer)
    assert message.value == sample
    assert message.value is message.value
    assert message.get_data() == TEXT
    assert (await read_one(consumer)).value.number == 8


@BOTH
async def test_nothing_else_is_sent(memphis: Memphis, name: str, kind: Any, sample: Any):
    """Not bytes, not another object, no mapping that is not valid; the error comes before anything."""
    station = await memphis.station(name)
    producer = await memphis.producer(name, "shop", model=kind)
    for wrong in (TEXT, TEXT.decode(), 7, [sample]):
        with pytest.raises(MemphisUsageError, match=kind.__name__):
            await producer.produce(wrong)  # type: ignore[arg-type]
    for nonblocking in (False, True):
        with pytest.raises(MemphisSchemaError, match=kind.__name__):
            await producer.produce({"orderNumber": "many"}, nonblocking=nonblocking)
    await producer.flush()
    info = await station.info()
    assert (info.messages, await station.dead_letters().newest(10)) == (0, [])


@BOTH
async def test_batches_are_of_the_model(memphis: Memphis, name: str, kind: Any, sample: Any):
    """The message that is none is named by its number, and none is sent."""
    station = await memphis.station(name)
    producer = await station.producer("shop", model=kind)
    with pytest.raises(MemphisUsageError, match="message 1 of the batch"):
        await producer.produce_batch([sample, b"other"])  # type: ignore[list-item]
    with pytest.raises(MemphisSchemaError, match="message 2 of the batch"):
        await producer.produce_batch([sample, sample, BatchMessage(message={"orderNumber": "x"})])
    with pytest.raises(MemphisUsageError, match="must be a list"):
        await producer.produce_batch({"orderNumber": 1})  # type: ignore[arg-type]
    assert (await station.info()).messages == 0
    batch = [sample, BatchMessage(message=sample, headers={"by": "hand"}), {"orderNumber": 9}]
    await producer.produce_batch(batch)
    await producer.produce_batch(batch, atomic=True)
    consumer = await station.consumer("billing", model=kind)
    values = [(await read_one(consumer)).value for _ in range(6)]
    assert [value.number for value in values] == [7, 7, 9] * 2


async def test_one_model_is_no_list_of_messages(memphis: Memphis, name: str):
    """A pydantic model can be iterated, and its fields are not what is meant."""
    producer = await memphis.producer(name, "shop")
    with pytest.raises(MemphisUsageError, match="not one Order"):
        await producer.produce_batch(order(1))


async def test_a_message_that_is_none_of_the_models_is_not_lost(memphis: Memphis, name: str):
    """The error says which and why; the message is as it was, and can be settled in any way."""
    await memphis.produce(name, "stranger", {"orderNumber": 0})
    consumer = await memphis.consumer(name, "billing", model=Order, max_msg_deliveries=5)
    message = await read_one(consumer)
    for _ in range(2):
        with pytest.raises(MemphisSchemaError) as caught:
            _ = message.value
        text = str(caught.value)
        assert f"message 1 of partition 1 of station {name} is no Order: orderNumber: " in text
        assert caught.value.path == "orderNumber"
    assert message.get_data() == b'{"orderNumber":0}'
    group = await group_info(memphis, name, "billing")
    assert group is not None
    assert group.unacknowledged == 1
    await message.nack()
    again = await read_one(consumer)
    await again.dead_letter(str(caught.value))
    (letter,) = await (await memphis.existing_station(name)).dead_letters().newest(10)
    assert "is no Order: orderNumber" in letter.reason


async def test_a_handler_that_stumbles_ends_in_the_dead_letters(
    memphis: Memphis, name: str, caplog
):
    """As with any handler that raises: logged, delivered again, then kept; the others are handled."""
    station = await memphis.station(name)
    consumer = await station.consumer(
        "billing", model=Order, max_ack_time_ms=300, max_msg_deliveries=2, pull_interval_ms=10,
        batch_size=1,
    )  # fmt: skip
    handled: list[int] = []

    async def handler(messages, error, context):
        for message in messages:
            handled.append(message.value.number)
            await message.ack()

    for number in (1, 0, 2):
        await memphis.produce(name, "stranger", {"orderNumber": number})
    with caplog.at_level(logging.CRITICAL, logger="memphis.consumer"):
        consumer.consume(handler)

        async def letters() -> list[Any]:
            return await station.dead_letters(group="billing").newest(10)

        (letter,) = await eventually(letters, SOON_S, "the message becomes a dead letter")
        await consumer.stop()
    assert handled == [1, 2]
    assert (letter.sequence, letter.deliveries) == (2, 2)


async def test_a_failing_handler_logs_the_reason(memphis: Memphis, name: str, caplog):
    """Whoever looks for the fault finds station, partition, sequence and place in the log."""
    consumer = await memphis.consumer(name, "billing", model=Order)

    def handler(messages, error, context):
        for message in messages:
            _ = message.value

    await memphis.produce(name, "stranger", b"no json")
    with caplog.at_level(logging.ERROR, logger="memphis.consumer"):
        consumer.consume(handler)
        await eventually(lambda: caplog.records, SOON_S, "the handler's failure is logged")
        await consumer.stop()
    assert f"message 1 of partition 1 of station {name} is no Order" in caplog.text


async def test_the_stations_schema_holds_as_well(memphis: Memphis, name: str):
    """A schema made of the model takes what is sent; another one refuses and keeps it."""
    await memphis.create_schema(f"{name}-own", "json", content=Order)
    station = await memphis.station(name, schema_name=f"{name}-own")
    producer = await station.producer("shop", model=Order)
    consumer = await station.consumer("billing", model=Order)
    struct_producer = await station.producer("shop-2", model=OrderStruct)
    await producer.produce(order(7))
    await struct_producer.produce(OrderStruct(8))
    message = await read_one(consumer)
    assert message.value == order(7)
    assert await message.get_data_deserialized() == {"orderNumber": 7, "prices": [], "note": None}
    assert (await read_one(consumer)).value == order(8)

    other = '{"type": "object", "properties": {"orderNumber": {"maximum": 5}}}'
    await memphis.create_schema(f"{name}-other", "json", content=other)
    await memphis.enforce_schema(f"{name}-other", name)
    with pytest.raises(MemphisSchemaError, match="orderNumber must be at most 5"):
        await producer.produce(order(7))
    with pytest.raises(MemphisSchemaError, match="message 0 of the batch"):
        await producer.produce_batch([order(7)])
    letters = [letter async for letter in station.dead_letters(kind="schema")]
    assert [letter.get_data() for letter in letters] == [TEXT, TEXT]
    # What is none of the producer's model has not come so far.
    with pytest.raises(MemphisSchemaError, match="is no Order"):
        await producer.produce({"orderNumber": 0})
    assert len(await station.dead_letters().newest(10)) == 2


async def test_several_stations_get_the_same(memphis: Memphis, name: str):
    """A model holds for each of them, and a station's schema for itself."""
    strict = '{"type": "object", "properties": {"orderNumber": {"maximum": 5}}}'
    await memphis.create_schema(f"{name}-strict", "json", content=strict)
    await memphis.station(f"{name}-2", schema_name=f"{name}-strict")
    producer = await memphis.producer([f"{name}-1", f"{name}-2"], "shop", model=Order)
    assert len(await producer.produce(order(5))) == 2
    with pytest.raises(MemphisPartlyProducedError):
        await producer.produce(order(7))
    consumer = await memphis.consumer(f"{name}-1", "billing", model=Order)
    assert [(await read_one(consumer)).value.number for _ in range(2)] == [5, 7]


async def test_without_a_model_there_is_no_value(memphis: Memphis, name: str):
    """The error says what to do."""
    await memphis.produce(name, "shop", TEXT)
    message = await read_one(await memphis.consumer(name, "billing"))
    with pytest.raises(MemphisUsageError, match="model="):
        _ = message.value


async def test_what_is_no_model_makes_nothing(memphis: Memphis, name: str):
    """It is refused before a station or a group is created."""
    for wrong in (int, "Order", order(1)):
        with pytest.raises(MemphisUsageError, match="model must be"):
            await memphis.producer(name, "shop", model=wrong)  # type: ignore[arg-type]
        with pytest.raises(MemphisUsageError, match="model must be"):
            await memphis.consumer(name, "billing", model=wrong)  # type: ignore[arg-type]
    with pytest.raises(MemphisNotFoundError):
        await memphis.existing_station(name)


async def test_a_handle_makes_what_the_connection_makes(broker, name: str):
    """Its producers and consumers are the connection's: they end with it, and with the station."""
    memphis = await connect(broker)
    station = await memphis.station(name, partitions_number=2)
    with pytest.warns(DeprecationWarning, match="generate_random_suffix") as warned:
        suffixed = await station.producer("shop", generate_random_suffix=True)
    assert warned[0].filename == __file__
    assert suffixed.producer_name.startswith("shop_")
    failed: list[Exception] = []
    producer = await station.producer("shop", on_error=failed.append)
    consumer = await station.consumer("c", "billing", batch_size=1, max_msg_deliveries=3)
    await producer.produce("1", producer_partition_number=2)
    message = await read_one(consumer)
    assert (message.partition, message.consumer_group) == (2, "billing")
    with pytest.raises(MemphisUsageError):
        await station.consumer("c", batch_size=0)
    await station.destroy()
    assert producer.is_stale
    assert consumer.is_stale
    with pytest.raises(MemphisNotFoundError):
        await station.producer("shop")
    with pytest.raises(MemphisNotFoundError):
        await station.consumer("c")
    await memphis.close()
    with pytest.raises(MemphisClosedError):
        await suffixed.produce("late")
    assert failed == []


async def test_values_are_made_in_threads_too(memphis: Memphis, name: str):
    """A handler may give its messages to threads: models know nothing of event loops."""
    await memphis.produce(name, "shop", TEXT)
    message = await read_one(await memphis.consumer(name, "billing", model=Order))
    values = await asyncio.gather(
        *(asyncio.to_thread(lambda: message.value.number) for _ in range(8))
    )
    assert values == [7] * 8
