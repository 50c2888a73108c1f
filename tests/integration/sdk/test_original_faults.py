"""The faults of the original SDK that must not come back: one test for each, or for each family.

Those of schemas are in `test_schemas.py`, `test_schema_changes.py` and `test_schema_dead_letters.py`.
Not here, because what they are about comes later:

- the protocol of the original's clients and its gateway: the broker's own faults there.
"""

from __future__ import annotations

import asyncio
import gc
import re
import time
from importlib import metadata

import pytest

from memphis import (
    Headers,
    Memphis,
    MemphisConnectError,
    MemphisError,
    MemphisNotFoundError,
    MemphisProduceError,
    MemphisRequestError,
    MemphisSchemaError,
    MemphisUsageError,
    Message,
)
from memphis._core.dead_letters import GroupDeadLetters
from memphis.message import MessageSource
from memphis.transport.protocol import MSG
from memphis.wire.errors import ErrorCode
from memphis.wire.names import GroupName, StationName
from memphis.wire.subjects import ingest_subject
from tests.fixtures.faults import standing_still
from tests.fixtures.proxy import CuttingProxy
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import (
    SOON_S,
    ack_all,
    fill,
    foreign_client,
    group_info,
    numbers_of,
    own_tasks,
    produce_too_late,
    read_one,
    until_settled,
)
from tests.waiting import eventually

# Connecting.


async def test_one_attempt_is_one_connection(broker):
    """A trial connection was made before the real one, after a pause if the host was local."""
    proxy = CuttingProxy((broker.host, broker.port))
    await proxy.start()
    host, port = proxy.address
    async with await connect(broker, host=host, port=port):
        assert proxy.connections == 1
    await proxy.stop()


async def test_the_class_of_a_failure_survives(broker):
    """Every failure to connect was wrapped in the root class, and some were printed."""
    with pytest.raises(MemphisConnectError) as refused:
        await connect(broker, password="wrong")
    assert refused.value.__cause__ is not None


async def test_after_giving_up_nothing_looks_alive(broker):
    """A client that had given up still said that it was connected; 10 attempts were cut to 9."""
    proxy = CuttingProxy((broker.host, broker.port))
    await proxy.start()
    host, port = proxy.address
    memphis = await connect(broker, host=host, port=port, max_reconnect=12, reconnect_interval_ms=1)
    proxy.refuse()

    async def has_given_up() -> bool:
        try:
            await memphis.station("s", timeout_retries=0)
        except MemphisConnectError:
            return memphis._session.connection.is_closed
        raise AssertionError("somebody answered")

    await eventually(has_given_up, SOON_S)
    assert proxy.refused == 12
    assert not memphis.is_connected()
    await memphis.close()
    await proxy.stop()


async def test_a_missing_broker_does_not_hang(fresh_broker):
    """A request that nobody answered was repeated six times with 20 seconds each."""
    async with await connect(fresh_broker) as memphis:
        await asyncio.to_thread(fresh_broker.kill)
        with pytest.raises(MemphisConnectError):
            await asyncio.wait_for(memphis.station("s"), SOON_S)


async def test_close_tells_what_went_wrong_and_finishes(broker, name):
    """Close iterated over what it was changing, swallowed the error, and left tasks behind."""
    memphis = await connect(broker)
    for number in range(3):
        consumer = await memphis.consumer(f"{name}-{number}", "c")
        consumer.consume(lambda *_: None)
        await memphis.producer(f"{name}-{number}", "p")
    await produce_too_late(broker, await memphis.producer(f"{name}-0", "p"))
    with pytest.raises(MemphisProduceError):
        await memphis.close()
    assert own_tasks() == set()


# Stations.


async def test_destroying_a_station_leaves_others_alone(memphis, name):
    """Users of each station were dropped whose name merely contained the destroyed one's."""
    await memphis.station(name)
    for other in (f"{name}-eu", f"my-{name}"):
        await memphis.produce(other, "p", b"1")
        await memphis.fetch_messages(other, "c")
    kept = [dict(cache._kept) for cache in (memphis._kept_producers, memphis._kept_consumers)]
    await (await memphis.existing_station(name)).destroy()
    for other in (f"{name}-eu", f"my-{name}"):
        await memphis.produce(other, "p", b"2")
        assert numbers_of(await memphis.fetch_messages(other, "c")) == [2]
    now = [dict(cache._kept) for cache in (memphis._kept_producers, memphis._kept_consumers)]
    assert now == kept


