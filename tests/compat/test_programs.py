"""Programs as people wrote them for memphis-py 1.3.1 do the same with either SDK, without a changed letter.

Each file in `programs/` says at its end what it prints. It is run by the interpreter that has memphis-py
1.3.1, and by this one, against one broker.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.compat.conftest import PYTHON, need, run_program

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
SAYS = "\n# It prints:\n"


@pytest.mark.parametrize("sdk", ["original", "ours"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
async def test_a_program(program, sdk, broker, name):
    """It prints what it says, and this SDK is silent beside it."""
    if sdk == "original":
        need()
    expected = program.read_text(encoding="utf-8").partition(SAYS)[2]
    python = PYTHON if sdk == "original" else Path(sys.executable)
    station = f"{name}-{program.stem}-{sdk}"
    output, errors = await run_program(python, program, broker, STATION=station)
    assert output == expected.replace("\n# ", "\n").removeprefix("# "), errors
    if sdk == "ours":
        assert errors == ""
