"""Properties of Avro messages, with fastavro and Apache's own reader as oracles."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memphis.exceptions import MemphisSchemaError
from tests.unit.schema.definitions import compiled, reading_fault

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "count", "type": "int"},
        {"name": "total", "type": ["null", "long", "string"], "default": None},
        {"name": "weight", "type": "double"},
        {"name": "paid", "type": "boolean"},
        {"name": "raw", "type": ["null", "bytes"]},
        {"name": "key", "type": {"type": "fixed", "name": "Key", "size": 3}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "tags", "type": {"type": "map", "values": ["null", "string"]}},
        {"name": "parts", "type": {"type": "array", "items": "Order"}},
    ],
}
JSON = compiled("avro", SCHEMA)
BINARY = compiled("avro", SCHEMA, encoding="binary")
PARSED = fastavro.parse_schema(SCHEMA, named_schemas={})

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def orders(parts: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "id": TEXT,
            "count": st.integers(-(2**31), 2**31 - 1),
            "total": st.none() | st.integers(-(2**63), 2**63 - 1) | TEXT,
            "weight": st.floats(allow_nan=False, allow_infinity=False),
            "paid": st.booleans(),
            "raw": st.none() | st.binary(max_size=8),
            "key": st.binary(min_size=3, max_size=3),
            "kind": st.sampled_from(["A", "B"]),
            "tags": st.dictionaries(TEXT, st.none() | TEXT, max_size=3),
            "parts": parts,
        }
    )


ORDERS = orders(st.lists(orders(st.just([])), max_size=2))
WRONG = {
    "id": 1,
    "count": 2**31,
    "total": 1.5,
    "weight": "heavy",
    "paid": 1,
    "raw": 5,
    "key": b"ab",
    "kind": "C",
    "tags": {"a": 1},
    "parts": {},
}
ANY_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(ORDERS)
def test_what_is_encoded_is_decoded(order: dict[str, Any]):
    """Any message comes back equal from either encoding, and from its bytes."""
    for codec in (JSON, BINARY):
        payload = codec.encode(order)
        assert codec.decode(payload) == order
        assert codec.encode(payload) == payload


@given(ORDERS)
def test_another_implementation_reads_the_binary_form(order: dict[str, Any]):
    """Apache's reader finds the same message."""
    reader = avro.io.DatumReader(avro.schema.parse(json.dumps(SCHEMA)))
    decoder = avro.io.BinaryDecoder(io.BytesIO(BINARY.encode(order)))
    assert reader.read(decoder) == order


@given(ORDERS, st.sampled_from(list(WRONG)), st.booleans())
def test_a_mutated_message_is_refused_at_its_place(order: dict[str, Any], name: str, inner: bool):
    """One wrong field is found, in either encoding."""
    if inner and order["parts"]:
        order["parts"][-1][name] = WRONG[name]
        path = f"parts[{len(order['parts']) - 1}].{name}"
    else:
        order[name] = WRONG[name]
        path = name
    for codec in (JSON, BINARY):
        with pytest.raises(MemphisSchemaError) as caught:
            codec.encode(order)
        assert caught.value.path == (f"{path}.a" if name == "tags" else path)
        assert caught.value.expected


@given(ORDERS, st.sampled_from(list(WRONG)), ANY_VALUES)
def test_the_meaning_is_that_of_the_library(order: dict[str, Any], name: str, value: Any):
    """The JSON form takes what fastavro.validate takes, but for numbers that JSON has not."""
    order[name] = value
    is_text_for_bytes = name in {"raw", "key"} and isinstance(value, str)
    # To the library bytes are an array of numbers as well.
    is_bytes_for_array = name == "parts" and isinstance(value, bytes)
    if is_text_for_bytes or is_bytes_for_array or not _is_finite(value):
        return
    assert _fits(JSON, order) == fastavro.validate(order, PARSED, raise_errors=False)


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return all(map(_is_finite, value)) if isinstance(value, list) else True


def _fits(codec: Any, message: Any) -> bool:
    try:
        codec.encode(message)
    except MemphisSchemaError:
        return False
    return True


@given(st.binary(max_size=60) | ORDERS.map(lambda order: BINARY.encode(order)[:-1]))
def test_random_bytes_are_decoded_or_refused(payload: bytes):
    """Nothing but a schema error comes from bytes, whole or cut."""
    for codec in (JSON, BINARY):
        fault = reading_fault(codec, payload)
        assert fault is None or fault.expected


@given(st.binary(max_size=300))
def test_random_bytes_of_a_schema_without_itself(payload: bytes):
    """The compiled reader, used where nothing contains itself, fails as politely."""
    codec = compiled(
        "avro",
        {"type": "map", "values": ["null", "bytes", {"type": "array", "items": "double"}]},
        encoding="binary",
    )
    fault = reading_fault(codec, payload)
    assert fault is None or fault.expected
