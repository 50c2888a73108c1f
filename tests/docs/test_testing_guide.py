"""The tests in the guide to testing pass as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.plugin.projects import WITH_ASYNCIO, Project

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "testing.md"
TEXT = GUIDE.read_text(encoding="utf-8")


def test_the_guide_to_testing(tmp_path: Path):
    """Every block is a file of tests; together with the settings they are a project whose tests pass."""
    project = Project(tmp_path)
    blocks = re.findall(r"```python\n# (test_\w+\.py)\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == TEXT.count("```python")
    for name, block in blocks:
        project.write(name, block)
    (settings,) = re.findall(r"```ini\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "pytest.ini").write_text(settings + "filterwarnings = error\n")
    project.run(*WITH_ASYNCIO, passed=6)
    assert project.processes() == []
