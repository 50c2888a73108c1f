"""The numbers of every refusal on the wire. The number is the contract; the text is for people.

1xxx the request itself · 2xxx stations · 3xxx schemas · 4xxx groups and messages ·
5xxx the engine · 6xxx identity · 9xxx the broker. A number is never used again for another meaning.
"""

from __future__ import annotations

from enum import IntEnum

from memphis.exceptions import (
    MemphisNotFoundError,
    MemphisPermissionError,
    MemphisRequestError,
    MemphisSchemaRefusedError,
)


class ErrorCode(IntEnum):
    """Why a request was refused."""

    MALFORMED_REQUEST = 1001
    INVALID_NAME = 1002
    INVALID_OPTION = 1003
    UNKNOWN_REQUEST = 1004
    STATION_NOT_FOUND = 2001
    STATION_CHANGING = 2002
    INVALID_DLS_STATION = 2003
    SCHEMA_NOT_FOUND = 3001
    SCHEMA_TYPE_DIFFERS = 3002
    SCHEMA_INVALID = 3003
    SCHEMA_INCOMPATIBLE = 3004
    SCHEMA_IN_USE = 3005
    SCHEMA_VERSION_NOT_FOUND = 3006
    SCHEMA_CHANGING = 3007
    GROUP_NOT_FOUND = 4001
    # 4002 was a message that a dead letter was to be made of.
    DEAD_LETTER_NOT_FOUND = 4003
    DEAD_LETTER_STUCK = 4004
    MESSAGE_UNFIT = 4005
    ENGINE_REFUSED = 5001
    ENGINE_UNAVAILABLE = 5002
    TOO_FEW_SERVERS = 5003
    NOT_PERMITTED = 6001
    USER_NOT_FOUND = 6002
    USER_EXISTS = 6003
    INTERNAL = 9001


RETRYABLE = frozenset(
    {ErrorCode.STATION_CHANGING, ErrorCode.SCHEMA_CHANGING, ErrorCode.ENGINE_UNAVAILABLE}
)
"""Refusals that may pass by themselves: nothing was changed and the same request is safe again."""

_CLASSES: dict[int, type[MemphisRequestError]] = {
    ErrorCode.STATION_NOT_FOUND: MemphisNotFoundError,
    ErrorCode.SCHEMA_NOT_FOUND: MemphisNotFoundError,
    ErrorCode.SCHEMA_VERSION_NOT_FOUND: MemphisNotFoundError,
    ErrorCode.SCHEMA_INVALID: MemphisSchemaRefusedError,
    ErrorCode.MESSAGE_UNFIT: MemphisSchemaRefusedError,
    ErrorCode.SCHEMA_INCOMPATIBLE: MemphisSchemaRefusedError,
    ErrorCode.GROUP_NOT_FOUND: MemphisNotFoundError,
    ErrorCode.DEAD_LETTER_NOT_FOUND: MemphisNotFoundError,
    ErrorCode.NOT_PERMITTED: MemphisPermissionError,
    ErrorCode.USER_NOT_FOUND: MemphisNotFoundError,
}


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a failure of the broker
    """What a broker service raises to refuse a request; the edge turns it into a reply.

    Attributes:
        code: Why.
        text: What happened, to what, and what to do.
    """

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def refusal_to_exception(code: int, text: str) -> MemphisRequestError:
    """The exception that a caller of the SDK gets for a refusal. Unknown numbers keep the base."""
    return _CLASSES.get(code, MemphisRequestError)(text, code)
