"""GraphQL's rules, each with a document that proves the finding."""

from __future__ import annotations

import pytest
from graphql import build_schema, parse, validate

from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility import Finding, reads


def findings(reader: str, writer: str, *, reader_is_newer: bool = True) -> list[Finding]:
    read, written = (
        SchemaDefinition(name="s", id="1", version=1, type="graphql", content=content)
        for content in (reader, writer)
    )
    return reads(read, written, reader_is_newer=reader_is_newer)


def is_valid(schema: str, document: str) -> bool:
    return not validate(build_schema(schema), parse(document))


@pytest.mark.parametrize(
    ("old", "new", "document", "text"),
    [
        (
            "type Query { a: Int b: Int }",
            "type Query { a: Int }",
            "{ b }",
            "Field Query.b was removed",
        ),
        (
            "type Query { a: Int }",
            "type Query { a(n: Int!): Int }",
            "{ a }",
            "A required argument Query.a(n:) was added",
        ),
        (
            "type Query { a(n: Int! = 1): Int }",
            "type Query { a(n: Int!): Int }",
            "{ a }",
            "Argument Query.a(n:) lost its default, and is required now",
        ),
        (
            "type Query { a(n: In): Int } input In { x: Int! = 1 y: Int }",
            "type Query { a(n: In): Int } input In { x: Int! y: Int }",
            "{ a(n: {y: 1}) }",
            "In.x lost its default, and is required now",
        ),
        (
            "directive @d(n: Int! = 1) on FIELD type Query { a: Int }",
            "directive @d(n: Int!) on FIELD type Query { a: Int }",
            "{ a @d }",
            "Argument @d(n:) lost its default, and is required now",
        ),
        (
            "type Query { a(e: E): Int } enum E { X Y }",
            "type Query { a(e: E): Int } enum E { X }",
            "{ a(e: Y) }",
            "Enum value E.Y was removed",
        ),
        (
            "schema { query: Query mutation: A } type Query { q: Int } type A { a: Int }",
            "schema { query: Query } type Query { q: Int } type A { a: Int }",
            "mutation { a }",
            "mutation operations were removed",
        ),
        (
            "schema { query: A } type A { a: Int } type B { b: Int }",
            "schema { query: B } type A { a: Int } type B { b: Int }",
            "{ a }",
            "query operations start at B instead of A",
        ),
    ],
)
def test_unreadable(old: str, new: str, document: str, text: str) -> None:
    """A document that was valid is not any more, and the finding says why."""
    assert is_valid(old, document)
    assert not is_valid(new, document)
    assert Finding("", text) in findings(new, old)


def test_a_one_of_input_is_narrower() -> None:
    """An input type that takes exactly one field refuses documents that set two."""
    schema = "type Query {{ a(n: In): Int }} input In {} {{ x: Int y: Int }}"
    old, new = schema.format(""), schema.format("@oneOf")
    assert findings(old, new) == []
    expected = [] if is_valid(new, "{ a(n: {x: 1, y: 2}) }") else ["In takes exactly one field now"]
    assert [found.text for found in findings(new, old)] == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("type Query { a: Int }", "type Query { a: Int! b: [A] } type A { x: Int }"),
        ("type Query { a(n: Int!): Int }", "type Query { a(n: Int, m: Int): Int }"),
        ("type Query { a(e: E): Int } enum E { X }", "type Query { a(e: E): Int } enum E { X Y }"),
        ("type Query { a: Int }", "type Query { a: Int } type Mutation { m: Int }"),
        ('"doc" type Query { a: Int @deprecated }', "type Query { a: Int }"),
    ],
)
def test_readable(old: str, new: str) -> None:
    """What only adds, or only loosens, has no finding."""
    assert findings(new, old) == []


def test_a_field_that_may_not_merge_any_more_is_a_doubt() -> None:
    """A type made non-null breaks documents that ask two types for one name, so it is not told."""
    old = "union U = A | B type Query { u: U } type A { x: Int } type B { x: Int }"
    new = old.replace("x: Int", "x: Int!", 1)
    document = "{ u { ... on A { x } ... on B { x } } }"
    assert is_valid(old, document)
    assert not is_valid(new, document)
    (finding,) = findings(new, old)
    assert (finding.path, finding.certain) == ("A.x", False)


def test_words_say_that_they_go_backwards() -> None:
    """Of an older reader, the library's words are about the way back."""
    (finding,) = findings(
        "type Query { a: Int }", "type Query { a: Int b: Int }", reader_is_newer=False
    )
    assert finding.text == "going back to the older version, Field Query.b was removed"
