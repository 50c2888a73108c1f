"""Avro messages, in one of two encodings that the schema names: ``json`` or ``binary``.

``json`` is what the original sent: plain JSON, a union's value without the name of its branch,
fields that the record does not have left alone. It fits what ``fastavro.validate`` takes, except that
``bytes`` and ``fixed`` travel as strings whose code points are the bytes (Avro 1.12 specification,
"JSON encoding"); in a dict they may be Python ``bytes`` or such a string. Logical types are not
looked at: a value is one of the type beneath, a date an ``int``. A message that JSON could not tell
from another one of its union is refused.

``binary`` is Avro's own, without a header. Values are those that fastavro writes, logical types
included (``datetime``, ``Decimal``, ``UUID``). Nothing may be lost: a field that the record does not
have is refused, and so is a number that its type cannot hold.

What reads the bytes of a type that contains itself is written in Python, because the compiled reader
would use up the stack.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import fastavro
from fastavro import _read_py  # the reader that is not compiled; the package offers it no other way
from fastavro._schema_common import SchemaParseException, UnknownType

from memphis.schema import inputs, json_values
from memphis.schema.avro_decimals import reading_schema
from memphis.schema.avro_defaults import give_defaults
from memphis.schema.avro_fits import Fitter, TooCostlyError
from memphis.schema.avro_limits import check_sizes, everywhere, is_deep
from memphis.schema.avro_scalars import Direction, Fit, Visit
from memphis.schema.faults import Misfit, SchemaLabel, shortened
from memphis.wire.schemas import ENCODING_BINARY

if TYPE_CHECKING:
    from memphis.wire.schemas import SchemaDefinition

# What the library raises for bytes, or for a schema, that are not what it takes for granted.
_LIBRARY_ERRORS: Final = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    EOFError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    struct.error,
    SchemaParseException,
)
_USABLE: Final = "a dict or another value of the schema's type, bytes, or a pydantic model"


def compile_definition(definition: SchemaDefinition) -> AvroJsonCodec | AvroBinaryCodec:
    """The codec for an Avro schema in its encoding.

    Raises:
        MemphisSchemaError: It is no JSON or no Avro schema, or costs too much.
    """
    label = SchemaLabel(definition)
    # A dict of its own keeps this schema's names from any other; and what a text says of itself does
    # not make it parsed.
    named: dict[str, Any] = {}
    is_binary = definition.encoding == ENCODING_BINARY
    try:
        source = _read_source(definition.content)
        parsed = fastavro.parse_schema(source, named_schemas=named, _force=True)
        check_sizes(parsed, named, binary=is_binary)
        return (AvroBinaryCodec if is_binary else AvroJsonCodec)(label, parsed, named)
    except Misfit as fault:
        raise label.unusable_part(fault) from fault
    except UnknownType as error:
        raise label.unusable(f"it has no type {shortened(str(error.name))}") from error
    except _LIBRARY_ERRORS as error:
        raise label.unusable(
            f"it is no valid Avro schema: {shortened(str(error)) or type(error).__name__}"
        ) from error


def _read_source(content: str) -> Any:
    source = json_values.read(json_values.encode_text(content))
    if not isinstance(source, dict | list | str):
        raise Misfit("an object, an array or a string", value=source)
    return source


class AvroJsonCodec:
    """One version of an Avro schema whose messages are JSON."""

    __slots__ = ("_label", "_read", "_write")

    def __init__(self, label: SchemaLabel, schema: Any, named: dict[str, Any]) -> None:
        self._label = label
        self._read: Fit = Fitter(named, Direction.FROM_JSON).fit(schema)
        self._write: Fit = Fitter(named, Direction.TO_JSON).fit(schema)

    def encode(self, message: Any) -> bytes:
        """See :class:`memphis.schema.codec.Codec`."""
        try:
            if isinstance(message, inputs.BYTES_TYPES):
                text = inputs.as_bytes(message)
                self._read(json_values.read(text), Visit())
                return text
            if inputs.is_model(message):
                message = inputs.fields_of(message)
            return json_values.write(self._write(message, Visit()))[0]
        except Misfit as fault:
            raise self._label.misfit_of(message, fault, _USABLE) from fault
        except TooCostlyError as error:
            raise self._label.misfit(Misfit(error.expected)) from error

    def decode(self, payload: bytes) -> Any:
        """See :class:`memphis.schema.codec.Codec`."""
        try:
            return self._read(json_values.read(payload), Visit())
        except Misfit as fault:
            raise self._label.misfit(fault) from fault
        except TooCostlyError as error:
            raise self._label.misfit(Misfit(error.expected)) from error


class AvroBinaryCodec:
    """One version of an Avro schema whose messages are Avro's binary encoding."""

    __slots__ = ("_check", "_label", "_reader", "_reading_schema", "_schema")

    def __init__(self, label: SchemaLabel, schema: Any, named: dict[str, Any]) -> None:
        self._label = label
        give_defaults(schema, named)
        self._schema = schema
        self._reading_schema = reading_schema(schema, everywhere(schema, named))
        self._check: Fit = Fitter(named, Direction.BINARY).fit(schema)
        self._reader: Callable[..., Any] = (
            _read_py.schemaless_reader if is_deep(schema, named) else fastavro.schemaless_reader
        )

    def encode(self, message: Any) -> bytes:
        """See :class:`memphis.schema.codec.Codec`; bytes are taken for a message already encoded."""
        if isinstance(message, inputs.BYTES_TYPES):
            payload = inputs.as_bytes(message)
            self.decode(payload)
            return payload
        if inputs.is_model(message):
            message = inputs.fields_of(message)
        out = io.BytesIO()
        try:
            self._check(message, Visit())
            fastavro.schemaless_writer(out, self._schema, message, disable_tuple_notation=True)
        except Misfit as fault:
            raise self._label.misfit_of(message, fault, _USABLE) from fault
        except TooCostlyError as error:
            raise self._label.misfit(Misfit(error.expected)) from error
        except _LIBRARY_ERRORS as error:
            raise self._label.refused(shortened(str(error)) or type(error).__name__) from error
        return out.getvalue()

    def decode(self, payload: bytes) -> Any:
        """See :class:`memphis.schema.codec.Codec`."""
        source = io.BytesIO(payload)
        try:
            message = self._reader(source, self._reading_schema, None)
        except _LIBRARY_ERRORS as error:
            fault = Misfit("Avro binary", f"other bytes ({shortened(str(error))})")
            raise self._label.misfit(fault) from error
        if source.tell() != len(payload):
            raise self._label.misfit(
                Misfit(f"{source.tell()} bytes long", f"{len(payload)}: some are left over")
            )
        return message
