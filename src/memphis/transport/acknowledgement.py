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


class AnswerRuns:
    """Finds runs of usual answers to one inbox.

    Args:
        prefix: The inbox up to the token, with its final dot.
        sid: The subscription that the inbox is received by.
    """

    def __init__(self, prefix: bytes, sid: int) -> None:
        before, between = b"MSG %b" % prefix, b" %d " % sid
        item = (
            rb"%b([0-9]{1,18})%b([0-9]{1,6})\r\n"
            rb'\{"stream":\s?"[^"\\]+",\s?"seq":\s?([0-9]{1,19})(,\s?"duplicate":\s?true)?\}\r\n'
        ) % (re.escape(before), between)
        self._fixed = len(before) + len(between) + 2 * len(b"\r\n")
        self._items = re.compile(item).findall
        # Possessive: a frame that was recognised is never looked at again.
        self._run = re.compile(rb"(?:%b)++" % item.replace(b"(", b"(?:")).match

    def find(self, data: bytes, position: int) -> AnswerRun | None:
        """The run that begins at ``position``, where a frame begins; None if there is none.

        What it returns is as long as the frames themselves say, or nothing is returned: a payload that
        contains a frame would be counted twice, so no payload can pass for a frame.
        """
        run = self._run(data, position)
        if run is None:
            return None
        end = run.end()
        tokens, sizes, sequences, duplicates = zip(*self._items(data, position, end), strict=True)
        announced = len(tokens) * self._fixed + sum(map(int, sizes))
        if announced + sum(map(len, tokens)) + sum(map(len, sizes)) != end - position:
            return None
        return AnswerRun(end, tokens, sequences, duplicates)
