"""From the bytes of a request to the bytes of its reply, and no business rule in between.

``answer`` always returns a reply: whatever goes wrong becomes a numbered error. It is the one place
of the broker that catches everything, and it logs what nobody foresaw.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.headers import REQUEST_INFO
from memphis.wire.models import Envelope, ErrorBody, Request
from memphis.wire.names import InvalidNameError
from memphis.wire.subjects import api_subject
from memphis_broker.operations import Operation
from memphis_broker.users.model import ROOT

logger = logging.getLogger(__name__)

_DEADLINE_S: Final = 120.0
"""Long enough to create a station of ten thousand partitions; a request that waits longer hangs."""
_FAULTS_SHOWN_MAX: Final = 3
_PLACE_LENGTH_MAX: Final = 64
_FAULT_LENGTH_MAX: Final = 300


class Caller(NamedTuple):
    """Who asks, as the engine vouches for it; empty where it does not say."""

    user: str
    connection: str

    def __str__(self) -> str:
        return f"user {self.user or '?'}, connection {self.connection or '?'}"


class _RequestInfo(BaseModel):
    """The part of the engine's request header that says who asks."""

    model_config = ConfigDict(extra="ignore")

    user: str = ""
    name: str = ""


class Edge:
    """Decodes, grants and answers requests. Safe for many tasks at once."""

    def __init__(
        self,
        operations: Iterable[Operation[Any]],
        deadline_s: float = _DEADLINE_S,
        *,
        decides_logins: bool = True,
    ) -> None:
        """Make one.

        Args:
            operations: All that can be asked.
            deadline_s: How long one request may take.
            decides_logins: Whether the engine's word who asks can be relied on. Where the broker decides
                no logins, a client could write that word itself.
        """
        self._operations = {
            api_subject(operation.request.noun, operation.request.verb): operation
            for operation in operations
        }
        self._deadline_s = deadline_s
        self._decides_logins = decides_logins

    @property
    def subjects(self) -> list[str]:
        """The subjects of all operations."""
        return list(self._operations)

    async def answer(self, subject: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Grant the request and return the reply; an error is a reply as well."""
        caller = read_caller(headers)
        operation = self._operations.get(subject)
        if operation is None:
            return refuse(ErrorCode.UNKNOWN_REQUEST, "this broker does not know that request")
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                request = _decode(operation, body)
                self._check_permitted(operation, caller)
                reply = await operation.handle(request)
            return (
                Envelope(ok=reply.model_dump(mode="json"))
                .model_dump_json(exclude_none=True)
                .encode()
            )
        except Exception as error:  # the supervisor of every request; it logs
            code, text = explain(error, late=deadline.expired())
            if code is ErrorCode.INTERNAL:
                logger.exception("%s failed for %s", subject, caller)
            else:
                logger.debug("%s refused for %s: %d %s", subject, caller, code, text)
            return refuse(code, text)

    def _check_permitted(self, operation: Operation[Any], caller: Caller) -> None:
        if not operation.root_only:
            return
        if not self._decides_logins:
            raise Refusal(
                ErrorCode.NOT_PERMITTED,
                "this broker is attached to an engine without the broker's accounts: who may log in there "
                "is the engine's own business, and a matter of its configuration",
            )
        if caller.user != ROOT:
            what = f"{operation.request.noun}.{operation.request.verb}"
            raise Refusal(
                ErrorCode.NOT_PERMITTED,
                f"only root may ask for {what}; you are {caller.user or 'nobody known'}",
            )


def _decode(operation: Operation[Any], body: bytes) -> Request:
    try:
        request: Request = operation.request.model_validate_json(body)
    except ValidationError as error:
        raise Refusal(ErrorCode.MALFORMED_REQUEST, describe_faults(error)) from error
    return request


def explain(error: Exception, *, late: bool) -> tuple[ErrorCode, str]:
    """The number and the text for whatever ended a request.

    Args:
        error: What was raised.
        late: Whether the request had run out of time.
    """
    match error:
        case Refusal():
            return error.code, error.text
        case InvalidNameError():
            return ErrorCode.INVALID_NAME, str(error)
    if late:
        return ErrorCode.ENGINE_UNAVAILABLE, (
            "the request took too long and was given up; what was begun is finished later, "
            "so the same request may be made again"
        )
    return ErrorCode.INTERNAL, "the broker failed on this request; its log says why"


def describe_faults(error: ValidationError) -> str:
    """Where a request is wrong, and how; never what it said, which could be long or secret."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    shown = []
    for fault in faults[:_FAULTS_SHOWN_MAX]:
        place = ".".join(str(step) for step in fault["loc"])
        if len(place) > _PLACE_LENGTH_MAX:
            place = place[:_PLACE_LENGTH_MAX] + "..."
        shown.append(f"{place or 'the body'}: {fault['msg'][:_FAULT_LENGTH_MAX]}")
    rest = len(faults) - len(shown)
    more = f"; and {rest} more" if rest else ""
    return f"the request is malformed: {'; '.join(shown)}{more}"


def refuse(code: ErrorCode, text: str) -> bytes:
    """The reply that refuses a request."""
    error = ErrorBody(code=int(code), message=text)
    return Envelope(error=error).model_dump_json(exclude_none=True).encode()


def read_caller(headers: Mapping[str, str]) -> Caller:
    """Who asks, from the header that the engine adds to a request that crosses accounts."""
    try:
        info = _RequestInfo.model_validate_json(headers.get(REQUEST_INFO, "{}"))
    except ValidationError:
        return Caller("", "")
    return Caller(info.user, info.name)
