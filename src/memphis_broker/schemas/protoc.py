"""Compiles ``.proto`` files into the descriptors that clients read. Only the examiner imports this.

The compiler is the one of grpcio-tools, run in this process. It writes its complaints to the file
descriptor of standard error, past Python, so they are caught there.
"""

from __future__ import annotations

import base64
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

from memphis.exceptions import MemphisSchemaError
from memphis.wire.schemas import SchemaDefinition

_COMPLAINTS_LENGTH_MAX: Final = 2000
_DESCRIPTORS: Final = "descriptors.bin"


def compile_files(definition: SchemaDefinition) -> SchemaDefinition:
    """The definition with its descriptors, imports first, and the full name of its message.

    Raises:
        MemphisSchemaError: The files do not compile, or have no such message; the text says where.
    """
    main = f"{definition.name}.proto"
    if main in definition.imports:
        raise MemphisSchemaError(f"an import may not be called {main!r}, like the schema itself")
    with tempfile.TemporaryDirectory(prefix="memphis-schema-") as place:
        folder = Path(place)
        for name, text in {main: definition.content, **definition.imports}.items():
            _write(folder, name, text)
        raw = _compile(folder, main)
    package, messages = _messages_of(raw, main)
    wanted = definition.message_struct_name or messages[0]
    short = wanted.removeprefix(f"{package}.") if package else wanted
    if short not in messages:
        raise MemphisSchemaError(f"it has no message {wanted!r}; it has {', '.join(messages)}")
    return definition.model_copy(
        update={
            "descriptor": base64.b64encode(raw).decode(),
            "message_struct_name": f"{package}.{short}" if package else short,
        }
    )


def _write(folder: Path, name: str, text: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise MemphisSchemaError(
            f"the import name {name!r} is not possible; use a path like common/money.proto"
        )
    target = folder / "sources" / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        # Its text would name a folder of this machine.
        raise MemphisSchemaError(
            f"the file {name!r} cannot be written: {error.strerror}"
        ) from error
    except ValueError as error:
        raise MemphisSchemaError(f"the file {name!r} cannot be written: {error}") from error


def _compile(folder: Path, main: str) -> bytes:
    complaints = folder / "complaints.txt"
    with contextlib.chdir(folder / "sources"), _standard_error_in(complaints):
        status = protoc.main(
            [
                "protoc",
                # Relative, so that complaints name the files as their author does.
                "--proto_path=.",
                f"--proto_path={files('grpc_tools') / '_proto'}",
                "--include_imports",
                f"--descriptor_set_out={folder / _DESCRIPTORS}",
                main,
            ]
        )
    if status:
        text = _about_files(complaints.read_text(encoding="utf-8", errors="replace"))
        raise MemphisSchemaError(
            f"schema {main.removesuffix('.proto')} cannot be used: "
            f"{text or f'the compiler gave no reason (status {status})'}; files that it imports are given "
            "as imports, by the names that it imports them under"
        )
    return (folder / _DESCRIPTORS).read_bytes()


def _about_files(complaints: str) -> str:
    """What the compiler says of the files, without what it says of itself."""
    lines = [line for line in complaints.splitlines() if ".proto:" in line] or [complaints.strip()]
    return "; ".join(lines)[:_COMPLAINTS_LENGTH_MAX]


@contextlib.contextmanager
def _standard_error_in(file: Path) -> Iterator[None]:
    """Have everything that is written to standard error meanwhile go into ``file``."""
    sys.stderr.flush()
    kept = os.dup(2)
    target = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.dup2(target, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(target)


def _messages_of(raw: bytes, main: str) -> tuple[str, list[str]]:
    """The package of the schema's own file, and its top-level messages in their order."""
    own = next(file for file in FileDescriptorSet.FromString(raw).file if file.name == main)
    messages = [message.name for message in own.message_type]
    if not messages:
        raise MemphisSchemaError("it has no message; a protobuf schema needs at least one")
    return own.package, messages
