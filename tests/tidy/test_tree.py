"""The project keeps its own rules."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.tidy import rules
from tests.tidy.rules import Rule, SourceFile

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "tests", "benchmarks", "examples")


@cache
def python_files() -> list[SourceFile]:
    return [
        SourceFile(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def text_files() -> Iterator[SourceFile]:
    """What git tracks or would track; everything in the folders where there is no git."""
    for path in _candidates():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # binary: data, an image
        yield SourceFile(path.relative_to(ROOT).as_posix(), text)


def _candidates() -> list[Path]:
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        if not listed.returncode:
            paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
            return [path for path in paths if path.is_file()]
    return [
        path
        for folder in (*FOLDERS, "docs", ".ci")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    ]


@pytest.mark.parametrize("rule", rules.PYTHON_RULES, ids=lambda rule: rule.__name__)
def test_every_python_file_keeps_the_rule(rule: Rule) -> None:
    """No Python file of the project breaks this rule."""
    violations = [str(found) for file in python_files() for found in rule(file)]
    assert not violations, "\n".join(violations)


@pytest.mark.parametrize("rule", rules.TEXT_RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    """No file of the project, whatever its kind, breaks this rule."""
    violations = [str(found) for file in text_files() for found in rule(file)]
    assert not violations, "\n".join(violations)


def test_the_project_was_found() -> None:
    """The rules above ran over real files, not over an empty list."""
    paths = {file.path for file in python_files()}
    assert "src/memphis/wire/subjects.py" in paths
    assert "tests/tidy/rules.py" in paths


def test_every_exception_names_a_file_that_exists() -> None:
    """An exception to a rule goes when its reason goes."""
    named = {*rules.PRINTERS, *rules.SLEEPERS, *rules.SUPERVISORS}
    assert not [path for path in named if not (ROOT / path).is_file()]


def test_every_supervisor_still_catches_everything() -> None:
    """A supervisor that no longer needs its exception loses it."""
    used = {
        (file.path, owner)
        for file in python_files()
        if file.is_source
        for owner, _ in rules.swallowers(file)
    }
    listed = {(path, owner) for path, owners in rules.SUPERVISORS.items() for owner in owners}
    assert not listed - used
