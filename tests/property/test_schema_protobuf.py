"""Properties of protobuf messages."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memphis.exceptions import MemphisSchemaError
from tests.unit.schema.definitions import compiled_proto, reading_fault

CODEC: Any = compiled_proto(
    "shop.Order",
    """
    syntax = "proto3";
    package shop;
    message Order {
      string id = 1;
      sint32 count = 2;
      repeated Order parts = 3;
      map<string, uint64> totals = 4;
      bytes raw = 5;
      Kind kind = 6;
      optional double weight = 7;
      repeated bool flags = 8;
    }
    enum Kind { PLAIN = 0; GIFT = 1; }
    """,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def orders(parts: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "id": TEXT,
            "count": st.integers(-(2**31), 2**31 - 1),
            "parts": parts,
            "totals": st.dictionaries(TEXT, st.integers(0, 2**64 - 1), max_size=3),
            "raw": st.binary(max_size=9).map(lambda raw: base64.b64encode(raw).decode()),
            "kind": st.sampled_from(["PLAIN", "GIFT"]),
            "weight": st.floats(allow_nan=False, allow_infinity=False),
            "flags": st.lists(st.booleans(), max_size=4),
        },
    )


ORDERS = orders(st.lists(orders(st.just([])), max_size=2))
WRONG = {
    "id": 1,
    "count": 2**31,
    "parts": [{}, 5],
    "totals": {"a": -1},
    "raw": "?",
    "kind": "OTHER",
    "weight": "heavy",
    "flags": [1],
    "other": 1,
}
INSIDE = {"parts": "[1]", "totals": ".a", "flags": "[0]"}


def as_dict(message: Any) -> dict[str, Any]:
    """The fields of a message as a test gave them, those with defaults left out."""
    found = {}
    for field, value in message.ListFields():
        if field.name == "parts":
            found["parts"] = [as_dict(part) for part in value]
        elif field.name == "totals":
            found["totals"] = dict(value)
        elif field.name == "raw":
            found["raw"] = base64.b64encode(value).decode()
        elif field.name == "kind":
            found["kind"] = field.enum_type.values_by_number[value].name
        else:
            found[field.name] = list(value) if field.name == "flags" else value
    return found


def without_defaults(order: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [without_defaults(part) for part in value] if name == "parts" else value
        for name, value in order.items()
        if name == "weight" or (value and value != "PLAIN")
    }


@given(ORDERS)
def test_what_is_encoded_is_decoded(order: dict[str, Any]):
    """Any dict comes back as a message with its fields; the message and its bytes encode alike."""
    payload = CODEC.encode(order)
    message = CODEC.decode(payload)
    assert as_dict(message) == without_defaults(order)
    assert CODEC.encode(payload) == payload
    assert CODEC.decode(CODEC.encode(message)) == message


@given(ORDERS, st.sampled_from(list(WRONG)), st.booleans())
def test_a_mutated_message_is_refused_at_its_place(order: dict[str, Any], name: str, inner: bool):
    """One wrong field is found, at any depth."""
    path = name + INSIDE.get(name, "")
    if inner and order.get("parts"):
        order["parts"][-1][name] = WRONG[name]
        path = f"parts[{len(order['parts']) - 1}].{path}"
    else:
        order[name] = WRONG[name]
    with pytest.raises(MemphisSchemaError) as caught:
        CODEC.encode(order)
    assert caught.value.path == path
    assert caught.value.expected


@given(ORDERS, st.integers(9, 2000))
def test_a_field_that_is_not_known_is_refused(order: dict[str, Any], number: int):
    """An added field is noticed, after whatever message."""
    unknown = bytes([number << 3 & 0x78 | 0x80, number >> 4 & 0x7F | 0x80, number >> 11, 1])
    with pytest.raises(MemphisSchemaError) as caught:
        CODEC.encode(CODEC.encode(order) + unknown)
    assert str(number) in str(caught.value)


@given(st.binary(max_size=80) | ORDERS.map(lambda order: CODEC.encode(order)[:-1]))
def test_random_bytes_are_decoded_or_refused(payload: bytes):
    """Nothing but a schema error comes from bytes, and what is taken once is taken again."""
    fault = reading_fault(CODEC, payload)
    assert fault is None or fault.expected
    if fault is None:
        again = CODEC.encode(CODEC.decode(payload))
        assert CODEC.encode(CODEC.decode(again)) == again
