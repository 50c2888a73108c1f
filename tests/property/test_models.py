"""Properties of typed messages: what a producer takes, a consumer with the same model reads."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from memphis._core.models import Model, ModelMisfit, model_of
from tests.unit.sdk.orders import Order, OrderStruct

MODELS: list[Model] = [model for kind in (Order, OrderStruct) if (model := model_of(kind))]

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ORDERS = st.fixed_dictionaries(
    {"orderNumber": st.integers(1, 2**63 - 1)},
    optional={
        "prices": st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4),
        "note": st.none() | TEXT,
    },
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NEARLY = st.builds(
    lambda order, name, value: {**order, name: value},
    ORDERS,
    st.sampled_from(["orderNumber", "prices", "note", "more"]),
    ANYTHING,
)


@given(ORDERS)
def test_what_is_valid_comes_back_the_same(given_order: dict[str, Any]):
    """In both libraries, from a mapping and from the object; and one reads what the other wrote."""
    for model, other in zip(MODELS, reversed(MODELS), strict=True):
        text = model.encode(given_order)
        value = model.decode(text)
        assert model.encode(value) == text
        assert json.loads(text) == {"prices": [], "note": None, **given_order}
        assert json.loads(other.encode(other.decode(text))) == json.loads(text)


@given(NEARLY)
def test_what_is_taken_is_read_back(message: dict[str, Any]):
    """Nothing gets past a producer that a consumer would stumble over."""
    for model in MODELS:
        try:
            text = model.encode(message)
        except ModelMisfit:
            continue
        assert model.encode(model.decode(text)) == text


@given(st.binary(max_size=60) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_every_payload_is_read_or_refused(payload: bytes):
    """There is no third outcome."""
    for model in MODELS:
        with contextlib.suppress(ModelMisfit):
            value = model.decode(payload)
            assert model.decode(model.encode(value)) == value
