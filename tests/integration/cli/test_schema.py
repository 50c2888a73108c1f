"""`memphis schema`, against a real broker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memphis.schemas import Schema, SchemaCheckReport
from memphis.types import Compatibility
from memphis.wire.schemas import CHECKED_MESSAGES_MAX, ENCODINGS, SCHEMA_TYPES
from memphis_broker.cli import commands
from memphis_broker.cli.schema import CompatibilityChoice, EncodingChoice, TypeChoice
from memphis_broker.testing import BrokerProcess
from tests.integration.cli.conftest import CommandLine, Result, command_line, command_line_here
from tests.integration.cli.test_mistakes import check_complaint

Write = Callable[..., str]

PROTO = """syntax = "proto3";
package shop;
message Customer { string name = 1; }
message Order { Customer customer = 1; int64 price = 2; }
"""
AVRO = '{"type": "record", "name": "Order", "fields": [{"name": "price", "type": "double"}]}'
GRAPHQL = "type Query { order(id: ID!): String }\n"


def json_schema(price: str = "number", *required: str) -> str:
    """A JSON schema of two lines, of which the second tells the type of ``price``."""
    return (
        f'{{"type": "object", "required": {json.dumps(required)},\n'
        f'"properties": {{"price": {{"type": "{price}"}}}}}}\n'
    )


@pytest.fixture
def memphis(broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs commands against the shared broker, in this process."""
    return command_line_here(broker.port, monkeypatch)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and returns its path."""

    def write_it(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return write_it


@pytest.fixture
def schema() -> str:
    """The name of a schema that no other test uses; it goes with the broker."""
    return f"cli-{uuid.uuid4().hex}"


@pytest.fixture
def two_versions(memphis: CommandLine, write: Write, schema: str) -> str:
    """A schema of which the second version, not active, wants a price as text."""
    said(memphis("schema", "create", schema, write("1.json", json_schema("number"))))
    said(memphis("schema", "create", schema, write("2.json", json_schema("string"))))
    return schema


def said(result: Result) -> str:
    """What a command that succeeded wrote."""
    assert result.returncode == 0, result.stderr.decode()
    assert result.stderr == b""
    return result.stdout.decode()


def described(memphis: CommandLine, schema: str, *arguments: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(
        said(memphis("schema", "show", schema, "--json", *arguments))
    )
    return shown


def test_create_says_what_became_of_it(memphis: CommandLine, write: Write, schema: str) -> None:
    """A first version is active, a second waits, known content is known, --activate activates."""
    first, second = write("1.json", json_schema()), write("2.json", json_schema("integer"))
    create = ("schema", "create", schema)
    assert said(memphis(*create, first)) == f"schema {schema} version 1 stored and active\n"
    how_to = f"activate it with: memphis schema activate {schema} 2\n"
    assert (
        said(memphis(*create, second)) == f"schema {schema} version 2 stored, not active; {how_to}"
    )
    known = f"schema {schema} has this content already as version"
    assert said(memphis(*create, first)) == f"{known} 1, which is active\n"
    assert said(memphis(*create, second)) == f"{known} 2, not active; {how_to}"
    assert said(memphis(*create, second, "--activate")) == f"{known} 2, which is active\n"
    third = write("3.json", json_schema("string"))
    assert said(memphis(*create, third, "--activate")) == (
        f"schema {schema} version 3 stored and active\n"
    )


@pytest.mark.parametrize(
    ("file", "text", "kind"),
    [
        ("order.proto", PROTO, "protobuf"),
        ("order.avsc", AVRO, "avro"),
        ("order.graphql", GRAPHQL, "graphql"),
        ("order.GQL", GRAPHQL, "graphql"),
        ("order.json", json_schema(), "json"),
    ],
)
def test_the_type_is_told_from_the_name(
    memphis: CommandLine, write: Write, schema: str, file: str, text: str, kind: str
) -> None:
    """Each usual suffix stands for its type, and the content arrives as it is."""
    said(memphis("schema", "create", schema, write(file, text)))
    shown = described(memphis, schema)
    assert shown["type"] == kind
    assert shown["definition"]["content"] == text


def test_a_type_that_is_given_counts_more_than_the_name(
    memphis: CommandLine, write: Write, schema: str
) -> None:
    """An Avro schema may be in a file that looks like another's, and travel as real Avro."""
    file = write("order.json", AVRO)
    said(memphis("schema", "create", schema, file, "-t", "AVRO", "--encoding", "binary"))
    shown = described(memphis, schema)
    assert (shown["type"], shown["encoding"]) == ("avro", "binary")
    assert "in binary form" in said(memphis("schema", "show", schema))


