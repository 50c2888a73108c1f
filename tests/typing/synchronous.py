"""What type checkers must find out of the synchronous face; run by them, never by Python."""

from __future__ import annotations

from typing import Any, assert_type

from memphis import ProduceResult, RedriveResult
from memphis.station import StationInfo, StationSummary
from memphis.sync import (
    Consumer,
    DeadLetter,
    Memphis,
    Message,
    PendingProduce,
    Producer,
    Schema,
    Station,
)
from tests.unit.sdk.orders import Order


def calls_have_their_parameters_and_results(memphis: Memphis) -> None:
    """Those that are made of asynchronous ones, as those that are written out."""
    memphis.connect(host="localhost", username="root", password="memphis")
    memphis.connect("localhost")  # type: ignore[call-arg]
    memphis.connect("localhost", "root", port="6666")  # type: ignore[arg-type]
    station = memphis.station("orders", partitions_number=3)
    assert_type(station, Station)
    assert_type(station.info(), StationInfo)
    assert_type(memphis.stations(), list[StationSummary])
    assert_type(memphis.schemas(), list[Schema])
    assert_type(memphis.create_schema("order", "json", content=Order), Schema)
    assert_type(memphis.enforce_schema("order", "orders"), None)
    assert_type(station.purge(), int)
    assert_type(station.destroy(), None)
    station.configure(dls_station=5)  # type: ignore[arg-type]


def models_reach_the_messages(memphis: Memphis, pending: PendingProduce) -> None:
    """From the model that is given to the value of each message, in all three ways to read."""
    producer = memphis.producer("orders", "shop", model=Order)
    assert_type(producer, Producer[Order])
    producer.produce("text")  # type: ignore[arg-type]
    assert_type(pending.result(), ProduceResult)

    consumer = memphis.consumer("orders", "billing", model=Order)
    assert_type(consumer, Consumer[Order])
    for message in consumer:
        assert_type(message.value, Order)
        assert_type(message.ack(), None)
    for message in consumer.fetch():
        assert_type(message, Message[Order])

    def handler(messages: list[Message[Order]], error: object, context: object) -> None:
        assert_type(messages[0].value, Order)

    consumer.consume(handler)


def without_a_model_anything_goes(memphis: Memphis, station: Station) -> None:
    """Code that names no type argument."""
    producer: Producer = memphis.producer("orders", "shop")
    producer.produce(b"anything")
    consumer: Consumer = station.consumer("billing")
    assert_type(consumer.fetch()[0].value, Any)
    assert_type(memphis.fetch_messages("orders", "billing"), list[Message])


def dead_letters_are_iterated(station: Station) -> None:
    """As everything else."""
    for letter in station.dead_letters(group="billing"):
        assert_type(letter, DeadLetter)
        assert_type(letter.edit("text"), DeadLetter)
    assert_type(station.dead_letters().redrive(rate=5), RedriveResult)
    for headline in station.dead_letters().headlines(10):
        assert_type(headline.id, int)
