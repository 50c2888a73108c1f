"""From objects of a model to JSON and back, without a broker."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, RootModel, computed_field

from memphis import MemphisUsageError
from memphis._core.models import Encoded, Model, ModelMisfit, model_of
from tests.unit.sdk.orders import Order, OrderStruct, order

BOTH = pytest.mark.parametrize(
    ("kind", "sample"),
    [(Order, order(7, prices=[1.5])), (OrderStruct, OrderStruct(7, [1.5]))],
    ids=["pydantic", "msgspec"],
)
TEXT = b'{"orderNumber":7,"prices":[1.5],"note":null}'


def made(kind: Any) -> Model:
    model = model_of(kind)
    assert model is not None
    return model


@BOTH
def test_an_object_is_written_by_alias_and_read_back(kind: Any, sample: Any):
    """What is written is what a schema made of the model describes."""
    model = made(kind)
    assert model.encode(sample) == TEXT
    assert model.decode(TEXT) == sample
    assert type(model.decode(TEXT)) is kind


@BOTH
def test_a_mapping_that_is_valid_is_as_good(kind: Any, sample: Any):
    """Any mapping, with the names that the JSON has; defaults are filled in."""
    mapping = MappingProxyType({"orderNumber": 7, "prices": (1.5,)})
    assert made(kind).encode(mapping) == TEXT


@BOTH
@pytest.mark.parametrize("message", [b"{}", "{}", 7, None, [1], object(), Order, OrderStruct])
def test_anything_else_is_refused(kind: Any, sample: Any, message: Any):
    """An object of another class, text and bytes included: nobody has validated them."""
    with pytest.raises(MemphisUsageError, match=f"this producer sends {kind.__name__}"):
        made(kind).encode(message)


@BOTH
def test_a_mapping_that_is_not_valid_is_refused(kind: Any, sample: Any):
    """With the place, where the library tells it."""
    with pytest.raises(ModelMisfit) as caught:
        made(kind).encode({"orderNumber": 7, "prices": [1.5, "many"]})
    assert "prices[1]" in str(caught.value) or "prices[...]" in str(caught.value)
    if kind is Order:
        assert caught.value.path == "prices[1]"
        assert caught.value.expected.startswith("Input should be a valid number")


@BOTH
@pytest.mark.parametrize(
    ("field", "value"),
    [("number", "many"), ("prices", [float("nan")]), ("prices", [object()]), ("note", 5)],
    ids=["type", "not finite", "no json", "another type"],
)
def test_an_object_that_would_not_be_read_back_is_refused(
    kind: Any, sample: Any, field: str, value: Any
):
    """Neither library checks what is assigned later, and both make null of NaN."""
    broken = kind(orderNumber=7) if kind is Order else kind(7)
    setattr(broken, field, value)
    with pytest.raises(ModelMisfit):
        made(kind).encode(broken)


@BOTH
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"{",
        b"\xff",
        b"[]",
        b'{"number":7}',
        TEXT[:-1] + b',"more":1}',
        b"[" * 100_000,
    ],
    ids=["empty", "null", "cut", "no text", "array", "by name", "more", "deep"],
)
def test_a_payload_that_is_none_is_a_misfit(kind: Any, sample: Any, payload: bytes):
    """Whatever the bytes are, it is this one exception."""
    with pytest.raises(ModelMisfit):
        made(kind).decode(payload)


def test_no_value_is_shown():
    """A message may hold secrets where it is wrong."""
    with pytest.raises(ModelMisfit) as caught:
        made(Order).decode(b'{"orderNumber":"hunter2","prices":["hunter2"]}')
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).startswith("orderNumber: ")
    assert str(caught.value).endswith("(and 1 more)")


def test_what_is_computed_is_not_written():
    """It could not be read back where a model takes nothing that it does not know."""

    class Square(BaseModel, extra="forbid"):
        side: int

        @computed_field
        def area(self) -> int:
            return self.side**2

    model = made(Square)
    assert model.decode(model.encode(Square(side=3))) == Square(side=3)


def test_a_subclass_and_a_root_model_are_models():
    """As pydantic has them."""

    class Special(Order):
        reason: str = "gift"

    class Many(RootModel[list[int]]):
        pass

    text = made(Order).encode(Special(orderNumber=1))
    assert made(Special).decode(text) == Special(orderNumber=1)
    assert made(Many).encode(Many([1, 2])) == b"[1,2]"
    assert made(Many).decode(b"[1,2]").root == [1, 2]


@BOTH
def test_what_was_encoded_before_is_taken(kind: Any, sample: Any):
    """As it is; plain bytes are not."""
    assert made(kind).encode(Encoded(TEXT)) == TEXT


def test_what_is_no_model_is_refused():
    """A class of another kind, an object, a name."""

    @dataclass
    class Plain:
        number: int

    for wrong in (Plain, int, dict, order(1), OrderStruct(1), "Order", list[Order]):
        with pytest.raises(MemphisUsageError, match="model must be"):
            model_of(wrong)
    assert model_of(None) is None


def test_msgspec_is_not_imported():
    """By who does not use it; an application need not have it installed."""
    program = (
        "import sys\n"
        "from pydantic import BaseModel\n"
        "from memphis._core.models import model_of\n"
        "class Order(BaseModel):\n    number: int\n"
        "assert model_of(Order).encode({'number': 1}) == b'{\"number\":1}'\n"
        "assert 'msgspec' not in sys.modules\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome.stderr == ""


def test_the_libraries_own_names_hold():
    """A Struct's renaming is its alias."""

    class Renamed(msgspec.Struct, rename="camel", tag=True):
        order_number: int

    model = made(Renamed)
    assert model.encode(Renamed(1)) == b'{"type":"Renamed","orderNumber":1}'
    assert model.decode(model.encode({"orderNumber": 1})) == Renamed(1)
