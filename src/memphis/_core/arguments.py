"""What callers give, checked and turned into typed names and models."""

from __future__ import annotations

import reprlib
import uuid
import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from memphis.exceptions import MemphisUsageError
from memphis.wire.names import StationName

_M = TypeVar("_M", bound=BaseModel)


def checked(model: type[_M], **fields: Any) -> _M:
    """A model of what a caller gave.

    Raises:
        MemphisUsageError: A field of the wrong type or out of its range; names it.
    """
    try:
        return model(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise MemphisUsageError(
            f"{name} = {reprlib.repr(first['input'])} is not possible: {first['msg']}"
        ) from error


def suffixed(name: str, generate_random_suffix: bool) -> str:
    """The name, with 8 random characters where the deprecated option asks for them."""
    if not generate_random_suffix:
        return name
    warnings.warn(
        "generate_random_suffix is deprecated; names need not be unique",
        DeprecationWarning,
        stacklevel=3,
    )
    return f"{name}_{uuid.uuid4().hex[:8]}"


def station_names(names: str | Sequence[str]) -> list[StationName]:
    """One name or several different ones, as a list.

    Raises:
        MemphisUsageError: A name that breaks the grammar, none at all, or one twice.
    """
    if isinstance(names, str):
        return [StationName.parse(names)]
    if not isinstance(names, Sequence):
        raise MemphisUsageError(
            f"give a station name or a list of them, not {type(names).__name__}"
        )
    parsed = [StationName.parse(name) for name in names]
    if not parsed or len(set(parsed)) != len(parsed):
        raise MemphisUsageError("give one station name, or a list of different ones")
    return parsed
