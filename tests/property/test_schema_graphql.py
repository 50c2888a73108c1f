"""Properties of GraphQL messages."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import parse, print_ast
from hypothesis import given
from hypothesis import strategies as st

from memphis.exceptions import MemphisSchemaError
from tests.unit.schema.definitions import compiled, reading_fault

CODEC: Any = compiled(
    "graphql", "type Query { order(id: Int, name: String): Query total: Int kind: String }"
)
LEAVES = st.sampled_from(["total", "kind", "a: total", "b: kind"])
ARGUMENTS = st.sampled_from(["", "(id: 1)", '(name: "ä")', "(id: 2, name: null)"])
FIELDS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda alias, arguments, fields: f"o{alias}: order{arguments} {{ {' '.join(fields)} }}",
        st.uuids().map(lambda unique: unique.hex),
        ARGUMENTS,
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)
DOCUMENTS = st.lists(FIELDS, min_size=1, max_size=4).map(lambda fields: f"{{ {' '.join(fields)} }}")


@given(DOCUMENTS)
def test_what_is_encoded_is_decoded(text: str):
    """A valid text stays as it is, and its document means the same."""
    assert CODEC.decode(CODEC.encode(text)) == text
    printed = CODEC.decode(CODEC.encode(parse(text)))
    assert print_ast(parse(printed)) == printed


@given(DOCUMENTS, st.sampled_from(["total", "kind"]), st.sampled_from(["unknown", "total { x }"]))
def test_a_mutated_document_is_refused_with_its_place(text: str, leaf: str, wrong: str):
    """One wrong field is found, and the place is that of a line and a column."""
    mutated = text.replace(leaf, wrong, 1) if leaf in text else text.replace("}", f"{wrong} }}", 1)
    with pytest.raises(MemphisSchemaError) as caught:
        CODEC.encode(mutated)
    assert caught.value.path.startswith("line 1, column ")
    assert caught.value.expected


@given(st.binary() | st.text('{}()[]:!$@"#.a1 \n').map(str.encode))
def test_random_bytes_are_decoded_or_refused(payload: bytes):
    """Nothing but a schema error comes from bytes."""
    fault = reading_fault(CODEC, payload)
    assert fault is None or fault.expected
