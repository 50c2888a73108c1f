"""What the engine answers to a publish, read fast in the usual case. Pure.

The usual answer is ``{"stream":"orders$1","seq":7}``, sometimes with a domain and a mark that it
was a duplicate. Everything else, refusals above all, is read as JSON.

Answers come by the hundred in one read, frame after frame. :class:`AnswerRuns` takes such a run out of the
read buffer with two passes of compiled patterns, so that no Python code runs per frame.
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


class AnswerRun(NamedTuple):
    """Consecutive usual answers, one item of each list per answer."""

    end: int
    """Where in the buffer the run ends."""
    tokens: tuple[bytes, ...]
    sequences: tuple[bytes, ...]
    duplicates: tuple[bytes, ...]
    """Not empty where the engine had the message already."""
    payloads: tuple[bytes, ...]


class AnswerRuns:
    """Finds runs of usual answers to one inbox.

    Args:
        prefix: The inbox up to the token, with its final dot.
        sid: The subscription that the inbox is received by.
    """

    def __init__(self, prefix: bytes, sid: int) -> None:
        item = (
            rb"MSG %b([0-9]{1,18}) %d ([0-9]{1,6})\r\n"
            rb'(\{"stream":\s?"[^"\\\r\n]{1,512}",\s?"seq":\s?([0-9]{1,19})'
            rb'(,\s?"duplicate":\s?true)?\})\r\n'
        ) % (re.escape(prefix), sid)
        self._item = re.compile(item)
        # Possessive: a frame that was recognised is never looked at again.
        self._run = re.compile(rb"(?:%b)++" % item.replace(b"(", b"(?:").replace(b"(?:?:", b"(?:"))

    def find(self, data: bytes, position: int) -> AnswerRun | None:
        """The run that begins at ``position``, where a frame begins; None if there is none.

        What it returns is cut where the frames themselves say: a payload is as long as its control
        line announces, or nothing is returned, so no payload can pass for a frame.
        """
        run = self._run.match(data, position)
        if run is None:
            return None
        end = run.end()
        tokens, sizes, payloads, sequences, duplicates = zip(
            *self._item.findall(data, position, end), strict=True
        )
        if tuple(map(int, sizes)) != tuple(map(len, payloads)):
            return None
        return AnswerRun(end, tokens, sequences, duplicates, payloads)
