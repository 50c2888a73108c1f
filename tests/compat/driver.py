"""Runs in the interpreter that has memphis-py 1.3.1: does what it is told and says what came of it.

Reads lines of JSON, ``{"code": ..., "names": {...}}``, from its standard input; runs the code as the body
of a coroutine; writes a line of JSON, ``{"returned": ...}`` or ``{"raised": [class, text]}``, to the file
descriptor that its first argument names. The SDK itself prints, so standard output is no place for it.
What the code puts into ``kept`` is there for the next one.
"""

import asyncio
import json
import os
import sys
import textwrap
from types import SimpleNamespace

import memphis as original
from memphis import Headers, Memphis
from memphis.types import Retention, Storage

KEPT = SimpleNamespace()


async def fetch(consumer, count, **options):
    """What a consumer fetches; nothing where it takes a time-out of its NATS library for an error.

    It knows one by the word in its text, and one of the two kinds that there are has no text.
    """
    try:
        return await consumer.fetch(count, **options) or []
    except original.MemphisError as error:
        if str(error).removeprefix("memphis:").strip():
            raise
        return []


async def execute(code, names):
    body = textwrap.indent(textwrap.dedent(code), "    ")
    scope = {
        "Headers": Headers, "Memphis": Memphis, "Retention": Retention, "Storage": Storage,
        "asyncio": asyncio, "fetch": fetch, "json": json, "kept": KEPT, "original": original, **names,
    }  # fmt: skip
    exec(f"async def _told():\n{body}\n", scope)
    return await scope["_told"]()


async def main(out):
    loop = asyncio.get_running_loop()
    with os.fdopen(out, "w") as replies:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            told = json.loads(line)
            try:
                reply = {"returned": await execute(told["code"], told["names"])}
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                reply = {"raised": [type(error).__name__, str(error)]}
            replies.write(json.dumps(reply, default=_plain) + "\n")
            replies.flush()


def _plain(value):
    return bytes(value).decode() if isinstance(value, bytes | bytearray) else str(value)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
