"""Who may log in to a real broker, and what a native client may do once it is in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memphis.wire import legacy, subjects
from memphis_broker.testing import BrokerProcess
from tests.fixtures.broker import BrokerFactory
from tests.fixtures.sdk import connect
from tests.integration.serve.helpers import NATIVE, ROOT, can_log_in, errors_of, nats_client
from tests.oracle import settled
from tests.waiting import eventually

TOKEN = "a shared token"
ID = "0c8f5a3e-9f0b-4d52-8a55-5d4f1d0d7b11"
VIOLATION = "Permissions Violation"


@pytest.fixture(scope="module")
def token_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker with another root password and a connection token."""
    directory = tmp_path_factory.mktemp("token-broker")
    password = directory / "password"
    password.write_text("s3cret ü\n")
    options = ["--root-password-file", str(password), "--connection-token", TOKEN]
    with BrokerProcess(directory, options=options) as process:
        yield process


async def test_root_logs_in_with_the_default_password(broker: BrokerProcess) -> None:
    """root and memphis is what a fresh broker accepts."""
    assert await can_log_in(broker.port)


@pytest.mark.parametrize(
    "login",
    [
        {"user": "root", "pass": "Memphis"},
        {"user": "root", "pass": ""},
        {"user": "other", "pass": "memphis"},
        {"user": "", "pass": "memphis"},
        {"user": "$1", "pass": "memphis"},
        {"user": "$broker", "pass": "memphis"},
        {"user": "$system", "pass": ""},
        {"auth_token": "memphis", "name": "id::root"},
        {"auth_token": "", "name": "id::root"},
    ],
)
async def test_other_logins_are_refused(broker: BrokerProcess, login: dict[str, str]) -> None:
    """A wrong password, an unknown user, and a token where none is set, are refused."""
    assert not await can_log_in(broker.port, login)


async def test_no_login_is_refused(broker: BrokerProcess) -> None:
    """A client that gives neither password nor token is refused."""
    assert not await can_log_in(broker.port, {})


async def test_the_form_of_the_original_sdks_is_accepted(broker: BrokerProcess) -> None:
    """The original's SDKs put an account id behind the user."""
    assert await can_log_in(broker.port, {"user": "root$1", "pass": "memphis"})


async def test_a_password_from_a_file_replaces_the_default(token_broker: BrokerProcess) -> None:
    """With a password of its own a broker accepts that and not the default."""
    assert await can_log_in(token_broker.port, {"user": "root", "pass": "s3cret ü"})
    assert not await can_log_in(token_broker.port)


async def test_the_token_lets_any_user_name_in(token_broker: BrokerProcess) -> None:
    """The user of a login by token is named behind the connection id."""
    assert await can_log_in(token_broker.port, {"auth_token": TOKEN, "name": f"{ID}::Some.One"})


async def test_the_token_does_not_make_a_root(token_broker: BrokerProcess) -> None:
    """Who has the token may call itself anything but the one user who has a password."""
    for name in (f"{ID}::root", f"{ID}::ROOT"):
        assert not await can_log_in(token_broker.port, {"auth_token": TOKEN, "name": name})


@pytest.mark.parametrize(
    "subject",
    ["_MBOX.somebody.>", "_MBOX.somebody.*.x", "_INBOX.root.>", f"_MBOX.other.{ID}.>"],
)
async def test_users_of_the_token_cannot_read_each_other(
    token_broker: BrokerProcess, subject: str
) -> None:
    """Under the same user name, too, each connection has an inbox of its own."""
    login = {"auth_token": TOKEN, "name": f"{ID}::somebody", **NATIVE}
    errors = await errors_of(token_broker.port, login, f"SUB {subject} 1")
    assert [error.partition("'")[2].partition(" for")[0] for error in errors] == [VIOLATION]
    own = f"SUB _MBOX.somebody.{ID}.> 1"
    assert await errors_of(token_broker.port, login, own) == []


@pytest.mark.parametrize(
    "name", ["", "someone", "id::someone", f"{ID}::", f"{ID}::not a name", f"{ID}::*"]
)
async def test_a_token_needs_a_connection_and_a_user_name(
    token_broker: BrokerProcess, name: str
) -> None:
    """A token without the id of a connection and a valid user name is refused."""
    assert not await can_log_in(token_broker.port, {"auth_token": TOKEN, "name": name})


async def test_a_wrong_token_is_refused(token_broker: BrokerProcess) -> None:
    """Only the configured token is accepted."""
    assert not await can_log_in(
        token_broker.port, {"auth_token": TOKEN + "x", "name": f"{ID}::somebody"}
    )


