"""The process that examines schemas; started by :mod:`memphis_broker.schemas.examination`.

Reads lines of JSON from standard input and answers each with a line on standard output. It limits
itself first: whatever a schema makes it do, it ends by memory or time, and the broker goes on.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import sys

from memphis.exceptions import MemphisError
from memphis.schema import Codec, compile_schema
from memphis.transport.errors import bare_text
from memphis_broker.schemas import compatibility
from memphis_broker.schemas.examination import (
    EXAMINATION_S,
    MEMORY_MAX_BYTES,
    OUT_OF_MEMORY,
    TRIAL_S,
    Examination,
    Findings,
    Trial,
)


def examine(examination: Examination) -> Findings:
    """Whether a version is valid, and compatible with those before."""
    definition = examination.definition
    try:
        if definition.type == "protobuf":
            # Large, and of no use to the other types.
            from memphis_broker.schemas.protoc import compile_files  # noqa: PLC0415

            definition = compile_files(definition)
        compile_schema(definition)
    except MemphisError as error:
        return Findings(invalid=bare_text(error))
    return Findings(
        incompatible=compatibility.check(
            examination.compatibility, definition, examination.earlier
        ),
        definition=definition,
    )


def judge(codec: Codec, payload: bytes) -> str:
    """Why a message does not fit; empty if it does."""
    try:
        codec.encode(payload)
    except MemphisError as error:
        return bare_text(error)
    return ""


def _answer(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _limit(seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    # One that overflows its stack ends; nobody needs what it leaves behind.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Do what the first argument says: ``examine`` one version, or ``try`` one on messages."""
    if sys.argv[1] == "examine":
        _limit(EXAMINATION_S)
        findings = examine(Examination.model_validate_json(sys.stdin.readline()))
        _answer(findings.model_dump_json())
        return
    _limit(TRIAL_S)
    codec = compile_schema(Trial.model_validate_json(sys.stdin.readline()).definition)
    for line in sys.stdin:
        _answer(json.dumps(judge(codec, base64.b64decode(line))))


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # whatever else would be done at an exit needs memory
