"""Properties of the compatibility rules: what they call readable is read, whatever is written."""

from __future__ import annotations

import io
import json
from random import Random
from typing import Any

import avro.compatibility
import avro.schema
import fastavro
import jsonschema_rs
from graphql import build_schema, parse, validate
from hypothesis import given, settings
from hypothesis import strategies as st

from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility import reads

RANDOMS = st.randoms(use_true_random=False)
INSTANCES_TRIED = 25


def definition(kind: str, content: Any, version: int = 1) -> SchemaDefinition:
    text = content if kind == "graphql" else json.dumps(content)
    return SchemaDefinition(name="s", id="1", version=version, type=kind, content=text)


# JSON Schema ---------------------------------------------------------------------------------

SCALARS: list[Any] = [None, False, True, -1, 0, 1, 2, 3, 4, 6, 0.5, 2.0, "", "a", "b", "abc"]
NAMES = ["a", "b", "c"]


def some(random: Random, *choices: Any) -> Any:
    return random.choice(choices)


def bounds(random: Random, *, least: str, most: str) -> dict[str, Any]:
    found = {least: random.randint(0, 3), most: random.randint(0, 4)}
    return {word: value for word, value in found.items() if random.random() < 0.4}


def json_schema(random: Random, depth: int = 3) -> Any:
    """A schema within the subset that is judged, now and then with a keyword that is not."""
    leaves = [json_values, json_values, json_numbers, json_numbers, json_string, json_types]
    inner = [json_reference, json_array, json_array, json_object, json_object]
    inner += [json_union, json_union]
    if random.random() < 0.07:
        return random.random() < 0.8
    return random.choice([*leaves, *inner] if depth else leaves)(random, depth)


def json_values(random: Random, _: int) -> Any:
    if random.random() < 0.5:
        return {"const": random.choice(SCALARS)}
    return {"enum": random.sample(SCALARS, random.randint(1, 4))}


def json_reference(random: Random, _: int) -> Any:
    return {"$ref": f"#/$defs/{random.choice('xy')}", "title": "t"}


def json_numbers(random: Random, _: int) -> Any:
    found = bounds(random, least="minimum", most="maximum")
    found |= bounds(random, least="exclusiveMinimum", most="exclusiveMaximum")
    if random.random() < 0.3:
        found["multipleOf"] = some(random, 1, 2, 3, 0.5)
    return {"type": some(random, "integer", "number", ["integer", "null"]), **found}


def json_string(random: Random, _: int) -> Any:
    found = {"type": "string", **bounds(random, least="minLength", most="maxLength")}
    if random.random() < 0.2:
        found["pattern"] = some(random, "^a", "b$")
    return found


def json_types(random: Random, _: int) -> Any:
    names = ["null", "boolean", "string", "integer", "number", "array", "object"]
    return {"type": random.sample(names, random.randint(1, 4))}


def json_union(random: Random, depth: int) -> Any:
    branches = [json_schema(random, depth - 1) for _ in range(random.randint(1, 3))]
    extra = json_schema(random, 0) if random.random() < 0.3 else {}
    word = some(random, "anyOf", "anyOf", "oneOf", "allOf")
    return {**(extra if isinstance(extra, dict) else {}), word: branches}


def json_array(random: Random, depth: int) -> dict[str, Any]:
    found = {"type": "array", **bounds(random, least="minItems", most="maxItems")}
    if random.random() < 0.7:
        found["items"] = json_schema(random, depth - 1)
    if random.random() < 0.3:
        found["prefixItems"] = [json_schema(random, depth - 1) for _ in range(random.randint(1, 2))]
    if random.random() < 0.2:
        found["uniqueItems"] = True
    if random.random() < 0.1:
        found["contains"] = json_schema(random, 0)
    return found


def json_object(random: Random, depth: int) -> dict[str, Any]:
    names = random.sample(NAMES, random.randint(0, 3))
    found: dict[str, Any] = {
        "type": "object",
        "properties": {name: json_schema(random, depth - 1) for name in names},
        "required": random.sample(NAMES, random.randint(0, 2)),
        **bounds(random, least="minProperties", most="maxProperties"),
    }
    if random.random() < 0.5:
        found["additionalProperties"] = some(random, False, True, json_schema(random, depth - 1))
    if random.random() < 0.15:
        found["patternProperties"] = {some(random, "^a", "b|c"): json_schema(random, 0)}
    if random.random() < 0.1:
        found["propertyNames"] = {"maxLength": 1}
    return found


