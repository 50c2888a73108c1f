"""Names for tests: what the grammar allows, as a strategy, and what it must refuse, as a table."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9_.-]{0,126}[a-z0-9])?", fullmatch=True)
"""Every legal name, in its lower-case form."""

ILLEGAL_NAMES: list[object] = [
    "",
    " ",
    ".",
    "-a",
    "a-",
    "_a",
    "a_",
    ".a",
    "a.",
    "a b",
    " a",
    "a\n",
    "a\tb",
    "a\x00b",
    "a#b",
    "a$1",
    "a*",
    "a>",
    "a/b",
    "a\\b",
    "a:b",
    "a,b",
    "a@b",
    "ä",
    "名",
    "\u212a",  # the Kelvin sign, whose lower case is a plain k
    "a" * 129,
    None,
    5,
    b"a",
]
