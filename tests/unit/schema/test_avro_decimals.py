"""Decimals in Avro's binary encoding: their digits, and bytes and exponents built to cost."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import fastavro
import pytest

from memphis.exceptions import MemphisSchemaError
from tests.unit.schema.definitions import compiled, refusal, unusable

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
FIXED = {
    "type": "fixed",
    "name": "D",
    "size": 16,
    "logicalType": "decimal",
    "precision": 4,
    "scale": 2,
}
TINY = {"type": "fixed", "name": "D", "size": 1, "logicalType": "decimal", "precision": 2}


def encoded_bytes(raw: bytes) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "bytes", raw)
    return out.getvalue()


@pytest.mark.parametrize("schema", [DECIMAL, FIXED], ids=["bytes", "fixed"])
@pytest.mark.parametrize(
    "value", ["12.34", "-99.99", "99.99", "0", "0.00", "-0.01", "1E+1", "5", "12.3"]
)
def test_decimals_of_the_digits_of_the_schema(schema: Any, value: str):
    """Whatever the digits hold comes back equal, as another implementation writes it."""
    codec: Any = compiled("avro", schema, encoding="binary")
    payload = codec.encode(Decimal(value))
    assert codec.decode(payload) == Decimal(value)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, Decimal(value))
    assert payload == out.getvalue()
    assert codec.decode(payload).as_tuple().exponent == -2


@pytest.mark.parametrize("schema", [DECIMAL, FIXED], ids=["bytes", "fixed"])
@pytest.mark.parametrize(
    "value", ["100", "-100", "1.234", "1E+2", "1E+999999", "0E+999999", "1E-9", "NaN", "-Infinity"]
)
def test_decimals_of_other_digits_are_refused(schema: Any, value: str):
    """Too many digits before or after the point, be they written as an exponent, end at once."""
    assert refusal(compiled("avro", schema, encoding="binary"), Decimal(value))[0] == ""


def test_a_decimal_that_its_fixed_size_does_not_hold():
    """A size may hold fewer numbers than the digits; both count."""
    codec: Any = compiled("avro", TINY, encoding="binary")
    assert codec.decode(codec.encode(Decimal(99))) == 99
    wide: Any = compiled("avro", {**FIXED, "size": 2}, encoding="binary")
    assert wide.decode(wide.encode(Decimal("-99.99"))) == Decimal("-99.99")
    assert refusal(codec, Decimal(100))[0] == ""
    assert refusal(wide, b"a")[0] == ""


def test_a_decimal_of_a_megabyte():
    """Bytes that are more digits than the schema's are refused before anybody makes digits of them."""
    codec: Any = compiled("avro", {"type": "array", "items": DECIMAL}, encoding="binary")
    huge = b"\x02" + encoded_bytes(b"\x7f" * 10**6) + b"\x00"
    refusal(codec, huge)
    with pytest.raises(MemphisSchemaError):
        codec.decode(huge)
    padded = b"\x02" + encoded_bytes(b"\x00" * 10**6 + b"\x05") + b"\x00"
    assert codec.decode(padded) == [Decimal("0.05")]
    large: Any = compiled("avro", {**FIXED, "size": 10**6}, encoding="binary")
    refusal(large, b"\x7f" * 10**6)
    assert refusal(codec, [b"\x7f" * 10**6])[0] == "[0]"
    assert codec.decode(codec.encode([b"\x05"])) == [Decimal("0.05")]
    # A type that contains itself has another reader.
    fields = [{"name": "n", "type": DECIMAL}, {"name": "next", "type": ["null", "Node"]}]
    deep: Any = compiled(
        "avro", {"type": "record", "name": "Node", "fields": fields}, encoding="binary"
    )
    message = {"n": Decimal("12.34"), "next": {"n": Decimal("0.01"), "next": None}}
    assert deep.decode(deep.encode(message)) == message
    refusal(deep, encoded_bytes(b"\x7f" * 10**6) + b"\x00")


def test_a_decimal_of_too_many_digits_in_the_schema():
    """The time for a number is bounded by its digits, so they are as well."""
    text = unusable("avro", {**DECIMAL, "precision": 10**9}, encoding="binary")
    assert "at most 4000 digits" in text
    codec: Any = compiled("avro", {**DECIMAL, "precision": 4000, "scale": 0}, encoding="binary")
    assert codec.decode(codec.encode(Decimal("7" * 4000))) == Decimal("7" * 4000)


def test_a_logical_type_of_the_same_name_is_nobodys():
    """What the codec calls its decimals inside is, in a schema, a type that nobody knows."""
    schema = {"type": "bytes", "logicalType": "memphis-decimal", "memphis-digits": [4, 2]}
    codec: Any = compiled("avro", {"type": "array", "items": schema}, encoding="binary")
    assert codec.decode(codec.encode([b"\x05"])) == [b"\x05"]
