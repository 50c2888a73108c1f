"""Protobuf messages: forms, refusals with their places, other classes, damaged descriptors."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from memphis.exceptions import MemphisSchemaError
from memphis.schema import compile_schema
from tests.unit.schema.definitions import (
    compiled_proto,
    definition,
    descriptor_set,
    refusal,
    unusable,
)

TEXT = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
message Order {
  string id = 1;
  int32 count = 2;
  repeated Item items = 3;
  map<string, int64> totals = 4;
  bytes raw = 5;
  Kind kind = 6;
  google.protobuf.Timestamp at = 7;
  Order parent = 8;
  double weight = 9;
  bool paid = 10;
  oneof contact { string mail = 11; int32 phone = 12; }
  uint64 serial = 13;
  map<int32, Item> by_number = 14;
  float share = 15;
}
message Item { string sku = 1; double price = 2; }
enum Kind { PLAIN = 0; GIFT = 1; }
"""
REQUIRED = """
syntax = "proto2";
package old;
message Order { required string id = 1; repeated Order parts = 2; optional Kind kind = 3; }
enum Kind { PLAIN = 1; }
"""
FLAT = """
syntax = "proto3";
package a;
message Outer {
  Inner inner = 1;
  repeated Inner more = 2;
  map<string, Inner> named = 3;
  oneof one { Inner other = 4; }
}
message Inner { string text = 1; }
"""
CODEC: Any = compiled_proto("shop.Order", TEXT)
OLD: Any = compiled_proto("old.Order", REQUIRED)


def foreign_class(text: str, name: str) -> type[Message]:
    """A class as an application's generated code has it: described alike, in another pool."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set(text)).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def test_every_form_is_stored_as_the_same_message():
    """A message object, a dict and bytes come to the same."""
    fields = {"id": "a", "items": [{"sku": "b", "price": 1.5}], "totals": {"x": 2}}
    payload = CODEC.encode(fields)
    message = CODEC.decode(payload)
    assert message.id == "a"
    assert message.items[0].price == 1.5
    assert type(payload) is bytes
    assert CODEC.encode(message) == payload
    for form in (bytes, bytearray, memoryview):
        assert CODEC.encode(form(payload)) == payload


def test_names_and_values_of_the_json_mapping():
    """A dict may use either name of a field, strings for 64 bits, base64 for bytes."""
    message = CODEC.decode(
        CODEC.encode(
            {
                "byNumber": {"1": {"sku": "a"}},
                "serial": str(2**64 - 1),
                "raw": "_-8",
                "at": "2024-05-17T09:31:22Z",
                "kind": "GIFT",
                "weight": "NaN",
                "id": None,
            }
        )
    )
    assert message.by_number[1].sku == "a"
    assert message.serial == 2**64 - 1
    assert message.raw == b"\xff\xef"
    assert message.at.seconds == 1715938282
    assert message.kind == 1
    assert message.weight != message.weight
    assert message.id == ""


def test_no_field_leaks_into_the_next_message():
    """What one message had, the next does not."""
    CODEC.encode({"id": "a", "count": 5})
    assert CODEC.decode(CODEC.encode({"id": "b"})).count == 0
    first = CODEC.decode(CODEC.encode({"id": "a"}))
    first.count = 7
    assert CODEC.decode(CODEC.encode({"id": "a"})).count == 0


@pytest.mark.parametrize(
    ("message", "path", "expected"),
    [
        ({"id": 1}, "id", "string"),
        ({"id": "\ud800"}, "id", "Unicode text"),
        ({"items": [{}, {"price": "ten"}]}, "items[1].price", "number"),
        ({"items": 5}, "items", "an array"),
        ({"items": [5]}, "items[0]", "an object"),
        ({"count": 2**31}, "count", "at most 2147483647"),
        ({"count": -(2**31) - 1}, "count", "at least -2147483648"),
        ({"count": 1.5}, "count", "integer"),
        ({"count": True}, "count", "integer"),
        ({"count": "many"}, "count", "integer"),
        ({"serial": -1}, "serial", "at least 0"),
        ({"share": 1e39}, "share", "float (32 bits)"),
        ({"weight": "heavy"}, "weight", "number"),
        ({"paid": 1}, "paid", "boolean"),
        ({"totals": {"a": "x"}}, "totals.a", "integer"),
        ({"totals": []}, "totals", "an object"),
        ({"by_number": {"a": {}}}, "by_number", "an object whose names are integer"),
        ({"by_number": {"1": {"price": {}}}}, 'by_number["1"].price', "number"),
        ({"raw": b"abc"}, "raw", "base64 text of the bytes"),
        ({"raw": "not base64!"}, "raw", "base64 text of the bytes"),
        ({"parent": {"raw": "?"}}, "parent.raw", "base64 text of the bytes"),
        ({"kind": "OTHER"}, "kind", "one of PLAIN, GIFT"),
        ({"at": "yesterday"}, "at", "the JSON form of a google.protobuf.Timestamp"),
        ({"other": 1}, "other", "left out: the schema has no such field"),
        ({"mail": "a", "phone": 1}, "phone", "left out: of mail and phone only one"),
        ({"parent": {"parent": {"count": []}}}, "parent.parent.count", "integer"),
        (b"\xff", "", "a serialized shop.Order"),
        (b"\x0a\x05a", "", "a serialized shop.Order"),
        (b"\x0a\x02\xff\xfe", "", "a serialized shop.Order"),
    ],
)
def test_a_refusal_names_place_and_expectation(message: Any, path: str, expected: str):
    """Each fault is found where it is, by the schema's types."""
    assert refusal(CODEC, message) == (path, expected)


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (b"\xfa\x3f\x01a", ""),
        (b"\x1a\x04\x0a\x00\x20\x01", "items[0]"),
        (b"\x42\x03\x42\x01\xf8", None),
        (b"\x42\x04\x42\x02\xf8\x7f", None),
        (b"\x72\x06\x08\x01\x12\x02\x18\x01", 'by_number["1"]'),
    ],
)
def test_bytes_with_fields_that_the_schema_does_not_know(payload: bytes, path: str | None):
    """Protobuf keeps unknown fields; a schema that is enforced does not."""
    found, expected = refusal(CODEC, payload)
    if path is not None:
        assert (found, expected) == (path, "without fields that the schema does not know")
    with pytest.raises(MemphisSchemaError):
        CODEC.decode(payload)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({}, "id"),
        ({"id": "a", "parts": [{"id": "b"}, {}]}, "parts[1].id"),
        (b"", "id"),
        (b"\x0a\x01a\x12\x00", "parts[0].id"),
    ],
)
def test_required_fields(message: Any, path: str):
    """Where proto2 requires a field, every form has to have it."""
    assert refusal(OLD, message) == (path, "present")
    assert OLD.encode({"id": "a"}) == b"\x0a\x01a"


