"""The NATS client protocol as pure functions and one parser: bytes in, frames out, no I/O.

Place in the flow: ``socket → Parser.feed → frames`` and ``encode_* → socket``.

A frame is a plain tuple, because one is built for every message: ``(MSG, sid, subject, reply,
header, payload)``, ``(PING,)``, ``(PONG,)``, ``(OK,)``, ``(ERR, text)``, ``(INFO, fields)``, and
for many answers to publishes at once ``(ANSWERS, sid, run)``.

Invariant: how the bytes are cut into pieces never changes which frames come out, and the work
done is linear in the number of bytes, however large one payload is.
"""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Any, Final, TypeAlias

from memphis.exceptions import MemphisUsageError
from memphis.transport.acknowledgement import AnswerRuns
from memphis.transport.errors import ProtocolError

MSG: Final = 1
PING: Final = 2
PONG: Final = 3
OK: Final = 4
ERR: Final = 5
INFO: Final = 6
ANSWERS: Final = 7

Frame: TypeAlias = tuple[Any, ...]
"""Any frame; the first item says which kind."""

MessageFrame: TypeAlias = tuple[int, int, bytes, bytes, bytes, bytes]
"""``(MSG, sid, subject, reply, header, payload)``; reply and header are empty where absent."""

CONTROL_LINE_MAX: Final = 64 * 1024
PAYLOAD_MAX: Final = 64 * 1024 * 1024

PING_LINE: Final = b"PING\r\n"
PONG_LINE: Final = b"PONG\r\n"

_LETTER_M: Final = ord("M")
_LETTER_H: Final = ord("H")
_SHOWN_MAX: Final = 80


_USUAL_LINE: Final = re.compile(
    rb"HMSG ([^ \r\n]+) ([0-9]{1,18}) ([^ \r\n]+) ([0-9]{1,10}) ([0-9]{1,10})\r\n"
).match
"""A message with headers and reply subject, as every pulled message is; others go the long way."""


