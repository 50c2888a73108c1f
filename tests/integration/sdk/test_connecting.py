"""Connecting: what is accepted, and how each way to fail is reported."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from memphis import (
    Memphis,
    MemphisClosedError,
    MemphisConnectError,
    MemphisUsageError,
)
from memphis_broker.testing import BrokerProcess
from tests.fixtures.engine import HOST, free_port
from tests.fixtures.sdk import connect
from tests.integration.sdk.helpers import own_tasks

TOKEN = "shared-among-us"


@pytest.fixture(scope="module")
def token_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker that takes a connection token."""
    directory = tmp_path_factory.mktemp("token")
    with BrokerProcess(directory, options=["--connection-token", TOKEN]) as process:
        yield process


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where somebody listens and never says a word."""
    with closing(socket.socket()) as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


async def refused(memphis: Memphis, **arguments: Any) -> str:
    """The text of the MemphisConnectError that connecting must end in."""
    with pytest.raises(MemphisConnectError) as caught:
        await memphis.connect(**{"username": "root", "timeout_ms": 2000, **arguments})
    assert not memphis.is_connected()
    return str(caught.value)


async def test_with_a_password(broker):
    """User and password let one in, and is_connected says so before and after."""
    memphis = Memphis()
    assert not memphis.is_connected()
    await memphis.connect(
        host=broker.host, port=broker.port, username="root", password="memphis", timeout_ms=10_000
    )
    assert memphis.is_connected()
    await memphis.close()
    assert not memphis.is_connected()


async def test_with_a_token(token_broker):
    """A shared token lets any user name in, and that connection works."""
    memphis = await connect(token_broker, password="", connection_token=TOKEN, username="somebody")
    assert await memphis.stations() == []
    await memphis.close()


@pytest.mark.parametrize("both", [{"password": "a", "connection_token": "b"}, {}])
async def test_exactly_one_of_password_and_token(broker, both):
    """Both or none are refused before anybody is asked."""
    text = await refused(Memphis(), host=broker.host, port=broker.port, **both)
    assert "password" in text
    assert "connection_token" in text


@pytest.mark.parametrize(
    "form", ["{host}", "http://{host}", "nats://{host}/", " {host} ", "https://{host}:{port}"]
)
async def test_forms_of_a_host(broker, form):
    """A scheme, a trailing slash, blanks around and a port of its own are understood."""
    host = form.format(host=broker.host, port=broker.port)
    port = {"port": 1} if "{port}" in form else {}
    async with await connect(broker, host=host, **port) as memphis:
        assert memphis.is_connected()


async def test_a_wrong_password(broker):
    """The error of a refused login names host, port and that it was the login."""
    text = await refused(Memphis(), host=broker.host, port=broker.port, password="wrong")
    assert f"{broker.host}:{broker.port}" in text
    assert "login" in text
    assert "wrong" not in text


async def test_a_wrong_token(token_broker):
    """The same for a token, which appears in no text."""
    arguments = {"host": token_broker.host, "port": token_broker.port}
    text = await refused(Memphis(), connection_token="not-ours", **arguments)
    assert f"{token_broker.host}:{token_broker.port}" in text
    assert "not-ours" not in text


async def test_nobody_at_the_port():
    """A port without a listener: host, port and reason."""
    port = free_port()
    text = await refused(Memphis(), host=HOST, port=port, password="memphis")
    assert f"{HOST}:{port}" in text
    assert "refused" in text


async def test_somebody_who_never_answers(silent_port):
    """A host that accepts and stays silent ends with the timeout, and says so."""
    text = await refused(Memphis(), host=HOST, port=silent_port, password="memphis", timeout_ms=200)
    assert f"{HOST}:{silent_port}" in text
    assert "0.2" in text


async def test_a_name_that_does_not_exist():
    """An unknown name is a connection error with that name, not one of the operating system."""
    text = await refused(Memphis(), host="nowhere.invalid", password="memphis")
    assert "nowhere.invalid:6666" in text


async def test_a_server_of_another_kind(start_stranger):
    """Who does not speak the protocol is named, too."""

    async def web_server(_reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    host, port = await start_stranger(web_server)
    assert f"{host}:{port}" in await refused(Memphis(), host=host, port=port, password="memphis")


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": ""},
        {"host": "a b"},
        {"host": None},
        {"host": "localhost:port"},
        {"host": "localhost:70000"},
        {"port": 0},
        {"port": 65536},
        {"port": "six"},
        {"port": "65536"},
        {"port": True},
        {"username": ""},
        {"username": "not a name"},
        {"username": None},
        {"timeout_ms": 0},
        {"timeout_ms": 1.5},
        {"reconnect_interval_ms": 0},
        {"max_reconnect": -2},
        {"max_reconnect": None},
        {"cert_file": "cert.pem"},
        {"key_file": "key.pem"},
        {"ca_file": "there/is/no/such.pem"},
    ],
    ids=str,
)
async def test_impossible_arguments(wrong):
    """Each is refused with MemphisConnectError, and the object can be used again."""
    await refused(Memphis(), **{"host": "localhost", "password": "memphis", **wrong})


async def test_certificate_files_that_are_none(tmp_path: Path):
    """The error names the file."""
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate")
    text = await refused(Memphis(), host="localhost", password="memphis", ca_file=str(bad))
    assert str(bad) in text


async def test_a_failed_attempt_leaves_nothing_behind(broker, silent_port):
    """After a refusal no task is left, and the same object connects."""
    memphis = Memphis()
    before = own_tasks()
    await refused(memphis, host=HOST, port=silent_port, password="memphis", timeout_ms=100)
    await refused(memphis, host=broker.host, port=broker.port, password="wrong")
    assert own_tasks() == before
    await memphis.connect(
        host=broker.host, port=broker.port, username="root", password="memphis", timeout_ms=10_000
    )
    assert memphis.is_connected()
    await memphis.close()


async def test_a_port_in_its_digits(broker):
    """As it comes from the environment."""
    async with Memphis() as memphis:
        port = str(broker.port)
        await memphis.connect(host=broker.host, port=port, username="root", password="memphis")
        assert memphis.is_connected()


async def test_whether_a_connection_is_active(broker):
    """From connecting to closing, as programs for the original ask."""
    memphis = Memphis()
    assert not memphis.is_connection_active
    await refused(memphis, host=broker.host, port=broker.port, password="wrong")
    assert not memphis.is_connection_active
    await memphis.connect(
        host=broker.host, port=broker.port, username="root", password="memphis", timeout_ms=10_000
    )
    assert memphis.is_connection_active
    await memphis.close()
    assert not memphis.is_connection_active


async def test_cleaning_up_after_an_attempt_that_failed(broker):
    """Whoever closes before there is a connection can still connect."""
    memphis = Memphis()
    await memphis.close()
    await refused(memphis, host=broker.host, port=broker.port, password="wrong")
    await memphis.close()
    await memphis.connect(
        host=broker.host, port=broker.port, username="root", password="memphis", timeout_ms=10_000
    )
    assert memphis.is_connected()
    await memphis.close()


async def test_connecting_twice(broker, memphis):
    """A second connect is refused and harms the first in nothing."""
    with pytest.raises(MemphisUsageError):
        await memphis.connect(
            host=broker.host, port=broker.port, username="root", password="memphis"
        )
    assert memphis.is_connected()


async def test_connecting_twice_at_once(broker):
    """Of two simultaneous calls one connects and the other is told."""
    memphis = Memphis()
    arguments = {"host": broker.host, "port": broker.port, "username": "root"}
    outcomes = await asyncio.gather(
        *(memphis.connect(**arguments, password="memphis", timeout_ms=10_000) for _ in range(2)),
        return_exceptions=True,
    )
    assert outcomes[0] is None
    assert isinstance(outcomes[1], MemphisUsageError)
    await memphis.close()


async def test_cancelled_while_connecting(silent_port):
    """A cancelled attempt leaves no task, and the object can be used again."""
    memphis = Memphis()
    before = own_tasks()
    attempt = asyncio.create_task(
        memphis.connect(host=HOST, port=silent_port, username="root", password="memphis")
    )
    await asyncio.sleep(0)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert own_tasks() == before
    await refused(memphis, host=HOST, port=silent_port, password="memphis", timeout_ms=50)


async def test_closed_while_connecting(broker):
    """Who closes before the connection stands has no connection afterwards."""
    memphis = Memphis()
    attempt = asyncio.create_task(
        memphis.connect(
            host=broker.host,
            port=broker.port,
            username="root",
            password="memphis",
            timeout_ms=10_000,
        )
    )
    await asyncio.sleep(0)
    await memphis.close()
    with pytest.raises(MemphisClosedError):
        await attempt
    assert not memphis.is_connected()


async def test_use_before_connecting():
    """Every call says that there is no connection yet."""
    memphis = Memphis()
    for call in (
        memphis.station("s"),
        memphis.stations(),
        memphis.producer("s", "p"),
        memphis.consumer("s", "c"),
        memphis.produce("s", "p", b""),
        memphis.fetch_messages("s", "c"),
        memphis.create_schema("s", "json", "f"),
        memphis.enforce_schema("s", "s"),
        memphis.detach_schema("s"),
    ):
        with pytest.raises(MemphisConnectError):
            await call


async def test_nothing_is_printed(broker, silent_port, capfd):
    """Neither success nor failure writes to standard output or standard error."""
    memphis = await connect(broker)
    await memphis.close()
    await refused(Memphis(), host=broker.host, port=broker.port, password="wrong")
    await refused(Memphis(), host=HOST, port=silent_port, password="memphis", timeout_ms=50)
    await refused(Memphis(), host=HOST, port=free_port(), password="memphis")
    assert capfd.readouterr() == ("", "")