def test_required_fields_of_message_objects():
    """A message object that is not whole is refused, whichever class it is of."""
    whole = OLD.decode(b"\x0a\x01a")
    whole.parts.add()
    assert refusal(OLD, whole) == ("parts[0].id", "present")
    assert refusal(OLD, foreign_class(REQUIRED, "old.Order")()) == ("id", "present")


def test_a_closed_enum_takes_its_values_only():
    """In proto2 a number without a name is an unknown field."""
    assert refusal(OLD, b"\x0a\x01a\x18\x07")[1] == "without fields that the schema does not know"
    assert refusal(OLD, {"id": "a", "kind": 7}) == ("kind", "PLAIN")


def test_an_applications_own_class():
    """A class that is described alike is serialized; its bytes are what counts otherwise."""
    alike = foreign_class(TEXT, "shop.Order")
    assert CODEC.encode(alike(id="a", items=[{"sku": "b"}])) == b"\x0a\x01a\x1a\x03\x0a\x01b"
    newer = foreign_class(
        TEXT.replace("float share = 15;", "float share = 15; int32 x = 16;"), "shop.Order"
    )
    assert CODEC.encode(newer(id="a")) == b"\x0a\x01a"
    assert refusal(CODEC, newer(x=1))[1] == "without fields that the schema does not know"
    other = foreign_class(TEXT, "shop.Item")
    assert refusal(CODEC, other(sku="a")) == ("", "a message shop.Order")


def test_a_changed_type_is_noticed_in_an_applications_class():
    """The same number with another type is no field of the schema."""
    changed = foreign_class(TEXT.replace("int32 count = 2;", "string count = 2;"), "shop.Order")
    refusal(CODEC, changed(count="many"))


def test_many_classes_are_not_all_remembered():
    """What is known of classes is bounded, and stays right beyond the bound."""
    file = descriptor_set(TEXT)
    for _ in range(70):
        pool = descriptor_pool.DescriptorPool()
        for one in descriptor_pb2.FileDescriptorSet.FromString(file).file:
            pool.Add(one)
        kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))
        assert CODEC.encode(kind(id="a")) == b"\x0a\x01a"
    assert len(CODEC._known) <= 64


@pytest.mark.parametrize("message", ["a", 5, None, [1], object()])
def test_other_python_types_are_the_callers_mistake(message: Any):
    """What is no message at all is a usage error, not a schema's."""
    with pytest.raises(MemphisSchemaError, match=type(message).__name__):
        CODEC.encode(message)


