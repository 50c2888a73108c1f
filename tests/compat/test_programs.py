"""Programs as people wrote them for memphis-py 1.3.1 do the same with either SDK, without a changed letter.

Each file in `programs/` says at its end what it prints. It is run by the interpreter that has memphis-py
1.3.1, and by this one, against one broker.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.compat.conftest import PYTHON

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
DEADLINE_S = 120.0
"""The original waits five seconds for each partition that is empty."""
SAYS = "\n# It prints:\n"


async def outcome(python: str, program: Path, station: str, broker) -> tuple[str, str]:
    """What a program writes to standard output, and to standard error."""
    surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if python == sys.executable:
        surroundings = dict(os.environ)
    process = await asyncio.create_subprocess_exec(
        python, "-X", "utf8", str(program), cwd=Path(program).parents[3],
        env={
            **surroundings, "STATION": station,
            "MEMPHIS_HOST": broker.host, "MEMPHIS_PORT": str(broker.port),
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(DEADLINE_S):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        output, errors = await process.communicate()
    return output.decode(), errors.decode()


@pytest.mark.parametrize("sdk", ["original", "ours"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
async def test_a_program(program, sdk, broker, name):
    """It prints what it says, and this SDK is silent beside it."""
    if sdk == "original" and not PYTHON.exists():
        pytest.skip("memphis-py 1.3.1 is not installed; make test does that where it can be had")
    expected = program.read_text(encoding="utf-8").partition(SAYS)[2]
    python = str(PYTHON) if sdk == "original" else sys.executable
    output, errors = await outcome(python, program, f"{name}-{program.stem}-{sdk}", broker)
    assert output == expected.replace("\n# ", "\n").removeprefix("# "), errors
    if sdk == "ours":
        assert errors == ""
