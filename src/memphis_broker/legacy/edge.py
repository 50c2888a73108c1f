"""From the bytes of a request of the original's SDKs to the bytes of its reply.

Like the native edge it always answers, and holds no rule. Most replies are plain text, empty for success; an
SDK decides by two phrases in it, so these stand in a reply only where they are meant.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from memphis.wire import legacy
from memphis.wire.errors import ErrorCode, Refusal
from memphis_broker.api.edge import Caller, describe_faults, explain, read_caller
from memphis_broker.legacy import requests, translate
from memphis_broker.legacy.calls import AlreadyExistsError, LegacyCalls, NotThereError
from memphis_broker.legacy.upgrades import upgrade

logger = logging.getLogger(__name__)

_DEADLINE_S: Final = 120.0
_CONNECTION_SEPARATOR: Final = "::"
_NOT_THERE: Final = "does not exist"
_ALREADY_THERE: Final = "already exists"
_ALREADY_THERE_DIFFERENT: Final = "already exist with another type"
_PHRASES: Final = (("not exist", "not be there"), ("already exist", "already be there"))


class _Served(NamedTuple):
    """How one subject is served."""

    model: type[requests.LegacyRequest]
    grant: Callable[[Any], Awaitable[bytes | None]]
    """The reply; None for a plain success."""
    refused: Callable[[str], bytes] = str.encode
    """The reply for a text that refuses; also for none, which is a success."""
    is_versioned: bool = False


class LegacyEdge:
    """Decodes, grants and answers requests. Safe for many tasks at once.

    A request that is made again while it is being granted is granted once, and both get the reply.
    """

    def __init__(self, calls: LegacyCalls, deadline_s: float = _DEADLINE_S) -> None:
        self._served = {
            legacy.STATION_CREATIONS: _Served(requests.StationCreation, calls.create_station),
            legacy.STATION_DESTRUCTIONS: _Served(requests.StationDestruction, calls.remove_station),
            legacy.PRODUCER_CREATIONS: _Served(
                requests.ProducerCreation, calls.create_producer, translate.producer_refused, True
            ),
            legacy.PRODUCER_DESTRUCTIONS: _Served(
                requests.ProducerDestruction, calls.remove_producer
            ),
            legacy.CONSUMER_CREATIONS: _Served(
                requests.ConsumerCreation, calls.create_consumer, is_versioned=True
            ),
            legacy.CONSUMER_DESTRUCTIONS: _Served(
                requests.ConsumerDestruction, calls.remove_consumer
            ),
            legacy.SCHEMA_CREATIONS: _Served(
                requests.SchemaCreation, calls.create_schema, translate.schema_reply
            ),
            legacy.SCHEMA_ATTACHMENTS: _Served(requests.SchemaAttachment, calls.attach_schema),
            legacy.SCHEMA_DETACHMENTS: _Served(requests.SchemaDetachment, calls.detach_schema),
        }
        self._deadline_s = deadline_s
        self._under_way: dict[tuple[str, Caller, bytes], asyncio.Future[bytes]] = {}

    async def answer(self, subject: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Grant the request and return the reply; an error is a reply as well."""
        caller = read_caller(headers)
        served = self._served.get(subject)
        if served is None:
            # Not by subscription: a message that somebody had delivered to one of ours comes as what it is.
            return b"this broker does not know that request"
        key = (subject, caller, body)
        first = self._under_way.get(key)
        if first is not None:
            return await asyncio.shield(first)
        reply = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            answer = await self._answer(served, subject, body, caller)
            reply.set_result(answer)
        finally:
            del self._under_way[key]
            reply.cancel()
        return answer

    async def _answer(self, served: _Served, subject: str, body: bytes, caller: Caller) -> bytes:
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                granted = await served.grant(_decode(served, body, caller))
        except NotThereError as error:
            return served.refused(f"{error} {_NOT_THERE}")
        except AlreadyExistsError as error:
            return served.refused(f"{error} {_ALREADY_THERE}")
        except Exception as error:  # the supervisor of every request; it logs
            code, text = explain(error, late=deadline.expired())
            if code is ErrorCode.INTERNAL:
                logger.exception("%s failed for %s", subject, caller)
            else:
                logger.debug("%s refused for %s: %d %s", subject, caller, code, text)
            return served.refused(_in_words(code, text))
        return served.refused("") if granted is None else granted


def _decode(served: _Served, body: bytes, caller: Caller) -> requests.LegacyRequest:
    try:
        members = legacy.decode_object(body)
    except ValueError as error:
        raise Refusal(ErrorCode.MALFORMED_REQUEST, "the request is no JSON object") from error
    # Who asks is the engine's word, where it gives it, and never that of the body.
    connection_id, separator, _ = caller.connection.partition(_CONNECTION_SEPARATOR)
    if caller.user or caller.connection:
        members["connection_id"] = connection_id if separator else ""
    try:
        return served.model.model_validate(upgrade(members) if served.is_versioned else members)
    except ValidationError as error:
        raise Refusal(ErrorCode.MALFORMED_REQUEST, describe_faults(error)) from error


def _in_words(code: ErrorCode, text: str) -> str:
    """A text that no SDK takes for a success, whatever names it quotes."""
    for phrase, other in _PHRASES:
        text = text.replace(phrase, other)
    if code is ErrorCode.SCHEMA_TYPE_DIFFERS:
        return f"{text} ({_ALREADY_THERE_DIFFERENT})"
    return text or "refused"
