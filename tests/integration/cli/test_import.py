"""`memphis import`, from a server that answers as the original's management API does."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memphis_broker.testing import BrokerProcess
from tests.fixtures.original_api import PASSWORD, ServedOriginal
from tests.integration.cli.conftest import CommandLine, Result, command_line_here
from tests.integration.cli.test_mistakes import check_complaint


@pytest.fixture
def memphis(broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs commands against the shared broker, in this process."""
    return command_line_here(broker.port, monkeypatch)


@pytest.fixture
def imported(memphis: CommandLine, original_api: ServedOriginal) -> Callable[..., Result]:
    """Runs ``memphis import`` from the original."""

    def run(*arguments: str) -> Result:
        return memphis(
            "import", "--from", original_api.url, "--source-password", PASSWORD, *arguments
        )

    return run


def options_of(memphis: CommandLine, station: str) -> dict[str, Any]:
    result = memphis("station", "info", station, "--json")
    assert result.returncode == 0, result.stderr
    options: dict[str, Any] = json.loads(result.stdout)["options"]
    return options


def test_everything_arrives(
    memphis: CommandLine, original_api: ServedOriginal, imported: Callable[..., Result]
) -> None:
    """Stations with their options, schemas with their versions; what is not carried is named."""
    original_api.original.add_price()
    result = imported()
    assert result.returncode == 0, result.stderr
    original = original_api.original
    orders = options_of(memphis, original.name("orders"))
    assert orders["schema_name"] == original.name("order")
    assert orders["dls_station"] == original.name("failed")
    assert (orders["retention_value"], orders["partitions_number"]) == (86_400, 3)
    log = options_of(memphis, original.name("log"))
    assert (log["retention_type"], log["retention_value"]) == ("messages", 300)
    assert (log["storage_type"], log["idempotency_window_ms"]) == ("memory", 500)
    assert (log["send_poison_msg_to_dls"], log["tiered_storage_enabled"]) == (False, False)
    assert options_of(memphis, original.name("ancient"))["partitions_number"] == 1
    # The one that gets dead letters is not a station with options of nobody's choosing.
    assert options_of(memphis, original.name("failed"))["retention_value"] == 86_400
    shown = memphis("schema", "ls", "--json")
    schemas = {entry["name"]: entry for entry in json.loads(shown.stdout)}
    price = schemas[original.name("price")]
    assert (price["versions"], price["active_version"]) == (3, 2)
    assert price["compatibility"] == "NONE"
    notes = result.stderr.decode()
    assert f"not carried of station {original.name('log')}: its tags (ops), its tiered" in notes
    assert "not imported: 1 user" in notes
    assert f"{original.name('shop')} (application); those of applications get new" in notes
    assert original.name("shop") not in memphis("user", "ls").stdout.decode()
    assert "root (" not in notes
    assert "assumed" not in notes


def test_a_second_time_nothing_changes(
    memphis: CommandLine, original_api: ServedOriginal, imported: Callable[..., Result]
) -> None:
    """Everything is there already; a third time, from a file, as well."""
    assert imported().returncode == 0
    again = imported()
    assert again.returncode == 0, again.stderr
    lines = again.stdout.decode().splitlines()[:-1]
    assert len(lines) == 5
    assert all("present" in line for line in lines)


def test_a_dry_run_does_nothing(
    memphis: CommandLine, original_api: ServedOriginal, imported: Callable[..., Result]
) -> None:
    """It says what would be done."""
    result = imported("--dry-run")
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode().count("would be created") == 5
    assert "nothing was done" in result.stdout.decode()
    assert memphis("station", "info", original_api.original.name("orders")).returncode == 1
    assert memphis("schema", "show", original_api.original.name("order")).returncode == 1


