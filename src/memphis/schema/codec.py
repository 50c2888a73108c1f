"""What every schema type offers."""

from __future__ import annotations

from typing import Any, Protocol


class Codec(Protocol):
    """One version of a schema, compiled. Immutable; safe for any number of tasks and threads."""

    def encode(self, message: Any) -> bytes:
        """The bytes to store for a message that fits.

        Args:
            message: What an application produced, in any of the forms that the type takes; bytes are
                checked and returned as they are.

        Raises:
            MemphisSchemaError: It does not fit, or is of a Python type that cannot be produced with
                this schema; with path and expected type.
        """
        ...

    def decode(self, payload: bytes) -> Any:
        """The message that a payload holds, as a new object each time.

        Raises:
            MemphisSchemaError: The payload does not fit.
        """
        ...
