"""Properties of JSON messages: what is stored is what was checked and what is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memphis.exceptions import MemphisSchemaError
from tests.unit.schema.definitions import compiled, reading_fault

ANYTHING = compiled("json", "{}")
ITEM = {
    "type": "object",
    "required": ["sku", "quantity"],
    "additionalProperties": False,
    "properties": {
        "sku": {"type": "string", "maxLength": 10},
        "quantity": {"type": "integer", "minimum": 1},
        "price": {"type": ["number", "null"]},
    },
}
ORDERS = compiled("json", {"type": "array", "items": ITEM})

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
MESSAGES = st.dictionaries(TEXT, VALUES, max_size=5) | st.lists(VALUES, max_size=5)
ITEMS = st.fixed_dictionaries(
    {"sku": st.text("abc", max_size=10), "quantity": st.integers(1, 2**80)},
    optional={"price": NUMBERS | st.none()},
)


@given(MESSAGES)
def test_what_is_encoded_is_decoded(message: Any):
    """Any JSON value comes back equal and of the same types, from each form."""
    payload = ANYTHING.encode(message)
    assert repr(ANYTHING.decode(payload)) == repr(message)
    assert json.loads(payload) == message
    text = json.dumps(message, ensure_ascii=False)
    assert ANYTHING.encode(text) == text.encode()
    assert repr(ANYTHING.decode(text.encode())) == repr(json.loads(text))


@given(st.lists(ITEMS, min_size=1, max_size=4), st.data())
def test_a_mutated_message_is_refused_at_its_place(orders: list[dict[str, Any]], data: Any):
    """One wrong field is found, in the object and in its bytes."""
    assert ORDERS.decode(ORDERS.encode(orders)) == orders
    at = data.draw(st.integers(0, len(orders) - 1))
    field, value = data.draw(
        st.sampled_from(
            [("sku", 1), ("sku", "x" * 11), ("quantity", 0), ("quantity", 1.5), ("other", 1)]
        )
    )
    orders[at][field] = value
    for message in (orders, json.dumps(orders), json.dumps(orders).encode()):
        with pytest.raises(MemphisSchemaError) as caught:
            ORDERS.encode(message)
        assert caught.value.path == f"[{at}].{field}"
        assert caught.value.expected


@given(MESSAGES, st.sampled_from([float("nan"), float("inf"), "\ud800", b"x", {1}]))
def test_no_foreign_value_gets_in(message: Any, foreign: Any):
    """What JSON does not have is refused wherever it stands."""
    for hidden in ([message, foreign], {"a": [message, {"b": foreign}]}, {"a": (foreign,)}):
        with pytest.raises(MemphisSchemaError) as caught:
            ANYTHING.encode(hidden)
        assert caught.value.path
        assert caught.value.expected


@given(st.binary())
def test_random_bytes_are_decoded_or_refused(payload: bytes):
    """Nothing but a schema error comes from bytes."""
    for codec in (ANYTHING, ORDERS):
        fault = reading_fault(codec, payload)
        assert fault is None or fault.expected
