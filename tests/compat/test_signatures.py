"""What memphis-py 1.3.1 offers, asked of itself, is offered here: calls, attributes, import paths.

Nothing of the original is written down here but what is left out of it, each with the reason.
"""

from __future__ import annotations

import textwrap
from typing import Any

import memphis

MODULES = (
    "consumer", "exceptions", "headers", "memphis", "message", "partition_generator", "producer",
    "station", "types",
)  # fmt: skip

DESCRIBE = """
def describe(modules):
    import importlib, inspect

    def calls(kind):
        found = {}
        for name, call in inspect.getmembers(kind, inspect.isfunction):
            if name.startswith("_") and name != "__init__":
                continue
            parameters = list(inspect.signature(call).parameters.values())[1:]
            found[name] = {
                "is_coroutine": inspect.iscoroutinefunction(call),
                "parameters": [
                    [p.name, p.kind.name, None if p.default is p.empty else repr(p.default)]
                    for p in parameters
                ],
            }
        return found

    found = {}
    for module in modules:
        home = importlib.import_module("memphis." + module)
        for name, kind in vars(home).items():
            if not inspect.isclass(kind) or kind.__module__ != home.__name__:
                continue
            found[name] = {
                "module": module,
                "bases": [base.__name__ for base in kind.__mro__],
                "calls": calls(kind),
                "members": {m: kind[m].value for m in getattr(kind, "__members__", [])},
                "constants": [c for c in vars(kind) if c.isupper() and not hasattr(kind, "__members__")],
            }
    return found
"""

MACHINERY = {
    "listens to the broker's pushes": {
        "Memphis.get_msg_functions_updates", "Memphis.get_msg_schema_updates",
        "Memphis.get_msgs_sdk_clients_updates", "Memphis.sdk_client_updates_listener",
        "Memphis.start_listen_for_functions_updates", "Memphis.start_listen_for_schema_updates",
        "Memphis.update_schema_data",
    },
    "makes the trial connection": {"Memphis.get_broker_manager_connection"},
    "tells the broker's Slack integration": {"Memphis.send_notification"},
    "parses, or checks arguments, for other calls": {
        "Consumer.get_partition_from_key", "Consumer.validate_partition_number",
        "Memphis.parse_descriptor", "Memphis.schema_name_validation",
        "Producer.get_partition_from_key", "Producer.validate_partition_number",
    },
    "checks a message for produce(), which does so here": {
        "Station.validate_avro_schema", "Station.validate_graphql", "Station.validate_json_schema",
        "Station.validate_msg", "Station.validate_protobuf",
    },
    "keeps its caches": {
        "Consumer.load_messages_to_cache", "Memphis.unset_cached_consumer_station",
        "Memphis.unset_cached_producer_station",
    },
    "makes what only a connection, producer or consumer makes": {
        "Consumer.__init__", "Message.__init__", "Producer.__init__", "Station.__init__",
    },
}  # fmt: skip

DEVIATIONS = {
    "begins at once, awaited or not, since the specification's examples do not await it; what it "
    "returns can be awaited": {
        ("Consumer.destroy", "is_coroutine"), ("Producer.destroy", "is_coroutine"),
        ("Station.destroy", "is_coroutine"),
    },
}  # fmt: skip

CONSTANTS = {
    "a limit that the calls check": {"Consumer.MAX_BATCH_SIZE", "Memphis.MAX_BATCH_SIZE"},
    "names what there is no second of": {"Memphis.MEMPHIS_GLOBAL_ACCOUNT_NAME"},
    "a detail of how keys choose partitions": {"Memphis.SEED"},
}

ATTRIBUTES = {
    "an argument, which whoever gave it has": {
        "Consumer.batch_max_time_to_wait_ms", "Consumer.batch_size", "Consumer.context",
        "Consumer.last_messages", "Consumer.max_ack_time_ms", "Consumer.max_msg_deliveries",
        "Consumer.pull_interval_ms", "Consumer.start_consume_from_sequence", "Memphis.account_id",
        "Memphis.connection_token", "Memphis.host", "Memphis.max_reconnect", "Memphis.password",
        "Memphis.port", "Memphis.reconnect", "Memphis.reconnect_interval_ms", "Memphis.timeout_ms",
        "Memphis.username", "Producer.real_name",
    },
    "the NATS client below, which is another one here": {
        "Consumer.subscriptions", "Memphis.broker_connection", "Memphis.broker_manager",
        "Message.message",
    },
    "how its parts know each other": {
        "Consumer.connection", "Message.cg_name", "Message.connection", "Message.internal_station_name",
        "Message.station", "Producer.connection", "Producer.internal_station_name", "Producer.station",
        "Station.connection", "Station.internal_station_name", "Consumer.internal_station_name",
        "Consumer.inner_station_name", "Memphis.connection_id",
    },
    "its tasks, caches and what it was last told": {
        "Consumer.cached_messages", "Consumer.consumer_dls", "Consumer.dls_callback_func",
        "Consumer.dls_current_index",
        "Consumer.dls_messages", "Consumer.loading_thread", "Consumer.partition_generator",
        "Consumer.ping_consumer_interval_ms", "Consumer.t_consume", "Consumer.t_dls", "Consumer.t_ping",
        "Memphis.avro_schemas", "Memphis.clients_per_station", "Memphis.cluster_configurations",
        "Memphis.configuration_tasks", "Memphis.consumers_map", "Memphis.functions_clients_per_station",
        "Memphis.functions_tasks", "Memphis.functions_updates_data", "Memphis.functions_updates_subs",
        "Memphis.graphql_schemas", "Memphis.json_schemas", "Memphis.partition_consumers_updates_data",
        "Memphis.partition_producers_updates_data", "Memphis.producers_map", "Memphis.proto_msgs",
        "Memphis.schema_tasks", "Memphis.schema_updates_data", "Memphis.schema_updates_subs",
        "Memphis.station_schemaverse_to_dls", "Memphis.update_configurations_sub",
        "PartitionGenerator.current", "PartitionGenerator.length", "PartitionGenerator.partitions_list",
        "Producer.background_tasks", "Producer.is_multi_station_producer", "Producer.loop",
        "Producer.partition_generator",
    },
}  # fmt: skip


