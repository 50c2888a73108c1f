"""The rules of schemas and of their trials, as pure functions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memphis.wire.models import AttachedSchema
from memphis.wire.schemas import SCHEMA_VERSIONS_MAX, read_mark, write_mark
from memphis_broker.stations.schema_trial import share_out


@given(st.integers(1, 1000), st.dictionaries(st.integers(1, 50), st.integers(1, 300)))
def test_shares_are_as_even_as_what_is_there_allows(count: int, held: dict[int, int]):
    """All are used up or the count is reached, and nobody gives more than who has it all."""
    shares = share_out(count, held)
    assert sum(shares.values()) == min(count, sum(held.values()))
    for partition, share in shares.items():
        assert 0 <= share <= held[partition]
        if share < held[partition]:
            assert all(other <= share + 1 for other in shares.values())


@given(
    st.from_regex(r"[a-z0-9]([a-z0-9_.-]{0,100}[a-z0-9])?", fullmatch=True),
    st.integers(1, SCHEMA_VERSIONS_MAX),
    st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
)
def test_a_mark_reads_back(name: str, version: int, schema_id: str):
    """Whatever version a header names, it is the one that was written."""
    written = AttachedSchema(name=name, id=schema_id, version=version)
    assert read_mark(write_mark(written)) == written


@given(st.text(max_size=60) | st.from_regex(r"[^/]{0,9}/[0-9]{0,6}/[^/]{0,9}", fullmatch=True))
def test_any_text_is_a_mark_or_none(text: str):
    """A header that somebody else wrote never raises."""
    found = read_mark(text)
    assert found is None or write_mark(found).lower() == text.lower()
