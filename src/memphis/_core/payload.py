"""From what an application produces to the bytes that are stored, where no schema says otherwise."""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic import BaseModel

from memphis.exceptions import MemphisUsageError
from memphis.schema import json_values


def encode_payload(message: Any, *, partial: bool = False) -> bytes:
    """The bytes of a message; a snapshot, so the caller may change the object afterwards.

    ``bytes``, ``bytearray`` and ``memoryview`` go as they are, ``str`` as UTF-8, ``dict``, ``list`` and
    pydantic models as JSON, a protobuf message (whatever has ``SerializeToString``) in its binary form, a
    GraphQL document as its text.

    Args:
        message: What an application produces.
        partial: Whether a protobuf message may lack fields that it requires.

    Raises:
        MemphisUsageError: Any other type, or a value that its form cannot hold.
    """
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message)
    if isinstance(message, str):
        return _encode_text(message)
    if isinstance(message, dict | list):
        return _encode_json(message)
    if isinstance(message, BaseModel):
        return _encode_model(message)
    if isinstance(message, type):
        raise MemphisUsageError(
            f"the class {message.__name__} cannot be produced; give an object of it"
        )
    if hasattr(message, "SerializeToString"):
        return _encode_protobuf(message, partial=partial)
    # Whoever holds a document has imported graphql-core; others need not have it installed.
    graphql = sys.modules.get("graphql")
    if graphql is not None and isinstance(message, graphql.DocumentNode):
        return _encode_text(graphql.print_ast(message))
    raise MemphisUsageError(
        f"a message of type {type(message).__name__} cannot be produced: give bytes, bytearray, "
        "memoryview, str, dict, list, a pydantic model, a protobuf message or a GraphQL document"
    )


def _encode_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise MemphisUsageError(f"the message is no text that UTF-8 can hold: {error}") from error


def _encode_model(model: BaseModel) -> bytes:
    try:
        # As with a schema: by alias, and without what is computed.
        return model.model_dump_json(by_alias=True, round_trip=True).encode()
    except ValueError as error:
        raise MemphisUsageError(f"the model cannot be written as JSON: {error}") from error


def _encode_protobuf(message: Any, *, partial: bool) -> bytes:
    if not hasattr(message, "DESCRIPTOR"):
        # Of another library for protobuf, which only has the method's name in common.
        return bytes(message.SerializeToString())
    if partial or message.IsInitialized():
        return bytes(message.SerializePartialToString())
    missing = ", ".join(message.FindInitializationErrors())
    raise MemphisUsageError(f"the protobuf message lacks required fields: {missing}")


def _encode_json(value: dict[Any, Any] | list[Any]) -> bytes:
    text = json_values.write_as_is(value)
    if text is not None:
        return text
    # The standard library takes a little more, like numbers as names, and says what is in the way.
    try:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MemphisUsageError(f"the message cannot be written as JSON: {error}") from error
