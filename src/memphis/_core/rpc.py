"""Requests to the broker: typed in, typed out, numbered errors, one retry rule.

Every native request is idempotent, so the rule is simple: when the broker did not answer (it is
restarting, or the connection broke), or said that the refusal may pass, the same request is sent
again after a pause that doubles. A refusal of any other kind is final.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import ValidationError

from memphis.exceptions import (
    MemphisConnectError,
    MemphisError,
    MemphisRequestError,
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
    ) -> _R:
        """Send ``request`` and return its reply.

        Args:
            request: What to ask.
            reply_type: The model of the reply.
            timeout_s: How long to wait for each answer.
            retries: How often to send the request again when no broker answers, after pauses of
                0.25 s, doubling up to 2 s.

        Raises:
            MemphisUsageError: ``retries`` is no count.
            MemphisRequestError: The broker refused; see its ``code``.
            MemphisConnectError: No broker answered, or the connection is closed.
            MemphisTimeoutError: No answer came in time.
        """
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise MemphisUsageError(f"timeout_retries must be an int from 0, not {retries!r}")
        pause_s = _PAUSE_FIRST_S
        for attempt in range(retries + 1):
            try:
                return await self._call_once(request, reply_type, timeout_s)
            except (NoRespondersError, ConnectionLostError) as error:
                failure: MemphisError = error
            except MemphisRequestError as error:
                if error.code not in RETRYABLE:
                    raise
                failure = error
            if attempt == retries:
                break
            _log.debug("%s.%s is sent again: %s", request.noun, request.verb, failure)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_LONGEST_S)
        if isinstance(failure, NoRespondersError):
            raise MemphisConnectError(
                f"no broker answered {request.noun}.{request.verb}: the engine is up, but "
                "'memphis serve' is not; start it and try again"
            ) from failure
        raise failure

    async def _call_once(self, request: Request, reply_type: type[_R], timeout_s: float) -> _R:
        reply = await self._connection.request(
            api_subject(request.noun, request.verb),
            request.model_dump_json().encode(),
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
