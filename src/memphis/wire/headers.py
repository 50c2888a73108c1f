"""Header keys of the protocol, and the text form of a header block.

The block is what NATS defines for HPUB and HMSG (ADR-4): a version line, ``Key: value`` lines, an
empty line, all ended by CRLF.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from memphis.exceptions import MemphisHeaderError

PRODUCED_BY: Final = "$memphis_producedBy"
CONNECTION_ID: Final = "$memphis_connectionId"
MESSAGE_ID: Final = "Nats-Msg-Id"
"""The one header that a stock engine de-duplicates on; its spelling is case-sensitive."""
ORIGINAL_MESSAGE_ID: Final = "msg-id"
"""How the original spells it; sent as well, so that its consumers see it."""
BATCH_ID: Final = "Nats-Batch-Id"
"""On every message of an atomic batch, with its number from 1; on the last, that it is complete (ADR-50)."""
BATCH_SEQUENCE: Final = "Nats-Batch-Sequence"
BATCH_COMMIT: Final = "Nats-Batch-Commit"
SCHEMA: Final = "$memphis_schema"
"""By which version of which schema the message was checked: ``name/version/id``."""
REQUEST_INFO: Final = "Nats-Request-Info"
"""Added by the engine to a request that crosses accounts: who asks."""

DEAD_LETTER: Final = "$memphis_deadLetter"
"""On a dead letter, and on one that was given back: its label, in JSON (memphis.wire.dead_letters)."""
ORIGIN_STATION: Final = "$memphis_originStation"
"""On the copy of a dead letter in a dls_station, with the five below: what it is a copy of."""
ORIGIN_PARTITION: Final = "$memphis_originPartition"
ORIGIN_SEQUENCE: Final = "$memphis_originSequence"
ORIGIN_GROUP: Final = "$memphis_originGroup"
ORIGIN_KIND: Final = "$memphis_originKind"
ORIGIN_REASON: Final = "$memphis_originReason"

HEADER_BYTES_MAX: Final = 65_535
"""What a stock engine stores of headers. (nats-server, filestore)"""
RESERVED_PREFIX: Final = "$memphis"
_ENGINE_PREFIX: Final = "nats-"

BLOCK_START: Final = b"NATS/1.0\r\n"
BLOCK_END: Final = b"\r\n"

# RFC 7230 tokens plus nothing: a key with a space or colon could not be read back.
_KEY = re.compile(r"[!-9;-~]+", re.ASCII)
# A line break would end the header; half of a surrogate pair has no form in UTF-8.
_UNSENDABLE = re.compile("[\r\n]+|[\ud800-\udfff]")


def check_user_header(key: object, value: object) -> None:
    """Refuse a header that an application may not send.

    Raises:
        MemphisHeaderError: The key is reserved for Memphis or the engine, is not printable ASCII
            without spaces and colons, or the value is no string or has a line break.
    """
    if not isinstance(key, str) or not isinstance(value, str):
        raise MemphisHeaderError(
            f"header keys and values must be strings, not {type(key).__name__} and "
            f"{type(value).__name__}"
        )
    if key.startswith(RESERVED_PREFIX):
        raise MemphisHeaderError(
            f"header keys that begin with {RESERVED_PREFIX} are reserved: {key!r}"
        )
    if key.lower().startswith(_ENGINE_PREFIX):
        raise MemphisHeaderError(
            f"header keys that begin with Nats- are reserved for the engine: {key!r}"
        )
    if _KEY.fullmatch(key) is None:
        raise MemphisHeaderError(
            f"the header key {key!r} is not valid: use printable ASCII without spaces and colons"
        )
    if _UNSENDABLE.search(value):
        raise MemphisHeaderError(
            f"the value of header {key!r} has a line break in it, or is no text that UTF-8 can hold"
        )


def one_line(text: str) -> str:
    """A text as a header can carry it: without line breaks, and what UTF-8 cannot hold replaced."""
    return _UNSENDABLE.sub(" ", text).strip()


def encode_lines(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> bytes:
    """``Key: value`` lines without the frame around them; the caller has checked them."""
    items = headers.items() if isinstance(headers, Mapping) else headers
    return "".join([f"{key}: {value}\r\n" for key, value in items]).encode()


def encode_block(headers: Mapping[str, str]) -> bytes:
    """A whole header block."""
    return BLOCK_START + encode_lines(headers) + BLOCK_END


def add_lines(block: bytes, headers: Mapping[str, str]) -> bytes:
    """The block with more headers at its end."""
    return block[: -len(BLOCK_END)] + encode_lines(headers) + BLOCK_END


def decode_block(block: bytes) -> dict[str, str]:
    """The headers of a block. A key that occurs more than once keeps its first value.

    The status that the engine may put on the first line is left out; see :func:`status_of`.
    Lines without a colon are skipped, bytes that are not UTF-8 are replaced: a foreign client's
    odd header must not make its message unreadable.
    """
    headers: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\r\n")[1:]:
        key, colon, value = line.partition(":")
        if colon:
            headers.setdefault(key.strip(), value.strip(" \t"))
    return headers


def status_of(block: bytes) -> int:
    """The status code on the first line of a header block, or 0 where there is none."""
    code = block[8:12]
    return int(code) if code[:1] == b" " and code[1:].isdigit() else 0


def carried_lines(block: bytes) -> bytes:
    """The lines of a block that go with a message from one stream to another.

    Left behind are those of the engine, which spoke of the stream it was in (a message id would have it
    taken for a copy), and the label of a dead letter, which is written anew.
    """
    lines = block[block.find(b"\r\n") + 2 :].split(b"\r\n") if block else []
    return b"".join([line + b"\r\n" for line in lines if line and not _stays_behind(line)])


def _stays_behind(line: bytes) -> bool:
    key = line.partition(b":")[0].strip().lower()
    return key.startswith(_ENGINE_PREFIX.encode()) or key == DEAD_LETTER.lower().encode()


def is_carried(key: str) -> bool:
    """The same rule for a header that was decoded."""
    return not key.lower().startswith(_ENGINE_PREFIX) and key.lower() != DEAD_LETTER.lower()
