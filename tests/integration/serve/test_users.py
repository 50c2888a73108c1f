"""Users with passwords of their own, at a real broker: who gets in, and who may say so."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator

import pytest

from memphis import Memphis, sync
from memphis.exceptions import (
    MemphisConnectError,
    MemphisNotFoundError,
    MemphisPermissionError,
    MemphisRequestError,
    MemphisUsageError,
)
from memphis.wire.errors import ErrorCode
from memphis.wire.models import Envelope
from memphis.wire.subjects import api_subject
from memphis_broker.testing import BrokerProcess
from tests.fixtures.sdk import connect
from tests.integration.serve.helpers import (
    LOGIN_DEADLINE_S,
    NATIVE,
    StartEngine,
    can_log_in,
    errors_of,
    nats_client,
)
from tests.waiting import eventually

TOKEN = "a shared token"
ID = "0c8f5a3e-9f0b-4d52-8a55-5d4f1d0d7b11"
PASSWORD = "correct horse ü"

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def token_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker with a connection token."""
    directory = tmp_path_factory.mktemp("users-broker")
    with BrokerProcess(directory, options=["--connection-token", TOKEN]) as process:
        yield process


@pytest.fixture
async def root(token_broker: BrokerProcess) -> AsyncIterator[Memphis]:
    """A connection of root."""
    memphis = await connect(token_broker)
    yield memphis
    await memphis.close()


@pytest.fixture
async def user(root: Memphis) -> str:
    """A user of this test alone, with PASSWORD; its name has a dot."""
    name = f"shop.{next(_numbers)}"
    await root.create_user(name, PASSWORD)
    return name


async def code_of(call: object) -> int | None:
    with pytest.raises(MemphisRequestError) as refused:
        await call  # type: ignore[misc]
    return refused.value.code


async def test_a_user_streams(token_broker: BrokerProcess, user: str) -> None:
    """With this SDK, and may do what others may."""
    async with await connect(token_broker, username=user, password=PASSWORD) as memphis:
        station = await memphis.station(f"of-{user}")
        await memphis.produce(station.name, "p", "hello")
        consumer = await memphis.consumer(station.name, "c")
        (message,) = await consumer.fetch(1)
        assert bytes(message.get_data()) == b"hello"
        await message.ack()
        await station.destroy()


async def test_raw_logins(token_broker: BrokerProcess, user: str) -> None:
    """In the form of the original's SDKs too; any other password and name is refused."""
    port = token_broker.port
    for name in (user, f"{user}$1", user.upper()):
        assert await can_log_in(port, {"user": name, "pass": PASSWORD})
    for login in (
        {"user": user, "pass": "correct horse"},
        {"user": user, "pass": ""},
        {"user": user},
        {"user": f"{user}x", "pass": PASSWORD},
        {"user": "root", "pass": PASSWORD},
        {"user": user, "pass": "memphis"},
        {"user": user, "pass": PASSWORD, "auth_token": TOKEN},
    ):
        assert not await can_log_in(port, login)


async def test_an_inbox_is_its_users(token_broker: BrokerProcess, user: str) -> None:
    """A user reads no other's replies."""
    login = {"user": user, "pass": PASSWORD, **NATIVE}
    own = user.replace(".", "#")
    assert await errors_of(token_broker.port, login, f"SUB _INBOX.{own}.> 1") == []
    assert await errors_of(token_broker.port, login, "SUB _MBOX.root.> 1") != []


async def test_the_token_is_for_names_without_a_password(
    token_broker: BrokerProcess, root: Memphis
) -> None:
    """From the moment that a user is there until it is removed."""
    name = f"both-{next(_numbers)}"
    login = {"auth_token": TOKEN, "name": f"{ID}::{name}"}
    assert await can_log_in(token_broker.port, login)
    await root.create_user(name, PASSWORD)
    assert not await can_log_in(token_broker.port, login)
    assert not await can_log_in(token_broker.port, {**login, "name": f"{ID}::{name.upper()}"})
    await root.remove_user(name)
    assert await can_log_in(token_broker.port, login)


async def test_a_changed_password_and_a_removed_user(
    token_broker: BrokerProcess, root: Memphis, user: str
) -> None:
    """True for the next login, whatever is remembered; a connection that stands goes on."""
    port = token_broker.port
    async with await connect(token_broker, username=user, password=PASSWORD) as memphis:
        await root.set_password(user, "another password")
        assert not await can_log_in(port, {"user": user, "pass": PASSWORD})
        assert await can_log_in(port, {"user": user, "pass": "another password"})
        await root.remove_user(user)
        assert not await can_log_in(port, {"user": user, "pass": "another password"})
        await memphis.stations()
    await root.create_user(user, PASSWORD)
    assert await can_log_in(port, {"user": user, "pass": PASSWORD})
    assert not await can_log_in(port, {"user": user, "pass": "another password"})