async def test_an_existing_stations_options_are_its_own(memphis, name):
    """If a station existed the options that were asked for were taken for the real ones."""
    await memphis.station(name, partitions_number=3)
    handle = await memphis.station(name, retention_value=5, partitions_number=1)
    assert handle.partitions == [1, 2, 3]
    assert handle.options.retention_value == 3600


@pytest.mark.parametrize("kind", ["xml", "", None, 5])
async def test_an_unknown_schema_type(memphis, tmp_path, kind):
    """An unknown type ended in a TypeError, after the file had been read."""
    with pytest.raises(MemphisSchemaError):
        await memphis.create_schema("s", kind, str(tmp_path / "there-is-no-such-file"))


async def test_a_missing_schema_file(memphis, tmp_path):
    """A file that cannot be read ended in an error of the operating system."""
    with pytest.raises(MemphisSchemaError):
        await memphis.create_schema("s", "json", str(tmp_path / "there-is-no-such-file"))


async def test_an_update_that_cannot_be_read(broker, memphis, name):
    """One bad update ended the listening to all further ones, silently."""
    producer = await memphis.producer(name, "p")
    memphis._session.states._updated(StationName.parse(name), b"\xff{")
    assert (await producer.produce(b"")).sequence == 1
    async with await connect(broker) as other:
        await (await other.existing_station(name)).destroy()
    await eventually(lambda: producer.is_stale, SOON_S)


async def test_a_refusal_is_told_as_it_is(memphis, name):
    """What the broker answered to a bad request came out as an error about a dict."""
    await memphis.station(name)
    with pytest.raises(MemphisRequestError) as refused:
        await memphis.station(f"{name}-2", replicas=5)
    assert refused.value.code == ErrorCode.TOO_FEW_SERVERS
    with pytest.raises(MemphisNotFoundError) as missing:
        await memphis.enforce_schema("there-is-no-such-schema", name)
    assert missing.value.code == ErrorCode.SCHEMA_NOT_FOUND


# Producing.


async def test_bytes(memphis, name):
    """Plain bytes were refused; only bytearray was taken."""
    await memphis.produce(name, "p", b"\xff\x00")
    assert (await read_one(await memphis.consumer(name, "c"))).get_data() == b"\xff\x00"


async def test_headers_stay_the_callers(memphis, name):
    """The caller's headers got more keys, and a later message was taken for a duplicate by them."""
    headers = Headers()
    headers.add("k", "v")
    first = await memphis.produce(name, "p", b"", headers=headers, msg_id="1")
    second = await memphis.produce(name, "p", b"", headers=headers)
    assert headers.headers == {"k": "v"}
    assert (first.duplicate, second.duplicate) == (False, False)


async def test_failures_of_nonblocking_messages(broker, name, caplog):
    """They vanished, but for asyncio's complaint about an exception nobody had retrieved."""
    memphis = await connect(broker)
    producer = await memphis.producer(name, "p")
    await produce_too_late(broker, producer)
    with pytest.raises(MemphisProduceError):
        await producer.flush()
    await memphis.close()
    gc.collect()
    assert not caplog.records


async def test_close_waits_for_pending_messages(broker, memphis, name):
    """Messages that were on their way were lost at close."""
    closing = await connect(broker)
    for number in range(1000):
        await closing.produce(name, "p", str(number), nonblocking=True)
    await closing.close()
    assert (await (await memphis.existing_station(name)).info()).messages == 1000


async def test_the_limit_of_concurrent_messages_needs_no_polling(memphis, name, monkeypatch):
    """A full window was looked at every 100 ms, instead of going on when there was room."""

    def sleep(*_: object) -> None:
        raise AssertionError("somebody polls")

    producer = await memphis.producer(name, "p")
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "sleep", sleep)
        for _ in range(100):
            await producer.produce(b"", nonblocking=True, concurrent_task_limit=1)
        await producer.flush()


async def test_a_producer_of_a_removed_station(memphis, name):
    """The error that tells that the station is gone could never be reached."""
    producer = await memphis.producer(name, "p")
    await (await memphis.existing_station(name)).destroy()
    with pytest.raises(MemphisNotFoundError) as missing:
        await producer.produce(b"")
    assert name in str(missing.value)


