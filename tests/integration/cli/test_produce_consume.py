"""`memphis produce` and `memphis consume`, against a real broker."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memphis_broker.cli.produce import ranges
from memphis_broker.testing import BrokerProcess
from tests.integration.cli.conftest import (
    DEADLINE_S,
    CommandLine,
    command,
    command_line,
    environment,
)
from tests.waiting import eventually_sync


def read_json(memphis: CommandLine, station: str, *options: str) -> list[dict[str, Any]]:
    result = memphis("consume", station, "--group", "readers", "--json", *options)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_arguments_go_in_and_come_out(memphis: CommandLine, station: str) -> None:
    """What is produced as arguments is consumed as lines, in order."""
    produced = memphis("produce", station, "first", "zweite ü")
    assert produced.returncode == 0, produced.stderr
    consumed = memphis("consume", station, "--group", "readers")
    assert consumed.returncode == 0, consumed.stderr
    assert consumed.stdout.decode().splitlines() == ["first", "zweite ü"]


def test_lines_of_standard_input(memphis: CommandLine, station: str) -> None:
    """Each line is a message; empty ones and line ends are left out, the last may be unended."""
    memphis("produce", station, stdin=b"one\r\n\ntwo\nthree")
    assert [item["data"] for item in read_json(memphis, station)] == ["one", "two", "three"]


def test_lines_of_a_file(memphis: CommandLine, station: str, tmp_path: Path) -> None:
    """A file of more lines than fit into the window arrives whole and in order."""
    lines = [f"line {number}" for number in range(5000)]
    file = tmp_path / "lines.txt"
    file.write_text("\n".join(lines) + "\n")
    produced = memphis("produce", station, "--file", str(file))
    assert b"5,000 messages stored" in produced.stderr
    assert memphis("consume", station, "-g", "readers").stdout.decode().splitlines() == lines


def test_a_whole_file_as_one_message(memphis: CommandLine, station: str, tmp_path: Path) -> None:
    """With --whole the bytes go in as they are; JSON carries what is no text as base64."""
    payload = bytes(range(256)) + b"\n\n"
    file = tmp_path / "data.bin"
    file.write_bytes(payload)
    assert memphis("produce", station, "--file", str(file), "--whole").returncode == 0
    [message] = read_json(memphis, station)
    assert base64.b64decode(message["data_base64"]) == payload
    assert "data" not in message


def test_json_tells_all_that_is_known(memphis: CommandLine, station: str) -> None:
    """Headers, place and time of a message are there for programs."""
    memphis("station", "create", station, "--partitions", "3")
    memphis("produce", station, "hello", "-H", "colour=blue", "-H", "note=a=b", "--partition", "2")
    [message] = read_json(memphis, station)
    assert message["station"] == station
    assert (message["partition"], message["sequence"], message["deliveries"]) == (2, 1, 1)
    assert message["headers"]["colour"] == "blue"
    assert message["headers"]["note"] == "a=b"
    assert message["time"].endswith("+00:00")


def test_a_key_chooses_one_partition(memphis: CommandLine, station: str) -> None:
    """All messages with a key lie in one partition, in order."""
    memphis("station", "create", station, "--partitions", "3")
    memphis("produce", station, "--key", "berlin", stdin=b"1\n2\n3\n")
    messages = read_json(memphis, station)
    assert [message["data"] for message in messages] == ["1", "2", "3"]
    assert len({message["partition"] for message in messages}) == 1


def test_consume_reads_one_partition(memphis: CommandLine, station: str) -> None:
    """With --partition the others are left alone."""
    memphis("station", "create", station, "--partitions", "2")
    memphis("produce", station, "one", "--partition", "1")
    memphis("produce", station, "two", "--partition", "2")
    assert [item["data"] for item in read_json(memphis, station, "--partition", "2")] == ["two"]
    assert [item["data"] for item in read_json(memphis, station)] == ["one"]


def test_a_message_id_is_stored_once(memphis: CommandLine, station: str) -> None:
    """Sending a file again adds nothing, and the command says so."""
    lines = b"a\nb\nc\n"
    memphis("produce", station, "--msg-id", "import-{n}", stdin=lines)
    again = memphis("produce", station, "--msg-id", "import-{n}", stdin=lines)
    assert again.returncode == 0
    assert b"3 of them already there" in again.stderr
    assert len(read_json(memphis, station)) == 3


def test_one_message_id_for_several_messages_is_refused(memphis: CommandLine, station: str) -> None:
    """It would make all but the first vanish; nothing is sent."""
    memphis("station", "create", station)
    refused = memphis("produce", station, "a", "b", "--msg-id", "same")
    assert refused.returncode == 2
    assert json.loads(memphis("station", "info", station, "--json").stdout)["messages"] == 0


def test_count_ends_and_the_next_run_goes_on(memphis: CommandLine, station: str) -> None:
    """The group keeps its place from one run to the next, and takes no message too many."""
    memphis("produce", station, *"abcde")
    assert [item["data"] for item in read_json(memphis, station, "--count", "2")] == ["a", "b"]
    assert [item["data"] for item in read_json(memphis, station)] == ["c", "d", "e"]


def test_a_new_group_may_begin_near_the_end(memphis: CommandLine, station: str) -> None:
    """--last-messages and --from-sequence place a group that is new."""
    memphis("produce", station, *"abcde")
    last = memphis("consume", station, "-g", "late", "--last-messages", "2")
    assert last.stdout == b"d\ne\n"
    fourth = memphis("consume", station, "-g", "fourth", "--from-sequence", "4")
    assert fourth.stdout == b"d\ne\n"


def test_follow_waits_for_more_until_interrupted(
    memphis: CommandLine, station: str, broker: BrokerProcess, tmp_path: Path
) -> None:
    """A follower writes what comes later, and Ctrl-C ends it with status 130 and no traceback."""
    memphis("produce", station, "early")
    output, complaints = tmp_path / "out", tmp_path / "err"
    with following(station, broker.port, tmp_path) as follower:
        eventually_sync(lambda: output.read_bytes() == b"early\n", DEADLINE_S)
        memphis("produce", station, "late")
        eventually_sync(lambda: output.read_bytes() == b"early\nlate\n", DEADLINE_S)
        follower.send_signal(signal.SIGINT)
        assert follower.wait(DEADLINE_S) == 130
    assert b"Traceback" not in complaints.read_bytes()


@pytest.mark.parametrize("accident", ["kill_engine", "restart"])
def test_follow_outlives_engine_and_broker(
    fresh_broker: BrokerProcess, station: str, tmp_path: Path, accident: str
) -> None:
    """A follower waits while the engine is away, says so, and writes what came afterwards, once."""
    memphis = command_line(fresh_broker.port)
    memphis("produce", station, "early")
    output, complaints = tmp_path / "out", tmp_path / "err"

    def is_all_acknowledged() -> bool:
        found = memphis("station", "info", station, "--json")
        return found.returncode == 0 and json.loads(found.stdout)["groups"] == [
            {
                "name": "readers",
                "pending": 0,
                "unacknowledged": 0,
                "redelivered": 0,
                "dead_letters": 0,
            }
        ]

    with following(station, fresh_broker.port, tmp_path) as follower:
        eventually_sync(lambda: output.read_bytes() == b"early\n", DEADLINE_S)
        eventually_sync(is_all_acknowledged, DEADLINE_S)
        getattr(fresh_broker, accident)()
        eventually_sync(
            lambda: memphis("produce", station, "late", "--msg-id", "late").returncode == 0,
            DEADLINE_S,
        )
        eventually_sync(lambda: output.read_bytes() == b"early\nlate\n", DEADLINE_S)
        assert follower.poll() is None
        eventually_sync(is_all_acknowledged, DEADLINE_S)
    assert b"is lost" in complaints.read_bytes()
    assert b"Traceback" not in complaints.read_bytes()


def test_follow_ends_with_its_station(
    memphis: CommandLine, station: str, broker: BrokerProcess, tmp_path: Path
) -> None:
    """What is not there any more is not waited for."""
    memphis("produce", station, "only")
    with following(station, broker.port, tmp_path) as follower:
        eventually_sync(lambda: (tmp_path / "out").read_bytes() == b"only\n", DEADLINE_S)
        memphis("station", "rm", station, "--yes")
        assert follower.wait(DEADLINE_S) == 1
    assert b"Traceback" not in (tmp_path / "err").read_bytes()


@contextlib.contextmanager
def following(station: str, port: int, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A follower of a station, writing to the files ``out`` and ``err`` of a directory."""
    with (directory / "out").open("wb") as out, (directory / "err").open("wb") as err:
        follower = subprocess.Popen(
            command("consume", station, "-g", "readers", "--follow"),
            stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(port),
        )  # fmt: skip
    try:
        yield follower
    finally:
        follower.kill()
        follower.wait()


