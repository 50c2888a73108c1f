"""Protobuf messages, by a descriptor set that the broker compiled from ``.proto`` files.

Each version has a pool and a message class of its own, so that versions and applications do not
know each other's types. A message object of the application's generated class is only serialized if
that class is described like the schema's, which is found out once per class; otherwise its bytes are
checked like any others. Bytes must parse, have every required field, and no field that the schema
does not know: protobuf itself would keep those without a word.

A dict is read by the JSON mapping of protobuf (``google.protobuf.json_format``): names in either
form, 64-bit integers also as strings, bytes as base64.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, cast

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError, EncodeError, Message

from memphis.schema import inputs, protobuf_faults
from memphis.schema.faults import Misfit, SchemaLabel, shortened
from memphis.schema.protobuf_shape import has_bytes, shape_of

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


class ProtobufCodec:
    """One message type of one version of a schema."""

    def __init__(self, label: SchemaLabel, descriptor: Descriptor) -> None:
        self._label = label
        self._descriptor = descriptor
        self._class: type[Message] = message_factory.GetMessageClass(descriptor)
        self._shape = shape_of(descriptor)
        self._has_bytes = has_bytes(descriptor)
        # Classes that need no check of their messages' bytes, and those that do.
        self._known: dict[type, bool] = {self._class: True}

    def encode(self, message: Any) -> bytes:
        """See :class:`memphis.schema.codec.Codec`."""
        try:
            if self._known.get(type(message)):
                return bytes(message.SerializeToString())
            return self._encode_other(message)
        except Misfit as fault:
            raise self._label.misfit(fault) from fault
        except EncodeError as error:
            raise self._label.misfit(self._unwritable(message)) from error

    def decode(self, payload: bytes) -> Message:
        """See :class:`memphis.schema.codec.Codec`; an object of a class of this codec's own."""
        try:
            return self._parsed(payload)
        except Misfit as fault:
            raise self._label.misfit(fault) from fault

    def _encode_other(self, message: Any) -> bytes:
        if isinstance(message, inputs.BYTES_TYPES):
            payload = inputs.as_bytes(message)
            self._parsed(payload)
            return payload
        if isinstance(message, dict):
            return self._required(self._from_dict(message)).SerializeToString()
        if not isinstance(message, Message):
            raise self._label.wrong_type(message, _USABLE)
        if self._fits_as_it_is(message):
            return message.SerializeToString()
        payload = message.SerializeToString()
        self._parsed(payload)
        return payload

    def _fits_as_it_is(self, message: Message) -> bool:
        kind = type(message)
        if kind not in self._known:
            full_name = message.DESCRIPTOR.full_name
            if full_name != self._descriptor.full_name:
                raise Misfit(f"a message {self._descriptor.full_name}", f"a {full_name}")
            if len(self._known) >= _CLASSES_KNOWN_MAX:
                self._known = {self._class: True}
            self._known[kind] = shape_of(cast("Descriptor", message.DESCRIPTOR)) == self._shape
        return self._known[kind]

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

    def _parsed(self, payload: bytes) -> Message:
        try:
            message = self._class.FromString(payload)
        except DecodeError as error:
            raise Misfit(f"a serialized {self._descriptor.full_name}", "other bytes") from error
        # First, since a message without them has no size.
        self._required(message)
        size = message.ByteSize()
        message.DiscardUnknownFields()
        if message.ByteSize() != size:
            raise protobuf_faults.unknown_field(self._class.FromString(payload))
        return message

    def _required(self, message: Message) -> Message:
        if not message.IsInitialized():
            raise self._missing(message)
        return message

    def _unwritable(self, message: Any) -> Misfit:
        if isinstance(message, Message) and not message.IsInitialized():
            return self._missing(message)
        return Misfit("smaller than 2 GiB")

    def _missing(self, message: Message) -> Misfit:
        names: list[str] = message.FindInitializationErrors()  # type: ignore[attr-defined] # its stub has none
        return Misfit("present", "missing", protobuf_faults.steps_of(names[0]) if names else [])