async def test_a_producer_for_several_stations_is_whole(memphis, name):
    """It lacked most attributes, and dropped nonblocking and the limit."""
    names = [f"{name}.1", f"{name}.2"]
    producer = await memphis.producer(names, "p")
    assert (producer.station_name, producer.producer_name) == (names, "p")
    pending = await producer.produce(b"", nonblocking=True, concurrent_task_limit=1)
    assert [(await one).sequence for one in pending] == [1, 1]
    await producer.destroy()


async def test_a_partition_number_is_always_checked(memphis, name):
    """With one partition, or none known, a number was ignored."""
    producer = await memphis.producer(name, "p")
    with pytest.raises(MemphisUsageError):
        await producer.produce(b"", producer_partition_number=7)
    assert (await producer.produce(b"", producer_partition_number=1)).partition == 1


async def test_destroying_what_has_a_random_suffix(memphis, name):
    """Kept under one name and destroyed under another, it ended in a KeyError."""
    with pytest.warns(DeprecationWarning, match="generate_random_suffix"):
        producer = await memphis.producer(name, "p", generate_random_suffix=True)
    with pytest.warns(DeprecationWarning, match="generate_random_suffix"):
        consumer = await memphis.consumer(name, "c", generate_random_suffix=True)
    await producer.destroy()
    await consumer.destroy()


# Consuming.


async def test_making_things_starts_nothing(memphis, name):
    """Each consumer began with two tasks, one of which never ended."""
    before = own_tasks()
    consumer = await memphis.consumer(name, "c")
    await memphis.producer(name, "p")
    await memphis.station(name)
    assert own_tasks() == before
    await consumer.destroy()
    assert own_tasks() == before


async def test_a_handler_that_raises(memphis, name):
    """The first exception ended the loop, and nobody was told."""
    await fill(await memphis.producer(name, "p"), range(3))
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0, batch_size=1)
    seen: list[int] = []

    def handler(messages, _error, _context):
        seen.extend(numbers_of(messages))
        raise LookupError

    consumer.consume(handler)
    await eventually(lambda: seen == [0, 1, 2], SOON_S)


async def test_an_idle_station_is_no_stream_of_errors(memphis, name):
    """Every empty poll was reported as an error, and skipped the pause between polls."""
    consumer = await memphis.consumer(name, "c", pull_interval_ms=1, batch_max_time_to_wait_ms=1)
    errors: list[MemphisError] = []
    consumer.consume(lambda _messages, error, _context: errors.append(error))
    polls = memphis._session.puller.statistics().pulls
    await eventually(lambda: memphis._session.puller.statistics().pulls > polls + 20, SOON_S)
    assert [str(error) for error in errors] == ["Memphis: TimeoutError"]


async def test_the_time_of_a_batch_counts(memphis, name):
    """The time was accepted and not used: every fetch waited five seconds."""
    consumer = await memphis.consumer(name, "c", batch_max_time_to_wait_ms=1)
    assert await consumer.fetch(1) == []
    # The engine was not asked to wait any longer than that.
    assert consumer._reader._partitions[1].until <= time.monotonic() + 0.001


async def test_a_fetch_changes_nothing_else(memphis, name):
    """The size of one fetch became the batch size of the consumer."""
    await fill(await memphis.producer(name, "p"), range(10))
    consumer = await memphis.consumer(name, "c", pull_interval_ms=0, batch_size=4)
    await ack_all(await consumer.fetch(1))
    sizes: list[int] = []

    async def handler(messages, _error, _context):
        sizes.append(len(messages))
        await ack_all(messages)

    consumer.consume(handler)
    await eventually(lambda: sum(sizes) == 9, SOON_S)
    assert max(sizes) == 4


async def test_prefetch_keeps_partitions_apart(memphis, name):
    """What was fetched ahead from one partition was given for another, or dropped."""
    await memphis.station(name, partitions_number=2)
    producer = await memphis.producer(name, "p")
    for partition in (1, 2):
        await fill(producer, range(20), partition)
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=600_000)
    for _ in range(4):
        for partition in (1, 2):
            messages = await consumer.fetch(5, consumer_partition_number=partition, prefetch=True)
            assert {message.partition for message in messages} <= {partition}
            await ack_all(messages)
    while (await group_info(memphis, name, "c")).pending:
        await ack_all(await consumer.fetch(40))
    await ack_all(await consumer.fetch(40))
    await until_settled(memphis, name, "c")


