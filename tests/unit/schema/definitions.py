"""Makes schemas for tests, and what a test needs to know of a refusal."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
from grpc_tools import protoc

from memphis.exceptions import MemphisSchemaError
from memphis.schema import Codec, compile_schema
from memphis.wire.schemas import SchemaDefinition


def definition(schema_type: str, content: Any, **more: str) -> SchemaDefinition:
    """Version 3 of the schema `orders`; content that is no string is written as JSON."""
    text = content if isinstance(content, str) else json.dumps(content)
    return SchemaDefinition(
        name="orders", id="life", version=3, type=schema_type, content=text, **more
    )


def compiled(schema_type: str, content: Any, **more: str) -> Codec:
    return compile_schema(definition(schema_type, content, **more))


def compiled_proto(message: str, text: str, imports: Mapping[str, str] = {}) -> Codec:
    descriptor = base64.b64encode(descriptor_set(text, imports)).decode()
    return compiled("protobuf", text, message_struct_name=message, descriptor=descriptor)


def descriptor_set(text: str, imports: Mapping[str, str] = {}) -> bytes:
    """The serialized descriptors of a file and of all that it imports."""
    with (
        tempfile.TemporaryDirectory() as folder,
        as_file(files("grpc_tools") / "_proto") as standard,
    ):
        for name, content in {**imports, "main.proto": text}.items():
            Path(folder, name).write_text(content, encoding="utf-8")
        out = Path(folder, "out")
        status = protoc.main(
            [
                *("protoc", f"-I{folder}", f"-I{standard}", "--include_imports"),
                *(f"--descriptor_set_out={out}", "main.proto"),
            ]
        )
        assert status == 0
        return out.read_bytes()


def refusal(codec: Codec, message: Any) -> tuple[str, str]:
    """Place and expectation of the error with which a message is refused."""
    with pytest.raises(MemphisSchemaError) as caught:
        codec.encode(message)
    assert "schema orders version 3" in str(caught.value)
    assert caught.value.path in str(caught.value)
    return caught.value.path, caught.value.expected


def unusable(schema_type: str, content: Any, **more: str) -> str:
    """The text of the error with which a schema is refused."""
    with pytest.raises(MemphisSchemaError) as caught:
        compiled(schema_type, content, **more)
    assert "schema orders version 3 cannot be used" in str(caught.value)
    return str(caught.value)


def reading_fault(codec: Codec, payload: bytes) -> MemphisSchemaError | None:
    """The error with which a payload is not handed out, None if it is; any other error is raised."""
    try:
        codec.decode(payload)
    except MemphisSchemaError as error:
        return error
    return None