def test_a_protobuf_schema_of_several_files(
    memphis: CommandLine, write: Write, schema: str
) -> None:
    """Imports go along by their path below the schema's folder, and the message can be named."""
    parts = [
        write(f"parts/{name}.proto", f'syntax = "proto3"; message {name} {{ int64 value = 1; }}')
        for name in ("Price", "Weight")
    ]
    text = 'syntax = "proto3"; import "parts/Price.proto"; import "parts/Weight.proto";'
    main = write("main.proto", f"{text} message A {{ Price p = 1; }} message B {{ Weight w = 1; }}")
    imports = [word for part in parts for word in ("--import", part)]
    said(memphis("schema", "create", schema, main, *imports, "--message", "B"))
    definition = described(memphis, schema)["definition"]
    assert set(definition["imports"]) == {"parts/Price.proto", "parts/Weight.proto"}
    assert definition["message_struct_name"] == "B"
    text = said(memphis("schema", "show", schema))
    assert [line.split()[-1] for line in text.splitlines()[1:3]] == ["MESSAGE", "B"]
    assert "its import parts/Weight.proto:" in text
    assert "message Weight" in text


def test_a_schema_from_standard_input(memphis: CommandLine, schema: str) -> None:
    """A dash reads what is piped in; nothing but --type can say what it is."""
    piped = json_schema().encode()
    check_complaint(memphis("schema", "create", schema, "-", stdin=piped), 2, "--type")
    said(memphis("schema", "create", schema, "-", "--type", "json", stdin=piped))
    assert described(memphis, schema)["definition"]["content"].encode() == piped
    for bad, word in ((b"\xff\xfe", "standard input"), (b"", "empty"), (b"x" * 999_999, "longer")):
        result = memphis("schema", "create", schema, "-", "--type", "json", stdin=bad)
        check_complaint(result, 1, word)


def test_ls_lists_for_people_and_for_programs(
    memphis: CommandLine, two_versions: str, station: str
) -> None:
    """Both forms say type, versions, compatibility and how many stations there are."""
    said(memphis("station", "create", station))
    said(memphis("schema", "attach", two_versions, station))
    lines = said(memphis("schema", "ls")).splitlines()
    assert lines[0].split() == [
        *("SCHEMA", "TYPE", "ACTIVE", "VERSIONS", "COMPATIBILITY", "STATIONS", "CREATED")
    ]
    [line] = [line for line in lines if two_versions in line]
    assert line.split()[:6] == [two_versions, "json", "1", "2", "NONE", "1"]
    listed = json.loads(said(memphis("schema", "ls", "--json")))
    [found] = [item for item in listed if item["name"] == two_versions]
    assert (found["active_version"], found["versions"], found["stations"]) == (1, 2, 1)


def test_ls_where_there_is_none(fresh_broker: BrokerProcess) -> None:
    """Somebody who begins is told how."""
    memphis = command_line(fresh_broker.port)
    assert "memphis schema create" in said(memphis("schema", "ls"))
    assert json.loads(said(memphis("schema", "ls", "--json"))) == []


def test_show_marks_the_active_version(
    memphis: CommandLine, two_versions: str, station: str
) -> None:
    """A person sees versions, stations and the content; another version's on demand."""
    assert "attached to no station" in said(memphis("schema", "show", two_versions))
    said(memphis("station", "create", station, "--schema-name", two_versions))
    text = said(memphis("schema", "show", two_versions))
    assert "2 versions, version 1 is active" in text
    rows = [line.split() for line in text.splitlines()]
    assert [row[0] for row in rows if row[1:2] == ["active"]] == ["1"]
    assert f"attached to {station}\n" in text
    assert f"content of version 1:\n{json_schema('number')}" in text
    other = said(memphis("schema", "show", two_versions, "--version", "2"))
    assert f"content of version 2:\n{json_schema('string')}" in other
    shown = described(memphis, two_versions, "--version", "2")
    assert shown["definition"]["version"] == 2
    assert [version["active"] for version in shown["versions"]] == [True, False]
    assert shown["stations"] == [station]


