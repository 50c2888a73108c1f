"""Protobuf's rules by field number, with real descriptors and, where one can, real bytes."""

from __future__ import annotations

import base64
import textwrap
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility import reads


class Compiler:
    """Makes definitions of ``.proto`` texts, each compiled in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def definition(self, text: str, message: str = "M") -> SchemaDefinition:
        if not text.startswith(("syntax", "edition")):
            text = f'syntax = "proto3";\n{text}'
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        (folder / "s.proto").write_text(textwrap.dedent(text))
        target = folder / "set.bin"
        status = protoc.main(
            [
                "protoc",
                f"--proto_path={folder}",
                f"--proto_path={files('grpc_tools') / '_proto'}",
                "--include_imports",
                f"--descriptor_set_out={target}",
                "s.proto",
            ]
        )
        assert status == 0, text
        return SchemaDefinition(
            name="s",
            id="1",
            version=1,
            type="protobuf",
            content=text,
            message_struct_name=message,
            descriptor=base64.b64encode(target.read_bytes()).decode(),
        )

    def findings(self, new: str, old: str, **more: Any) -> list[tuple[str, str]]:
        found = reads(self.definition(new), self.definition(old), **more)
        assert all(finding.certain for finding in found)
        return [(finding.path, finding.text) for finding in found]


def message_class(definition: SchemaDefinition) -> Any:
    pool = descriptor_pool.DescriptorPool()
    raw = base64.b64decode(definition.descriptor)
    for file in descriptor_pb2.FileDescriptorSet.FromString(raw).file:
        pool.Add(file)
    found = pool.FindMessageTypeByName(definition.message_struct_name)
    return message_factory.GetMessageClass(found)


@pytest.fixture
def compiler(tmp_path: Path) -> Compiler:
    return Compiler(tmp_path)


GROUPS = [
    {"int32", "uint32", "int64", "uint64", "bool"},
    {"sint32", "sint64"},
    {"fixed32", "sfixed32"},
    {"fixed64", "sfixed64"},
    {"E", "int32", "uint32", "int64", "uint64"},
]
TYPES = [
    *("int32", "uint32", "int64", "uint64", "bool", "sint32", "sint64", "fixed32", "sfixed32"),
    *("fixed64", "sfixed64", "float", "double", "string", "bytes", "E", "N"),
]


def test_types_change_within_their_groups_only(compiler: Compiler) -> None:
    """Of all pairs of types, those that the language's guide calls compatible are readable."""
    text = "message M {{ {} f = 1; }} enum E {{ ZERO = 0; }} message N {{ int32 n = 1; }}"
    definitions = {kind: compiler.definition(text.format(kind)) for kind in TYPES}
    for writer in TYPES:
        for reader in TYPES:
            expected = (
                reader == writer
                or (writer, reader) == ("string", "bytes")
                or any({reader, writer} <= group for group in GROUPS)
            )
            found = reads(definitions[reader], definitions[writer])
            assert (not found) == expected, (writer, reader, found)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("message M { int32 a = 1; string b = 2; }", "message M { int32 a = 1; }"),
        ("message M { int32 a = 1; }", "message M { int32 a = 1; repeated N b = 2; } message N {}"),
        ("message M { int32 a = 1; }", "message M { int32 renamed = 1; }"),
        ("message M { string a = 1; }", "message M { repeated string a = 1; }"),
        ("message M { string a = 1; }", "message M { oneof o { string a = 1; int32 b = 2; } }"),
        (
            "message M { oneof o { string a = 1; int32 b = 2; } }",
            "message M { string a = 1; int32 b = 2; }",
        ),
        (
            "message M { oneof o { int32 a = 1; int32 b = 2; } }",
            "message M { oneof p { int64 a = 1; int64 b = 2; int64 c = 3; } }",
        ),
        (
            "message M { N a = 1; } message N { int32 x = 1; }",
            "message M { P a = 1; } message P { int64 x = 1; }",
        ),
        (
            "message M { map<string, int32> a = 1; }",
            "message M { repeated P a = 1; } message P { string key = 1; int32 value = 2; }",
        ),
        (
            "message M { E a = 1; } enum E { A = 0; B = 1; }",
            "message M { E a = 1; } enum E { A = 0; }",
        ),
        ("message M { M next = 1; int32 a = 2; }", "message M { M next = 1; int64 a = 2; }"),
        ("message M { int32 a = 1; }", "message M { optional int32 a = 1; }"),
        (
            'syntax = "proto2"; message M { required int32 a = 1; }',
            'syntax = "proto2"; message M { optional int32 a = 1; }',
        ),
    ],
)
def test_readable(compiler: Compiler, old: str, new: str) -> None:
    """What the guide allows has no finding."""
    assert compiler.findings(new, old) == []


PROTO2 = 'syntax = "proto2"; '