def changed(random: Random, node: Any, depth: int = 3) -> Any:
    """The same schema with something changed somewhere in it, most of the time only a little."""
    if not isinstance(node, dict) or random.random() < 0.12:
        return json_schema(random, depth) if random.random() < 0.7 else node
    node = dict(node)
    for word in list(node):
        if random.random() < 0.12 and word != "$defs":
            del node[word]
    for word, value in node.items():
        if random.random() < 0.5:
            node[word] = changed_value(random, word, value, depth)
    return node


def changed_value(random: Random, word: str, value: Any, depth: int) -> Any:
    if word in {"properties", "$defs"}:
        return {name: changed(random, inner, depth - 1) for name, inner in value.items()}
    if word in {"items", "additionalProperties"}:
        return changed(random, value, depth - 1)
    if word in {"anyOf", "oneOf", "allOf", "prefixItems"}:
        return [changed(random, inner, depth - 1) for inner in value]
    if word == "enum" and random.random() < 0.5:
        return [*value, random.choice(SCALARS)]
    if isinstance(value, int) and not isinstance(value, bool) and word != "const":
        return max(1, value + random.randint(-1, 1))
    return value


def json_document(random: Random) -> dict[str, Any]:
    body = json_schema(random)
    if not isinstance(body, dict):
        body = {"allOf": [body]}
    defs = {name: json_schema(random, 1) for name in "xy"}
    # A reference that only leads to itself is no schema that anything fits or does not fit.
    defs = {name: {} if "$ref" in json.dumps(found) else found for name, found in defs.items()}
    if random.random() < 0.5:
        defs["y"] = {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/y"}},
            "required": ["b"],
        }
    return {**body, "$defs": defs}


def instance(random: Random, schema: Any, root: Any, depth: int = 4) -> Any:
    """A value that has a fair chance to fit."""
    if not isinstance(schema, dict) or depth == 0 or random.random() < 0.05:
        return any_value(random, depth)
    inside = [schema[word] for word in ("anyOf", "oneOf", "allOf") if schema.get(word)]
    if "$ref" in schema:
        inside.append([root["$defs"][schema["$ref"][-1]]])
    if inside:
        return instance(random, random.choice(inside[0]), root, depth - 1)
    if "const" in schema or schema.get("enum"):
        return random.choice(schema.get("enum", [schema.get("const")]))
    types = schema.get("type", ["object", "array", "any"])
    kind = random.choice([types] if isinstance(types, str) else types)
    if kind == "array":
        return array_instance(random, schema, root, depth)
    if kind == "object":
        return object_instance(random, schema, root, depth)
    return any_value(random, depth)


def array_instance(random: Random, schema: Any, root: Any, depth: int) -> Any:
    least = schema.get("minItems", 0)
    prefix = schema.get("prefixItems", [])
    rest = schema.get("items", True)
    return [
        instance(random, prefix[at] if at < len(prefix) else rest, root, depth - 1)
        for at in range(random.randint(least, max(2, least)))
    ]


def object_instance(random: Random, schema: Any, root: Any, depth: int) -> Any:
    fields = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    names = {*schema.get("required", ()), *random.sample(NAMES, random.randint(0, 3))}
    if rest is False:
        names = {name for name in names if name in fields or name in schema.get("required", ())}
    return {
        name: instance(random, fields.get(name, rest), root, depth - 1) for name in sorted(names)
    }


def any_value(random: Random, depth: int) -> Any:
    if depth and random.random() < 0.2:
        names = random.sample(NAMES, random.randint(0, 2))
        return some(
            random,
            [any_value(random, depth - 1) for _ in range(random.randint(0, 2))],
            {name: any_value(random, depth - 1) for name in names},
        )
    return random.choice(SCALARS)


@settings(deadline=None)
@given(RANDOMS)
def test_json_that_fits_the_writer_fits_the_reader(random: Random) -> None:
    """Without a finding, every value that the writer's validator takes, the reader's takes too."""
    writer = json_document(random)
    reader = changed(random, writer)
    if not isinstance(reader, dict):
        reader = {"allOf": [reader]}
    reader.setdefault("$defs", writer["$defs"])
    if reads(definition("json", reader, 2), definition("json", writer)):
        return
    takes = jsonschema_rs.validator_for(writer).is_valid
    must_take = jsonschema_rs.validator_for(reader).is_valid
    for _ in range(INSTANCES_TRIED):
        value = instance(random, writer, writer)
        if takes(value):
            assert must_take(value), (writer, reader, value)


@settings(deadline=None)
@given(RANDOMS)
def test_json_reads_itself(random: Random) -> None:
    """A schema written differently, but the same, has no finding, whatever keywords it has."""
    schema = json_document(random)
    assert reads(definition("json", {**schema, "title": "x"}), definition("json", schema)) == []


