"""Reads the examples of the specification, the text that the SDK's calls are built from.

The text lies beside the project, not in it, and has lost its indentation; so an example here is one
statement: the fewest lines from a start that Python can parse.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

SPECIFICATION = (
    Path(__file__).resolve().parents[3] / "shared" / "reference" / "memphis-py-readme.txt"
)
AWAIT_ALLOWED = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_LINES_MAX = 40
_START = re.compile(
    r"(?:await\s+)?(?:[a-z_]+\s*=\s*)?(?:await\s+)?"
    r"(?:memphis|Memphis|producer|consumer|station|message|msg|context)\b\s*(?:\.|=)"
)


class Example(NamedTuple):
    """A statement, and the line that it begins on."""

    line: int
    source: str


def read_examples() -> list[Example]:
    """Every statement of the specification that parses; none where the text is not there."""
    if not SPECIFICATION.exists():
        return []
    lines = SPECIFICATION.read_text(encoding="utf-8").splitlines()
    examples = []
    at = 0
    while at < len(lines):
        source = _statement(lines, at)
        if source is not None:
            examples.append(Example(at + 1, source))
        at += 1 if source is None else source.count("\n") + 1
    return examples


def _statement(lines: list[str], at: int) -> str | None:
    if _START.match(lines[at]) is None:
        return None
    for end in range(at + 1, min(at + _LINES_MAX, len(lines)) + 1):
        source = "\n".join(lines[at:end])
        try:
            compile(source, "example", "exec", AWAIT_ALLOWED | ast.PyCF_ONLY_AST)
        except SyntaxError:
            continue
        return source
    return None
