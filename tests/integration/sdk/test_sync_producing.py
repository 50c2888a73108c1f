"""Producing without an event loop, and mostly without waiting, against a real broker."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from memphis import (
    Headers,
    MemphisHeaderError,
    MemphisProduceError,
    MemphisSchemaError,
    MemphisUsageError,
)
from memphis.sync import Memphis
from tests.integration.sdk import sync_helpers
from tests.integration.sdk.sync_helpers import read
from tests.unit.sdk.orders import Order, order

memphis = sync_helpers.memphis


def test_nonblocking_messages_keep_their_order_and_tell_their_place(memphis: Memphis, name: str):
    """The results are asked for later, or never; blocking calls do not overtake."""
    producer = memphis.producer(name, "p")
    pending = [producer.produce(str(n), nonblocking=True) for n in range(3000)]
    assert producer.produce("3000").sequence == 3001
    assert producer.produce_batch(["3001", "3002"])[-1].sequence == 3003
    assert [p.result().sequence for p in pending] == list(range(1, 3001))
    assert (producer.in_flight, producer.is_settled) == (0, True)
    numbers = [int(m.get_data()) for m in read(memphis.consumer(name, "c"), 3003)]
    assert numbers == list(range(3003))


def test_what_is_produced_is_copied(memphis: Memphis, name: str):
    """Whoever changes a message or its headers afterwards changes nothing."""
    producer = memphis.producer(name, "p")
    message, raw = {"n": 0}, bytearray(b"00")
    headers, more = Headers(), {"n": "0"}
    headers.add("n", "0")
    for number in range(200):
        message["n"] = number
        raw[:] = b"%d" % number
        headers.headers["n"] = more["n"] = str(number)
        producer.produce(message, nonblocking=True, headers=headers)
        producer.produce(raw, nonblocking=True, headers=more)
    producer.flush()
    found = read(memphis.consumer(name, "c"), 400)
    assert [m.get_data() for m in found[::2]] == [b'{"n":%d}' % n for n in range(200)]
    assert [m.get_data() for m in found[1::2]] == [b"%d" % n for n in range(200)]
    assert [int(m.get_headers()["n"]) for m in found] == [n // 2 for n in range(400)]


def test_mistakes_are_raised_at_once(memphis: Memphis, name: str):
    """What can be known without the loop is no failure of a message; nothing is sent."""
    producer = memphis.producer(name, "p")
    wrong: list[tuple[type[Exception], Any, dict[str, Any]]] = [
        (MemphisUsageError, 5, {}),
        (MemphisUsageError, "x", {"ack_wait_sec": 0}),
        (MemphisUsageError, "x", {"producer_partition_number": 7}),
        (MemphisUsageError, "x", {"msg_id": " x"}),
        (MemphisUsageError, "x", {"concurrent_task_limit": 0}),
        (MemphisHeaderError, "x", {"headers": {"$memphis_x": "y"}}),
        (MemphisHeaderError, "x", {"headers": 5}),
    ]
    for error, message, options in wrong:
        with pytest.raises(error):
            producer.produce(message, nonblocking=True, **options)
        with pytest.raises(error):
            producer.produce(message, **options)
    producer.flush()
    assert memphis.existing_station(name).info().messages == 0


def test_what_shows_in_the_loop_cannot_vanish(memphis: Memphis, name: str):
    """It is the message's failure: given with its result, or at the next flush, once."""
    producer = memphis.producer(name, "p")
    too_large = bytes(80 * 1024 * 1024)
    pending = producer.produce(too_large, nonblocking=True)
    with pytest.raises(MemphisProduceError):
        pending.result()
    assert pending.done()
    assert isinstance(pending.error(), MemphisProduceError)
    producer.flush()
    producer.produce(too_large, nonblocking=True)
    producer.produce("fits", nonblocking=True)
    with pytest.raises(MemphisProduceError):
        producer.flush()
    producer.flush()
    assert memphis.existing_station(name).info().messages == 1


def test_an_error_callback_may_block_and_call(memphis: Memphis, name: str):
    """It has a thread of its own, one call after another."""
    told: list[tuple[Exception, int, str]] = []

    def on_error(error: Exception) -> None:
        messages = memphis.existing_station(name).info().messages
        told.append((error, messages, threading.current_thread().name))
        if len(told) == 1:
            raise ValueError("a fault of the application")

    memphis.station(name)
    producer = memphis.producer(name, "p", on_error=on_error)
    for _ in range(2):
        producer.produce(bytes(80 * 1024 * 1024), nonblocking=True)
    producer.flush()
    producer.destroy()
    assert len(told) == 2
    assert all(isinstance(error, MemphisProduceError) for error, _, _ in told)
    assert {thread for _, _, thread in told} == {"memphis error callback_0"}


def test_a_schema_is_checked_before_the_call_returns(memphis: Memphis, name: str):
    """As in the asynchronous SDK, nonblocking or not; a schema may come while it produces."""
    producer = memphis.producer(name, "p")
    producer.produce({"orderNumber": 0}, nonblocking=True)
    schema = memphis.create_schema(name, "json", content=Order)
    memphis.enforce_schema(name, name)
    for nonblocking in (False, True):
        with pytest.raises(MemphisSchemaError) as caught:
            producer.produce({"orderNumber": 0}, nonblocking=nonblocking)
        assert caught.value.path == "orderNumber"
    producer.produce(order(1), nonblocking=True).result()
    assert [version.version for version in schema.versions()] == [1]
    consumer = memphis.consumer(name, "c", model=Order)
    first, second = read(consumer, 2)
    assert second.value == order(1)
    assert second.get_data_deserialized()["orderNumber"] == 1
    with pytest.raises(MemphisSchemaError, match="is no Order"):
        _ = first.value
    typed = memphis.producer(f"{name}-2", "p", model=Order)
    typed.produce({"orderNumber": 2}, nonblocking=True)
    with pytest.raises(MemphisUsageError):
        typed.produce(b"other", nonblocking=True)  # type: ignore[arg-type]
    typed.flush()
    assert read(memphis.consumer(f"{name}-2", "c", model=Order), 1)[0].value.number == 2


def test_several_stations_and_kept_producers(memphis: Memphis, name: str):
    """A result for each station, or something to ask for it."""
    producer = memphis.producer([f"{name}-1", f"{name}-2"], "p")
    assert [r.station for r in producer.produce("x")] == [f"{name}-1", f"{name}-2"]
    assert [p.result().sequence for p in producer.produce("x", nonblocking=True)] == [2, 2]
    assert memphis.produce(f"{name}-1", "q", "x", nonblocking=True).result().sequence == 3
    assert len(memphis.fetch_messages(f"{name}-1", "c", batch_size=3)) == 3


def test_many_threads_use_one_connection(memphis: Memphis, name: str):
    """Web workers share it: each thread's messages keep their order, and all are there."""
    producer = memphis.producer(name, "p")

    def work(worker: int) -> None:
        for number in range(300):
            producer.produce(f"{worker} {number}", nonblocking=number % 50 != 0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    producer.flush()
    found = [m.get_data().decode().split() for m in read(memphis.consumer(name, "c"), 2400)]
    for worker in range(8):
        own = [int(number) for who, number in found if int(who) == worker]
        assert own == list(range(300))