def _all(reasons: dict[str, set[Any]]) -> set[Any]:
    return set().union(*reasons.values())


def _here() -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(DESCRIBE, scope)
    described: dict[str, Any] = scope["describe"](MODULES)
    return described


async def _there(original) -> dict[str, Any]:
    described: dict[str, Any] = await original(
        f"{DESCRIBE}\nreturn describe(MODULES)", MODULES=MODULES
    )
    return described


def _differences(name: str, theirs: dict[str, Any], ours: dict[str, Any]) -> set[tuple[str, str]]:
    """In what a call of ours is no superset of theirs."""
    found = set()
    if theirs["is_coroutine"] != ours["is_coroutine"]:
        found.add((name, "is_coroutine"))
    for position, (parameter, kind, default) in enumerate(theirs["parameters"]):
        others = ours["parameters"][position : position + 1]
        if not others or others[0][:2] != [parameter, kind]:
            found.add((name, f"parameter {parameter}"))
        elif default is not None and others[0][2] != default:
            found.add((name, f"default of {parameter}"))
    for parameter, _, default in ours["parameters"][len(theirs["parameters"]) :]:
        if default is None:
            found.add((name, f"added {parameter}"))
    return found


async def test_every_call_is_here_with_the_same_parameters(original):
    """In the same order, with the same defaults, awaited alike; but for what is listed."""
    there, here = await _there(original), _here()
    missing, differences = set(), set()
    for kind, described in there.items():
        for call, theirs in described["calls"].items():
            name = f"{kind}.{call}"
            if call == "__init__" and described["members"]:
                continue  # the standard library's
            if name in _all(MACHINERY):
                continue
            ours = here[kind]["calls"].get(call)
            if ours is None:
                missing.add(name)
            else:
                differences |= _differences(name, theirs, ours)
    assert missing == set()
    assert differences == _all(DEVIATIONS)


async def test_what_is_left_out_was_there(original):
    """The lists name nothing that the original does not have."""
    there = await _there(original)
    calls = {f"{kind}.{call}" for kind, described in there.items() for call in described["calls"]}
    assert _all(MACHINERY) <= calls
    constants = {f"{kind}.{name}" for kind, found in there.items() for name in found["constants"]}
    assert constants == _all(CONSTANTS)


async def test_every_class_is_here(original):
    """In the same module, of the same kind, and an enumeration with the same values."""
    there, here = await _there(original), _here()
    for kind, theirs in there.items():
        assert here[kind]["module"] == theirs["module"]
        assert set(theirs["bases"]) <= set(here[kind]["bases"])
        assert here[kind]["members"] == theirs["members"]


async def test_every_import_from_the_package(original):
    """What the package itself gives there, it gives here."""
    names = await original(
        "return [n for n, v in vars(original).items() if isinstance(v, type)]",
    )
    assert {"Memphis", "Headers", "MemphisError", "MemphisConnectError"} <= set(names)
    assert {"MemphisSchemaError", "MemphisHeaderError"} <= set(names)
    for name in names:
        assert isinstance(getattr(memphis, name), type)


async def test_every_attribute_is_here_or_named(connected, memphis, name):
    """Of objects that are in use; what is not here is machinery, or known to who made the object."""
    code = textwrap.dedent(
        """
        from memphis.partition_generator import PartitionGenerator
        found = {}
        station = await kept.memphis.station(NAME)
        producer = await kept.memphis.producer(NAME, "p")
        consumer = await kept.memphis.consumer(NAME, "c")
        await producer.produce("x")
        (message,) = await fetch(consumer, 1)
        while not hasattr(consumer, "consumer_dls"):  # one of its tasks sets it
            await asyncio.sleep(0.01)
        error = original.MemphisError("why")
        made = [kept.memphis, station, producer, consumer, message, Headers(), error,
                PartitionGenerator([1])]
        for thing in made:
            found[type(thing).__name__] = [a for a in vars(thing) if not a.startswith("_")]
        return found
        """
    )
    there = await connected(code, NAME=name)
    station = await memphis.existing_station(name)
    producer = await memphis.producer(name, "p")
    consumer = await memphis.consumer(name, "d")
    (message,) = await consumer.fetch(1)
    from memphis import Headers, MemphisError  # noqa: PLC0415 - the fixture has the package's name
    from memphis.partition_generator import PartitionGenerator  # noqa: PLC0415

    made = [
        memphis, station, producer, consumer, message, Headers(), MemphisError("why"),
        PartitionGenerator([1]),
    ]  # fmt: skip
    here = {type(thing).__name__: thing for thing in made}
    missing = {
        f"{kind}.{attribute}"
        for kind, attributes in there.items()
        for attribute in attributes
        if not hasattr(here[kind], attribute)
    }
    assert missing == _all(ATTRIBUTES)