async def test_prefetch_is_not_without_limit(memphis, name):
    """A guard that was never set let any number of batches be fetched ahead at once."""
    await fill(await memphis.producer(name, "p"), range(1000))
    consumer = await memphis.consumer(name, "c", max_ack_time_ms=600_000)
    await asyncio.gather(*(consumer.fetch(10, prefetch=True) for _ in range(10)))
    consumer._reader.prefetch(10, 0, [1])

    async def is_stable() -> bool:
        group = await group_info(memphis, name, "c")
        assert group.unacknowledged <= 110
        return group.unacknowledged == 110

    await eventually(is_stable, SOON_S)


async def test_destroying_a_consumer_of_a_removed_station(memphis, name):
    """It ended in a TypeError if the station was not tracked any more."""
    consumer = await memphis.consumer(name, "c")
    await (await memphis.existing_station(name)).destroy()
    await consumer.destroy()


# Messages.


async def test_a_dead_letter_is_stored_first(fresh_broker):
    """The message was taken from the group first; then storing it failed, always."""
    async with await connect(fresh_broker) as memphis:
        await fill(await memphis.producer("s", "p"), range(1))
        consumer = await memphis.consumer("s", "c", max_ack_time_ms=600_000)
        message = await read_one(consumer)
        async with standing_still(fresh_broker):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await message.dead_letter("why")
        # Not settled: it can still be handed back, and comes again.
        await message.nack()
        assert (await read_one(consumer)).delivery_count == 2


async def test_the_time_of_a_message(memphis, name):
    """It was always None."""
    await memphis.produce(name, "p", b"")
    message = await read_one(await memphis.consumer(name, "c"))
    assert message.get_timesent().utcoffset() is not None


async def test_a_message_without_headers(broker, memphis, name):
    """Settling one ended in a TypeError, because its headers were None."""
    await memphis.station(name)
    subject = ingest_subject(StationName.parse(name), 1)
    async with foreign_client(broker) as foreign:
        await foreign.request(subject, b"", timeout=SOON_S)
    consumer = await memphis.consumer(name, "c", max_msg_deliveries=10)
    message = await read_one(consumer)
    assert message.get_headers() == {}
    await message.delay(0.01)
    await (await read_one(consumer)).nack()
    await (await read_one(consumer)).ack()
    await until_settled(memphis, name, "c")


async def test_getters_raise(memphis, name):
    """Whatever was wrong with a message, its getters returned None."""
    await memphis.station(name)
    session = memphis._session
    state = next(iter(session.states._states.values()))
    group = GroupName.parse("g")
    dead_letters = GroupDeadLetters(session.connection, session.publisher, state, group, "", 2)
    source = MessageSource(session.connection, session.codecs, state, group, dead_letters)
    odd = Message(source, 1, (MSG, 1, b"stored", b"not.a.delivery", b"", b""))
    for getter in (odd.get_sequence_number, odd.get_timesent):
        with pytest.raises((IndexError, ValueError)):
            getter()


# Errors and the package.


@pytest.mark.parametrize("text", ["donats", "nats: timeout", "JetStream of NATS", "memphis: x"])
def test_texts_are_not_rewritten(text):
    """The engine's name was replaced inside any word, so that data in texts changed."""
    assert str(MemphisError(text)) == f"memphis: {text.removeprefix('memphis: ')}"


@pytest.mark.parametrize("text", ["why", "memphis: why", "Memphis: TimeoutError"])
def test_the_text_alone(text):
    """What programs for the original compare: the text as it was given."""
    assert MemphisError(text).message == text


def test_an_error_of_anything():
    """An error made of another error ended in an AttributeError."""
    assert str(MemphisError(ValueError("why"))) == "memphis: why"


async def test_only_our_own_errors(memphis, name):
    """Some calls raised a bare Exception."""
    station = await memphis.station(name)
    await station.destroy()
    again = Memphis()
    for call in (station.info(), again.stations(), memphis.consumer(name, "c", batch_size=0)):
        with pytest.raises(MemphisError):
            await call


def test_dependencies_have_bounds_and_none_shadows_the_standard_library():
    """A dead package named asyncio was installed, and any version of everything was taken."""
    required = metadata.requires("memphis-py") or []
    names = {re.match(r"[\w.-]+", line).group().lower() for line in required}
    assert "asyncio" not in names
    for line in required:
        specifier = line.partition(";")[0]
        assert ">=" in specifier
        assert "<" in specifier