def test_diff(memphis: CommandLine, two_versions: str) -> None:
    """Between the active and the newest, between any two, and none, always with status 0."""
    text = said(memphis("schema", "diff", two_versions))
    older, newer = (json_schema(price).splitlines()[1] for price in ("number", "string"))
    assert [f"-{older}", f"+{newer}"] == text.splitlines()[-2:]
    backward = said(memphis("schema", "diff", two_versions, "2", "1"))
    assert [f"-{newer}", f"+{older}"] == backward.splitlines()[-2:]
    assert said(memphis("schema", "diff", two_versions, "1")) == text
    assert "no difference" in said(memphis("schema", "diff", two_versions, "2"))
    said(memphis("schema", "activate", two_versions, "2"))
    assert "both are version 2" in said(memphis("schema", "diff", two_versions))


def test_diff_of_versions_with_the_same_text(
    memphis: CommandLine, write: Write, schema: str
) -> None:
    """Two versions that differ in their message alone are no contradiction."""
    file = write("order.proto", PROTO)
    for message in ("Customer", "Order"):
        said(memphis("schema", "create", schema, file, "--message", message))
    assert "no difference between versions 1 and 2" in said(memphis("schema", "diff", schema))


def test_activate_to_and_fro(memphis: CommandLine, two_versions: str) -> None:
    """A newer version can be activated, and the older one again."""
    for version in ("2", "1"):
        said(memphis("schema", "activate", two_versions, version))
        assert described(memphis, two_versions)["active_version"] == int(version)


def test_attach_and_detach(memphis: CommandLine, two_versions: str, station: str) -> None:
    """A station shows the schema that it has, and refuses what does not fit as long as it has it."""
    said(memphis("station", "create", station))
    assert "fit the schema" not in said(memphis("station", "info", station))
    assert station in said(memphis("schema", "attach", two_versions, station))
    assert f"fit the schema {two_versions}" in said(memphis("station", "info", station))
    lines = said(memphis("station", "ls")).splitlines()
    assert [line for line in lines if station in line and two_versions in line]
    refused = memphis("produce", station, '{"price": "high"}')
    assert refused.returncode == 1
    assert b"price" in refused.stderr
    assert memphis("produce", station, '{"price": 1}').returncode == 0
    assert two_versions in said(memphis("schema", "detach", station))
    assert memphis("produce", station, '{"price": "high"}').returncode == 0
    assert "had no schema" in said(memphis("schema", "detach", station))


def test_check_counts_what_would_be_refused(
    memphis: CommandLine, two_versions: str, station: str
) -> None:
    """The newest messages are tried, each refusal is shown, and the status says if there were any."""
    prices = ('{"price": 1}', '{"price": 2}', '{"price": "high"}')
    assert memphis("produce", station, *prices).returncode == 0
    check = ("schema", "check", two_versions, "--against", station)
    result = memphis(*check)
    assert result.returncode == 1
    first, titles, failure = result.stdout.decode().splitlines()
    assert first == f"1 of 3 messages would be refused by schema {two_versions} version 1"
    assert titles.split() == ["PARTITION", "SEQUENCE", "REASON"]
    assert failure.split()[:2] == ["1", "3"]
    assert "price" in failure
    newest = said(memphis(*check, "--version", "2", "--last", "1"))
    assert newest == f"0 of 1 message would be refused by schema {two_versions} version 2\n"
    report = json.loads(memphis(*check, "--version", "2", "--json").stdout)
    assert (report["version"], report["checked"], report["refused"]) == (2, 3, 2)
    assert [failure["sequence"] for failure in report["failures"]] == [1, 2]
    assert json.loads(said(memphis("schema", "show", two_versions, "--json")))["stations"] == []


def test_check_shows_the_first_of_many(
    memphis: CommandLine, two_versions: str, station: str
) -> None:
    """A long list of refusals is cut, and says so."""
    messages = "\n".join(f'{{"price": "{number}"}}' for number in range(1200))
    assert memphis("produce", station, stdin=messages.encode()).returncode == 0
    result = memphis("schema", "check", two_versions, "--against", station)
    lines = result.stdout.decode().splitlines()
    assert lines[0].startswith("1,200 of 1,200 messages would be refused")
    assert lines[1] == f"the first {len(lines) - 3}:"


