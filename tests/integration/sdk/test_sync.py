"""The SDK without an event loop: the same calls, from threads, against a real broker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from memphis import (
    MemphisClosedError,
    MemphisConnectError,
    MemphisNotFoundError,
    MemphisProduceError,
    MemphisTimeoutError,
    MemphisUsageError,
)
from memphis.sync import Memphis, Message
from memphis_broker.testing import BrokerProcess
from tests.integration.sdk import sync_helpers
from tests.integration.sdk.helpers import SOON_S
from tests.integration.sdk.sync_helpers import connect, read, until_settled
from tests.waiting import eventually_sync

memphis = sync_helpers.memphis


def test_a_script(memphis: Memphis, name: str):
    """Each call returns when it is done, with the result that is awaited elsewhere."""
    station = memphis.station(name, partitions_number=2)
    result = memphis.produce(name, "script", {"n": 1}, headers={"a": "b"})
    assert (result.station, result.sequence) == (name, 1)
    consumer = station.consumer("c", "g")
    (message,) = read(consumer, 1)
    assert message.get_data() == b'{"n":1}'
    assert message.get_headers()["a"] == "b"
    assert (message.station_name, message.consumer_group) == (name, "g")
    assert (message.partition, message.get_sequence_number()) == (result.partition, 1)
    assert (message.delivery_count, message.get_timesent().tzinfo is None) == (1, False)
    assert message.get_data_deserialized() == message.get_data()
    until_settled(memphis, name, "g")
    assert [s.name for s in memphis.stations() if s.name == name] == [name]
    assert memphis.is_connected()
    assert station.purge() == 1
    station.destroy()
    with pytest.raises(MemphisNotFoundError):
        memphis.existing_station(name)


def test_every_object_has_the_attributes_of_its_counterpart(memphis: Memphis, name: str):
    """Also those that are set when it is made, which no class shows."""
    station = memphis.station(name)
    producer, consumer = station.producer("p"), station.consumer("c", max_msg_deliveries=1)
    pending = producer.produce("x", nonblocking=True)
    pending.result()
    (message,) = consumer.fetch(1)
    message.dead_letter("why")
    letters = memphis.dead_letters()
    schema = memphis.create_schema(name, "json", content="{}")
    letter = next(iter(station.dead_letters()))
    for face in (memphis, station, producer, consumer, message, letters, letter, schema):
        inner = face._inner
        for attribute in vars(inner) if hasattr(inner, "__dict__") else inner.__slots__:
            assert attribute.startswith("_") or hasattr(face, attribute), (face, attribute)
        assert repr(face)
    properties = [
        producer.producer_name, producer.station_name, producer.is_stale, producer.in_flight,
        producer.is_settled, consumer.consumer_name, consumer.station_name, consumer.is_stale,
        consumer.consumer_group, station.name, station.options.retention_value, station.partitions,
        letter.info.id == letter.id, letter.station, letter.partition, letter.sequence, letter.group,
        letter.kind, letter.reason, letter.deliveries, letter.producer, letter.history, letter.sent_at
        == letter.info.sent_at, letter.failed_at == letter.info.failed_at, schema.name, schema.type,
        schema.stored is not None, pending.is_awaited, pending.done(), pending.error(),
    ]  # fmt: skip
    assert properties == [
        "p", name, False, 0, True, "c", name, False, "c", name, 3600, [1], True, name, 1, 1, "c",
        "poison", "why", 1, "p", [], True, True, name, "json", True, False, True, None,
    ]  # fmt: skip


def test_iterating_ends_when_another_thread_says_so(memphis: Memphis, name: str):
    """Messages come one by one as long as it runs; none is lost when it ends."""
    producer, consumer = memphis.producer(name, "p"), memphis.consumer(name, "c")
    for number in range(20):
        producer.produce(str(number), nonblocking=True)
    seen: list[int] = []
    for message in consumer:
        seen.append(int(message.get_data()))
        message.ack()
        if len(seen) == 10:
            break
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(lambda: [m.ack() or int(m.get_data()) for m in consumer])
        until_settled(memphis, name, "c")
        consumer.stop()
        assert seen + rest.result(SOON_S) == list(range(20))
    assert int(next(consumer_with(producer, consumer, "20")).get_data()) == 20


def consumer_with(producer: Any, consumer: Any, text: str) -> Any:
    """The same consumer, begun anew, with one message more to come."""
    producer.produce(text)
    return iter(consumer)


def test_a_handler_has_a_thread_of_its_own(memphis: Memphis, name: str):
    """The same for all its batches; while it blocks, everything else goes on."""
    producer = memphis.producer(name, "p")
    consumer = memphis.consumer(name, "c", batch_size=1, pull_interval_ms=0)
    consumer.set_context({"key": "value"})
    threads: set[threading.Thread] = set()
    seen: list[bytes] = []
    goes_on, is_in = threading.Event(), threading.Event()

    def handler(messages: list[Message], error: Any, context: dict[str, Any]) -> None:
        threads.add(threading.current_thread())
        assert context == {"key": "value"}
        if error:
            assert isinstance(error, MemphisTimeoutError)
        for message in messages:
            is_in.set()
            assert goes_on.wait(SOON_S)
            seen.append(bytes(message.get_data()))
            message.ack()

    consumer.consume(handler)
    with pytest.raises(MemphisUsageError, match="consuming already"):
        consumer.consume(handler)
    producer.produce("1")
    producer.produce("2")
    assert is_in.wait(SOON_S)
    assert memphis.existing_station(name).info().messages == 2  # the loop is not blocked
    goes_on.set()
    until_settled(memphis, name, "c")
    consumer.pause()
    consumer.resume()
    consumer.stop()
    assert seen == [b"1", b"2"]
    assert len(threads) == 1
    assert threading.current_thread() not in threads
    consumer.destroy()
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("how", ["stop", "destroy", "close"])
def test_a_handler_may_end_what_calls_it(broker: BrokerProcess, name: str, how: str):
    """Without waiting for itself; and it is not called again."""
    memphis = connect(broker)
    memphis.produce(name, "p", "1")
    memphis.produce(name, "p", "2")
    consumer = memphis.consumer(name, "c", batch_size=1, pull_interval_ms=0)
    calls: list[int] = []
    done = threading.Event()

    def handler(messages: list[Message], error: Any, context: Any) -> None:
        calls.append(len(messages))
        for message in messages:
            message.ack()
        (memphis.close if how == "close" else getattr(consumer, how))()
        done.set()

    consumer.consume(handler)
    assert done.wait(SOON_S)
    memphis.close()
    assert calls == [1]


def test_a_handler_that_fails_is_called_again(memphis: Memphis, name: str, caplog):
    """Also one that tries to end the program, which no thread but the main one can."""
    memphis.produce(name, "p", "1")
    consumer = memphis.consumer(
        name, "c", pull_interval_ms=10, max_ack_time_ms=300, max_msg_deliveries=10
    )
    failures = iter([ValueError("no"), SystemExit(3), KeyboardInterrupt()])
    done = threading.Event()

    def handler(messages: list[Message], error: Any, context: Any) -> None:
        for message in messages:
            failure = next(failures, None)
            if failure is not None:
                raise failure
            message.ack()
            done.set()

    with caplog.at_level(logging.ERROR, logger="memphis.consumer"):
        consumer.consume(handler)
        assert done.wait(SOON_S)
        consumer.stop()
    assert len([r for r in caplog.records if "handler of consumer" in r.message]) == 3


def test_a_handler_is_a_plain_function(memphis: Memphis, name: str):
    """A coroutine function would never run, so it is refused."""
    consumer = memphis.consumer(name, "c")

    async def handler(messages: Any, error: Any, context: Any) -> None:
        """Never called."""

    for wrong in (handler, None, "handler"):
        with pytest.raises(MemphisUsageError, match="plain function"):
            consumer.consume(wrong)  # type: ignore[arg-type]
    with pytest.raises(MemphisUsageError):
        consumer.consume(print, consumer_partition_number=7)


def test_a_message_is_settled_once(memphis: Memphis, name: str):
    """In each way, and in no second one."""
    for number in range(5):
        memphis.produce(name, "p", str(number))
    consumer = memphis.consumer(name, "c", max_ack_time_ms=600_000, max_msg_deliveries=3)
    acked, nacked, delayed, dead, last = consumer.fetch(5)
    acked.ack()
    acked.ack()
    nacked.nack()
    nacked.nack()
    delayed.delay(0)
    dead.dead_letter("why")
    for settled in (acked, nacked, delayed):
        with pytest.raises(MemphisUsageError, match="cannot be dead-lettered"):
            settled.dead_letter("too late")
    for settled in (nacked, delayed, dead):
        with pytest.raises(MemphisUsageError, match="cannot be acknowledged"):
            settled.ack()
    last.ack()
    assert sorted(int(m.get_data()) for m in read(consumer, 2)) == [1, 2]
    until_settled(memphis, name, "c")


# Beginning and ending.


def test_closing_sends_what_was_produced(broker: BrokerProcess, memphis: Memphis, name: str):
    """What a program does not wait for is stored when ``with`` has ended; no thread is left."""
    before = set(threading.enumerate())
    with connect(broker) as other:
        producer = other.producer(name, "p", on_error=print)
        pending = [producer.produce(str(n), nonblocking=True) for n in range(5000)]
        consumer = other.consumer(name, "c")
        consumer.consume(lambda messages, error, context: [m.ack() for m in messages])
    assert memphis.existing_station(name).info().messages == 5000
    assert set(threading.enumerate()) == before
    assert pending[-1].result().sequence == 5000
    other.close()
    calls: list[Callable[[], Any]] = [
        lambda: other.station(name),
        lambda: producer.produce("late"),
        lambda: producer.produce("late", nonblocking=True),
        producer.flush,
        lambda: next(iter(consumer)),
        lambda: other.connect("localhost", "root", password="memphis"),
    ]
    for call in calls:
        with pytest.raises(MemphisClosedError):
            call()
    assert not other.is_connected()


def test_failures_that_nobody_heard_of_are_raised_by_close(broker: BrokerProcess, name: str):
    """And the connection is closed all the same, with its thread."""
    before = set(threading.enumerate())
    memphis = connect(broker)
    memphis.producer(name, "p").produce(bytes(80 * 1024 * 1024), nonblocking=True)
    with pytest.raises(MemphisProduceError):
        memphis.close()
    assert set(threading.enumerate()) == before
    memphis.close()


def test_without_a_connection(broker: BrokerProcess):
    """Calls say so; a connection that fails leaves no thread, and can be tried again."""
    before = set(threading.enumerate())
    memphis = Memphis()
    with pytest.raises(MemphisConnectError, match="call connect"):
        memphis.stations()
    for _ in range(2):
        with pytest.raises(MemphisConnectError):
            memphis.connect(broker.host, "root", password="wrong", port=broker.port)
        assert set(threading.enumerate()) == before
    memphis.connect(broker.host, "root", password="memphis", port=broker.port)
    with pytest.raises(MemphisUsageError, match="connected already"):
        memphis.connect(broker.host, "root", password="memphis", port=broker.port)
    assert memphis.is_connected()
    memphis.close()
    never = Memphis()
    never.close()
    with pytest.raises(MemphisClosedError):
        never.connect(broker.host, "root", password="memphis", port=broker.port)
    assert set(threading.enumerate()) == before


def test_closing_ends_what_other_threads_wait_for(broker: BrokerProcess, name: str):
    """An iteration ends, a fetch says that it was closed; nobody waits for ever."""
    memphis = connect(broker)
    iterating = memphis.consumer(name, "i")
    fetching = memphis.consumer(name, "f", batch_max_time_to_wait_ms=600_000)
    with ThreadPoolExecutor(2) as pool:
        iterated = pool.submit(lambda: list(iterating))
        fetched = pool.submit(fetching.fetch)
        eventually_sync(lambda: len(memphis._inner._users._consumers) == 2)
        memphis.close()
        assert iterated.result(SOON_S) == []
        assert isinstance(fetched.exception(SOON_S), MemphisClosedError)


async def test_it_works_where_an_event_loop_runs(broker: BrokerProcess, name: str):
    """In a notebook or in asynchronous code, which it blocks as any call that waits."""
    with connect(broker) as memphis:
        assert memphis.produce(name, "p", "x").sequence == 1


def test_the_loops_own_thread_must_not_wait(memphis: Memphis):
    """It would wait for itself; the error says so."""
    caught: list[BaseException] = []
    done = threading.Event()

    def call() -> None:
        try:
            memphis.stations()
        except MemphisUsageError as error:
            caught.append(error)
        done.set()

    memphis._loop.post(call)
    assert done.wait(SOON_S)
    assert "would wait for itself" in str(caught[0])


# Dead letters.


def test_dead_letters(memphis: Memphis, name: str):
    """Looked at, edited, given back with progress, watched, dropped."""
    station = memphis.station(name)
    consumer = station.consumer("c", "g", max_ack_time_ms=600_000)
    for number in range(3):
        memphis.produce(name, "p", str(number))
    with ThreadPoolExecutor(1) as pool:
        watching = station.dead_letters().watch()
        first = pool.submit(next, watching)
        for message in consumer.fetch(3):
            message.dead_letter("late")
        assert first.result(SOON_S).reason == "late"
    letters = station.dead_letters(group="g")
    assert [bytes(letter.get_data()) for letter in letters] == [b"2", b"1", b"0"]
    assert [line.sequence for line in letters.headlines()] == [3, 2, 1]
    assert len(letters.newest(2)) == 2
    edited = next(iter(letters)).edit("two")
    assert bytes(memphis.dead_letter(edited.id).get_data()) == b"two"
    assert edited.get_headers() == memphis.dead_letter(edited.id).get_headers()
    edited.redrive()
    seen: list[int] = []
    result = letters.redrive(rate=100, progress=seen.append)
    assert (result.moved, seen[-1]) == (2, 2)
    assert sorted(bytes(m.get_data()) for m in read(consumer, 3)) == [b"0", b"1", b"two"]
    memphis.produce(name, "p", "3")
    consumer.fetch(1)[0].dead_letter("late")
    assert next(iter(memphis.dead_letters(group="g"))).drop()
    assert letters.drop() == 0
    with pytest.raises(MemphisUsageError):
        memphis.dead_letters(kind="other")
