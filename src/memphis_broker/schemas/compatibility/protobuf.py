"""Protocol Buffers: by field number, after the guide "Updating A Message Type" of the language.

What is compared is the wire: names of fields, messages and packages do not travel, so a changed one
is no difference, although a dict or JSON built from such a message carries the new name. The one
exception is the message itself: another name means that another message is sent. The groups of
types that the guide calls compatible are; it says that a number too large for the narrower type is
cut to it, as in a cast.

Stricter than the wire: a message read as bytes, a repeated field read as a single one, and numbers
turning repeated are refused, for something is lost or changed though nothing fails to parse. A
number that a version reserves may not come back in a later one. Extensions are not compared.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    OneofDescriptor,
)

from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility.findings import Comparison, joined

_GROUPS: Final = (
    {"int32", "uint32", "int64", "uint64", "bool"},
    {"enum", "int32", "uint32", "int64", "uint64"},
    {"sint32", "sint64"},
    {"fixed32", "sfixed32"},
    {"fixed64", "sfixed64"},
)
"""Types of which one may be read as another."""

_TYPE_PREFIX: Final = "TYPE_"
_LENGTH_PREFIXED: Final = {"string", "bytes", "message", "group"}
_SPECIAL: Final = "google.protobuf."
"""Messages of this package mean more than their fields do: a Timestamp is no Duration."""


def compare(reader: SchemaDefinition, writer: SchemaDefinition, comparison: Comparison) -> None:
    """Leave in ``comparison`` why bytes written as ``writer`` may not be understood as ``reader``."""
    read, written = _message(reader), _message(writer)
    if read.name != written.name:
        comparison.became(
            "", reader=f"the message {read.name}", writer=f"the message {written.name}"
        )
        return
    _compare_messages(read, written, "", comparison)


def _message(definition: SchemaDefinition) -> Descriptor:
    files = descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(definition.descriptor))
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool.FindMessageTypeByName(definition.message_struct_name)


def _compare_messages(
    reader: Descriptor, writer: Descriptor, path: str, comparison: Comparison
) -> None:
    with comparison.deeper():
        if not comparison.assume((reader.full_name, writer.full_name)):
            return
        if reader.full_name != writer.full_name and (
            _SPECIAL in {_package(reader), _package(writer)}
        ):
            comparison.became(path, reader=reader.full_name, writer=writer.full_name)
            return
        written = {field.number: field for field in writer.fields}
        for field in reader.fields:
            before = written.get(field.number)
            if before is None:
                _check_absent(field, path, comparison)
            else:
                _compare_fields(field, before, path, comparison)
        _compare_oneofs(reader, written, path, comparison)
        _check_reserved(reader, writer, path, comparison)


def _package(message: Descriptor) -> str:
    return message.file.package + "."


def _check_absent(field: FieldDescriptor, path: str, comparison: Comparison) -> None:
    if _is_required(field):
        text = comparison.by_age(
            reader_newer="was added and is required",
            reader_older="was removed, but the older version requires it",
        )
        comparison.refuse(_place(path, field), text)


def _compare_fields(
    reader: FieldDescriptor, writer: FieldDescriptor, path: str, comparison: Comparison
) -> None:
    place = _place(path, reader if comparison.reader_is_newer else writer)
    if _is_required(reader) and not _is_required(writer):
        text = comparison.by_age(
            reader_newer="is required now",
            reader_older="is not required any more, but the older version requires it",
        )
        comparison.refuse(place, text)
    read, written = _type(reader), _type(writer)
    if not _is_type_readable(read, written):
        comparison.became(place, reader=_words(reader), writer=_words(writer))
        return
    _compare_labels(reader, writer, place, comparison)
    if reader.message_type is not None and writer.message_type is not None:
        _compare_messages(reader.message_type, writer.message_type, place, comparison)
    elif reader.enum_type is not None and reader.enum_type.is_closed:
        _compare_values(reader.enum_type, writer, place, comparison)


def _is_type_readable(reader: str, writer: str) -> bool:
    if reader == writer or (reader, writer) == ("bytes", "string"):
        return True
    return any(reader in group and writer in group for group in _GROUPS)


def _compare_labels(
    reader: FieldDescriptor, writer: FieldDescriptor, place: str, comparison: Comparison
) -> None:
    """Whether what one of them repeats, the other does too."""
    if _is_repeated(reader) == _is_repeated(writer):
        readable = _is_map(writer) or not _is_map(reader)
    else:
        readable = _is_repeated(reader) and _type(reader) in _LENGTH_PREFIXED
        readable = readable and not _is_map(reader)
    if not readable:
        comparison.became(place, reader=_words(reader), writer=_words(writer))


def _compare_values(
    reader: EnumDescriptor, writer: FieldDescriptor, place: str, comparison: Comparison
) -> None:
    """A closed enum takes no number that it does not list."""
    if writer.enum_type is None or not writer.enum_type.is_closed:
        comparison.became(
            place, reader=f"the closed enum {reader.name}", writer=_open_words(writer)
        )
        return
    verb = comparison.by_age(reader_newer="removed", reader_older="added")
    for value in writer.enum_type.values:
        if value.number not in reader.values_by_number:
            text = f"the value {value.number} ({value.name}) was {verb}, and the enum is closed"
            comparison.refuse(place, text)


def _open_words(field: FieldDescriptor) -> str:
    return _words(field) if field.enum_type is None else f"the open enum {field.enum_type.name}"


def _compare_oneofs(
    reader: Descriptor, written: dict[int, FieldDescriptor], path: str, comparison: Comparison
) -> None:
    """Of the members of a oneof the last one read stays, so they must have excluded each other."""
    for oneof in reader.oneofs:
        members = [written[field.number] for field in oneof.fields if field.number in written]
        homes = {_home(field) for field in members}
        if len(members) > 1 and (len(homes) > 1 or None in homes):
            names = ", ".join(f"{field.number} ({field.name})" for field in members)
            verb = comparison.by_age(reader_newer="moved into", reader_older="moved out of")
            text = f"the fields {names} were {verb} the oneof {oneof.name}, which keeps one of them"
            comparison.refuse(path, text)


def _home(field: FieldDescriptor) -> str | None:
    oneof: OneofDescriptor | None = field.containing_oneof
    return None if oneof is None else oneof.name


def _check_reserved(
    reader: Descriptor, writer: Descriptor, path: str, comparison: Comparison
) -> None:
    newer, older = (reader, writer) if comparison.reader_is_newer else (writer, reader)
    ranges = _proto(older).reserved_range
    for field in newer.fields:
        if any(reserved.start <= field.number < reserved.end for reserved in ranges):
            comparison.refuse(_place(path, field), "uses a number that was reserved before")


def _proto(message: Descriptor) -> descriptor_pb2.DescriptorProto:
    proto = descriptor_pb2.DescriptorProto()
    message.CopyToProto(proto)
    return proto


def _place(path: str, field: FieldDescriptor) -> str:
    return joined(path, f"{field.number} ({field.name})")


def _type(field: FieldDescriptor) -> str:
    """The type by the name that it has in a ``.proto`` file, like ``int32`` or ``message``."""
    values = descriptor_pb2.FieldDescriptorProto.DESCRIPTOR.enum_types_by_name["Type"]
    return values.values_by_number[field.type].name.removeprefix(_TYPE_PREFIX).lower()


def _words(field: FieldDescriptor) -> str:
    """The type in a reason."""
    if _is_map(field):
        entry: Any = field.message_type
        key, value = (entry.fields_by_number[number] for number in (1, 2))
        return f"map<{_words(key)}, {_words(value)}>"
    named: Any = field.message_type or field.enum_type
    name = f"{_type(field)} {named.name}" if named is not None else _type(field)
    return f"repeated {name}" if _is_repeated(field) else name


def _is_map(field: FieldDescriptor) -> bool:
    message = field.message_type
    return message is not None and bool(message.GetOptions().map_entry)


def _is_repeated(field: FieldDescriptor) -> bool:
    # Releases before 6.31 have the label only, later ones lose it.
    known = getattr(field, "is_repeated", None)
    return bool(known if known is not None else _label(field) == FieldDescriptor.LABEL_REPEATED)


def _is_required(field: FieldDescriptor) -> bool:
    known = getattr(field, "is_required", None)
    return bool(known if known is not None else _label(field) == FieldDescriptor.LABEL_REQUIRED)


def _label(field: FieldDescriptor) -> object:
    return getattr(field, "label", None)