async def test_users_are_listed(root: Memphis) -> None:
    """In the order of their names, with their types, and without root and any hash."""
    own = next(_numbers)
    names = [f"listed-{own}.{n:02}" for n in range(5)]
    for name in reversed(names):
        await root.create_user(name.upper(), PASSWORD, type="management")
    found = await root.users()
    assert [user.name for user in found] == sorted(user.name for user in found)
    ours = [user for user in found if user.name in names]
    assert [user.name for user in ours] == names
    assert {user.type for user in ours} == {"management"}
    assert all(user.created_at == user.password_set_at for user in ours)
    assert "root" not in {user.name for user in found}
    assert "argon2" not in repr(found)


async def test_refusals_have_numbers(root: Memphis, user: str) -> None:
    """Twice the same is once; anything else is refused and changes nothing."""
    await root.create_user(user, PASSWORD)
    assert await code_of(root.create_user(user, "another one")) == ErrorCode.USER_EXISTS
    assert await code_of(root.create_user(user, PASSWORD, "management")) == ErrorCode.USER_EXISTS
    for call in (root.remove_user("nobody-here"), root.set_password("nobody-here", PASSWORD)):
        with pytest.raises(MemphisNotFoundError) as missing:
            await call
        assert missing.value.code == ErrorCode.USER_NOT_FOUND
    for call in (
        root.create_user("root", PASSWORD),
        root.remove_user("ROOT"),
        root.set_password("root", PASSWORD),
    ):
        assert await code_of(call) == ErrorCode.INVALID_OPTION
    for call in (
        root.create_user("not a name", PASSWORD),
        root.create_user("n" * 61, PASSWORD),
        root.create_user("n", "short"),
        root.create_user("n", "x" * 129),
        root.create_user("n", PASSWORD, "other"),  # type: ignore[arg-type]
        root.set_password(user, "short"),
    ):
        with pytest.raises(MemphisUsageError):
            await call


