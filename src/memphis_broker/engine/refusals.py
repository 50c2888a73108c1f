"""Why an engine refuses a login, where the client library only sees its connection reset.

An engine that refuses a login says so and closes the connection. The client has by then sent more
than the engine reads, so the system may throw the engine's words away with the connection. Asked
with the login alone, nothing is left unread, and the words arrive.
"""

from __future__ import annotations

import asyncio
import json
from typing import Final
from urllib.parse import urlsplit

from memphis_broker.engine.accounts import Credentials

_DEADLINE_S: Final = 2.0
_DEFAULT_PORT: Final = 4222
_ERROR: Final = b"-ERR"


async def ask_why(url: str, login: Credentials | None, token: str | None) -> str:
    """The engine's own words, without quotes; empty where it says nothing, or only over TLS."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            reader, writer = await asyncio.open_connection(
                parts.hostname, parts.port or _DEFAULT_PORT
            )
            try:
                return await _ask(reader, writer, login, token)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return ""


async def _ask(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    login: Credentials | None,
    token: str | None,
) -> str:
    await reader.readline()  # what the engine says of itself
    given = {"user": login.user, "pass": login.password} if login else {}
    if token:
        given["auth_token"] = token
    options = {"verbose": False, "pedantic": False, "lang": "python", "version": "1", **given}
    writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
    line = await reader.readline()
    if not line.startswith(_ERROR):
        return ""
    return line.removeprefix(_ERROR).decode("utf-8", "replace").strip().strip("'")
