"""Examines schemas in a process of its own, which may be slow, or end, without harm to the broker.

A schema is a stranger's program for compilers and validators written in four languages: it can nest so
deep that one of them overflows, or be written to take for ever. So the broker never compiles one
itself. It starts :mod:`memphis_broker.schemas.examiner`, which limits its own memory and time, and
ends it when it takes longer than :data:`EXAMINATION_S`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from memphis.types import Compatibility
from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.schemas import SchemaDefinition

logger = logging.getLogger(__name__)

EXAMINATION_S: Final = 10.0
TRIAL_S: Final = 60.0
MEMORY_MAX_BYTES: Final = 2 * 1024**3
_AT_ONCE_MAX: Final = 2
"""More would only take each other's time."""
OUT_OF_MEMORY: Final = 3
"""The exit status of an examiner that met its limit of memory."""
_BATCH_MESSAGES: Final = 500
_BATCH_BYTES: Final = 1024 * 1024
_FAREWELL_S: Final = 1.0
_LINE_BYTES_MAX: Final = 64 * 1024 * 1024
_OUTPUT_TAIL_BYTES: Final = 4096


class Examination(BaseModel):
    """What an examiner is asked about a new version: is it valid, and compatible with those before?

    For protobuf the definition comes without descriptor and with the message as it was named.
    """

    model_config = ConfigDict(frozen=True)

    definition: SchemaDefinition
    compatibility: Compatibility
    earlier: list[SchemaDefinition]


class Findings(BaseModel):
    """What an examiner found.

    Attributes:
        invalid: Why it is no valid schema; empty if it is one.
        incompatible: Why it is not compatible with those before.
        definition: The version, complete; None where it is not valid.
    """

    model_config = ConfigDict(frozen=True)

    invalid: str = ""
    incompatible: list[str] = []
    definition: SchemaDefinition | None = None


class Trial(BaseModel):
    """A version to try on messages, each a line of base64 that follows.

    The examiner answers each with a line of JSON: the reason why it does not fit, or an empty text.
    """

    model_config = ConfigDict(frozen=True)

    definition: SchemaDefinition


class Verdict(NamedTuple):
    """How many messages were tried, why which of them did not fit, and whether these were all."""

    tried: int
    refused: dict[int, str]
    complete: bool


class ExaminerBrokenError(Exception):
    """An examiner does not work: it is no fault of the schema."""


class _EndedError(Exception):
    """An examiner was ended by what a schema made it do."""


class Examiner:
    """Starts examiners, a few at a time. Safe for many tasks at once."""

    def __init__(self, python: str = sys.executable) -> None:
        self._python = python
        self._room = asyncio.Semaphore(_AT_ONCE_MAX)

    async def examine(self, examination: Examination) -> SchemaDefinition:
        """The version of the examination, completed.

        Raises:
            Refusal: ``SCHEMA_INVALID`` or ``SCHEMA_INCOMPATIBLE``, with the reasons.
            ExaminerBrokenError: It does not work.
        """
        asked = examination.definition
        async with self._process("examine") as process:
            try:
                async with asyncio.timeout(EXAMINATION_S):
                    await _send(process, [examination.model_dump_json()])
                    findings = Findings.model_validate_json(await _answer(process))
            except (TimeoutError, _EndedError) as error:
                raise Refusal(
                    ErrorCode.SCHEMA_INVALID,
                    f"the schema {asked.name} cannot be examined within {EXAMINATION_S:.0f} s and "
                    f"{MEMORY_MAX_BYTES // 1024**2} MiB, which is what a schema may cost; make it "
                    "simpler",
                ) from error
        if findings.invalid or findings.definition is None:
            raise Refusal(
                ErrorCode.SCHEMA_INVALID,
                findings.invalid or f"schema {asked.name} cannot be used",
            )
        if findings.incompatible:
            raise Refusal(
                ErrorCode.SCHEMA_INCOMPATIBLE,
                f"the new version of schema {asked.name} is not "
                f"{examination.compatibility.value}-compatible: {'; '.join(findings.incompatible)}",
            )
        return findings.definition

    async def try_on(self, definition: SchemaDefinition, payloads: AsyncIterable[bytes]) -> Verdict:
        """Try a stored version on messages, until :data:`TRIAL_S` are over.

        Raises:
            ExaminerBrokenError: It does not work.
        """
        refused: dict[int, str] = {}
        tried = 0
        complete = False
        async with self._process("try") as process:
            try:
                async with asyncio.timeout(TRIAL_S):
                    await _send(process, [Trial(definition=definition).model_dump_json()])
                    async for batch in _batches(payloads):
                        await _send(process, batch)
                        for _ in batch:
                            reason = json.loads(await _answer(process))
                            if reason:
                                refused[tried] = reason
                            tried += 1
                    complete = True
            except (TimeoutError, _EndedError) as error:
                logger.warning(
                    "schema %s was tried on %d messages: %r", definition.name, tried, error
                )
        return Verdict(tried, refused, complete)

    @asynccontextmanager
    async def _process(self, task: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A running examiner, which has ended when the block has."""
        async with self._room:
            folder = await asyncio.to_thread(
                tempfile.TemporaryDirectory, prefix="memphis-examiner-"
            )
            complaints = await asyncio.to_thread(tempfile.TemporaryFile, "w+b", dir=folder.name)
            process = await asyncio.create_subprocess_exec(
                self._python,
                "-m",
                "memphis_broker.schemas.examiner",
                task,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
                # What it leaves there when it is killed goes with the folder.
                env={**os.environ, "TMPDIR": folder.name},
                limit=_LINE_BYTES_MAX,
                # Ctrl-C in the broker's terminal is the broker's; it ends what it started.
                start_new_session=True,
            )
            try:
                yield process
            finally:
                await _end(process)
                with complaints:
                    _log_complaints(complaints)
                await asyncio.to_thread(folder.cleanup)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let a process that has done its work end by itself, and end one that has not."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_FAREWELL_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _log_complaints(complaints: IO[bytes]) -> None:
    """What an examiner that failed has left for whoever looks for the reason."""
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - _OUTPUT_TAIL_BYTES))
    if text := complaints.read().decode("utf-8", "replace").strip():
        logger.warning("an examiner of schemas ended with: %s", text)


async def _batches(payloads: AsyncIterable[bytes]) -> AsyncIterator[list[str]]:
    """Messages as lines, some at a time: one by one, most of the time would go into waiting."""
    batch: list[str] = []
    size = 0
    async for payload in payloads:
        batch.append(base64.b64encode(payload).decode())
        size += len(payload)
        if len(batch) >= _BATCH_MESSAGES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _send(process: asyncio.subprocess.Process, lines: list[str]) -> None:
    assert process.stdin is not None
    try:
        process.stdin.writelines(line.encode() + b"\n" for line in lines)
        await process.stdin.drain()
    except ConnectionError:
        return  # it has ended; its answer, which does not come, says so


async def _answer(process: asyncio.subprocess.Process) -> bytes:
    """The next line that an examiner says.

    Raises:
        _EndedError: It has met one of its limits.
        ExaminerBrokenError: It ended in a way that no schema can bring about.
    """
    assert process.stdout is not None
    line = await process.stdout.readline()
    if line:
        return line
    status = await process.wait()
    if status < 0 or status == OUT_OF_MEMORY:
        raise _EndedError(status)
    raise ExaminerBrokenError(
        f"an examiner of schemas ended with status {status}; the log says why"
    )