def test_deep_messages_are_refused():
    """Nesting beyond protobuf's own limit, a circle included, is an error in words."""
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"parent": deep}
    circle: dict[str, Any] = {}
    circle["parent"] = circle
    for message in (deep, circle):
        assert refusal(CODEC, message) == ("", "nested at most 100 deep")
    payload = b""
    for _ in range(3000):
        payload = b"\x42" + _varint(len(payload)) + payload
    assert refusal(CODEC, payload) == ("", "a serialized shop.Order")


def test_an_object_parsed_from_a_newer_version():
    """Unknown fields of an object are refused like those of bytes, wherever they are in it."""
    for payload, path in (
        (b"\xfa\x3f\x01a", ""),
        (b"\x1a\x04\x0a\x00\x20\x01", "items[0]"),
        (b"\x72\x06\x08\x01\x12\x02\x18\x01", 'by_number["1"]'),
    ):
        for kind in (CODEC._class, foreign_class(TEXT, "shop.Order")):
            message = kind.FromString(payload)
            before = message.SerializeToString()
            expected = "without fields that the schema does not know"
            assert refusal(CODEC, message) == (path, expected)
            assert message.SerializeToString() == before


def test_an_object_of_a_type_that_does_not_contain_itself():
    """The shorter way, for types without depth, refuses the same."""
    codec: Any = compiled_proto("a.Outer", FLAT)
    whole = codec.decode(codec.encode({"inner": {"text": "x"}, "more": [{}, {"text": "y"}]}))
    assert codec.decode(codec.encode(whole)) == whole
    newer = type(whole).FromString(b"\x12\x00\x12\x02\x10\x01")
    assert refusal(codec, newer)[0] == "more[1]"
    assert refusal(codec, newer.more[1])[1] == "a message a.Outer"


def test_a_refused_object_is_left_as_it_was():
    """The unknown fields of an object are still there, and so are its parts, whoever holds them."""
    codec: Any = compiled_proto("a.Outer", FLAT)
    own = type(codec.decode(b""))
    known = (
        b"\x0a\x05\x0a\x01x\x28\x07",
        b"\x12\x00\x12\x04\x0a\x00\x10\x01",
        b"\x1a\x08\x0a\x01k\x12\x03\x10\x81\x01",
        b"\x22\x02\x28\x05\xf8\x3f\x09\xfa\x3f\x01a",
    )
    for kind in (own, foreign_class(FLAT, "a.Outer")):
        message: Any = kind.FromString(b"".join(known))
        parts = [message.inner, message.more[0], message.more[1], message.named["k"]]
        before = message.SerializeToString(deterministic=True)
        for _ in range(3):
            assert refusal(codec, message)[1] == "without fields that the schema does not know"
            assert message.SerializeToString(deterministic=True) == before
        for number, part in enumerate(parts):
            part.text = f"changed {number}"
        now = [message.inner, message.more[0], message.more[1], message.named["k"]]
        assert [part.text for part in now] == [f"changed {number}" for number in range(4)]
        message.DiscardUnknownFields()
        assert codec.decode(codec.encode(message)).inner.text == "changed 0"


def test_checking_sets_nothing():
    """A part that an object does not have is still not there after it was produced by itself."""
    codec: Any = compiled_proto(
        "a.Inner", FLAT.replace("message Outer {", "message Outer { string first = 9;")
    )
    outer: Any = foreign_class(FLAT, "a.Outer")()
    for _ in range(2):
        assert codec.encode(outer.inner) == b""
        assert not outer.HasField("inner")


def test_unknown_fields_are_found_at_every_depth():
    """The library discards none below some sixty levels; the schema still does not know them."""
    for depth in range(100):
        payload = nested(depth, b"\xfa\x3f\x01a")
        for message in (payload, CODEC._class.FromString(payload)):
            with pytest.raises(MemphisSchemaError, match="fields that the schema does not know"):
                CODEC.encode(message)
        with pytest.raises(MemphisSchemaError):
            CODEC.decode(payload)
        assert CODEC.encode(nested(depth, b"\x0a\x01a")) == nested(depth, b"\x0a\x01a")


def test_unknown_fields_are_found_below_maps():
    """Messages in maps nest as well, and in messages of types that nest no further."""
    codec: Any = compiled_proto(
        "a.Tree",
        """syntax = "proto3"; package a;
        message Tree { map<int32, Tree> trees = 1; Leaf leaf = 2; }
        message Leaf { string text = 1; }""",
    )
    for depth in range(49):
        payload = b"\x12\x02\x10\x01"
        for _ in range(depth):
            entry = b"\x08\x01\x12" + _varint(len(payload)) + payload
            payload = b"\x0a" + _varint(len(entry)) + entry
        with pytest.raises(MemphisSchemaError, match="fields that the schema does not know"):
            codec.encode(payload)