async def test_secrets_are_in_no_log(token_broker: BrokerProcess) -> None:
    """Refused logins are logged with their reason, never with a password or token."""
    assert not await can_log_in(token_broker.port, {"user": "root", "pass": "wrong-secret"})
    assert not await can_log_in(
        token_broker.port, {"auth_token": "wrong-token", "name": f"{ID}::somebody"}
    )
    await eventually(lambda: "wrong connection token" in token_broker.log)
    logs = token_broker.log + token_broker.output
    for file in (token_broker.data_dir / "engine").glob("*.log"):
        logs += file.read_text()
    for secret in ("s3cret", "wrong-secret", "wrong-token", TOKEN):
        assert secret not in logs


@pytest.mark.parametrize(
    "subject",
    [
        "_INBOX.>", "_INBOX.*.x", "_INBOX.other.>", ">", "$KV.>", "$JS.>", "$SYS.>",
        "$memphis.api.v1.>", "*.final", "station$1.final", "$memphis.dead_letters.>",
    ],
)  # fmt: skip
async def test_subscriptions_that_are_forbidden(broker: BrokerProcess, subject: str) -> None:
    """A native client cannot listen where other users' messages go."""
    errors = await errors_of(broker.port, ROOT | NATIVE, f"SUB {subject} 1")
    assert [error.partition("'")[2].partition(" for")[0] for error in errors] == [VIOLATION]


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.STREAM.DELETE.x", "$JS.API.STREAM.CREATE.x", "$JS.API.STREAM.MSG.GET.x",
        "$JS.API.STREAM.NAMES", "$JS.API.CONSUMER.CREATE.x", "$JS.API.DIRECT.GET.x",
        "$KV.memphis.x", "station$1.final", "station$1.redrive.group", "_INBOX.other.x",
        "$SYS.REQ.USER.AUTH", "$SYS.REQ.SERVER.PING", "$memphis.members.a.b", "$memphis.updates.a",
        "free", "$memphis.dead_letters.-.0.-.malformed",
    ],
)  # fmt: skip
async def test_publishing_that_is_forbidden(broker: BrokerProcess, subject: str) -> None:
    """A native client cannot go past the broker to the engine, or speak for others."""
    errors = await errors_of(broker.port, ROOT | NATIVE, f"PUB {subject} 0", "")
    assert [error.partition("'")[2].partition(" for")[0] for error in errors] == [VIOLATION]


async def test_what_is_allowed(broker: BrokerProcess) -> None:
    """A native client can use its inbox and everything that the protocol needs."""
    listen = ("_INBOX.root.>", "$memphis.members.*.*", "$memphis.updates.*")
    send = (
        "missing$1.in", "$JS.API.CONSUMER.MSG.NEXT.missing$1.group",
        "$JS.ACK.x.y.1.1.1.1.0", "$memphis.api.v1.nothing.there",
    )  # fmt: skip
    lines = [f"SUB {subject} {number}" for number, subject in enumerate(listen)]
    for subject in send:
        lines += [f"PUB {subject} 0", ""]
    assert await errors_of(broker.port, ROOT | NATIVE, *lines) == []


PUSHES = ("$memphis_sdk_clients_updates", "$memphis_schema_updates_s", "$memphis_dls_s.g")


async def test_an_sdk_of_the_original_may_listen_to_its_pushes(broker: BrokerProcess) -> None:
    """And for replies wherever its library likes; it may ask for what those SDKs ask for."""
    lines = [f"SUB {subject} {n}" for n, subject in enumerate(("_INBOX.x.*", "_INBOX.y", *PUSHES))]
    for subject in (*legacy.REQUESTS, *legacy.REPORTS, *legacy.TOLERATED, "s$1.final"):
        lines += [f"PUB {subject} 0", ""]
    assert await errors_of(broker.port, ROOT, *lines) == []


@pytest.mark.parametrize("subject", [*subjects.PRIVATE, "station$1.final", "$memphis.api.v1.x.y"])
async def test_what_an_sdk_of_the_original_may_not_listen_to(
    broker: BrokerProcess, subject: str
) -> None:
    """Messages outside of a group, the native clients' replies, requests, records."""
    errors = await errors_of(broker.port, ROOT, f"SUB {subject} 1")
    assert [error.partition("'")[2].partition(" for")[0] for error in errors] == [VIOLATION]


