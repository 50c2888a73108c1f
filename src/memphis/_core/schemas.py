"""Reading a schema file, checked before the broker is asked."""

from __future__ import annotations

from pathlib import Path

from memphis.exceptions import MemphisSchemaError
from memphis.wire.models import SCHEMA_CONTENT_LENGTH_MAX, SCHEMA_TYPES


def read_schema_file(schema_type: str, schema_path: str) -> tuple[str, str]:
    """The type in lower case, and the file's text.

    Raises:
        MemphisSchemaError: An unknown type, or a file that is missing, empty, too long or no UTF-8.
    """
    kind = schema_type.lower() if isinstance(schema_type, str) else schema_type
    if kind not in SCHEMA_TYPES:
        raise MemphisSchemaError(
            f"the schema type {schema_type!r} is not known: use one of {', '.join(SCHEMA_TYPES)}"
        )
    try:
        content = Path(schema_path).expanduser().read_text(encoding="utf-8")
    except (OSError, TypeError, ValueError) as error:
        raise MemphisSchemaError(
            f"the schema file {schema_path!r} cannot be read: {error}"
        ) from error
    if not content.strip() or len(content) > SCHEMA_CONTENT_LENGTH_MAX:
        raise MemphisSchemaError(
            f"the schema file {schema_path!r} is empty or longer than "
            f"{SCHEMA_CONTENT_LENGTH_MAX} characters"
        )
    return kind, content