def test_what_is_too_deep_to_be_read_is_not_written():
    """An object of any depth can be built; only one that can be read again is stored."""
    for kind in (CODEC._class, foreign_class(TEXT, "shop.Order")):
        for depth in (1, 50, 99, 100):
            message = built(kind, depth)
            assert CODEC.decode(CODEC.encode(message)).SerializeToString() == (
                message.SerializeToString()
            )
        for depth in (101, 150, 3000):
            assert "nested at most 100 deep" in refusal(CODEC, built(kind, depth))[1]


def test_a_dict_that_is_too_deep_on_the_wire():
    """A level of JSON in a Struct is several levels of protobuf."""
    codec: Any = compiled_proto(
        "a.Any",
        """syntax = "proto3"; package a; import "google/protobuf/struct.proto";
        message Any { google.protobuf.Struct value = 1; }""",
    )
    refused = 0
    for depth in range(1, 60):
        fields: Any = {}
        for _ in range(depth):
            fields = {"a": fields}
        try:
            payload = codec.encode({"value": fields})
        except MemphisSchemaError:
            refused += 1
        else:
            codec.decode(payload)
    assert 0 < refused < 59


def test_bytes_in_another_order_are_the_same_message():
    """Other encoders write fields in another order or form; only what they hold counts."""
    for payload in (b"\x10\x05\x0a\x01a", b"\x10\x85\x00", b"\x10\x05\x10\x06"):
        assert CODEC.encode(payload) == payload
    refusal(CODEC, b"\x10\x05\xfa\x3f\x01a\x10\x06")


def built(kind: type[Message], depth: int) -> Any:
    message: Any = kind()
    inner = message
    for _ in range(depth):
        inner = inner.parent
    inner.id = "a"
    return message


def nested(depth: int, payload: bytes) -> bytes:
    for _ in range(depth):
        payload = b"\x42" + _varint(len(payload)) + payload
    return payload


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def test_versions_do_not_know_each_other():
    """Two versions with a different message of the same name live side by side."""
    newer: Any = compiled_proto(
        "shop.Order", 'syntax="proto3"; package shop; message Order { int32 id = 1; }'
    )
    assert newer.decode(newer.encode({"id": 5})).id == 5
    assert CODEC.decode(CODEC.encode({"id": "a"})).id == "a"
    refusal(newer, CODEC.encode({"id": "a"}))


def test_imported_files():
    """A message may use types of other files of the set."""
    codec: Any = compiled_proto(
        "a.Outer",
        'syntax="proto3"; package a; import "b.proto"; message Outer { b.Inner inner = 1; }',
        {"b.proto": 'syntax="proto3"; package b; message Inner { string text = 1; }'},
    )
    assert codec.decode(codec.encode({"inner": {"text": "x"}})).inner.text == "x"
    assert refusal(codec, {"inner": {"text": 1}}) == ("inner.text", "string")


@pytest.mark.parametrize(
    ("descriptor", "name", "says"),
    [
        ("", "shop.Order", "has no message"),
        ("not base64", "shop.Order", "damaged"),
        (base64.b64encode(b"\xff\xff").decode(), "shop.Order", "damaged"),
        (base64.b64encode(descriptor_set(TEXT)).decode(), "shop.Nothing", "shop.Order, shop.Item"),
        (base64.b64encode(descriptor_set(TEXT)).decode(), "", "has no message"),
        (base64.b64encode(descriptor_set(TEXT)).decode(), "shop.Kind", "has no message"),
    ],
)
def test_an_unusable_descriptor_says_why(descriptor: str, name: str, says: str):
    """A damaged descriptor or a missing message comes back in words."""
    text = unusable("protobuf", TEXT, descriptor=descriptor, message_struct_name=name)
    assert says in text


def test_a_descriptor_without_its_imports():
    """A set that is not whole is no schema."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set(TEXT))
    del files.file[0]
    descriptor = base64.b64encode(files.SerializeToString()).decode()
    assert "not valid" in unusable(
        "protobuf", TEXT, descriptor=descriptor, message_struct_name="shop.Order"
    )


def test_a_type_that_is_not_known_to_the_registry():
    """A schema type of a later version is named in the error."""
    with pytest.raises(MemphisSchemaError, match="thrift"):
        compile_schema(definition("thrift", "struct X {}"))
