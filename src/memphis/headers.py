"""The headers of a message, as an application builds them."""

from __future__ import annotations

from collections.abc import Mapping

from memphis.exceptions import MemphisHeaderError
from memphis.wire.headers import check_user_header

__all__ = ["Headers"]


class Headers:
    """Headers to send with a message. A plain ``dict`` of strings does as well.

    Producing never changes the object; it can be used for any number of messages.

    Attributes:
        headers: The keys and values added so far.
    """

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def add(self, key: str, value: str) -> None:
        """Add a header; a key added before gets the new value.

        Raises:
            MemphisHeaderError: The key begins with ``$memphis`` or ``Nats-`` (both are reserved), is
                no printable ASCII without spaces and colons, or the value has a line break.
        """
        check_user_header(key, value)
        self.headers[key] = value


def as_mapping(headers: Headers | Mapping[str, str]) -> Mapping[str, str]:
    """What to send for whatever a caller gave as ``headers``; neither checked nor copied.

    Raises:
        MemphisHeaderError: It is no ``Headers`` and no mapping.
    """
    if type(headers) is dict or (not isinstance(headers, Headers) and isinstance(headers, Mapping)):
        return headers
    if isinstance(headers, Headers):
        return headers.headers
    raise MemphisHeaderError(
        f"headers must be a Headers object or a dict, not {type(headers).__name__}"
    )
