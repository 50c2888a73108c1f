"""The forms of a message that every schema type takes alike: bytes in their three Python types."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

BYTES_TYPES: Final = (bytes, bytearray, memoryview)


def as_bytes(message: bytes | bytearray | memoryview) -> bytes:
    """The same bytes, as an object that nobody changes afterwards."""
    return message if type(message) is bytes else bytes(message)


def is_model(message: Any) -> bool:
    """Whether the message is an instance of a pydantic model."""
    return isinstance(message, BaseModel)


def fields_of(model: BaseModel) -> dict[str, Any]:
    """The fields of a pydantic model by the names that it is written under."""
    return model.model_dump(by_alias=True)
