"""Every example of the specification that is valid Python runs as written, against a real broker.

These tests read the specification from beside the project and skip where it is not.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import types
import warnings

import pytest

import memphis as package
from memphis import Headers, Memphis, MemphisRequestError, Retention, Storage
from memphis.wire.errors import ErrorCode
from tests.docs.specification import AWAIT_ALLOWED, SPECIFICATION, Example, read_examples
from tests.fixtures.sdk import connect

# What stands for something the reader must fill in.
FILLED_IN = {
    "<station-name>": "my_station",
    "<consumer-name>": "my_consumer",
    "<group-name>": "my_group",
    "<schema-name>": "my_schmea",
    "<schema-type>": "json",
}

# Examples that cannot run here as written, each with the reason.
NOT_RUN = {
    "await memphis.connect(...)": "a placeholder for the arguments",
    "aws-us-east-1.cloud.memphis.dev": "a cloud that is gone",
    'connection_token = "token"': "needs a broker with a token; see the tests of logins",
    "tls_file_path": "needs certificates; see the tests of TLS",
}

EXAMPLES = [e for e in read_examples() if not any(text in e.source for text in NOT_RUN)]


def test_the_examples_are_found():
    """The reader of examples does not silently find nothing."""
    if not SPECIFICATION.exists():
        pytest.skip("the specification is not beside the project")
    assert len(EXAMPLES) > 60


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"line {e.line}")
async def test_an_example_of_the_specification_runs(example: Example, broker, tmp_path):
    """The statement does what it says, on stations of its own."""
    surroundings = await _surroundings(broker, tmp_path)
    try:
        await _prepare(example, surroundings, tmp_path)
        if "replicas = 3" in example.source:
            # Only possible in a cluster, as the specification says; one server refuses.
            with pytest.raises(MemphisRequestError) as refused:
                await _run(example, surroundings)
            assert refused.value.code == ErrorCode.TOO_FEW_SERVERS
        elif "attach_schema" in example.source:
            with pytest.warns(DeprecationWarning, match="attach_schema"):
                await _run(example, surroundings)
        else:
            await _run(example, surroundings)
    finally:
        await _clean_up(broker, surroundings)


# Stations that the examples name, and leave behind.
STATIONS = {
    "my_station", "some_station", "test_station_py", "station_1", "station_2",
    "bad_sensor_messages_station",
}  # fmt: skip


async def _surroundings(broker, tmp_path) -> dict[str, object]:
    """What the examples take for granted: names that were set in examples before."""

    class MemphisHere(Memphis):
        """Connects to the test's broker, where the examples leave the port to its default."""

        async def connect(self, **arguments) -> None:
            await super().connect(port=broker.port, **arguments)

    connection = await connect(broker)
    for name in ("my_station", "some_station"):
        if name == "some_station":
            await connection.station(name, partitions_number=3)

    async def msg_handler(msgs, error, context):
        for msg in msgs:
            await msg.get_data_deserialized()
            await msg.ack()

    headers = Headers()
    headers.add("key", "value")
    return {
        "Memphis": MemphisHere,
        "memphis": connection,
        "connection": connection,
        "Retention": Retention,
        "Storage": Storage,
        "headers": headers,
        "msg_handler": msg_handler,
        "context": {"key": "value"},
        "delay_in_seconds": 1,
    }


async def _prepare(example: Example, names: dict[str, object], tmp_path) -> None:
    """Make the objects that this example speaks of."""
    connection = names["memphis"]
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"type": "object"}))
    names["schema_path"] = str(schema)
    for schema_name in ("sensor_logs", "my_schmea"):
        if schema_name in example.source or "schema" in example.source:
            await connection.create_schema(schema_name, "json", str(schema))
    if "_schema(" in example.source or "_schmea(" in example.source:
        await connection.station("my_station")
    if "memphis.connect(" in example.source:
        names["memphis"] = names["Memphis"]()
    if example.source.startswith("station."):
        names["station"] = await connection.station("my_station")
    if "producer." in example.source:
        names["producer"] = await connection.producer("my_station", "new_producer")
    if "consumer." in example.source:
        names["consumer"] = await connection.consumer("my_station", "my_consumer")
    if "message." in example.source or "msg." in example.source:
        await connection.produce("my_station", "p", "hello")
        messages = await connection.fetch_messages(
            "my_station", "c", batch_max_time_to_wait_ms=5000, batch_size=1
        )
        names["message"] = names["msg"] = messages[0]


async def _run(example: Example, names: dict[str, object]) -> None:
    source = example.source.replace("<schema-file-path>", str(names["schema_path"]))
    for placeholder, value in FILLED_IN.items():
        source = source.replace(placeholder, value)
    # The specification calls these on the class, with an object of that class beside it.
    source = source.replace("await Memphis.consumer(", "await memphis.consumer(")
    if source.startswith("memphis.types."):
        names = {"memphis": package, "connection": names["connection"]}
    code = compile(source, f"line {example.line}", "exec", AWAIT_ALLOWED)
    before = asyncio.all_tasks()
    function = types.FunctionType(code, names)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        outcome = function()
        if inspect.isawaitable(outcome):
            await outcome
    # What an example starts without awaiting it must succeed as well.
    started = [t for t in asyncio.all_tasks() - before if t.get_name().startswith("destroy")]
    if started:
        await asyncio.wait_for(asyncio.gather(*started), 20)


async def _clean_up(broker, names: dict[str, object]) -> None:
    for made in (names["memphis"], names["connection"]):
        if isinstance(made, Memphis):
            await made.close()
    async with await connect(broker) as connection:
        for summary in await connection.stations():
            if summary.name in STATIONS:
                await (await connection.existing_station(summary.name)).destroy()