def test_check_of_an_empty_station(memphis: CommandLine, two_versions: str, station: str) -> None:
    """Nothing to try is nothing refused."""
    said(memphis("station", "create", station))
    checked = said(memphis("schema", "check", two_versions, "--against", station))
    assert checked.startswith("0 of 0 messages would be refused")


def test_check_that_did_not_finish(
    broker: BrokerProcess,
    two_versions: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A check that ran out of time proves nothing: the status is 1, whatever it found."""

    # Made up, because to make a broker run out of time would take that time.
    async def unfinished(*_arguments: object) -> SchemaCheckReport:
        return SchemaCheckReport(version=1, checked=4000, refused=0, failures=[], complete=False)

    monkeypatch.setattr(Schema, "check", unfinished)
    arguments = ["schema", "check", two_versions, "--against", "s", "--port", str(broker.port)]
    assert commands.run(arguments) == 1
    written = capsys.readouterr()
    assert written.out.startswith("0 of 4,000 messages")
    assert "ended after 4,000 messages" in written.err


def test_rm(memphis: CommandLine, two_versions: str, station: str) -> None:
    """It asks first; a schema in use stays; one that is not goes with its versions."""
    said(memphis("station", "create", station, "--schema-name", two_versions))
    remove = ("schema", "rm", two_versions)
    check_complaint(memphis(*remove, stdin=b"y\n"), 1, "--yes")
    check_complaint(memphis(*remove, "--yes"), 1, two_versions, station, "detach")
    assert len(described(memphis, two_versions)["versions"]) == 2
    said(memphis("schema", "detach", station))
    assert said(memphis(*remove, "--yes")) == f"schema {two_versions} deleted\n"
    check_complaint(memphis("schema", "show", two_versions), 1, two_versions)


def test_compatibility_is_checked_from_then_on(
    memphis: CommandLine, write: Write, schema: str
) -> None:
    """The mode can be given at creation and changed; a version that breaks it is not stored."""
    create = ("schema", "create", schema)
    said(memphis(*create, write("1.json", json_schema("number")), "--compatibility", "backward"))
    assert described(memphis, schema)["compatibility"] == "BACKWARD"
    other = write("2.json", json_schema("string"))
    check_complaint(memphis(*create, other), 1, "price")
    assert len(described(memphis, schema)["versions"]) == 1
    changed = said(memphis("schema", "compatibility", schema, "none"))
    assert changed == f"new versions of schema {schema} are checked for NONE\n"
    said(memphis(*create, other))


@pytest.mark.parametrize(
    ("file", "text", "word"),
    [
        ("s.proto", 'syntax = "proto3"; message Order { string id = ; }', "1:48"),
        ("s.avsc", '{"type": "nothing"}', "nothing"),
        ("s.graphql", "type Query {", "Syntax Error"),
        ("s.json", '{"type": 7}', "type: 7"),
        ("s.json", '{"type": ', "line 1"),
        ("s.json", "", "empty"),
    ],
)
def test_a_file_that_is_no_schema(
    memphis: CommandLine, write: Write, schema: str, file: str, text: str, word: str
) -> None:
    """It is refused with one line, and nothing is stored."""
    check_complaint(memphis("schema", "create", schema, write(file, text)), 1, word)
    check_complaint(memphis("schema", "show", schema), 1, schema)


def test_a_file_that_is_no_text(memphis: CommandLine, tmp_path: Path, schema: str) -> None:
    """The complaint names the file."""
    file = tmp_path / "noise.json"
    file.write_bytes(b"\xff\xfe\x00")
    check_complaint(memphis("schema", "create", schema, str(file)), 1, "noise.json")


def test_a_name_of_another_type(memphis: CommandLine, write: Write, two_versions: str) -> None:
    """A schema keeps its type."""
    result = memphis("schema", "create", two_versions, write("s.proto", PROTO))
    check_complaint(result, 1, two_versions, "json", "protobuf")


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "no-such-schema"],
        ["diff", "no-such-schema"],
        ["activate", "no-such-schema", "1"],
        ["compatibility", "no-such-schema", "FULL"],
        ["attach", "no-such-schema", "no-such-station"],
        ["check", "no-such-schema", "--against", "no-such-station"],
        ["rm", "no-such-schema", "--yes"],
    ],
    ids=" ".join,
)
def test_a_schema_that_is_not_there(memphis: CommandLine, arguments: list[str]) -> None:
    """The complaint names it."""
    check_complaint(memphis("schema", *arguments), 1, "no-such-schema")


def test_a_station_that_is_not_there(memphis: CommandLine, two_versions: str) -> None:
    """The complaint names it, and asking does not create it."""
    for arguments in (
        ("attach", two_versions, "no-such-station"),
        ("detach", "no-such-station"),
        ("check", two_versions, "--against", "no-such-station"),
    ):
        check_complaint(memphis("schema", *arguments), 1, "no-such-station")


def test_a_version_that_is_not_there(memphis: CommandLine, two_versions: str, station: str) -> None:
    """The complaint names the schema and the version."""
    said(memphis("station", "create", station))
    for arguments in (
        ("show", two_versions, "--version", "9"),
        ("activate", two_versions, "9"),
        ("diff", two_versions, "9"),
        ("diff", two_versions, "1", "9"),
        ("check", two_versions, "--against", station, "--version", "9"),
    ):
        check_complaint(memphis("schema", *arguments), 1, two_versions, "9")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["create", "s"], "FILE"),
        (["create", "s", "no-such-file.json"], "no-such-file.json"),
        (["create", "s", "."], "directory"),
        (["create", "s", __file__], "--type"),
        (["create", "s", __file__, "--type", "xml"], "xml"),
        (["create", "s", __file__, "--import", "no-such-file.proto"], "no-such-file.proto"),
        (["create", "s", __file__, "--compatibility", "SIDEWAYS"], "SIDEWAYS"),
        (["create", "s", __file__, "--encoding", "morse"], "morse"),
        (["create", "not a name", __file__, "--type", "json"], "schema name"),
        (["show", "not a name"], "schema name"),
        (["activate", "s", "0"], "VERSION"),
        (["activate", "s", "newest"], "VERSION"),
        (["activate", "s"], "VERSION"),
        (["diff", "s", "-1"], "-1"),
        (["diff", "s", "1", "x"], "NEWER"),
        (["check", "s"], "--against"),
        (["check", "s", "--against", "x", "--last", "0"], "last"),
        (["check", "s", "--against", "x", "--last", str(CHECKED_MESSAGES_MAX + 1)], "last"),
        (["compatibility", "s", "SIDEWAYS"], "SIDEWAYS"),
        (["explode"], "explode"),
    ],
    ids=lambda value: " ".join(value[:5]) if isinstance(value, list) else None,
)
def test_wrong_use(memphis: CommandLine, arguments: list[str], word: str) -> None:
    """Wrong use ends with status 2 and names what was wrong."""
    check_complaint(memphis("schema", *arguments), 2, word)


@pytest.mark.parametrize(
    "verb",
    [
        *("create", "ls", "show", "diff", "activate"),
        *("compatibility", "attach", "detach", "check", "rm"),
    ],
)
def test_help(memphis: CommandLine, verb: str) -> None:
    """Every command explains itself."""
    assert f"Usage: memphis schema {verb}" in said(memphis("schema", verb, "--help"))


def test_no_command(memphis: CommandLine) -> None:
    """The help is shown, but the command has not been used rightly."""
    result = memphis("schema")
    assert result.returncode == 2
    assert result.stdout == memphis("schema", "--help").stdout


def test_the_choices_are_those_of_the_sdk() -> None:
    """The command line spells its choices itself, so that it starts fast, and leaves none out."""
    assert {choice.name for choice in CompatibilityChoice} == set(Compatibility.__members__)
    assert {choice.value for choice in TypeChoice} == set(SCHEMA_TYPES)
    assert {choice.value for choice in EncodingChoice} == set(ENCODINGS)


def test_produce_goes_on_after_a_message_that_does_not_fit(
    memphis: CommandLine, schema: str, station: str, write: Write
) -> None:
    """The others are stored, and the one that is not is counted and named like any that failed."""
    said(memphis("schema", "create", schema, write("s.json", json_schema())))
    memphis("produce", station, "before the schema")
    said(memphis("schema", "attach", schema, station))
    result = memphis("produce", station, '{"price":1}', '{"price":"x"}', '{"price":2}')
    complaint = result.stderr.decode()
    assert result.returncode == 1
    assert "2 messages stored" in complaint
    assert "1 message, number 2" in complaint
    assert "price must be number" in complaint
