"""The list of differences names tests that there are, and no row is torn."""

from __future__ import annotations

import re

import pytest

from tests.docs import blocks

PAGE = "docs/compat.md"
TEXT = (blocks.ROOT / PAGE).read_text(encoding="utf-8")
IN_INTEGRATION = ("sdk/", "api/", "serve/", "transport/")
NAMED = sorted(set(re.findall(r"`((?:[a-z]+/)+\w+\.py)`", TEXT)))


@pytest.mark.parametrize("named", NAMED)
def test_a_proof_is_there(named):
    """Below the folder that the page says."""
    folder = "tests/integration" if named.startswith(IN_INTEGRATION) else "tests"
    assert (blocks.ROOT / folder / named).is_file()


def test_every_row_has_the_columns_of_its_table():
    """As many bars as the rows around it."""
    tables = re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE)
    assert len(tables) > 5
    for table in tables:
        assert len({row.count("|") for row in table.splitlines()}) == 1, table


@pytest.mark.parametrize("page", [PAGE, "docs/guide/migrate.md"])
def test_every_link_leads_somewhere(page):
    """To a file of the project."""
    text = (blocks.ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text):
        assert ((blocks.ROOT / page).parent / target).exists(), target
