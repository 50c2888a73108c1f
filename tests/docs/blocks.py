"""The Python of a page of the documentation, taken out and run as it stands there."""

from __future__ import annotations

import ast
import re
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def blocks_of(page: str) -> list[str]:
    """The Python blocks of a page, by its path from the root of the project."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


async def run(block: str, page: str, names: dict[str, object]) -> dict[str, object]:
    """Run a block, which may use ``await``, with these names; return them with those it has made."""
    code = compile(block, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = types.FunctionType(code, names)()
    if outcome is not None:
        await outcome
    return names
