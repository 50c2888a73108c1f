"""Turns what the engine's client raises into numbered refusals: the one place that knows both.

Every call that the broker makes to the engine runs inside :func:`engine_failures`, so nothing above
this package sees an exception of the client library. Numbers decide, never texts; the engine's own
description is only handed on to people.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import nats.errors
from nats.js.errors import APIError

from memphis.wire.errors import ErrorCode, Refusal

# The numbers are the engine's own (nats-server, server/errors.json).
_NO_SUITABLE_PEERS: Final = 10005
_REPLICAS_NOT_SUPPORTED: Final = 10074
_TOO_FEW_SERVERS: Final = frozenset({_NO_SUITABLE_PEERS, _REPLICAS_NOT_SUPPORTED})

STREAM_NAME_IN_USE: Final = 10058
MESSAGE_NOT_THERE: Final = frozenset({10037, 10043})
MESSAGE_NOT_DELETED: Final = 10057
"""Whatever is the reason; that it is not there may be one."""
WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})

_UNAVAILABLE: Final = 503


def refusal_of(error: APIError, doing: str) -> Refusal:
    """The refusal for an error that the engine replied with while the broker was ``doing``."""
    if error.err_code in _TOO_FEW_SERVERS:
        return Refusal(
            ErrorCode.TOO_FEW_SERVERS,
            f"{doing} failed: the engine has fewer servers than replicas were asked for; "
            "ask for fewer replicas or add servers",
        )
    if error.code == _UNAVAILABLE:
        return unavailable(doing)
    return Refusal(
        ErrorCode.ENGINE_REFUSED,
        f"{doing} failed: the engine refused it: {error.description or 'no reason given'} "
        f"(engine error {error.err_code or error.code or 0})",
    )


def unavailable(doing: str) -> Refusal:
    """The refusal for an engine that does not answer."""
    return Refusal(
        ErrorCode.ENGINE_UNAVAILABLE,
        f"{doing} failed: the engine does not answer; try again in a moment",
    )


@contextmanager
def engine_failures(doing: str) -> Iterator[None]:
    """Translate whatever the engine's client raises inside the block.

    Args:
        doing: What the broker was about, as the subject of a sentence: "creating stream x".

    Raises:
        Refusal: ``TOO_FEW_SERVERS``, ``ENGINE_REFUSED`` or ``ENGINE_UNAVAILABLE``.
    """
    try:
        yield
    except APIError as error:
        raise refusal_of(error, doing) from error
    except nats.errors.MaxPayloadError as error:
        raise Refusal(
            ErrorCode.ENGINE_REFUSED,
            f"{doing} failed: it is larger than the engine's largest message",
        ) from error
    except (nats.errors.Error, OSError) as error:
        raise unavailable(doing) from error