@pytest.mark.parametrize(
    ("old", "new", "path", "text"),
    [
        (
            "message M { int64 total = 4; }",
            "message M { string total = 4; }",
            "4 (total)",
            "int64 became string",
        ),
        (
            "message M { bytes a = 1; }",
            "message M { string a = 1; }",
            "1 (a)",
            "bytes became string",
        ),
        (
            "message M { repeated string a = 1; }",
            "message M { string a = 1; }",
            "1 (a)",
            "repeated string became string",
        ),
        (
            "message M { int32 a = 1; }",
            "message M { repeated int32 a = 1; }",
            "1 (a)",
            "int32 became repeated int32",
        ),
        (
            "message M { repeated P a = 1; } message P { string key = 1; int32 value = 2; }",
            "message M { map<string, int32> a = 1; }",
            "1 (a)",
            "repeated message P became map<string, int32>",
        ),
        (
            "message M { map<string, int32> a = 1; }",
            "message M { map<string, string> a = 1; }",
            "1 (a).2 (value)",
            "int32 became string",
        ),
        (
            "message M { string a = 1; int32 b = 2; }",
            "message M { oneof o { string a = 1; int32 b = 2; } }",
            "",
            "the fields 1 (a), 2 (b) were moved into the oneof o, which keeps one of them",
        ),
        (
            "message M { repeated N items = 1; } message N { string name = 2; }",
            "message M { repeated N items = 1; } message N { int32 name = 2; }",
            "1 (items).2 (name)",
            "string became int32",
        ),
        (
            PROTO2 + "message M {}",
            PROTO2 + "message M { required int32 a = 1; }",
            "1 (a)",
            "was added and is required",
        ),
        (
            PROTO2 + "message M { optional int32 a = 1; }",
            PROTO2 + "message M { required int32 a = 1; }",
            "1 (a)",
            "is required now",
        ),
        (
            PROTO2 + "message M { optional E e = 1; } enum E { A = 0; B = 1; }",
            PROTO2 + "message M { optional E e = 1; } enum E { A = 0; }",
            "1 (e)",
            "the value 1 (B) was removed, and the enum is closed",
        ),
        (
            "message M { int32 e = 1; }",
            PROTO2 + "message M { optional E e = 1; } enum E { A = 0; }",
            "1 (e)",
            "int32 became the closed enum E",
        ),
        (
            "message M { reserved 3 to 5; }",
            "message M { int32 a = 4; }",
            "4 (a)",
            "uses a number that was reserved before",
        ),
        (
            'import "google/protobuf/timestamp.proto"; message M { google.protobuf.Timestamp t = 1; }',
            'import "google/protobuf/duration.proto"; message M { google.protobuf.Duration t = 1; }',
            "1 (t)",
            "google.protobuf.Timestamp became google.protobuf.Duration",
        ),
    ],
)
def test_unreadable(compiler: Compiler, old: str, new: str, path: str, text: str) -> None:
    """What breaks, or loses something in silence, has one finding with its number and name."""
    assert compiler.findings(new, old) == [(path, text)]


def test_words_follow_the_versions_when_the_older_reads(compiler: Compiler) -> None:
    """An older reader's findings tell of a removal, not of an addition."""
    old = PROTO2 + "message M { required int32 a = 1; required int32 b = 2; }"
    new = PROTO2 + "message M { optional int32 b = 2; }"
    text = "but the older version requires it"
    assert compiler.findings(old, new, reader_is_newer=False) == [
        ("1 (a)", f"was removed, {text}"),
        ("2 (b)", f"is not required any more, {text}"),
    ]


def test_a_package_may_change_and_a_message_may_not(compiler: Compiler) -> None:
    """A package does not travel, but another name is another message, whatever its fields are."""
    text = 'syntax = "proto3"; package {}; message Order {{ int32 a = 1; }} message Other {{}}'
    first = compiler.definition(text.format("v1"), "v1.Order")
    assert reads(compiler.definition(text.format("v2"), "v2.Order"), first) == []
    (finding,) = reads(compiler.definition(text.format("v1"), "v1.Other"), first)
    assert finding.text == "the message Order became the message Other"


def test_an_edition_is_compared_by_its_features(compiler: Compiler) -> None:
    """An edition's fields are judged by what they are, not by the syntax that said it."""
    edition = 'edition = "2023"; message M { int32 a = 1 [features.field_presence = %s]; }'
    assert compiler.findings(edition % "EXPLICIT", "message M { optional int32 a = 1; }") == []
    found = compiler.findings(edition % "LEGACY_REQUIRED", "message M { int32 a = 1; }")
    assert found == [("1 (a)", "is required now")]


def test_losses_that_are_refused_are_real(compiler: Compiler) -> None:
    """What no parser complains about is lost all the same: a oneof keeps one, a single field one."""
    old = compiler.definition("message M { string a = 1; string b = 2; repeated string c = 3; }")
    new = compiler.definition("message M { oneof o { string a = 1; string b = 2; } string c = 3; }")
    sent = message_class(old)(a="first", b="second", c=["x", "y"]).SerializeToString()
    read = message_class(new).FromString(sent)
    assert (read.a, read.b, read.c) == ("", "second", "y")
    assert {finding.path for finding in reads(new, old)} == {"", "3 (c)"}