# Avro ----------------------------------------------------------------------------------------

AVRO_VALUES: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "int": 1,
    "long": 2,
    "float": 0.5,
    "double": 0.25,
    "string": "s",
    "bytes": "b",
}


class AvroSchemas:
    """Draws a schema; each named type is defined once and has a name of its own."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.count = 0

    def draw(self, depth: int = 3, *, in_union: bool = False) -> Any:
        if depth == 0 or self.random.random() < 0.45:
            return self.random.choice(list(AVRO_VALUES))
        drawers = [self.array, self.map, self.fixed, self.enum, self.record]
        return self.random.choice(drawers if in_union else [*drawers, self.union])(depth)

    def array(self, depth: int) -> Any:
        return {"type": "array", "items": self.draw(depth - 1)}

    def map(self, depth: int) -> Any:
        return {"type": "map", "values": self.draw(depth - 1)}

    def fixed(self, _: int) -> Any:
        return {"type": "fixed", "name": self.name("F"), "size": self.random.randint(1, 3)}

    def name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def enum(self, _: int) -> Any:
        symbols = self.random.sample("ABCD", self.random.randint(1, 4))
        found = {"type": "enum", "name": self.name("E"), "symbols": symbols}
        if self.random.random() < 0.3:
            found["default"] = symbols[0]
        return found

    def union(self, depth: int) -> list[Any]:
        branches: dict[str, Any] = {}
        for _ in range(self.random.randint(1, 3)):
            branch = self.draw(depth - 1, in_union=True)
            branches.setdefault(branch if isinstance(branch, str) else branch["type"], branch)
        return list(branches.values())

    def record(self, depth: int) -> Any:
        name = self.name("R")
        fields = [self.field(f"f{at}", depth) for at in range(self.random.randint(1, 3))]
        if self.random.random() < 0.3:
            fields.append({"name": "next", "type": ["null", name], "default": None})
        return {"type": "record", "name": name, "fields": fields}

    def field(self, name: str, depth: int) -> Any:
        kind = self.draw(depth - 1)
        found = {"name": name, "type": kind}
        if isinstance(kind, str) and self.random.random() < 0.4:
            found["default"] = AVRO_VALUES[kind]
        return found

    def change(self, node: Any, *, in_union: bool = False) -> Any:
        """The schema as a later version might have it."""
        if isinstance(node, list):
            branches = [self.change(branch, in_union=True) for branch in node]
            kept = {b if isinstance(b, str) else b["type"]: b for b in branches}
            return list(kept.values())
        if isinstance(node, str) or self.random.random() < 0.05:
            return node if self.random.random() < 0.8 else self.draw(1, in_union=in_union)
        node = dict(node)
        match node["type"]:
            case "array":
                node["items"] = self.change(node["items"])
            case "map":
                node["values"] = self.change(node["values"])
            case "fixed" if self.random.random() < 0.2:
                node["size"] = self.random.randint(1, 3)
            case "enum" if self.random.random() < 0.4:
                node["symbols"] = self.random.sample("ABCD", self.random.randint(1, 4))
                node.pop("default", None)
                if self.random.random() < 0.5:
                    node["default"] = node["symbols"][0]
            case "record":
                node["fields"] = self.change_fields(node["fields"])
                if self.random.random() < 0.1:
                    node["aliases"], node["name"] = [node["name"]], self.name("R")
                    node["fields"] = [f for f in node["fields"] if f["name"] != "next"]
        return node

    def change_fields(self, fields: list[Any]) -> list[Any]:
        found = []
        for field in fields:
            kind = self.change(field["type"]) if field["name"] != "next" else field["type"]
            new = {"name": field["name"], "type": kind}
            if "default" in field and kind == field["type"]:
                new["default"] = field["default"]
            if self.random.random() < 0.15 and field["name"] != "next":
                new["name"], new["aliases"] = f"{field['name']}_new", [field["name"]]
            if self.random.random() < 0.85:
                found.append(new)
        if self.random.random() < 0.2:
            found.append(self.field("added", 1))
        return found


def avro_pair(random: Random) -> tuple[Any, Any]:
    schemas = AvroSchemas(random)
    writer = schemas.record(3)
    return schemas.change(writer), writer


@settings(deadline=None)
@given(RANDOMS)
def test_avro_agrees_with_another_checker(random: Random) -> None:
    """The verdict is that of Apache Avro's own checker, where neither goes beyond the rules."""
    reader, writer = avro_pair(random)
    checker: Any = avro.compatibility.ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    verdict = checker.get_compatibility(
        avro.schema.make_avsc_object(reader), avro.schema.make_avsc_object(writer)
    )
    expected = verdict.compatibility is avro.compatibility.SchemaCompatibilityType.compatible
    found = reads(definition("avro", reader, 2), definition("avro", writer))
    assert (not found) == expected, (found, verdict.messages)


