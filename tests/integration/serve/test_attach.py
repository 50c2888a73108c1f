"""`memphis serve --engine`: a broker on a NATS server that somebody else runs."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from memphis_broker.testing import BrokerProcess
from tests.fixtures.broker import BrokerFactory
from tests.integration.serve.helpers import StartEngine, can_log_in, run_memphis
from tests.waiting import eventually


@pytest.fixture
def attach(broker_factory: BrokerFactory, tmp_path: Path):
    """Starts a broker attached to the engine on a port."""

    def start(port: int, *options: str, login: str = "") -> BrokerProcess:
        url = f"nats://{login}127.0.0.1:{port}"
        home = {"HOME": str(tmp_path / "home"), "XDG_DATA_HOME": str(tmp_path / "home")}
        return broker_factory(
            options=["--engine", url, *options], embedded=False, environment=home
        ).start()

    return start


async def test_an_open_engine(start_engine: StartEngine, attach, tmp_path: Path) -> None:
    """On a plain server the broker warns once, serves, and writes nothing to the disk."""
    port = await asyncio.to_thread(start_engine)
    process = await asyncio.to_thread(attach, port)
    assert f"ready at 127.0.0.1:{port}\n" in process.output
    assert process.log.count("the engine is open") == 1
    assert await can_log_in(port, {})
    assert await asyncio.to_thread(process.stop) == 0
    assert not process.data_dir.exists()
    assert not (tmp_path / "home").exists()
    assert await can_log_in(port, {}), "the engine must outlive the broker"


async def test_an_open_engine_with_a_password(start_engine: StartEngine, attach) -> None:
    """User and password of the URL are used, decoded, and shown nowhere."""
    config = 'jetstream {}\nauthorization { user: "some one", password: "p@ss:word" }\n'
    port = await asyncio.to_thread(start_engine, config)
    process = await asyncio.to_thread(attach, port, login="some%20one:p%40ss%3Aword@")
    assert f"ready at 127.0.0.1:{port}\n" in process.output
    assert "ss%3Aword" not in process.log + process.output
    assert "p@ss:word" not in process.log + process.output


async def test_an_open_engine_with_a_token(start_engine: StartEngine, attach) -> None:
    """A user alone in the URL is a token, as for any NATS client."""
    config = 'jetstream {}\nauthorization { token: "word" }\n'
    port = await asyncio.to_thread(start_engine, config)
    process = await asyncio.to_thread(attach, port, login="word@")
    assert f"ready at 127.0.0.1:{port}\n" in process.output


async def test_an_engine_with_the_brokers_accounts(
    start_engine: StartEngine, attach, tmp_path: Path
) -> None:
    """With the printed config in it, a foreign engine has the same logins as an own one."""
    secrets = tmp_path / "secrets.toml"
    made = await asyncio.to_thread(run_memphis, "engine-config", "--secrets-out", str(secrets))
    assert made.returncode == 0, made.stderr
    assert secrets.stat().st_mode & 0o077 == 0
    port = await asyncio.to_thread(start_engine, "jetstream {}\n" + made.stdout)
    options = ["--engine-secrets", str(secrets), "--root-password", "another"]
    process = await asyncio.to_thread(attach, port, *options)
    assert "the engine is open" not in process.log
    assert await can_log_in(port, {"user": "root", "pass": "another"})
    assert not await can_log_in(port)
    assert not await can_log_in(port, {})


async def test_a_second_broker_on_the_same_engine(
    start_engine: StartEngine, attach, tmp_path: Path
) -> None:
    """Two brokers share one engine, and logins work while either lives."""
    secrets = tmp_path / "secrets.toml"
    made = await asyncio.to_thread(run_memphis, "engine-config", "--secrets-out", str(secrets))
    port = await asyncio.to_thread(start_engine, "jetstream {}\n" + made.stdout)
    options = ["--engine-secrets", str(secrets)]
    first = await asyncio.to_thread(attach, port, *options)
    second = await asyncio.to_thread(attach, port, *options)
    await asyncio.to_thread(first.stop)
    assert await can_log_in(port)
    await asyncio.to_thread(second.kill)
    await asyncio.to_thread(first.start)
    await eventually(lambda: can_log_in(port))


async def test_secrets_are_never_overwritten(tmp_path: Path) -> None:
    """A secrets file that exists may be in use: it stays as it is."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text("precious")
    made = await asyncio.to_thread(run_memphis, "engine-config", "--secrets-out", str(secrets))
    assert made.returncode == 1
    assert made.stdout == ""
    assert str(secrets) in made.stderr
    assert secrets.read_text() == "precious"


@pytest.mark.parametrize(
    "config", ["", "accounts { OTHERS { jetstream: enabled } }\n"], ids=["plain", "other accounts"]
)
def test_secrets_for_a_server_without_the_accounts(
    start_engine: StartEngine, tmp_path: Path, config: str
) -> None:
    """A server that lets in whoever comes is not taken for one that protects anything."""
    secrets = tmp_path / "secrets.toml"
    run_memphis("engine-config", "--secrets-out", str(secrets))
    port = start_engine("jetstream {}\n" + config)
    url = f"nats://127.0.0.1:{port}"
    result = run_memphis("serve", "--engine", url, "--engine-secrets", str(secrets))
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert url in result.stderr
    assert "does not have this broker's accounts" in result.stderr


def test_nothing_is_said_about_an_engine_that_was_not_reached() -> None:
    """The warning about open engines is kept until there is one; the reason is in plain words."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{unused.getsockname()[1]}"
        result = run_memphis("serve", "--engine", url)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert url in result.stderr
    assert "connection refused" in result.stderr
    assert "Errno" not in result.stderr
