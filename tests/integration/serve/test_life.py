"""The life of `memphis serve`: ready, stopped, killed, its engine killed, started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from memphis_broker.testing import BrokerFailedError, BrokerProcess
from tests.fixtures.broker import BrokerFactory
from tests.integration.serve.helpers import can_log_in, run_memphis, until_login_works
from tests.waiting import eventually


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    listing = ["ps", "-p", str(pid), "-o", "stat="]
    state = subprocess.run(listing, check=False, capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_it_says_once_where_it_is_and_how_to_connect(fresh_broker: BrokerProcess) -> None:
    """Standard output has the address, the data directory and how to connect, and no logs."""
    output = fresh_broker.output
    assert output.count(f"memphis broker ready at 127.0.0.1:{fresh_broker.port}\n") == 1
    assert str(fresh_broker.data_dir) in output
    assert "from memphis import Memphis" in output
    assert "INFO" not in output
    assert "Traceback" not in fresh_broker.log


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(fresh_broker: BrokerProcess, kind: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end with status 0 and leave no engine behind."""
    engine = fresh_broker.engine_pid
    os.kill(fresh_broker.pid, kind)
    assert fresh_broker.stop() == 0
    assert not is_alive(engine)
    assert "Traceback" not in fresh_broker.log


async def test_a_killed_engine_comes_back_on_its_port(fresh_broker: BrokerProcess) -> None:
    """After SIGKILL of the engine the broker starts another, and logins work again."""
    first = fresh_broker.engine_pid
    await asyncio.to_thread(fresh_broker.kill_engine)
    await until_login_works(fresh_broker.port)
    assert fresh_broker.engine_pid != first
    assert "the engine ended (status -9" in fresh_broker.log
    assert await asyncio.to_thread(fresh_broker.stop) == 0


async def test_an_engine_killed_again_and_again_comes_back(fresh_broker: BrokerProcess) -> None:
    """Each of several kills is survived."""
    for _ in range(3):
        await asyncio.to_thread(fresh_broker.kill_engine)
        await until_login_works(fresh_broker.port)


async def test_a_signal_while_it_starts_again_stops_it(fresh_broker: BrokerProcess) -> None:
    """SIGTERM right after the engine died, at whatever point of the new start, ends in order."""
    for _ in range(5):
        await asyncio.to_thread(fresh_broker.kill_engine)
        assert await asyncio.to_thread(fresh_broker.stop) == 0
        await asyncio.to_thread(fresh_broker.start)


async def test_the_engine_outlives_a_killed_broker(fresh_broker: BrokerProcess) -> None:
    """After SIGKILL of the broker its engine serves on; the next broker replaces it."""
    engine = fresh_broker.engine_pid
    await asyncio.to_thread(fresh_broker.kill)
    assert fresh_broker.engine_pid == engine
    with socket.create_connection(("127.0.0.1", fresh_broker.port), timeout=10) as connection:
        assert connection.recv(4) == b"INFO"
    await asyncio.to_thread(fresh_broker.start)
    assert not is_alive(engine)
    assert await can_log_in(fresh_broker.port)


async def test_a_broker_killed_while_starting_can_be_started(
    fresh_broker: BrokerProcess,
) -> None:
    """A broker and its engine, both killed, start again on the same data."""
    await asyncio.to_thread(fresh_broker.kill)
    await asyncio.to_thread(fresh_broker.kill_engine)
    await asyncio.to_thread(fresh_broker.start)
    assert await can_log_in(fresh_broker.port)


async def test_a_stranger_with_the_engines_old_pid_is_left_alone(
    fresh_broker: BrokerProcess,
) -> None:
    """A process id that was reused by another program is not taken for the engine."""
    await asyncio.to_thread(fresh_broker.stop)
    (fresh_broker.data_dir / "engine" / "nats-server.pid").write_text(str(os.getpid()))
    await asyncio.to_thread(fresh_broker.start)
    assert await can_log_in(fresh_broker.port)


async def test_a_hanging_engine_is_ended_all_the_same(fresh_broker: BrokerProcess) -> None:
    """A left-over engine that does not react to SIGTERM is killed."""
    engine = fresh_broker.engine_pid
    await asyncio.to_thread(fresh_broker.kill)
    os.kill(engine, signal.SIGSTOP)
    await asyncio.to_thread(fresh_broker.start)
    await eventually(lambda: not is_alive(engine))
    assert await can_log_in(fresh_broker.port)


def test_a_second_broker_on_the_same_data_is_refused(fresh_broker: BrokerProcess) -> None:
    """The refusal names the directory and the broker that has it."""
    directory = str(fresh_broker.data_dir)
    result = run_memphis("serve", "--port", "0", "--data-dir", directory)
    assert result.returncode == 1
    assert directory in result.stderr
    assert f"pid {fresh_broker.pid}" in result.stderr
    assert "Traceback" not in result.stderr
    assert fresh_broker.engine_pid


async def test_it_listens_on_ipv6(broker_factory: BrokerFactory) -> None:
    """An IPv6 address is printed in brackets and works."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
    process = await asyncio.to_thread(broker_factory(host="::1").start)
    assert f"ready at [::1]:{process.port}\n" in process.output


async def test_it_listens_on_a_host_name(broker_factory: BrokerFactory) -> None:
    """localhost is as good as its address."""
    process = await asyncio.to_thread(broker_factory(host="localhost").start)
    assert f"ready at localhost:{process.port}\n" in process.output


async def test_every_interface_with_a_password_of_its_own(broker_factory: BrokerFactory) -> None:
    """With another root password a broker may listen everywhere, and finds its own engine."""
    options = ["--root-password", "another"]
    process = await asyncio.to_thread(broker_factory(host="0.0.0.0", options=options).start)
    assert await can_log_in(process.port, {"user": "root", "pass": "another"})


def test_a_failed_start_is_reported_by_the_helper(broker_factory: BrokerFactory) -> None:
    """BrokerProcess shows the broker's own words when it does not start."""
    with pytest.raises(BrokerFailedError, match="durability"):
        broker_factory(options=["--durability", "maybe"]).start()


def test_logs_as_json(broker_factory: BrokerFactory) -> None:
    """With --log-format json each log line is one object."""
    process = broker_factory(options=["--log-format", "json"]).start()
    lines = [json.loads(line) for line in process.log.splitlines()]
    assert any(line["logger"] == "memphis_broker.engine.embedded" for line in lines)
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)


def test_limits_reach_the_engine(broker_factory: BrokerFactory) -> None:
    """Caps and durability are what the engine runs with."""
    options = ["--max-disk", "1GB", "--max-memory", "64MB", "--durability", "always"]
    process = broker_factory(options=options, environment={"MEMPHIS_MAX_MESSAGE_SIZE": "1MB"})
    config = Path(process.start().data_dir, "engine", "nats-server.conf").read_text()
    for expected in ("max_file: 1073741824", "max_mem: 67108864", "max_payload: 1048576"):
        assert expected in config
    assert 'sync_interval: "always"' in config
