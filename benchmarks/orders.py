"""One order of 270 bytes as JSON, its schema in every type, and a query: what is validated here."""

from __future__ import annotations

import base64
import json
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from memphis.wire.schemas import ENCODING_BINARY, ENCODING_JSON, SchemaDefinition

ORDER: Final[dict[str, Any]] = {
    "id": "5f0c6b1e",
    "customer": "c-104",
    "currency": "EUR",
    "created_at": 1715938282000,
    "items": [
        {"sku": "A-100", "quantity": 2, "price": 19.9},
        {"sku": "B-205", "quantity": 1, "price": 5.25},
        {"sku": "C-7", "quantity": 10, "price": 0.99},
    ],
    "address": {"street": "Kai 2", "city": "Kiel", "zip": "24103"},
}

_TEXT: Final = {"type": "string"}
JSON_SCHEMA: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["id", "customer", "currency", "items"],
    "properties": {
        "id": _TEXT,
        "customer": _TEXT,
        "currency": {"enum": ["EUR", "USD", "GBP"]},
        "created_at": {"type": "integer", "minimum": 0},
        "items": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["sku", "quantity", "price"],
                "properties": {
                    "sku": _TEXT,
                    "quantity": {"type": "integer", "minimum": 1},
                    "price": {"type": "number", "minimum": 0},
                },
            },
        },
        "address": {
            "type": "object",
            "properties": {"street": _TEXT, "city": _TEXT, "zip": _TEXT},
        },
    },
}

AVRO_SCHEMA: Final = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "customer", "type": "string"},
        {
            "name": "currency",
            "type": {"type": "enum", "name": "Currency", "symbols": ["EUR", "USD", "GBP"]},
        },
        {"name": "created_at", "type": "long"},
        {
            "name": "items",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Item",
                    "fields": [
                        {"name": "sku", "type": "string"},
                        {"name": "quantity", "type": "int"},
                        {"name": "price", "type": "double"},
                    ],
                },
            },
        },
        {
            "name": "address",
            "type": {
                "type": "record",
                "name": "Address",
                "fields": [
                    {"name": "street", "type": "string"},
                    {"name": "city", "type": "string"},
                    {"name": "zip", "type": "string"},
                ],
            },
        },
    ],
}

PROTOBUF_SCHEMA: Final = """
syntax = "proto3";
package shop;
message Order {
  string id = 1;
  string customer = 2;
  string currency = 3;
  int64 created_at = 4;
  repeated Item items = 5;
  Address address = 6;
}
message Item { string sku = 1; int32 quantity = 2; double price = 3; }
message Address { string street = 1; string city = 2; string zip = 3; }
"""

GRAPHQL_SCHEMA: Final = """
type Query { order(id: ID!): Order }
type Order {
  id: ID! customer: String! currency: String! created_at: Float!
  items: [Item!]! address: Address!
}
type Item { sku: String! quantity: Int! price: Float! }
type Address { street: String! city: String! zip: String! }
"""
QUERY: Final = """query Order {
  order(id: "5f0c6b1e") {
    id
    customer
    currency
    created_at
    items {
      sku
      quantity
      price
    }
    address {
      street
      city
      zip
    }
  }
}"""


def json_definition() -> SchemaDefinition:
    """The order as JSON Schema."""
    return _definition("json", json.dumps(JSON_SCHEMA))


def avro_definition(*, binary: bool = False) -> SchemaDefinition:
    """The order as Avro."""
    encoding = ENCODING_BINARY if binary else ENCODING_JSON
    return _definition("avro", json.dumps(AVRO_SCHEMA), encoding=encoding)


def graphql_definition() -> SchemaDefinition:
    """What can be asked about orders."""
    return _definition("graphql", GRAPHQL_SCHEMA)


def protobuf_definition() -> SchemaDefinition:
    """The order as protobuf, compiled."""
    return _definition(
        "protobuf",
        PROTOBUF_SCHEMA,
        message_struct_name="shop.Order",
        descriptor=base64.b64encode(compile_proto(PROTOBUF_SCHEMA)).decode(),
    )


def compile_proto(text: str) -> bytes:
    """The serialized descriptor set of one file, and of the standard ones that it imports."""
    from grpc_tools import protoc  # noqa: PLC0415 - large, and clients that are measured import this file

    with (
        tempfile.TemporaryDirectory() as folder,
        as_file(files("grpc_tools") / "_proto") as standard,
    ):
        source, compiled = Path(folder, "schema.proto"), Path(folder, "compiled")
        source.write_text(text, encoding="utf-8")
        status = protoc.main(
            [
                "protoc",
                f"-I{folder}",
                f"-I{standard}",
                "--include_imports",
                f"--descriptor_set_out={compiled}",
                str(source),
            ]
        )
        if status:
            raise ValueError("protoc does not take the schema")
        return compiled.read_bytes()


def _definition(schema_type: str, content: str, **more: str) -> SchemaDefinition:
    return SchemaDefinition(
        name="orders", id="orders", version=1, type=schema_type, content=content, **more
    )
