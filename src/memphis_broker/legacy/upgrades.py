"""Requests of older versions, made into those of the next version, step by step. Pure.

An SDK says in ``req_version`` how it writes the requests that make producers and consumers; one that says
nothing is of version 0. Versions 0 and 1 knew no partitions, and wrote to a stream that no station has
here, so they cannot be served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from memphis.wire.errors import ErrorCode, Refusal

NEWEST: Final = 4
OLDEST: Final = 2
_VERSION: Final = "req_version"

Body = Mapping[str, Any]


def version_of(body: Body) -> int:
    """The version of a request.

    Raises:
        Refusal: ``MALFORMED_REQUEST``: it is no number.
    """
    version = body.get(_VERSION, 0)
    if not isinstance(version, int) or isinstance(version, bool):
        raise Refusal(ErrorCode.MALFORMED_REQUEST, f"{_VERSION} must be a number")
    return version


def upgrade(body: Body) -> Body:
    """The request as the newest version writes it; what is newer still is read as the newest.

    Args:
        body: The members of the request, their names in lower case.

    Raises:
        Refusal: ``INVALID_OPTION`` for one of before there were partitions.
    """
    version = version_of(body)
    if version < OLDEST:
        raise Refusal(
            ErrorCode.INVALID_OPTION,
            f"this SDK writes requests of version {version}, from before stations had partitions; "
            "use a newer one",
        )
    while version < NEWEST:
        body = _STEPS[version](body)
        version += 1
    return body


def _to_3(body: Body) -> Body:
    """Nothing that is needed here was added."""
    return {**body, _VERSION: 3}


def _to_4(body: Body) -> Body:
    """From now on SDKs name their process; before, the connection stood for it."""
    return {**body, _VERSION: 4, "app_id": body.get("connection_id", "")}


_STEPS: Final[Mapping[int, Callable[[Body], Body]]] = {2: _to_3, 3: _to_4}
