"""What checking a message costs: ``python benchmarks/validation.py [--json FILE]``.

Calls ``encode`` of each schema type with the order of benchmarks/orders.py, on one core, in short
rounds of which the median counts; beside it the least that a user of the plain library would call,
measured in turn with it, so that both meet the same machine. No broker and no engine is involved.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fastavro
import graphql
import jsonschema_rs
import orjson
from google.protobuf import json_format

from benchmarks import orders
from benchmarks.figures import machine
from memphis.schema import compile_schema

Call = Callable[[], object]

ROUNDS = 7
ROUND_S = 0.15


def rows() -> dict[str, tuple[Call, Call]]:
    """For each row ours and the plain library's."""
    return {**_json_rows(), **_protobuf_rows(), **_avro_rows(), **_graphql_rows()}


def _json_rows() -> dict[str, tuple[Call, Call]]:
    encode = compile_schema(orders.json_definition()).encode
    validate = jsonschema_rs.validator_for(orders.JSON_SCHEMA).validate
    order, text = orders.ORDER, orjson.dumps(orders.ORDER)

    def plain() -> bytes:
        validate(order)
        return orjson.dumps(order)

    return {
        "json, dict": (lambda: encode(order), plain),
        "json, bytes": (lambda: encode(text), lambda: validate(orjson.loads(text))),
    }


def _protobuf_rows() -> dict[str, tuple[Call, Call]]:
    codec: Any = compile_schema(orders.protobuf_definition())
    encode, order = codec.encode, orders.ORDER
    payload = encode(order)
    message = codec.decode(payload)
    kind = type(message)
    return {
        "protobuf, message": (lambda: encode(message), message.SerializeToString),
        "protobuf, bytes": (lambda: encode(payload), lambda: kind.FromString(payload)),
        "protobuf, dict": (
            lambda: encode(order),
            lambda: json_format.ParseDict(order, kind()).SerializeToString(),
        ),
    }


def _avro_rows() -> dict[str, tuple[Call, Call]]:
    encode_json = compile_schema(orders.avro_definition()).encode
    encode_binary = compile_schema(orders.avro_definition(binary=True)).encode
    order, text = orders.ORDER, orjson.dumps(orders.ORDER)
    parsed = fastavro.parse_schema(orders.AVRO_SCHEMA, named_schemas={})

    def plain_json() -> bytes:
        fastavro.validate(order, parsed)
        return orjson.dumps(order)

    def plain_binary() -> bytes:
        out = io.BytesIO()
        fastavro.validate(order, parsed)
        fastavro.schemaless_writer(out, parsed, order)
        return out.getvalue()

    return {
        "avro json, dict": (lambda: encode_json(order), plain_json),
        "avro json, bytes": (
            lambda: encode_json(text),
            lambda: fastavro.validate(orjson.loads(text), parsed),
        ),
        "avro binary, dict": (lambda: encode_binary(order), plain_binary),
    }


def _graphql_rows() -> dict[str, tuple[Call, Call]]:
    encode = compile_schema(orders.graphql_definition()).encode
    schema = graphql.build_schema(orders.GRAPHQL_SCHEMA)
    return {
        "graphql, repeated query": (
            lambda: encode(orders.QUERY),
            lambda: graphql.validate(schema, graphql.parse(orders.QUERY)),
        )
    }


def measure(round_s: float) -> dict[str, dict[str, float]]:
    """Calls per second of each row, ours and the plain library's, and their ratio."""
    found = {}
    for row, calls in rows().items():
        rounds = [[_rate(call, round_s) for call in calls] for _ in range(ROUNDS)]
        ours, plain = (statistics.median(rates) for rates in zip(*rounds, strict=True))
        found[row] = {"rate": ours, "plain": plain, "ratio": ours / plain}
    return found


def _rate(call: Call, round_s: float) -> float:
    """Calls per second over one round."""
    calls, batch = 0, 20
    start = time.perf_counter()
    while (seconds := time.perf_counter() - start) < round_s:
        for _ in range(batch):
            call()
        calls += batch
        batch = min(2 * batch, 5000)
    return calls / seconds


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--round-seconds", type=float, default=ROUND_S)
    arguments = parser.parse_args()
    found = measure(arguments.round_seconds)
    print(f"an order of {len(orjson.dumps(orders.ORDER))} bytes, encode() per second on one core")
    for row, figures in found.items():
        print(
            f"{row:26}{figures['rate']:>12,.0f}/s   library alone {figures['plain']:>12,.0f}/s   "
            f"ratio {figures['ratio']:.2f}"
        )
    if arguments.json:
        text = json.dumps({"machine": machine(), "rows": found}, indent=2)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