@pytest.mark.parametrize(
    "subject", [">", "*.>", "*.*", "*.*.*", "*.*.*.*.>", "$memphis.>", "_MBOX.>"]
)
async def test_a_wildcard_shows_an_sdk_of_the_original_nothing_private(
    broker: BrokerProcess, subject: str
) -> None:
    """The engine takes some of these for a subject that is allowed; then it leaves out what is not."""
    seen: list[str] = []

    async def see(message: Any) -> None:
        seen.append(message.subject)

    async def ignore(_: Exception) -> None:
        pass

    async with (
        nats_client(broker.port, user="root", password="memphis", error_cb=ignore) as spy,
        await connect(broker) as memphis,
    ):
        await spy.subscribe(subject, cb=see)
        await settled(spy)
        station = await memphis.station("spied-on")
        await memphis.produce("spied-on", "p", "private")
        consumer = await memphis.consumer("spied-on", "c")
        (message,) = await consumer.fetch(1)
        await message.dead_letter("private")
        await station.dead_letters().redrive()
        (message,) = await consumer.fetch(1)
        await message.ack()
        await station.destroy()
        await settled(spy)
    allowed = ("_INBOX.", "$memphis_sdk_clients_updates", "$memphis.members.", "$memphis.updates.")
    assert [subject for subject in seen if not subject.startswith(allowed)] == []


@pytest.mark.parametrize("who", [{}, NATIVE], ids=["original", "native"])
@pytest.mark.parametrize("subject", subjects.NOT_FOR_CLIENTS)
async def test_no_client_takes_work_of_the_broker(
    broker: BrokerProcess, subject: str, who: dict[str, str]
) -> None:
    """Nor calls it done."""
    subject = subject.replace("*", "x").replace(">", "reports")
    errors = await errors_of(broker.port, ROOT | who, f"PUB {subject} 0", "")
    assert [error.partition("'")[2].partition(" for")[0] for error in errors] == [VIOLATION]


@pytest.mark.parametrize("subject", ["s$1.in", "$JS.API.STREAM.NAMES", *legacy.REQUESTS])
async def test_without_the_legacy_edge_every_client_is_a_native_one(
    broker_factory: BrokerFactory, subject: str
) -> None:
    """Nothing wider is permitted with --no-legacy."""
    broker = await asyncio.to_thread(broker_factory(options=["--no-legacy"]).start)
    errors = await errors_of(broker.port, ROOT, f"PUB {subject} 0", "", "SUB _INBOX.> 1")
    assert len(errors) == (1 if subject == "s$1.in" else 2)


async def test_a_member_can_answer_the_broker_once(broker: BrokerProcess) -> None:
    """A client may reply to a request that it received, although it may not publish there."""
    config = (broker.data_dir / "engine" / "nats-server.conf").read_text()
    password = config.partition('user: "$streams", password: "')[2].partition('"')[0]
    asker = {"user": "$streams", "password": password, "inbox_prefix": "_MBOX.$broker"}
    member_login = {"user": "root", "password": "memphis", "inbox_prefix": "_INBOX.root.x"}
    async with (
        nats_client(broker.port, **member_login) as member,
        nats_client(broker.port, **asker) as streams,
    ):

        async def answer(message: Any) -> None:
            await message.respond(b"here")

        await member.subscribe("$memphis.members.station.group", cb=answer)
        await settled(member)
        reply = await streams.request("$memphis.members.station.group", b"", timeout=10)
    assert reply.data == b"here"


async def test_requests_carry_the_authenticated_user(token_broker: BrokerProcess) -> None:
    """What crosses into the broker's account says who asks, whatever the request claims."""
    config = (token_broker.data_dir / "engine" / "nats-server.conf").read_text()
    password = config.partition('user: "$broker", password: "')[2].partition('"')[0]
    login = {
        "token": TOKEN,
        "name": f"{ID}::some.one",
        "inbox_prefix": f"_MBOX.some#one.{ID}",
    }
    control = nats_client(token_broker.port, user="$broker", password=password)
    async with control as broker_side, nats_client(token_broker.port, **login) as client:
        seen = asyncio.get_running_loop().create_future()

        async def see(message: Any) -> None:
            seen.set_result(message.headers["Nats-Request-Info"])

        await broker_side.subscribe("$memphis.api.v1.test.whoami", cb=see)
        await settled(broker_side)
        await client.publish("$memphis.api.v1.test.whoami", b"{}")
        async with asyncio.timeout(10):
            info = json.loads(await seen)
    assert (info["user"], info["acc"]) == ("some.one", "MEMPHIS")
    assert info["name"] == f"{ID}::some.one"


def test_the_config_with_its_secrets_is_private(broker: BrokerProcess) -> None:
    """Nobody else on the machine can read the broker's own passwords."""
    file: Path = broker.data_dir / "engine" / "nats-server.conf"
    assert file.stat().st_mode & 0o077 == 0
