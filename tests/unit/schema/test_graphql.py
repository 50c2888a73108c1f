"""GraphQL documents: forms, refusals, and documents and schemas that are built to cost."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import (
    DocumentNode,
    FieldNode,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    parse,
    print_ast,
)

from memphis.exceptions import MemphisSchemaError
from tests.unit.schema.definitions import compiled, refusal, unusable

SCHEMA = "type Query { a: Query b(x: Int): Int c: [Query] } type Mutation { set(y: String!): Int }"
CODEC: Any = compiled("graphql", SCHEMA)
VALID = "a document that is valid for the schema"


@pytest.mark.parametrize(
    "text", ["{ a { b } }", 'mutation { set(y: "ä") }', "query Q($x: Int) { b(x: $x) }"]
)
def test_every_form_is_stored_as_its_text(text: str):
    """Text and bytes stay as they are, a document is printed."""
    payload = text.encode()
    assert CODEC.encode(text) == payload
    for form in (bytes, bytearray, memoryview):
        assert CODEC.encode(form(payload)) == payload
    assert CODEC.decode(payload) == text
    assert CODEC.decode(CODEC.encode(parse(text))) == print_ast(parse(text))


@pytest.mark.parametrize(
    ("message", "path", "expected"),
    [
        ("{ zz }", "line 1, column 3", VALID),
        ("{ a {\n  b(x: 1.5) } }", "line 2, column 8", VALID),
        ("{ b", "line 1, column 4", VALID),
        ("", "line 1, column 1", VALID),
        ("mutation { set }", "line 1, column 12", VALID),
        (parse("{ zz }"), "line 2, column 3", VALID),
        (b"\xff", "", "UTF-8 text"),
        ("\ud800", "", "Unicode text"),
        ("type Query { a: Int }", "line 1, column 1", VALID),
    ],
)
def test_a_refusal_names_place_and_expectation(message: Any, path: str, expected: str):
    """The place is one of the text; the library's words say what is wrong there."""
    assert refusal(CODEC, message) == (path, expected)


@pytest.mark.parametrize("message", [{"query": "{b}"}, 5, None, ["{b}"], object()])
def test_other_python_types_are_the_callers_mistake(message: Any):
    """What is no message at all is a usage error, not a schema's."""
    with pytest.raises(MemphisSchemaError, match=type(message).__name__):
        CODEC.encode(message)


@pytest.mark.parametrize("payload", [b"", b"{ zz }", b"\xff", b"{"])
def test_a_payload_that_does_not_fit_is_not_handed_out(payload: bytes):
    """Reading refuses as writing does."""
    with pytest.raises(MemphisSchemaError):
        CODEC.decode(payload)


def test_what_is_remembered_is_bounded_and_valid():
    """Only short texts are remembered, only so many, and never a refused one."""
    codec: Any = compiled("graphql", SCHEMA)
    for number in range(600):
        codec.encode(f"{{ b(x: {number}) }}")
    assert codec._check_once.cache_info().currsize == 512
    held = codec._check_once.cache_info().misses
    codec.encode("{ b }" + " " * 20_000)
    assert codec._check_once.cache_info().misses == held
    for _ in range(2):
        refusal(codec, "{ zz }")
    assert codec._check_once.cache_info().misses == held + 2


def fragments(count: int, body: str) -> str:
    """A document whose fragments each use the next one, named NEXT in the body."""
    links = (
        f"fragment f{at} on Query {{ {body.replace('NEXT', f'f{at + 1}')} }}" for at in range(count)
    )
    return f"{{ ...f0 }} {' '.join(links)} fragment f{count} on Query {{ b }}"


@pytest.mark.parametrize(
    "text",
    [
        "{" + "b " * 4000 + "}",
        "{" + "b " * 10_000 + "}",
        "{" + "a { " * 3000 + "b" + " }" * 3000 + "}",
        "{" + "# x\n" * 100_000 + "b }",
        "{ b(x: " + "[" * 3000 + "]" * 3000 + ") }",
        "{ b(x: " + "9" * 100_000 + ") }",
        "query ($v: " + "[" * 2000 + "Int" + "]" * 2000 + ") { b }",
        "{ b(" + "x: 1 " * 3000 + ") }",
        "{" + ("a {" + "b " * 40 + "} ") * 90 + "}",
        fragments(900, "...NEXT"),
        fragments(100, "a { ...NEXT } ...NEXT"),
        "{ ...f } fragment f on Query { ...f }",
    ],
)
def test_documents_built_to_cost_are_refused(text: str):
    """Limits of words, depth and comparisons end what would take for ever."""
    for message in (text, text.encode()):
        expected = refusal(CODEC, message)[1]
        assert expected == VALID or expected.startswith("simpler: ")


def test_a_query_beyond_the_limit_of_comparisons_is_told_so():
    """The refusal names the limit and what to do; more fields of different names are no trouble."""
    assert CODEC.encode("{" + " ".join(f"a{at}: b" for at in range(2000)) + "}")
    path, expected = refusal(CODEC, "{" + "a { b } " * 600 + "}")
    assert path == ""
    assert "more than 500,000 steps" in expected
    assert "select each field once" in expected


@pytest.mark.parametrize("body", ["...NEXT ...NEXT", "a { ...NEXT } a { ...NEXT }"])
def test_doubling_fragments_are_checked_once(body: str):
    """A document whose expansion would be endless is valid, and is found to be so."""
    text = fragments(50, body)
    assert CODEC.encode(text) == text.encode()


def test_a_deep_document_object_is_refused():
    """An object whose text would nest too deep is an error in words."""
    inner: SelectionSetNode | None = None
    for _ in range(5000):
        field = FieldNode(name=NameNode(value="a"), selection_set=inner)
        inner = SelectionSetNode(selections=(field,))
    assert inner is not None
    query = OperationDefinitionNode(operation=OperationType.QUERY, selection_set=inner)
    with pytest.raises(MemphisSchemaError, match="nested too deep"):
        CODEC.encode(DocumentNode(definitions=(query,)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "Syntax Error"),
        ("type Query {", "Syntax Error"),
        ("{ a }", "Query root type"),
        ("type A { a: Int }", "Query root type"),
        ("type Query { a: Missing }", "Missing"),
        ("type Query { a: Int } type Query { b: Int }", "Query"),
        ("type Query { a: Int } input I { i: I! }", "I"),
        ("\ud800", "Syntax Error"),
        ("type Query {" + "".join(f"a{n}: Missing{n} " for n in range(20_000)) + "}", "Missing0"),
        ("type Query {" + "a: Int " * 20_000 + "}", "Query.a"),
        ("type Query { a: " + "[" * 20_000 + "Int" + "]" * 20_000 + "}", "nested"),
        ("type Query { a: Int }" + "extend type X { a: Int } " * 9000, "X"),
        ("type Query { a: Int } " + "scalar S " * 60_000, "tokens"),
        (
            "type Query { a: Int } interface I0 { a: Int } "
            + " ".join(
                f"interface I{n} implements {' & '.join(f'I{m}' for m in range(n))} {{ a: Int }}"
                for n in range(1, 200)
            ),
            "simpler",
        ),
    ],
    ids=lambda value: value[:30],
)
def test_an_unusable_schema_says_why(content: str, says: str):
    """Whatever is wrong with a schema comes back in words, however much of it there is."""
    assert says in unusable("graphql", content)
