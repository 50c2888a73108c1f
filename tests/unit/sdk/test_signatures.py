"""The calls of the specification, as a table, against what the SDK offers."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

import memphis
from memphis import Consumer, Headers, Memphis, Message, Producer, Retention, Station, Storage

NO_DEFAULT = inspect.Parameter.empty

# Each call with its parameters in the order and with the defaults of the specification. Where the
# text contradicts itself (max_reconnect: 10 in one place, -1 "which means indefinitely" in
# another) the client that it describes decides: -1.
SPECIFIED: dict[Any, list[tuple[str, Any]]] = {
    Memphis.connect: [
        ("host", NO_DEFAULT),
        ("username", NO_DEFAULT),
        ("account_id", 1),
        ("connection_token", ""),
        ("password", ""),
        ("port", 6666),
        ("reconnect", True),
        ("max_reconnect", -1),
        ("reconnect_interval_ms", 1500),
        ("timeout_ms", 2000),
        ("cert_file", ""),
        ("key_file", ""),
        ("ca_file", ""),
    ],
    Memphis.close: [],
    Memphis.is_connected: [],
    Memphis.station: [
        ("name", NO_DEFAULT),
        ("retention_type", Retention.MAX_MESSAGE_AGE_SECONDS),
        ("retention_value", 3600),
        ("storage_type", Storage.DISK),
        ("replicas", 1),
        ("idempotency_window_ms", 120000),
        ("schema_name", ""),
        ("send_poison_msg_to_dls", True),
        ("send_schema_failed_msg_to_dls", True),
        ("tiered_storage_enabled", False),
        ("partitions_number", 1),
        ("dls_station", ""),
    ],
    Station.destroy: [],
    Memphis.create_schema: [
        ("schema_name", NO_DEFAULT),
        ("schema_type", NO_DEFAULT),
        ("schema_path", ""),  # of the specification, without a default; content is another way
    ],
    Memphis.enforce_schema: [("name", NO_DEFAULT), ("station_name", NO_DEFAULT)],
    Memphis.attach_schema: [("name", NO_DEFAULT), ("station_name", NO_DEFAULT)],
    Memphis.detach_schema: [("station_name", NO_DEFAULT)],
    Memphis.producer: [
        ("station_name", NO_DEFAULT),
        ("producer_name", NO_DEFAULT),
        ("generate_random_suffix", False),
    ],
    Producer.produce: [
        ("message", NO_DEFAULT),
        ("ack_wait_sec", 15),
        ("headers", None),
        ("async_produce", None),
        ("nonblocking", False),
        ("msg_id", None),
        ("concurrent_task_limit", None),
        ("producer_partition_key", None),
        ("producer_partition_number", -1),
    ],
    Producer.destroy: [],
    Memphis.produce: [
        ("station_name", NO_DEFAULT),
        ("producer_name", NO_DEFAULT),
        ("message", NO_DEFAULT),
        ("generate_random_suffix", False),
        ("ack_wait_sec", 15),
        ("headers", None),
        ("async_produce", False),
        ("msg_id", None),
        ("producer_partition_key", None),
        ("producer_partition_number", -1),
    ],
    Memphis.consumer: [
        ("station_name", NO_DEFAULT),
        ("consumer_name", NO_DEFAULT),
        ("consumer_group", ""),
        ("pull_interval_ms", 1000),
        ("batch_size", 10),
        ("batch_max_time_to_wait_ms", 100),
        ("max_ack_time_ms", 30000),
        ("max_msg_deliveries", 2),
        ("generate_random_suffix", False),
        ("start_consume_from_sequence", 1),
        ("last_messages", -1),
    ],
    Memphis.fetch_messages: [
        ("station_name", NO_DEFAULT),
        ("consumer_name", NO_DEFAULT),
        ("consumer_group", ""),
        ("batch_size", 10),
        ("batch_max_time_to_wait_ms", 100),
        ("max_ack_time_ms", 30000),
        ("max_msg_deliveries", 2),
        ("generate_random_suffix", False),
        ("start_consume_from_sequence", 1),
        ("last_messages", -1),
        ("consumer_partition_key", None),
        ("consumer_partition_number", -1),
        ("prefetch", False),
    ],
    Consumer.consume: [
        ("callback", NO_DEFAULT),
        ("consumer_partition_key", None),
        ("consumer_partition_number", -1),
    ],
    Consumer.fetch: [
        ("batch_size", 10),
        ("consumer_partition_key", None),
        ("consumer_partition_number", -1),
        ("prefetch", False),
    ],
    Consumer.set_context: [("context", NO_DEFAULT)],
    Consumer.destroy: [],
    Message.ack: [],
    Message.nack: [],
    Message.dead_letter: [("reason", NO_DEFAULT)],
    Message.delay: [("delay", NO_DEFAULT)],
    Message.get_data: [],
    Message.get_data_deserialized: [],
    Message.get_headers: [],
    Message.get_sequence_number: [],
    Message.get_timesent: [],
    Headers.add: [("key", NO_DEFAULT), ("value", NO_DEFAULT)],
}

# Accepted beyond the lists above, because the specification's examples pass them.
PASSED_IN_EXAMPLES = {
    Memphis.station: ["schema"],
    Producer.produce: ["limit_concurrent_tasks"],
    Memphis.produce: ["nonblocking", "concurrent_task_limit", "limit_concurrent_tasks"],
}

AWAITED = {
    Memphis.connect, Memphis.close, Memphis.station, Memphis.create_schema, Memphis.enforce_schema,
    Memphis.attach_schema, Memphis.detach_schema, Memphis.producer, Memphis.produce,
    Memphis.consumer, Memphis.fetch_messages, Producer.produce, Consumer.fetch, Message.ack,
    Message.nack, Message.dead_letter, Message.delay, Message.get_data_deserialized,
}  # fmt: skip


@pytest.mark.parametrize("call", SPECIFIED, ids=lambda call: call.__qualname__)
def test_parameters_come_in_the_specified_order_with_the_specified_defaults(call):
    """Code that passes arguments by position or leaves them out means the same here."""
    parameters = list(inspect.signature(call).parameters.values())[1:]
    found = [(p.name, p.default) for p in parameters[: len(SPECIFIED[call])]]
    assert found == SPECIFIED[call]


@pytest.mark.parametrize("call", SPECIFIED, ids=lambda call: call.__qualname__)
def test_what_is_added_is_optional(call):
    """Nobody must pass a parameter that the specification does not know."""
    added = list(inspect.signature(call).parameters.values())[1 + len(SPECIFIED[call]) :]
    assert all(p.default is not NO_DEFAULT for p in added)
    assert {p.name for p in added} >= set(PASSED_IN_EXAMPLES.get(call, []))


@pytest.mark.parametrize("call", SPECIFIED, ids=lambda call: call.__qualname__)
def test_coroutine_functions_are_those_that_the_specification_awaits(call):
    """What is awaited is a coroutine function; the rest can be called without await."""
    assert inspect.iscoroutinefunction(call) == (call in AWAITED)


def test_import_paths_of_the_original_hold():
    """Names are found where code for the original imports them from."""
    paths = {
        "memphis.consumer": "Consumer",
        "memphis.exceptions": "MemphisError",
        "memphis.headers": "Headers",
        "memphis.memphis": "Memphis",
        "memphis.message": "Message",
        "memphis.producer": "Producer",
        "memphis.station": "Station",
        "memphis.types": "Retention",
    }
    for module, name in paths.items():
        assert getattr(importlib.import_module(module), name) is getattr(memphis, name)
    generator = importlib.import_module("memphis.partition_generator").PartitionGenerator([1, 2])
    assert [next(generator) for _ in range(3)] == [1, 2, 1]


def test_the_public_names_are_complete_and_sorted():
    """What ``import *`` gives is what is offered, in order."""
    assert memphis.__all__ == sorted(memphis.__all__)
    assert all(hasattr(memphis, name) for name in memphis.__all__)
    errors = {
        n for n, v in vars(memphis).items() if isinstance(v, type) and issubclass(v, Exception)
    }
    assert errors <= set(memphis.__all__)


def test_retention_and_storage_have_the_original_values():
    """The values travel on the wire."""
    assert {r.name: r.value for r in Retention} == {
        "MAX_MESSAGE_AGE_SECONDS": "message_age_sec",
        "MESSAGES": "messages",
        "BYTES": "bytes",
        "ACK_BASED": "ack_based",
    }
    assert {s.name: s.value for s in Storage} == {"DISK": "file", "MEMORY": "memory"}