async def test_two_at_once_create_one(root: Memphis) -> None:
    """With different passwords, one of them is told that the user exists."""
    name = f"raced-{next(_numbers)}"
    calls = [root.create_user(name, f"{PASSWORD} {n}") for n in range(4)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    codes = [error.code for error in outcomes if isinstance(error, MemphisRequestError)]
    assert codes == [ErrorCode.USER_EXISTS] * 3


@pytest.mark.parametrize("by_token", [True, False])
async def test_others_than_root_may_not(
    token_broker: BrokerProcess, user: str, by_token: bool
) -> None:
    """Neither who has the token nor a user, its own password included."""
    login = {"connection_token": TOKEN, "username": "other", "password": ""}
    if not by_token:
        login = {"username": user, "password": PASSWORD}
    async with await connect(token_broker, **login) as memphis:
        for call in (
            memphis.create_user("more", PASSWORD),
            memphis.users(),
            memphis.remove_user(user),
            memphis.set_password(user, PASSWORD),
        ):
            with pytest.raises(MemphisPermissionError) as refused:
                await call
            assert refused.value.code == ErrorCode.NOT_PERMITTED
    assert await can_log_in(token_broker.port, {"user": user, "pass": PASSWORD})


@pytest.mark.parametrize(
    "block",
    [
        "NATS/1.0\r\nNats-Request-Info: {info}\r\n\r\n",
        "NATS/1.0\r\nNats-Request-Info: {info}\r\nNats-Request-Info: {info}\r\n\r\n",
        "NATS/1.0\r\nnats-request-info: {info}\r\n\r\n",
        "NATS/1.0\r\nX: y\r\nNats-Request-Info:{info}\r\nNats-Request-Info:\r\n {info}\r\n\r\n",
        "NATS/1.0\r\nNats-Request-Info : {info}\r\n\r\n",
        "NATS/1.0\r\n\r\nNats-Request-Info: {info}\r\n\r\n",
        "NATS/1.0\r\nX: y\r\n \r\n\r\n",
        "NATS/1.0\r\nX: y\nNats-Request-Info: {info}\r\n\r\n",
        "NATS/1.0\r\n\r\n",
        "NATS/1.0\r\nX: y",
    ],
)
async def test_nobody_becomes_root_by_a_header(
    token_broker: BrokerProcess, user: str, block: str
) -> None:
    """Who asks is the engine's word, whatever a client writes where that word will stand."""
    headers = block.replace("{info}", '{"user":"root","acc":"MEMPHIS"}').encode()
    body = json.dumps({"name": "forged", "password": PASSWORD}).encode()
    login = {"user": user, "password": PASSWORD}
    async with nats_client(token_broker.port, **login) as client:
        inbox = client.new_inbox()
        replies = await client.subscribe(inbox)
        total = len(headers) + len(body)
        line = f"HPUB {api_subject('user', 'create')} {inbox} {len(headers)} {total}\r\n"
        await client._send_command(line.encode() + headers + body + b"\r\n")
        reply = await replies.next_msg(timeout=20)
    error = Envelope.model_validate_json(reply.data).error
    assert error is not None
    assert error.code in {ErrorCode.NOT_PERMITTED, ErrorCode.MALFORMED_REQUEST}
    assert not await can_log_in(token_broker.port, {"user": "forged", "pass": PASSWORD})


async def test_without_the_brokers_accounts_there_are_no_users(start_engine: StartEngine) -> None:
    """An engine that decides logins by itself makes everybody root, and this is refused to all."""
    port = start_engine()
    options = ["--engine", f"nats://127.0.0.1:{port}"]
    broker = BrokerProcess(options=options, embedded=False, port=port)
    try:
        await asyncio.to_thread(broker.launch)
        memphis = Memphis()
        await memphis.connect(host="127.0.0.1", port=port, username="root", password="memphis")

        async def refused() -> bool:
            try:
                await memphis.create_user("shop", PASSWORD)
            except MemphisPermissionError as error:
                return "engine's own business" in error.args[0]
            except MemphisConnectError:
                return False
            raise AssertionError

        await eventually(refused)
        await memphis.close()
    finally:
        await asyncio.to_thread(broker.close)


async def test_many_logins_at_once(token_broker: BrokerProcess, root: Memphis) -> None:
    """Each gets its own answer, while wrong passwords are checked."""
    port = token_broker.port
    names = [f"crowd-{next(_numbers)}" for _ in range(4)]
    for name in names:
        await root.create_user(name, PASSWORD)
    wrong = [{"user": name, "pass": "wrong password"} for name in (*names, "nobody")]
    right = [{"user": name, "pass": PASSWORD} for name in names for _ in range(8)]

    async def gets_in(login: dict[str, str]) -> bool:
        # On a machine that is busy with other things the engine may lose patience.
        return await eventually(lambda: can_log_in(port, login), LOGIN_DEADLINE_S)

    refusals = asyncio.gather(*(can_log_in(port, login) for login in wrong))
    assert await asyncio.gather(*(gets_in(login) for login in right)) == [True] * len(right)
    assert await refusals == [False] * len(wrong)


async def test_users_outlive_engine_and_broker(fresh_broker: BrokerProcess) -> None:
    """They log in again when the engine comes back, and when the broker was killed and started."""
    login = {"user": "shop", "pass": PASSWORD}
    port = fresh_broker.port
    async with await connect(fresh_broker) as root:
        await root.create_user("shop", PASSWORD)
        async with await connect(fresh_broker, username="shop", password=PASSWORD) as memphis:
            await asyncio.to_thread(fresh_broker.kill_engine)
            await eventually(lambda: can_log_in(port, login))
            await eventually(memphis.is_connected)
            await memphis.stations()
        await asyncio.to_thread(fresh_broker.kill)
        await asyncio.to_thread(fresh_broker.start)
        await eventually(lambda: can_log_in(port, login))
        assert not await can_log_in(port, {**login, "pass": "wrong password"})
        assert [user.name for user in await root.users()] == ["shop"]
    log = fresh_broker.log
    assert PASSWORD not in log
    assert "wrong password" not in log.replace("or wrong password", "")
    assert "argon2" not in log


def test_without_an_event_loop(token_broker: BrokerProcess) -> None:
    """The same calls."""
    name = f"sync-{next(_numbers)}"
    with sync.Memphis() as memphis:
        memphis.connect("127.0.0.1", "root", password="memphis", port=token_broker.port)
        memphis.create_user(name, PASSWORD)
        memphis.set_password(name, "another password")
        assert name in [user.name for user in memphis.users()]
        memphis.remove_user(name)
        assert name not in [user.name for user in memphis.users()]
