"""`memphis mirror` from one of our brokers to another: the one answers as an original's does."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from memphis import Memphis
from memphis_broker.testing import BrokerProcess
from tests.fixtures.sdk import connect
from tests.integration.cli.conftest import command, environment
from tests.waiting import eventually

MESSAGES = 30_000
PARTITIONS = 3
ACK_TIME_S = 2


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """The broker that messages are brought from."""
    with BrokerProcess(tmp_path_factory.mktemp("source")) as process:
        yield process


def start(source: BrokerProcess, here: BrokerProcess, log: Path, *more: str) -> subprocess.Popen:
    """The command; its result goes to ``log``, its notes beside it."""
    arguments = [
        "mirror", "--from", f"{source.host}:{source.port}", "--ack-time-s", str(ACK_TIME_S), *more,
    ]  # fmt: skip
    with log.open("ab") as file, notes_of(log).open("ab") as notes:
        return subprocess.Popen(
            command(*arguments),
            stdout=file,
            stderr=notes,
            env=environment(here.port, MEMPHIS_SOURCE_PASSWORD="memphis"),
        )


def notes_of(log: Path) -> Path:
    return log.with_suffix(".notes")


async def fill(source: BrokerProcess, name: str, count: int) -> None:
    async with await connect(source) as there:
        await there.station(name, partitions_number=PARTITIONS, retention_value=86_400)
        producer = await there.producer(name, "radar")
        for number in range(count):
            await producer.produce(
                b"%d" % number,
                nonblocking=True,
                producer_partition_number=number % PARTITIONS + 1,
                headers={"number": str(number)},
            )
        await producer.flush()


async def read_all(memphis: Memphis, name: str, count: int) -> list[list[int]]:
    """The numbers that each partition holds, in order."""
    consumer = await memphis.consumer(name, "reader")
    found = []
    for partition in range(1, PARTITIONS + 1):
        numbers: list[int] = []
        while len(numbers) < count // PARTITIONS:
            batch = await consumer.fetch(1000, consumer_partition_number=partition)
            assert all(m.get_headers()["number"] == bytes(m.get_data()).decode() for m in batch)
            numbers += [int(bytes(m.get_data())) for m in batch]
            for message in batch:
                await message.ack()
        found.append(numbers)
    assert await consumer.fetch(1) == []
    return found


async def test_a_mirror_that_is_killed_again_and_again(
    memphis: Memphis, broker: BrokerProcess, source: BrokerProcess, name: str, tmp_path: Path
) -> None:
    """Every message is here once, and in the order of its partition."""
    await fill(source, name, MESSAGES)
    station = await memphis.station(
        name, partitions_number=PARTITIONS, retention_value=86_400, idempotency_window_ms=600_000
    )
    log = tmp_path / "mirror.log"

    at = 0

    async def goes_on() -> bool:
        assert mirror.poll() is None, notes_of(log).read_text()
        return (await station.info()).messages > at

    for _ in range(3):
        mirror = start(source, broker, log, name)
        try:
            await eventually(goes_on, deadline_s=60)
        finally:
            mirror.kill()
            mirror.wait()
        at = (await station.info()).messages
        assert at < MESSAGES, "it was done before it was killed: take more messages"
    mirror = start(source, broker, log, name)
    assert await asyncio.to_thread(mirror.wait, 120) == 0, notes_of(log).read_text()
    info = await station.info()
    assert info.messages == MESSAGES
    wanted = [list(range(p, MESSAGES, PARTITIONS)) for p in range(PARTITIONS)]
    assert await read_all(memphis, name, MESSAGES) == wanted


async def test_the_command_tells_what_it_did(
    memphis: Memphis, broker: BrokerProcess, source: BrokerProcess, name: str, tmp_path: Path
) -> None:
    """A row for each partition with its counts; a mismatch is named and is the exit code."""
    await fill(source, name, 9)
    await memphis.station(name, partitions_number=PARTITIONS)
    log = tmp_path / "mirror.log"
    mirror = start(source, broker, log, name)
    assert await asyncio.to_thread(mirror.wait, 60) == 0, notes_of(log).read_text()
    rows = [line.split() for line in log.read_text().splitlines()]
    assert rows[0] == [
        "STATION",
        "PARTITION",
        "THERE",
        "COPIED",
        "KNOWN",
        "DEAD",
        "LETTERS",
        "HERE",
    ]
    assert rows[1:] == [[name, str(p), "3", "3", "0", "0", "3"] for p in (1, 2, 3)]


async def test_a_follower_ends_well_with_a_signal(
    memphis: Memphis, broker: BrokerProcess, source: BrokerProcess, name: str, tmp_path: Path
) -> None:
    """Ctrl-C is how a cut-over ends it: what was under way is here, and the exit code is 0."""
    await fill(source, name, 300)
    station = await memphis.station(name, partitions_number=PARTITIONS)
    log = tmp_path / "mirror.log"
    mirror = start(source, broker, log, name, "--follow")

    async def holds_all() -> bool:
        return (await station.info()).messages == 300

    try:
        await eventually(holds_all, deadline_s=60)
    finally:
        mirror.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(mirror.wait, 60) == 0, notes_of(log).read_text()
    assert "stopping" in notes_of(log).read_text()
