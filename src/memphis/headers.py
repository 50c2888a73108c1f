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


def checked_headers(headers: Headers | Mapping[str, str] | None) -> Mapping[str, str]:
    """What to send for whatever a caller gave as ``headers``, checked and not copied.

    Raises:
        MemphisHeaderError: It is no ``Headers``, no mapping, or holds a header that cannot be sent.
    """
    if headers is None:
        return {}
    if isinstance(headers, Headers):
        headers = headers.headers
    elif not isinstance(headers, Mapping):
        raise MemphisHeaderError(
            f"headers must be a Headers object or a dict, not {type(headers).__name__}"
        )
    for key, value in headers.items():
        check_user_header(key, value)
    return headers
