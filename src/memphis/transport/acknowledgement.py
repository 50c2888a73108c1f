"""What the engine answers to a publish, read fast in the usual case. Pure.

The usual answer is ``{"stream":"orders$1","seq":7}``, sometimes with a domain and a mark that it
was a duplicate. Everything else, refusals above all, is read as JSON.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

_USUAL = re.compile(
    rb'\{"stream":\s*"([^"\\]+)",\s*(?:"domain":\s*"[^"\\]*",\s*)?"seq":\s*([0-9]{1,20})'
    rb'(?:,\s*"domain":\s*"[^"\\]*")?(,\s*"duplicate":\s*true)?\}'
)


class PublishResult(NamedTuple):
    """Where a message is stored."""

    stream: str
    sequence: int
    duplicate: bool
    """The engine had a message with this id already; also when it was this one, sent again."""


class Refused(NamedTuple):
    """The engine did not store the message."""

    code: int
    text: str


def parse_acknowledgement(payload: bytes) -> PublishResult | Refused | None:
    """Read the answer to a publish; None where it cannot be understood."""
    usual = _USUAL.fullmatch(payload)
    if usual is not None:
        stream, sequence, duplicate = usual.groups()
        return PublishResult(stream.decode(), int(sequence), duplicate is not None)
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    error = fields.get("error")
    if isinstance(error, dict):
        code = error.get("err_code")
        return Refused(code if isinstance(code, int) else 0, str(error.get("description", "")))
    found, number = fields.get("stream"), fields.get("seq")
    if isinstance(found, str) and isinstance(number, int):
        return PublishResult(found, number, fields.get("duplicate") is True)
    return None
