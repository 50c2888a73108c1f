"""Typed messages: JSON in the station, objects of an application's model on both sides of it.

The flow: ``Producer(model=...)`` → :meth:`Model.encode` → the way of every message → ``Message.value`` →
:meth:`Model.decode`. A model is a pydantic model or a msgspec Struct. Who uses no model pays nothing, and
msgspec is never imported here: whoever gives a Struct has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import BaseModel, ValidationError

from memphis.exceptions import MemphisUsageError
from memphis.schema import json_values
from memphis.schema.faults import Misfit, path_text, shortened

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    ModelT = TypeVar("ModelT", default=Any)
    """What a consumer's messages hold; without a model, anything."""
else:
    from typing import TypeVar

    ModelT = TypeVar("ModelT")

_NULL: Final = b"null"


class ModelMisfit(Exception):  # noqa: N818 - a finding, which Message and Producer make an error of
    """A message that is none of the model's.

    Args:
        reason: What is wrong, with its place.
        path: The place, like ``items[2].price``; empty for the whole, or where the library does not tell.
        expected: What must be there; may be empty.
    """

    def __init__(self, reason: str, path: str = "", expected: str = "") -> None:
        super().__init__(reason)
        self.path = path
        self.expected = expected


class Model(Protocol):
    """What messages are made of. Immutable; safe for any number of tasks and threads."""

    name: str
    """The name of the application's class."""

    def encode(self, message: Any) -> bytes:
        """The JSON text of an object of the model, or of a mapping that is valid as one.

        Raises:
            MemphisUsageError: It is neither.
            ModelMisfit: It would not be read back: a field of the wrong type, a number that JSON has
                not, a mapping that is not valid.
        """
        ...

    def decode(self, payload: bytes) -> Any:
        """The object that a payload holds; a new one each time.

        Raises:
            ModelMisfit: It holds none.
        """
        ...


class Encoded(bytes):
    """The text of a message that :meth:`Model.encode` has made before; it is taken as it is."""

    __slots__ = ()


def model_of(model: Any) -> Model | None:
    """The model for what a caller gave as ``model``; None for None.

    Raises:
        MemphisUsageError: It is no class of a kind that is known here.
    """
    if model is None:
        return None
    if isinstance(model, type):
        if issubclass(model, BaseModel):
            return _PydanticModel(model)
        msgspec = sys.modules.get("msgspec")
        if msgspec is not None and issubclass(model, msgspec.Struct):
            return _StructModel(model, msgspec)
    raise MemphisUsageError(
        f"model must be a pydantic model or a msgspec Struct, a class of yours, not {model!r}"
    )


class _PydanticModel:
    """A model of pydantic: by alias in both directions, as its JSON Schema has it."""

    __slots__ = ("_type", "name")

    def __init__(self, model: type[BaseModel]) -> None:
        self._type = model
        self.name = model.__name__

    def encode(self, message: Any) -> bytes:
        """See :class:`Model`."""
        if not isinstance(message, self._type):
            if type(message) is Encoded:
                return message
            message = self._of_mapping(message)
        try:
            return json_values.write_model(message, is_exact=True)
        except Misfit as fault:
            raise ModelMisfit(fault.sentence(), path_text(fault.steps), fault.expected) from fault

    def decode(self, payload: bytes) -> Any:
        """See :class:`Model`."""
        try:
            return self._type.model_validate_json(payload)
        except ValidationError as error:
            raise _misfit_of(error) from error

    def _of_mapping(self, message: Any) -> BaseModel:
        _check_mapping(message, self.name)
        try:
            return self._type.model_validate(dict(message))
        except ValidationError as error:
            raise _misfit_of(error) from error


class _StructModel:
    """A Struct of msgspec, which checks nothing when an object is made; so it is checked here."""

    __slots__ = ("_convert", "_decoder", "_encoder", "_plain", "_refusals", "_type", "name")

    def __init__(self, struct: type, msgspec: ModuleType) -> None:
        self._type = struct
        self.name = struct.__name__
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(struct)
        self._convert = msgspec.convert
        self._plain = msgspec.to_builtins
        self._refusals = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)

    def encode(self, message: Any) -> bytes:
        """See :class:`Model`."""
        if type(message) is Encoded:
            return message
        try:
            if not isinstance(message, self._type):
                _check_mapping(message, self.name)
                message = self._convert(dict(message), self._type)
            text: bytes = self._encoder.encode(message)
            self._decoder.decode(text)
            if _NULL in text:
                json_values.check_finite(self._plain(message))  # it has made null of NaN
        except Misfit as fault:
            raise ModelMisfit(fault.sentence(), path_text(fault.steps), fault.expected) from fault
        except self._refusals as error:
            raise ModelMisfit(shortened(str(error))) from error
        return text

    def decode(self, payload: bytes) -> Any:
        """See :class:`Model`."""
        try:
            return self._decoder.decode(payload)
        except self._refusals as error:
            raise ModelMisfit(shortened(str(error))) from error


def _check_mapping(message: Any, name: str) -> None:
    if not isinstance(message, Mapping):
        raise MemphisUsageError(
            f"this producer sends {name}: give an object of it, or a mapping that is valid as one, not "
            f"{type(message).__name__}"
        )


def _misfit_of(error: ValidationError) -> ModelMisfit:
    """The first fault that pydantic found, and how many more; no value of the message is shown."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    path = path_text(faults[0]["loc"])
    expected = shortened(faults[0]["msg"])
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return ModelMisfit(f"{shortened(path) or 'the message'}: {expected}{more}", path, expected)