@settings(deadline=None)
@given(RANDOMS)
def test_avro_that_was_written_is_read(random: Random) -> None:
    """Without a finding, whatever is written with the writer is read with the reader."""
    reader, writer = avro_pair(random)
    if reads(definition("avro", reader, 2), definition("avro", writer)):
        return
    written, read = fastavro.parse_schema(writer), fastavro.parse_schema(reader)
    for _ in range(3):
        file = io.BytesIO()
        fastavro.schemaless_writer(file, written, avro_value(random, writer, {}))
        file.seek(0)
        fastavro.schemaless_reader(file, written, read)
        assert file.read() == b""


def avro_value(random: Random, node: Any, named: dict[str, Any], depth: int = 6) -> Any:
    if isinstance(node, list):
        # An empty end of a recursive type comes first.
        return avro_value(random, random.choice(node) if depth > 0 else node[0], named, depth - 1)
    if isinstance(node, str):
        if node in named:
            return avro_value(random, named[node], named, depth - 1)
        return b"b" if node == "bytes" else AVRO_VALUES[node]
    if "name" in node:
        named[node["name"]] = node
    if node["type"] == "record":
        return {f["name"]: avro_value(random, f["type"], named, depth - 1) for f in node["fields"]}
    inner = node.get("items", node.get("values", "null"))
    value = avro_value(random, inner, named, depth - 1)
    return {
        "array": [value],
        "map": {"k": value},
        "fixed": b"x" * node.get("size", 0),
        "enum": random.choice(node.get("symbols", [""])),
    }[node["type"]]


# GraphQL -------------------------------------------------------------------------------------

DOCUMENTS = [
    parse(text)
    for text in (
        "{ a }",
        "{ a(n: 1) }",
        "query($n: Int) { a(n: $n) }",
        "query($n: Int!) { a(n: $n) }",
        "{ b { x } }",
        "{ b { y } }",
        "{ i { x } }",
        "{ i { x ... on B { x } ... on C { x } } }",
        "{ i { ... on B { k: x } ... on C { k: y } } }",
        "{ c(of: {p: 1}) { y } }",
        "{ c(of: {p: 1, q: RED}) { y } }",
        "{ c(of: {q: BLUE}) { y } }",
        "query($v: In!) { c(of: $v) { x y } }",
        "mutation { m }",
        "mutation { m(f: 0.5) }",
        "subscription { a }",
    )
]


def graphql_schema(random: Random) -> str:
    argument = some(random, "", "(n: Int)", "(n: Int!)", "(n: Int! = 3)", "(n: Float)")
    marks = [some(random, "", "", "!") for _ in range(3)]
    implements = [some(random, "", " implements I", " implements I") for _ in "BC"]
    parts = [
        f"type Query {{ a{argument}: Int{marks[0]} b: B{marks[1]} i: I c(of: In{marks[2]}): C }}",
        f"interface I {{ x: {some(random, 'Int', 'Int', 'Int!')} }}",
        f"type B{implements[0]} {{ x: Int! {some(random, '', 'y: Int', 'y: Int!')} }}",
        f"type C{implements[1]} {{ x: Int! y: {some(random, 'Int', 'Int!', 'Float')} }}",
        f"input In {{ p: Int{some(random, '', '!', '! = 1')} q: Color }}",
        f"enum Color {{ RED {some(random, '', 'BLUE')} }}",
    ]
    if random.random() < 0.6:
        parts.append(f"type Mutation {{ m{some(random, '', '(f: Float)')}: Int }}")
    if random.random() < 0.4:
        parts.append(f"schema {{ query: Query subscription: {some(random, 'T', 'S')} }}")
        parts.append("type S { a: Int } type T { a: Int }")
    return "\n".join(parts)


@settings(deadline=None)
@given(RANDOMS)
def test_graphql_documents_stay_valid(random: Random) -> None:
    """Without a finding, every document valid for the writer is valid for the reader."""
    writer, reader = graphql_schema(random), graphql_schema(random)
    if random.random() < 0.5:
        # Most pairs should differ in little.
        lines = writer.split("\n")
        at = random.randrange(min(6, len(lines)))
        lines[at] = reader.split("\n")[at]
        reader = "\n".join(lines)
    if reads(definition("graphql", reader, 2), definition("graphql", writer)):
        return
    before, after = build_schema(writer), build_schema(reader)
    for document in DOCUMENTS:
        if not validate(before, document):
            assert not validate(after, document), (writer, reader)
