"""What makes a schema, read from where the caller has it and checked before the broker is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, Final

from pydantic import BaseModel

from memphis.exceptions import MemphisSchemaError, MemphisUsageError
from memphis.wire.schemas import ENCODINGS, SCHEMA_CONTENT_LENGTH_MAX, SCHEMA_TYPES

FilePath = str | PathLike[str]
SchemaText = str | type[BaseModel]
Imports = Sequence[FilePath] | Mapping[str, str]

_BYTES_PER_CHARACTER_MAX: Final = 4


def check_kind(schema_type: str, encoding: str) -> str:
    """The schema type in lower case.

    Raises:
        MemphisSchemaError: There is no such type, or no such encoding for it.
    """
    kind = schema_type.lower() if isinstance(schema_type, str) else schema_type
    if kind not in SCHEMA_TYPES:
        raise MemphisSchemaError(
            f"the schema type {schema_type!r} is not known: use one of {', '.join(SCHEMA_TYPES)}"
        )
    if encoding and (encoding not in ENCODINGS or kind != "avro"):
        raise MemphisSchemaError(
            f"encoding = {encoding!r} is not possible for {kind} schemas: leave it out, or use one "
            f"of {', '.join(ENCODINGS)} for an Avro schema"
        )
    return kind


async def read_content(kind: str, path: FilePath | None, content: SchemaText | None) -> str:
    """The text of a schema: that of a file, or the one given, or that of a pydantic model.

    Raises:
        MemphisUsageError: Both a file and a content, or neither, or a model for another type.
        MemphisSchemaError: A file that cannot be read, or a text that is empty or too long.
    """
    if (path is None or path == "") == (content is None):
        raise MemphisUsageError("give the schema either as a file (schema_path) or as content")
    if content is None:
        return await asyncio.to_thread(_read_file, path)
    if isinstance(content, str):
        return _checked_length(content, "the schema's content")
    if not (isinstance(content, type) and issubclass(content, BaseModel)) or kind != "json":
        raise MemphisUsageError(
            "content must be a string, or a pydantic model for a schema of type json"
        )
    return _checked_length(json.dumps(content.model_json_schema()), f"model {content.__name__}")


async def read_imports(imports: Imports, main: FilePath | None) -> dict[str, str]:
    """The imported files by the names that a schema imports them under.

    A file below the folder of ``main`` is known by its path from there, another by its own name.

    Raises:
        MemphisSchemaError: A file that cannot be read, or a text that is empty or too long.
        MemphisUsageError: ``imports`` is neither a list of files nor a dict of texts.
    """
    if isinstance(imports, str) or not isinstance(imports, Sequence | Mapping):
        raise MemphisUsageError("imports must be a list of files, or a dict of names and texts")
    if isinstance(imports, Mapping):
        return {name: _checked_length(text, f"import {name!r}") for name, text in imports.items()}
    return await asyncio.to_thread(_read_imports, imports, main)


def _read_imports(paths: Sequence[FilePath], main: FilePath | None) -> dict[str, str]:
    folder = Path(main).expanduser().resolve().parent if main else Path.cwd()
    texts: dict[str, str] = {}
    for path in paths:
        name = _import_name(path, folder)
        if name in texts:
            raise MemphisSchemaError(
                f"two imports would both be known as {name!r}; give imports as a dict of names and texts"
            )
        texts[name] = _read_file(path)
    return texts


def _import_name(path: FilePath, folder: Path) -> str:
    found = Path(path).expanduser().resolve()
    inside = found.relative_to(folder) if found.is_relative_to(folder) else PurePath(found.name)
    return inside.as_posix()


def _read_file(path: Any) -> str:
    if not isinstance(path, str | PathLike):
        raise MemphisUsageError(
            f"a schema file is named by a path, not by {type(path).__name__}; to give the schema itself "
            "use content="
        )
    try:
        with Path(path).expanduser().open("rb") as file:
            raw = file.read(_BYTES_PER_CHARACTER_MAX * SCHEMA_CONTENT_LENGTH_MAX + 1)
        content = raw.decode()
    except (OSError, TypeError, ValueError) as error:
        raise MemphisSchemaError(
            f"the schema file {str(path)!r} cannot be read: {error}; to give the text itself use content="
        ) from error
    return _checked_length(content, f"the schema file {str(path)!r}")


def _checked_length(content: str, what: str) -> str:
    if not isinstance(content, str):
        raise MemphisUsageError(f"{what} must be a string, not {type(content).__name__}")
    if not content.strip() or len(content) > SCHEMA_CONTENT_LENGTH_MAX:
        raise MemphisSchemaError(
            f"{what} is longer than {SCHEMA_CONTENT_LENGTH_MAX} characters"
            if content.strip()
            else f"{what} is empty"
        )
    return content