def test_users_of_applications_get_new_passwords(
    broker: BrokerProcess,
    memphis: CommandLine,
    original_api: ServedOriginal,
    imported: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """In a file that only its owner can read; who is here already, and who is no application, is not."""
    original = original_api.original
    shop, kitchen, boss = (original.name(name) for name in ("shop", "kitchen", "boss"))
    original.users["application_users"].append({"username": kitchen, "user_type": "application"})
    original.users["management_users"].append({"username": boss, "user_type": "management"})
    assert memphis("user", "create", kitchen, stdin=b"its own password").returncode == 0
    out = tmp_path / "passwords"
    tried = imported("--dry-run", "--passwords-out", str(out))
    assert f"user {shop} would be created" in tried.stdout.decode()
    assert not out.exists()
    result = imported("--passwords-out", str(out))
    assert result.returncode == 0, result.stderr
    assert f"user {shop} created, with a new password" in result.stdout.decode()
    assert f"user {kitchen} present, with the password that it has" in result.stdout.decode()
    notes = result.stderr.decode()
    assert f"not imported: 1 user: {boss} (management); this broker has no console" in notes
    assert f"not carried of user {shop}: that it may read certain stations only" in notes
    assert "1 new password written to" in notes
    assert out.stat().st_mode & 0o777 == 0o600
    ((name, password),) = [line.split("\t") for line in out.read_text().splitlines()]
    assert name == shop
    assert password not in result.stdout.decode() + notes
    for user, own in ((shop, password), (kitchen, "its own password")):
        listed = memphis("station", "ls", MEMPHIS_USERNAME=user, MEMPHIS_PASSWORD=own)
        assert listed.returncode == 0, listed.stderr
    again = imported("--passwords-out", str(tmp_path / "others"))
    assert again.returncode == 0
    assert not (tmp_path / "others").exists()


def test_passwords_are_never_overwritten(
    memphis: CommandLine,
    original_api: ServedOriginal,
    imported: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """Whatever is there ends the import before it begins; what cannot be written creates no user."""
    out = tmp_path / "passwords"
    out.write_text("precious")
    check_complaint(imported("--passwords-out", str(out)), 1, str(out), "exists")
    assert out.read_text() == "precious"
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    check_complaint(imported("--passwords-out", str(link)), 1, "exists")
    result = imported("--passwords-out", str(tmp_path / "missing" / "passwords"))
    assert result.returncode == 1
    shop = original_api.original.name("shop")
    assert f"user {shop} did not arrive: cannot write" in result.stderr.decode()
    assert shop not in memphis("user", "ls").stdout.decode()
    export = imported("--export", "-", "--passwords-out", str(tmp_path / "new"))
    check_complaint(export, 2, "--export")


def test_a_user_whose_name_is_none_here_is_named(
    memphis: CommandLine,
    original_api: ServedOriginal,
    imported: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """All others arrive, and the exit code tells."""
    users = original_api.original.users["application_users"]
    users.insert(0, {"username": "some@example.org"})
    out = tmp_path / "passwords"
    result = imported("--passwords-out", str(out))
    assert result.returncode == 1
    assert "user some@example.org did not arrive: the user name" in result.stderr.decode()
    assert out.read_text().startswith(f"{original_api.original.name('shop')}\t")
    assert out.read_text().count("\n") == 1


def test_an_export_is_written_and_read(
    memphis: CommandLine,
    original_api: ServedOriginal,
    imported: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """The file has the users too, and importing it is importing the original."""
    file = tmp_path / "export.json"
    written = imported("--export", str(file))
    assert written.returncode == 0, written.stderr
    assert b"1 schema, 4 stations, 2 users written" in written.stdout
    assert memphis("station", "info", original_api.original.name("orders")).returncode == 1
    export = json.loads(file.read_text())
    assert [user["name"] for user in export["users"]] == [
        "root",
        original_api.original.name("shop"),
    ]
    assert PASSWORD not in file.read_text()
    assert json.loads(imported("--export", "-").stdout) == export
    from_file = memphis("import", "--file", str(file))
    assert from_file.returncode == 0, from_file.stderr
    from_input = memphis("import", "--file", "-", stdin=file.read_bytes())
    assert from_input.stdout.decode().count("present") == 5


def test_a_station_that_is_otherwise_is_named_and_left(
    memphis: CommandLine, original_api: ServedOriginal, imported: Callable[..., Result]
) -> None:
    """All others arrive, and the exit code tells."""
    name = original_api.original.name("log")
    assert memphis("station", "create", name, "--partitions", "2").returncode == 0
    result = imported()
    assert result.returncode == 1
    complaint = next(line for line in result.stderr.decode().splitlines() if "exists" in line)
    assert f"station {name} exists and stays as it is" in complaint
    assert "partitions is 2, not 3" in complaint
    assert "retention-type is age, not messages" in complaint
    assert options_of(memphis, name)["partitions_number"] == 2
    assert options_of(memphis, original_api.original.name("orders"))["partitions_number"] == 3


def test_schemas_that_are_otherwise_are_named_and_left(
    memphis: CommandLine,
    original_api: ServedOriginal,
    imported: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """Another type, versions of its own, another active version."""
    original = original_api.original
    original.add_price()
    del original.stations[1:]
    original.stations[0]["dls_station"] = ""
    original.schemas.append(original.schema("own", "json", "{}"))
    file = tmp_path / "s.json"
    file.write_text('{"title": "mine"}')
    memphis("schema", "create", original.name("own"), str(file))
    memphis("schema", "create", original.name("order"), str(file), "--type", "avro")
    assert imported().returncode == 1
    memphis("schema", "activate", original.name("price"), "3")
    result = imported()
    assert result.returncode == 1
    complaints = result.stderr.decode()
    assert f"schema {original.name('own')} exists and stays as it is: it has versions" in complaints
    assert f"memphis schema activate {original.name('price')} 2" in complaints


def test_an_import_that_was_cut_off_is_completed(
    memphis: CommandLine, original_api: ServedOriginal, imported: Callable[..., Result]
) -> None:
    """Versions that are missing are added, and the active one is activated."""
    name = original_api.original.add_price()
    whole = copy.deepcopy(original_api.original.schemas)
    del original_api.original.schemas[1]["versions"][1:]
    del original_api.original.stations[2:]
    assert imported().returncode == 0
    original_api.original.schemas = whole
    result = imported()
    assert result.returncode == 0, result.stderr
    assert f"schema {name} completed, 2 versions added" in result.stdout.decode()
    listed = json.loads(memphis("schema", "ls", "--json").stdout)
    assert {s["name"]: s["active_version"] for s in listed}[name] == 2


def test_a_schema_that_is_refused_keeps_its_stations_away(
    memphis: CommandLine, original_api: ServedOriginal, imported: Callable[..., Result]
) -> None:
    """A station without its schema would let anything in; all else arrives."""
    original = original_api.original
    original.schemas[0]["versions"][0]["schema_content"] = '{"type": 7}'
    result = imported()
    assert result.returncode == 1
    complaints = result.stderr.decode()
    assert f"schema {original.name('order')} did not arrive: " in complaints
    assert f"station {original.name('orders')} did not arrive: its schema" in complaints
    assert memphis("station", "info", original.name("orders")).returncode == 1
    assert memphis("station", "info", original.name("log")).returncode == 0


def test_more_replicas_than_servers(
    memphis: CommandLine, original_api: ServedOriginal, imported: Callable[..., Result]
) -> None:
    """Refused for each station by name; an option takes fewer."""
    original_api.original.stations[2]["replicas"] = 3
    result = imported()
    assert result.returncode == 1
    assert f"station {original_api.original.name('log')} did not arrive" in result.stderr.decode()
    assert imported("--replicas", "1").returncode == 0


def test_stations_with_each_others_dead_letters(
    memphis: CommandLine, original_api: ServedOriginal, imported: Callable[..., Result]
) -> None:
    """Both get their link."""
    original = original_api.original
    original.stations[1]["dls_station"] = original.name("orders")
    result = imported()
    assert result.returncode == 0, result.stderr
    for one, other in (("orders", "failed"), ("failed", "orders")):
        assert options_of(memphis, original.name(one))["dls_station"] == original.name(other)
    assert imported().returncode == 0


def test_a_stream_of_a_nats_client_is_named(
    original_api: ServedOriginal, imported: Callable[..., Result]
) -> None:
    """It is no station, so it does not arrive."""
    original_api.original.stations[3]["is_native"] = False
    result = imported()
    assert result.returncode == 1
    assert b"a stream that a NATS client made" in result.stderr


def test_a_token_that_ran_out_is_renewed(
    original_api: ServedOriginal, imported: Callable[..., Result]
) -> None:
    """The original's is good for a quarter of an hour only."""
    answer = original_api.original.answer

    def forgetful(method: str, url: str, body: bytes, token: str) -> tuple[int, Any]:
        if "getAllSchemas" in url and len(original_api.original.tokens) == 1:
            original_api.original.tokens[0] = "another"
        return answer(method, url, body, token)

    original_api.original.answer = forgetful  # type: ignore[method-assign]
    assert imported("--export", "-").returncode == 0
    assert len(original_api.original.tokens) == 2


def test_facts_that_only_the_overview_tells(
    original_api: ServedOriginal, imported: Callable[..., Result]
) -> None:
    """Where the answer about a station lacks something, the overview is asked; then it is assumed."""
    original_api.original.broken["/api/stations/getStation"] = (404, b"none")
    whole = original_api.original.station("orders")
    whole["retention_value"] = 77
    del whole["replicas"]
    path = "/api/monitoring/getStationOverviewData"
    original_api.original.broken[path] = (200, json.dumps(whole).encode())
    del original_api.original.stations[1:]
    result = imported("--export", "-")
    assert json.loads(result.stdout)["stations"][0]["retention_value"] == 77
    assert b"did not tell its replicas" in result.stderr


@pytest.mark.parametrize(
    ("path", "status", "body", "words"),
    [
        ("stations/getStations", 200, b"<html>", "no JSON"),
        ("stations/getStations", 500, b'{"message": "Server error"}', "500: Server error"),
        ("stations/getStations", 200, b'{"rows": []}', "unknown shape"),
        ("usermgmt/getAllUsers", 200, b'"text"', "unknown shape"),
        ("usermgmt/login", 200, b'{"token": "x"}', "the login has an unknown shape"),
    ],
)
def test_an_answer_that_is_none(
    original_api: ServedOriginal,
    imported: Callable[..., Result],
    path: str,
    status: int,
    body: bytes,
    words: str,
) -> None:
    """One line that says what was asked and what came."""
    original_api.original.broken[f"/api/{path}"] = (status, body)
    check_complaint(imported(), 1, words)


def test_mistakes(memphis: CommandLine, original_api: ServedOriginal, tmp_path: Path) -> None:
    """Each ends in one line."""
    check_complaint(memphis("import"), 2, "--from", "--file")
    check_complaint(memphis("import", "--from", original_api.url), 2, "--source-password")
    wrong = memphis("import", "--from", original_api.url, "--source-password", "wrong-one")
    check_complaint(wrong, 1, "refused the login of root")
    assert b"wrong-one" not in wrong.stderr
    nobody = ("import", "--source-password", "x", "--from")
    check_complaint(memphis(*nobody, "127.0.0.1:1"), 1, "does not answer", "9000")
    check_complaint(memphis(*nobody, "ftp://host"), 1, "no address")
    check_complaint(memphis("import", "--file", str(tmp_path / "none")), 1, "cannot read")
    both = memphis("import", "--from", original_api.url, "--file", "f")
    check_complaint(both, 2, "one of them")
    check_complaint(memphis("import", "--file", "f", "--export", "g"), 2, "--from alone")
