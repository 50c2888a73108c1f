"""Protobuf messages, by a descriptor set that the broker compiled from ``.proto`` files.

Each version has a pool and a message class of its own, so that versions and applications do not
know each other's types. The bytes that would be stored must parse, have every required field, and no
field that the schema does not know, which protobuf itself would keep without a word. A message object
is no exception, be it of the version's own class: it may have been parsed from the bytes of a newer
version, or nest deeper than anybody reads.

Bytes need not be parsed again where an object's class is described like the schema's and its types do
not contain themselves: then only unknown fields are in question. They are discarded from the object
itself, since copying it takes longer than all else; almost always there are none, and nothing happens.
If there were any, they are put back before the refusal.

A dict is read by the JSON mapping of protobuf (``google.protobuf.json_format``): names in either
form, 64-bit integers also as strings, bytes as base64.

The invariant: what ``encode`` returns, ``decode`` reads.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, cast

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError, EncodeError, Message

from memphis.schema import inputs, protobuf_faults, protobuf_unknown
from memphis.schema.faults import Misfit, SchemaLabel, shortened
from memphis.schema.protobuf_shape import (
    DEPTH_MAX,
    deep_types,
    has_bytes,
    has_required,
    shape_of,
)

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from memphis.wire.schemas import SchemaDefinition

_CLASSES_KNOWN_MAX: Final = 64
_USABLE: Final = "a protobuf message, a dict, or bytes"


def compile_definition(definition: SchemaDefinition) -> ProtobufCodec:
    """The codec for one message type of a descriptor set.

    Raises:
        MemphisSchemaError: The descriptor set is missing, damaged or incomplete, or has no message
            of that name.
    """
    label = SchemaLabel(definition)
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(
            base64.b64decode(definition.descriptor, validate=True)
        )
    except (ValueError, DecodeError) as error:
        raise label.unusable("its descriptor is damaged") from error
    pool = descriptor_pool.DescriptorPool()
    try:
        for file in files.file:
            pool.Add(file)
    except (TypeError, ValueError) as error:
        raise label.unusable(f"its descriptor is not valid: {shortened(str(error))}") from error
    try:
        descriptor = pool.FindMessageTypeByName(definition.message_struct_name)
    except KeyError as error:
        names = ", ".join(
            f"{file.package}.{message.name}".lstrip(".")
            for file in files.file
            for message in file.message_type
        )
        raise label.unusable(
            f"it has no message {definition.message_struct_name!r}; it has "
            f"{shortened(names) or 'none'}"
        ) from error
    return ProtobufCodec(label, descriptor)


class _Methods(NamedTuple):
    """Methods of a class: looking one up on a message costs more than calling it; fields come first."""

    serialize: Callable[[Any], bytes]
    discard_unknown: Callable[[Any], None]
    size: Callable[[Any], int]


def _methods(kind: type[Message]) -> _Methods:
    return _Methods(kind.SerializeToString, kind.DiscardUnknownFields, kind.ByteSize)


class ProtobufCodec:
    """One message type of one version of a schema."""

    def __init__(self, label: SchemaLabel, descriptor: Descriptor) -> None:
        self._label = label
        self._descriptor = descriptor
        self._class: type[Message] = message_factory.GetMessageClass(descriptor)
        self._has_bytes = has_bytes(descriptor)
        self._has_required = has_required(descriptor)
        self._deep_types = deep_types(descriptor)
        self._shape = shape_of(descriptor)
        self._parse = self._class.FromString
        self._methods = _methods(self._class)
        # Of the classes whose objects need not be parsed again; None for other classes.
        self._known: dict[type, _Methods | None] = {}

    def encode(self, message: Any) -> bytes:
        """See :class:`memphis.schema.codec.Codec`."""
        try:
            methods = self._known.get(type(message))
            if methods is None:
                return self._encode_other(message)
            serialize, discard_unknown, size = methods
            payload = serialize(message)
            if payload:
                discard_unknown(message)
                if size(message) != len(payload):
                    self._refuse_unknown(message, payload)
        except Misfit as fault:
            raise self._label.misfit(fault) from fault
        except EncodeError as error:
            raise self._label.misfit(self._unwritable(message)) from error
        except DecodeError as error:
            raise self._label.misfit(self._unreadable(message)) from error
        return payload

    def decode(self, payload: bytes) -> Message:
        """See :class:`memphis.schema.codec.Codec`; an object of a class of this codec's own."""
        try:
            return self._checked(payload)
        except Misfit as fault:
            raise self._label.misfit(fault) from fault
        except DecodeError as error:
            raise self._label.misfit(self._unreadable(payload)) from error

    def _encode_other(self, message: Any) -> bytes:
        if isinstance(message, inputs.BYTES_TYPES):
            payload = inputs.as_bytes(message)
        elif isinstance(message, dict):
            payload = self._required(self._from_dict(message)).SerializeToString()
        elif isinstance(message, Message):
            self._look_at_class(message)
            payload = message.SerializeToString()
        elif hasattr(message, "SerializeToString") and not isinstance(message, type):
            payload = bytes(message.SerializeToString())  # of another library for protobuf
        else:
            raise self._label.wrong_type(message, _USABLE)
        self._checked(payload)
        return payload

    def _look_at_class(self, message: Message) -> None:
        """Find out, once for each class, whether the next of its objects need not be parsed again."""
        kind = type(message)
        if kind in self._known:
            return
        descriptor = cast("Descriptor", message.DESCRIPTOR)
        if descriptor.full_name != self._descriptor.full_name:
            raise Misfit(f"a message {self._descriptor.full_name}", f"a {descriptor.full_name}")
        if len(self._known) >= _CLASSES_KNOWN_MAX:
            self._known = {}
        is_alike = not self._deep_types and shape_of(descriptor) == self._shape
        self._known[kind] = _methods(kind) if is_alike else None

    def _refuse_unknown(self, message: Message, payload: bytes) -> NoReturn:
        """Leave the message as it was before its unknown fields were discarded, and refuse it."""
        whole = type(message).FromString(payload)
        protobuf_unknown.put_back(message, whole)
        raise protobuf_unknown.unknown_field(whole)

    def _from_dict(self, fields: dict[Any, Any]) -> Message:
        if self._has_bytes:
            # json_format takes any bytes and texts for base64, and would store something else.
            protobuf_faults.check_base64(self._descriptor, fields)
        try:
            return json_format.ParseDict(fields, self._class())
        except (ValueError, TypeError, AttributeError, RecursionError, json_format.Error) as error:
            fault = protobuf_faults.find(self._descriptor, fields)
            if fault is not None:
                raise fault from error
            raise Misfit(
                f"a {self._descriptor.full_name} in the JSON form", shortened(str(error))
            ) from error

    def _checked(self, payload: bytes) -> Message:
        """The message that a payload holds, if it holds nothing else.

        The library does not say whether there are unknown fields, and walking through a message in
        Python takes longer than all else; but without them it is shorter than with them.
        """
        message = self._parse(payload)
        if self._has_required:
            # First, since a message without them has no size.
            self._required(message)
        self._methods.discard_unknown(message)
        if self._deep_types:
            protobuf_unknown.discard_deep(message, len(payload), self._deep_types)
        if self._methods.size(message) != len(payload):
            # Fields were discarded; or the bytes are another way to write the same.
            whole = self._parse(payload)
            if whole.ByteSize() != message.ByteSize():
                raise protobuf_unknown.unknown_field(whole)
        return message

    def _required(self, message: Message) -> Message:
        if not message.IsInitialized():
            raise self._missing(message)
        return message

    def _unwritable(self, message: Any) -> Misfit:
        if isinstance(message, Message) and not message.IsInitialized():
            return self._missing(message)
        return Misfit("smaller than 2 GiB")

    def _unreadable(self, message: Any) -> Misfit:
        """What is wrong with a message whose bytes do not parse."""
        if isinstance(message, inputs.BYTES_TYPES):
            return Misfit(f"a serialized {self._descriptor.full_name}", "other bytes")
        if isinstance(message, dict | self._class):
            return Misfit(f"nested at most {DEPTH_MAX} deep")
        return Misfit(
            f"a {self._descriptor.full_name} as the schema describes it, nested at most "
            f"{DEPTH_MAX} deep"
        )

    def _missing(self, message: Message) -> Misfit:
        names: list[str] = message.FindInitializationErrors()  # type: ignore[attr-defined] # its stub has none
        return Misfit("present", "missing", protobuf_faults.steps_of(names[0]) if names else [])