def piped(port: int, *arguments: str) -> subprocess.Popen[bytes]:
    """A command with a pipe at each end; leaving its block closes them and waits for it."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command(*arguments), stdin=pipe, stdout=pipe, stderr=pipe, env=environment(port)
    )


def test_a_reader_that_goes_away_loses_nothing(
    memphis: CommandLine, station: str, broker: BrokerProcess
) -> None:
    """When the pipe closes the command ends quietly; what was not written comes to the next run."""
    memphis("station", "create", station)
    lines = [f"{number:06}" + "x" * 500 for number in range(3000)]
    memphis("produce", station, stdin="\n".join(lines).encode())
    options = ("-g", "readers", "--max-ack-time-ms", "1000")
    with piped(broker.port, "consume", station, *options) as consumer:
        assert consumer.stdout is not None
        assert consumer.stderr is not None
        consumer.stdout.readline()
        consumer.stdout.close()
        complaints = consumer.stderr.read()
        assert consumer.wait(DEADLINE_S) == 1
    assert complaints == b""
    seen: set[str] = set()

    def rest_has_come() -> bool:
        seen.update(item["data"] for item in read_json(memphis, station))
        return lines[-1] in seen

    eventually_sync(rest_has_come, DEADLINE_S)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([7], "7"), ([2, 1], "1-2"), ([58, 60, 59, 3, 61, 1000], "3, 58-61, 1000")],
)
def test_numbers_are_written_in_short(numbers: list[int], text: str) -> None:
    """Neighbours become a range, in whatever order they failed."""
    assert ranges(numbers) == text


def test_an_outage_names_every_message_that_failed(
    fresh_broker: BrokerProcess, station: str
) -> None:
    """Whoever must send them again knows which; those before are counted as stored."""
    memphis = command_line(fresh_broker.port)
    memphis("station", "create", station)

    def is_stored() -> bool:
        found = memphis("station", "info", station, "--json")
        return json.loads(found.stdout)["messages"] == 3

    with piped(fresh_broker.port, "produce", station) as producer:
        assert producer.stdin is not None
        producer.stdin.write(b"1\n2\n3\n")
        producer.stdin.flush()
        eventually_sync(is_stored, DEADLINE_S)
        fresh_broker.stop()
        _, complaints = producer.communicate(b"4\n5\n6\n", DEADLINE_S)
        assert producer.returncode == 1
    assert b"3 messages stored" in complaints
    assert b"3 messages, numbers 4-6; the first: message 4:" in complaints
    assert b"Traceback" not in complaints


def test_an_interrupted_producer_ends(
    memphis: CommandLine, station: str, broker: BrokerProcess
) -> None:
    """What was typed so far has been sent, and Ctrl-C ends the wait for more."""
    memphis("station", "create", station)
    with piped(broker.port, "produce", station) as producer:
        assert producer.stdin is not None
        assert producer.stderr is not None
        producer.stdin.write(b"only one\n")
        producer.stdin.flush()
        consumed = memphis("consume", station, "-g", "readers", "--follow", "--count", "1")
        assert consumed.stdout == b"only one\n"
        producer.send_signal(signal.SIGINT)
        assert producer.wait(DEADLINE_S) == 130
        assert b"Traceback" not in producer.stderr.read()
