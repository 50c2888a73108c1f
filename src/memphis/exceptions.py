"""Every error that the SDK raises, in one tree, split by whose fault it is.

    MemphisError                       the root: catch this to catch everything
    ├── MemphisUsageError              you: a bad argument, or use after close
    │   ├── MemphisHeaderError         you: a header that may not be sent
    │   └── MemphisClosedError         you: the object was closed or destroyed before
    ├── MemphisSchemaError             you: a message or a schema that does not fit
    ├── MemphisRequestError            the broker refused; ``code`` says why (memphis.wire.errors)
    │   ├── MemphisNotFoundError       the station, schema, group, message or user is not there
    │   ├── MemphisPermissionError     this user may not do that
    │   └── MemphisSchemaRefusedError  a schema, or an edited message; a MemphisSchemaError as well
    ├── MemphisProduceError            the engine refused or never confirmed a message
    │   ├── MemphisNotConfirmedError   the message may or may not be stored
    │   ├── MemphisPartlyProducedError some stations of a multi-station producer stored it
    │   └── MemphisBatchError          some messages of a batch were not stored
    ├── MemphisConnectError            the world: no connection, or the login was refused
    └── MemphisTimeoutError            the world: no answer within the deadline

The first four names of the original (``MemphisError``, ``MemphisConnectError``,
``MemphisSchemaError``, ``MemphisHeaderError``) keep their meaning. Texts are for people; programs
read the class, and ``code`` where there is one.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "MemphisBatchError",
    "MemphisClosedError",
    "MemphisConnectError",
    "MemphisError",
    "MemphisHeaderError",
    "MemphisNotConfirmedError",
    "MemphisNotFoundError",
    "MemphisPartlyProducedError",
    "MemphisPermissionError",
    "MemphisProduceError",
    "MemphisRequestError",
    "MemphisSchemaError",
    "MemphisSchemaRefusedError",
    "MemphisTimeoutError",
    "MemphisUsageError",
]

_PREFIX = "memphis: "


class MemphisError(Exception):
    """The root of every error raised here.

    Args:
        message: What happened, to what, and what to do. Any object; its ``str()`` is used, unchanged
            but for the prefix ``memphis: ``, which is added where it is missing.

    Attributes:
        message: The text as it was given, without a prefix that was added.
    """

    def __init__(self, message: object = "") -> None:
        text = self.message = str(message)
        if not text.lower().startswith(_PREFIX):
            text = _PREFIX + text
        super().__init__(text)


class MemphisUsageError(MemphisError):
    """The call was wrong: an argument out of range, two that exclude each other."""


class MemphisHeaderError(MemphisUsageError):
    """A header key or value that cannot be sent: reserved, empty, or with a line break in it."""


class MemphisClosedError(MemphisUsageError):
    """The connection, producer, consumer or station was closed or destroyed before this call."""


class MemphisSchemaError(MemphisError):
    """A message does not fit its station's schema, or a schema cannot be used.

    Attributes:
        path: Where in the message, like ``items[2].price``; empty for the message as a whole.
        expected: What the schema wants there, like ``number`` or ``at most 10``; may be empty.
    """

    def __init__(self, message: object = "", path: str = "", expected: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.expected = expected


class MemphisRequestError(MemphisError):
    """The broker refused a request and changed nothing.

    Attributes:
        code: The number of the refusal, one of :class:`memphis.wire.errors.ErrorCode`.
    """

    def __init__(self, message: object = "", code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class MemphisNotFoundError(MemphisRequestError):
    """The station, schema, group or message named in the request does not exist."""


class MemphisPermissionError(MemphisRequestError):
    """The user of this connection may not do that."""


class MemphisSchemaRefusedError(MemphisRequestError, MemphisSchemaError):
    """The broker does not take a schema: it is no valid one, or not compatible with those before.

    Or it does not take a message: an edited dead letter that does not fit its station's schema.
    """


class MemphisProduceError(MemphisError):
    """The engine did not store a message: it was refused, and is not in the station.

    Attributes:
        code: The engine's own error number, 0 where it gave none.
    """

    def __init__(self, message: object = "", code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class MemphisNotConfirmedError(MemphisProduceError):
    """No acknowledgement came: the message may or may not be stored.

    Sending it again could store it twice, unless it carries a ``msg_id``.
    """


class MemphisPartlyProducedError(MemphisProduceError):
    """A message for several stations was stored in some of them only.

    Attributes:
        results: For each station name, either its ``ProduceResult`` or the error.
    """

    def __init__(self, message: object, results: dict[str, Any]) -> None:
        super().__init__(message)
        self.results = results


class MemphisBatchError(MemphisProduceError):
    """Messages of a batch failed, each for itself; the others are stored.

    Attributes:
        results: For each message of the batch, in its order, its ``ProduceResult`` or the error.
    """

    def __init__(self, message: object, results: list[Any]) -> None:
        super().__init__(message)
        self.results = results


class MemphisConnectError(MemphisError):
    """There is no connection: none could be made, the login was refused, or it was given up."""


class MemphisTimeoutError(MemphisError):
    """No answer came within the deadline; whether the request took effect is not known."""
