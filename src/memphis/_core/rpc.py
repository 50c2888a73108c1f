"""Requests to the broker: typed in, typed out, numbered errors, one retry rule.

Every native request is idempotent, so the rule is simple: when the broker did not answer (it is
restarting, or the connection broke), or said that the refusal may pass, the same request is sent
again after a pause that doubles. A refusal of any other kind is final.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import ValidationError

from memphis.exceptions import (
    MemphisConnectError,
    MemphisError,
    MemphisNotFoundError,
    MemphisRequestError,
    MemphisTimeoutError,
    MemphisUsageError,
)
from memphis.transport.errors import ConnectionLostError, NoRespondersError
from memphis.wire.errors import RETRYABLE, refusal_to_exception
from memphis.wire.models import Envelope, Reply, Request
from memphis.wire.subjects import api_subject

if TYPE_CHECKING:
    from memphis.transport.connection import Connection

_log = logging.getLogger(__name__)
_R = TypeVar("_R", bound=Reply)

TIMEOUT_S: Final = 20.0
RETRIES: Final = 5
_PAUSE_FIRST_S: Final = 0.25
_PAUSE_LONGEST_S: Final = 2.0
_EACH_SHORTEST_S: Final = 3.0
"""No answer within this, and a request may be sent again."""


class Rpc:
    """Sends native requests over one connection. Any number may be under way at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def call(
        self,
        request: Request,
        reply_type: type[_R],
        *,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        if_gone: _R | None = None,
    ) -> _R:
        """Send ``request`` and return its reply.

        Args:
            request: What to ask.
            reply_type: The model of the reply.
            timeout_s: How long to wait for an answer, all repetitions together.
            retries: How often to send the request again when no broker answers: after pauses of
                0.25 s, doubling up to 2 s, or when an answer is overdue.
            if_gone: What to return where a repetition finds nothing there: the first request, whose
                answer was lost, has then done its work.

        Raises:
            MemphisUsageError: ``retries`` is no count, or the request cannot be written.
            MemphisRequestError: The broker refused; see its ``code``.
            MemphisConnectError: No broker answered, or the connection is closed.
            MemphisTimeoutError: No answer came in time.
        """
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise MemphisUsageError(f"timeout_retries must be an int from 0, not {retries!r}")
        body = _encode(request)
        pause_s = _PAUSE_FIRST_S
        deadline = time.monotonic() + timeout_s
        each_s = max(timeout_s / (retries + 1), _EACH_SHORTEST_S)
        for attempt in range(retries + 1):
            left_s = max(deadline - time.monotonic(), _PAUSE_FIRST_S)
            try:
                return await self._call_once(request, body, reply_type, min(each_s, left_s))
            except (NoRespondersError, ConnectionLostError, MemphisTimeoutError) as error:
                failure: MemphisError = error
            except MemphisRequestError as error:
                if attempt and if_gone is not None and isinstance(error, MemphisNotFoundError):
                    return if_gone
                if error.code not in RETRYABLE:
                    raise
                failure = error
            if attempt == retries or time.monotonic() >= deadline:
                break
            _log.debug("%s.%s is sent again: %s", request.noun, request.verb, failure)
            if not isinstance(failure, MemphisTimeoutError):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _PAUSE_LONGEST_S)
        if isinstance(failure, NoRespondersError):
            raise MemphisConnectError(
                f"no broker answered {request.noun}.{request.verb}: the engine is up, but "
                "'memphis serve' is not; start it and try again"
            ) from failure
        raise failure

    async def _call_once(
        self, request: Request, body: bytes, reply_type: type[_R], timeout_s: float
    ) -> _R:
        reply = await self._connection.request(
            api_subject(request.noun, request.verb),
            body,
            timeout_s=timeout_s,
        )
        try:
            envelope = Envelope.model_validate_json(reply.payload)
            if envelope.error is None:
                return reply_type.model_validate(envelope.ok)
        except ValidationError as error:
            raise MemphisError(
                f"the broker's reply to {request.noun}.{request.verb} is not understood; "
                "SDK and broker may be too far apart in version"
            ) from error
        raise refusal_to_exception(envelope.error.code, envelope.error.message)


def _encode(request: Request) -> bytes:
    try:
        return request.model_dump_json().encode()
    except ValueError as error:
        raise MemphisUsageError(f"the request cannot be written as UTF-8: {error}") from error