class Parser:
    """Cuts a stream of bytes into frames.

    Args:
        payload_max: Bytes of header and payload together that one message may have at most.
    """

    def __init__(self, payload_max: int = PAYLOAD_MAX) -> None:
        self._payload_max = payload_max
        self._answers: tuple[int, AnswerRuns] | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._wanted_bytes = 0

    def expect_answers(self, sid: int, runs: AnswerRuns) -> None:
        """From now on give answers that ``runs`` finds as ANSWERS frames, not one by one."""
        self._answers = (sid, runs)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now. What is left over waits for the next call.

        Raises:
            ProtocolError: The bytes are not of this protocol. The parser is of no use afterwards.
        """
        if self._held:
            # A large payload arrives in many pieces: they are joined once, when all are there.
            self._held.append(data)
            self._held_bytes += len(data)
            if self._held_bytes < self._wanted_bytes:
                return []
            data = b"".join(self._held)
            self._held = []
        frames: list[Frame] = []
        add = frames.append
        position = 0
        size = len(data)
        while position < size:
            usual = _USUAL_LINE(data, position)
            if usual is not None:
                subject, sid, reply, header_text, total = usual.groups()
                start = usual.end()
                header_end, end = start + int(header_text), start + int(total)
                complete = data[end : end + 2] == b"\r\n"
                if complete and header_end <= end <= start + self._payload_max:
                    header, payload = data[start:header_end], data[header_end:end]
                    add((MSG, int(sid), subject, reply, header, payload))
                    position = end + 2
                    continue
            # Another kind of frame, or not all here yet, or wrong: this way tells which.
            frame, following = self._read_frame(data, position)
            if frame is None:
                break
            add(frame)
            position = following
        return frames

    def _read_frame(self, data: bytes, position: int) -> tuple[Frame | None, int]:
        """Any frame, and where the next begins; None for one that is not complete, which is held."""
        line_end = data.find(b"\r\n", position)
        if line_end < 0 or line_end - position > CONTROL_LINE_MAX:
            self._hold_line(data, position)
            return None, position
        first = data[position]
        start = header_end = line_end + 2
        if first == _LETTER_M:
            answers = self._answers
            if answers is not None and (run := answers[1].find(data, position)) is not None:
                return (ANSWERS, answers[0], run), run.end
            sid, subject, reply, total = self._message_line(data, position, line_end)
        elif first == _LETTER_H:
            sid, subject, reply, total, header_bytes = self._header_line(data, position, line_end)
            header_end += header_bytes
        else:
            return _control_frame(data[position:line_end]), start
        end = start + total
        if end + 2 > len(data):
            self._hold(data, position, end + 2 - position)
            return None, position
        if data[end : end + 2] != b"\r\n":
            raise ProtocolError("the server sent a payload without the line end that closes it")
        return (MSG, sid, subject, reply, data[start:header_end], data[header_end:end]), end + 2

    def _hold(self, data: bytes, position: int, wanted_bytes: int) -> None:
        rest = data[position:] if position else data
        self._held = [rest]
        self._held_bytes = len(rest)
        self._wanted_bytes = wanted_bytes

    def _hold_line(self, data: bytes, position: int) -> None:
        held = len(data) - position
        if held > CONTROL_LINE_MAX + 1:
            raise ProtocolError(f"the server sent a line of more than {CONTROL_LINE_MAX} bytes")
        self._hold(data, position, held + 1)

    def _message_line(
        self, data: bytes, position: int, line_end: int
    ) -> tuple[int, bytes, bytes, int]:
        """``MSG <subject> <sid> [reply] <bytes>``."""
        fields = data[position:line_end].split(b" ")
        if len(fields) == 5:  # noqa: PLR2004 - with reply, see above
            operation, subject, sid, reply, total = fields
        elif len(fields) == 4:  # noqa: PLR2004 - without reply
            operation, subject, sid, total = fields
            reply = b""
        else:
            raise _not_understood(data[position:line_end])
        if operation != b"MSG" or not subject or not (sid.isdigit() and total.isdigit()):
            raise _not_understood(data[position:line_end])
        try:
            size = int(total)
            if size <= self._payload_max:
                return int(sid), subject, reply, size
        except ValueError as error:
            raise _not_understood(data[position:line_end]) from error
        raise self._too_large(size)

    def _header_line(
        self, data: bytes, position: int, line_end: int
    ) -> tuple[int, bytes, bytes, int, int]:
        """``HMSG <subject> <sid> [reply] <header bytes> <total bytes>``."""
        fields = data[position:line_end].split(b" ")
        if len(fields) == 6:  # noqa: PLR2004 - with reply, see above
            operation, subject, sid, reply, header_text, total_text = fields
        elif len(fields) == 5:  # noqa: PLR2004 - without reply
            operation, subject, sid, header_text, total_text = fields
            reply = b""
        else:
            raise _not_understood(data[position:line_end])
        digits = sid.isdigit() and header_text.isdigit() and total_text.isdigit()
        if operation != b"HMSG" or not subject or not digits:
            raise _not_understood(data[position:line_end])
        try:
            total, header_bytes = int(total_text), int(header_text)
            if header_bytes <= total <= self._payload_max:
                return int(sid), subject, reply, total, header_bytes
        except ValueError as error:
            # Digits they are, but more of them than Python turns into a number.
            raise _not_understood(data[position:line_end]) from error
        if header_bytes > total:
            raise ProtocolError("the server sent a header longer than the message it belongs to")
        raise self._too_large(total)

    def _too_large(self, size: int) -> ProtocolError:
        return ProtocolError(
            f"the server announced a message of {size} bytes; at most {self._payload_max} are "
            "accepted"
        )


def _not_understood(line: bytes) -> ProtocolError:
    return ProtocolError(f"this is not a NATS server, it says {line[:_SHOWN_MAX]!r}")


def _control_frame(line: bytes) -> Frame:
    if line == b"PING":
        return (PING,)
    if line == b"PONG":
        return (PONG,)
    if line == b"+OK":
        return (OK,)
    if line.startswith(b"-ERR"):
        return (ERR, line[4:].strip().strip(b"'"))
    if line.startswith(b"INFO "):
        try:
            fields = json.loads(line[5:])
        except (ValueError, RecursionError) as error:
            raise _not_understood(line) from error
        if isinstance(fields, dict):
            return (INFO, fields)
    raise _not_understood(line)


def encode_connect(fields: dict[str, Any]) -> bytes:
    """The frame that logs in."""
    return b"CONNECT %b\r\n" % json.dumps(fields).encode()


def encode_publish(
    subject: bytes, payload: bytes, reply: bytes = b"", header: bytes = b""
) -> bytes:
    """PUB, or HPUB where there is a header. The header is a whole block with its final line end.

    The caller vouches that subject and reply have no space and no line break in them.
    """
    if reply:
        subject = b"%b %b" % (subject, reply)
    if header:
        return b"HPUB %b %d %d\r\n%b%b\r\n" % (
            subject,
            len(header),
            len(header) + len(payload),
            header,
            payload,
        )
    return b"PUB %b %d\r\n%b\r\n" % (subject, len(payload), payload)


def encode_subscribe(subject: bytes, sid: int, queue: bytes = b"") -> bytes:
    """SUB; with a queue group, of whose members each message reaches one."""
    where = b"%b %b" % (subject, queue) if queue else subject
    return b"SUB %b %d\r\n" % (where, sid)


def encode_unsubscribe(sid: int) -> bytes:
    """UNSUB, at once."""
    return b"UNSUB %d\r\n" % sid


def encode_subject(subject: str) -> bytes:
    """A subject as bytes.

    Raises:
        MemphisUsageError: It cannot stand as one word on a control line.
    """
    encoded = subject.encode()
    if not encoded or min(encoded) <= ord(" ") or b"\x7f" in encoded:
        raise MemphisUsageError(
            f"{subject!r} cannot be a subject: no spaces, no control characters, not empty"
        )
    return encoded


class EngineRefusal(Enum):
    """What an ``-ERR`` line is about."""

    LOGIN = "login"
    PERMISSION = "permission"
    OTHER = "other"


_LOGIN_TEXTS = (
    b"authorization violation",
    b"authentication expired",
    b"user authentication expired",
    b"user authentication revoked",
    b"account authentication expired",
    b"authentication revoked",
)


def classify_error(text: bytes) -> EngineRefusal:
    """What the engine complains about.

    The engine gives no number with ``-ERR``, only a text, so this is the one place that looks at
    it. The texts are constants of nats-server (``server/errors.go``) and have not changed in years;
    one that is not known is OTHER, which is the harmless side.
    """
    lowered = text.lower()
    if lowered.startswith(_LOGIN_TEXTS):
        return EngineRefusal.LOGIN
    if lowered.startswith(b"permissions violation"):
        return EngineRefusal.PERMISSION
    return EngineRefusal.OTHER
