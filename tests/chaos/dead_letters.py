"""Follow every message of three groups whose handlers fail at random, while broker and engine are killed.

Handlers acknowledge, nack, delay, ignore, raise and call ``dead_letter()``, as the seed has it. Meanwhile
somebody gives dead letters back, and every few seconds the broker is killed with SIGKILL: alone, so that
the next one ends its engine and starts another, or on an engine that stands, or the engine itself is
killed. Afterwards each message that was confirmed to its producer has, for each group, one end:

- it was acknowledged, or it is among the group's dead letters, or it went there and was given back;
- it is at most once among the dead letters of one group, with the payload that was sent;
- nothing is pending, and a station with retention by acknowledgements is empty.

``python -m tests.chaos.dead_letters --help`` runs it by hand; test_dead_letters.py runs it in the tests.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memphis import Memphis, Message, Retention
from memphis.exceptions import MemphisError
from memphis_broker.testing import BrokerProcess
from tests.fixtures.engine import Engine
from tests.waiting import NeverHappenedError, eventually

GROUPS = ("billing", "shipping", "audit")
VICTIMS = ("broker", "attached", "engine")
RETENTIONS = {"age": Retention.MAX_MESSAGE_AGE_SECONDS, "acks": Retention.ACK_BASED}

_STATION = "orders"
_PARTITIONS = 2
_MEMBERS = 2
_BATCH_SIZE = 50
_ACK_TIME_MS = 1_000
_DELIVERIES_MAX = 3
_END_S = 120.0
_WAYS = ("ack", "nack", "delay", "ignore", "raise", "dead_letter")
_WEIGHTS = (60, 12, 8, 8, 4, 8)

Fate = tuple[str, int]
"""A group, and the number of a message."""


class HistoryError(AssertionError):
    """A message has no end, or one too many; the text says which."""


@dataclass
class History:
    """What happened to the messages of one run."""

    seed: int
    victim: str
    retention: str
    sent: dict[int, bytes] = field(default_factory=dict)
    unconfirmed: int = 0
    acknowledged: set[Fate] = field(default_factory=set)
    dead: Counter[Fate] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    given_back: int = 0
    kills: int = 0
    seconds: float = 0.0

    def violations(self) -> Iterator[str]:
        """What must not be."""
        for number in sorted(self.sent):
            for group in GROUPS:
                fate = (group, number)
                if not self.dead[fate] and fate not in self.acknowledged:
                    yield f"message {number} is unaccounted for in group {group}"
                if self.dead[fate] > 1:
                    yield f"message {number} is {self.dead[fate]} times among the dead of {group}"

    def line(self) -> str:
        """The run in a line, for people."""
        return (
            f"seed {self.seed} {self.victim} {self.retention}: {len(self.sent)} messages, "
            f"{self.kills} kills, {sum(self.dead.values())} dead letters at the end, "
            f"{self.given_back} given back, {dict(self.ways)}, {self.seconds:.0f} s"
        )


async def run(
    seed: int, victim: str = "broker", retention: str = "age", messages: int = 600, kills: int = 4
) -> History:
    """Do the whole run; returns the history if everything is as it must be.

    Raises:
        HistoryError: A message has no end, or one too many.
    """
    history = History(seed, victim, retention)
    started = time.monotonic()
    async with _world(victim) as (broker, engine):
        async with _connected(broker) as memphis:
            await _go_through(memphis, broker, engine, history, messages, kills)
        async with _connected(broker) as memphis:
            await _read_dead_letters(memphis, history)
            await _check_rest(memphis, history)
    history.seconds = time.monotonic() - started
    found = list(history.violations())
    if found:
        raise HistoryError(f"{len(found)} violations; the first: {'; '.join(found[:5])}")
    return history


async def _go_through(
    memphis: Memphis,
    broker: BrokerProcess,
    engine: Engine | None,
    history: History,
    messages: int,
    kills: int,
) -> None:
    await memphis.station(_STATION, RETENTIONS[history.retention], partitions_number=_PARTITIONS)
    calm = asyncio.Event()
    async with contextlib.AsyncExitStack() as members:
        for group in GROUPS:
            for number in range(_MEMBERS):
                member = await members.enter_async_context(_connected(broker))
                dice = random.Random(f"{history.seed} {group} {number}")
                await _start_member(member, group, f"{group}-{number}", history, dice)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_send(memphis, history, messages))
            tasks.create_task(_give_back(memphis, history, calm))
            await _kill_at_times(broker, engine, history, kills)
            calm.set()
        await _until_settled(memphis, history)


async def _send(memphis: Memphis, history: History, messages: int) -> None:
    producer = await memphis.producer(_STATION, "shop")
    for number in range(messages):
        payload = f"order {number}".encode()
        try:
            await producer.produce(
                payload, headers={"number": str(number)}, msg_id=f"order-{number}", ack_wait_sec=60
            )
        except MemphisError:
            history.unconfirmed += 1
        else:
            history.sent[number] = payload


async def _start_member(
    memphis: Memphis, group: str, name: str, history: History, dice: random.Random
) -> None:
    async def settle(message: Message) -> None:
        way = dice.choices(_WAYS, _WEIGHTS)[0]
        history.ways[way] += 1
        match way:
            case "ack":
                await message.ack()
                history.acknowledged.add((group, int(message.get_headers()["number"])))
            case "nack":
                await message.nack()
            case "delay":
                await message.delay(dice.random() / 2)
            case "dead_letter":
                await message.dead_letter("the dice")
            case "raise":
                raise ValueError("the dice")

    async def handle(messages: list[Message], error: MemphisError | None, _context: object) -> None:
        del error  # nothing to read just now
        for message in messages:
            # What cannot be settled while the engine is away is still the group's.
            with contextlib.suppress(MemphisError, ValueError):
                await settle(message)

    consumer = await memphis.consumer(
        _STATION, name, group, pull_interval_ms=20, batch_size=_BATCH_SIZE,
        max_ack_time_ms=_ACK_TIME_MS, max_msg_deliveries=_DELIVERIES_MAX,
    )  # fmt: skip
    consumer.consume(handle)


async def _give_back(memphis: Memphis, history: History, calm: asyncio.Event) -> None:
    """As a person would, now and then, one group's, until it is calm; those of the last group stay."""
    dice = random.Random(f"{history.seed} person")
    while not calm.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(dice.uniform(0.5, 2.0)):
                await calm.wait()
        group = dice.choice(GROUPS[:-1])
        with contextlib.suppress(MemphisError):
            result = await memphis.dead_letters(group=group).redrive()
            history.given_back += result.moved


async def _kill_at_times(
    broker: BrokerProcess, engine: Engine | None, history: History, kills: int
) -> None:
    dice = random.Random(f"{history.seed} killer")
    for _ in range(kills):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(dice.uniform(1.0, 3.0)):
                await asyncio.get_running_loop().create_future()
        history.kills += 1
        if history.victim == "engine":
            await asyncio.to_thread(broker.kill_engine)
            continue
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        if engine is not None:
            broker.port = engine.port


async def _until_settled(memphis: Memphis, history: History) -> None:
    """Until every group is done with every message, one way or the other."""

    async def is_settled() -> bool:
        try:
            info = await (await memphis.existing_station(_STATION)).info()
        except MemphisError:
            return False
        return len(info.groups) == len(GROUPS) and not any(
            group.pending or group.unacknowledged for group in info.groups
        )

    try:
        await eventually(is_settled, _END_S, "every group is done with every message")
    except NeverHappenedError as error:
        raise HistoryError(f"messages stay pending: {error}") from error


async def _read_dead_letters(memphis: Memphis, history: History) -> None:
    async for letter in memphis.dead_letters():
        headers = letter.get_headers()
        if letter.kind != "poison" or "number" not in headers:
            raise HistoryError(f"{letter} is not one of ours: {letter.reason}")
        number = int(headers["number"])
        if number in history.sent and letter.get_data() != history.sent[number]:
            raise HistoryError(f"{letter} is not what was sent as message {number}")
        history.dead[letter.group, number] += 1


async def _check_rest(memphis: Memphis, history: History) -> None:
    station = await memphis.existing_station(_STATION)
    if history.retention == "acks":

        async def is_empty() -> bool:
            return (await station.info()).messages == 0

        try:
            await eventually(is_empty, _END_S, "the station is empty")
        except NeverHappenedError as error:
            raise HistoryError("messages that everybody is done with stay for ever") from error


@asynccontextmanager
async def _world(victim: str) -> AsyncIterator[tuple[BrokerProcess, Engine | None]]:
    with tempfile.TemporaryDirectory(prefix="memphis-chaos-") as folder:
        if victim != "attached":
            async with BrokerProcess(Path(folder)) as broker:
                yield broker, None
            return
        engine = Engine(Path(folder))
        await asyncio.to_thread(engine.start)
        try:
            process = BrokerProcess(
                Path(folder) / "broker", options=["--engine", engine.url], embedded=False
            )
            async with process as broker:
                broker.port = engine.port
                yield broker, engine
        finally:
            await asyncio.to_thread(engine.stop)


@asynccontextmanager
async def _connected(broker: BrokerProcess) -> AsyncIterator[Memphis]:
    memphis = Memphis()
    await memphis.connect(
        broker.host, "root", password="memphis", port=broker.port,
        reconnect_interval_ms=100, timeout_ms=10_000,
    )  # fmt: skip
    try:
        yield memphis
    finally:
        with contextlib.suppress(MemphisError):
            await memphis.close()


def main() -> int:
    """Run by hand; the exit status is 0 only if every run was without a violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.dead_letters", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="how many, each with its own seed")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--victim", choices=VICTIMS, default="broker", help="what is killed")
    parser.add_argument("--retention", choices=RETENTIONS, default="age", help="of the station")
    parser.add_argument("--messages", type=int, default=600)
    parser.add_argument("--kills", type=int, default=5)
    arguments: Any = parser.parse_args()
    failed = []
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        try:
            history = asyncio.run(
                run(
                    seed, arguments.victim, arguments.retention, arguments.messages,
                    arguments.kills,
                )
            )  # fmt: skip
        except HistoryError as error:
            failed.append(seed)
            sys.stdout.write(
                f"seed {seed} {arguments.victim} {arguments.retention}: VIOLATED: {error}\n"
            )
        else:
            sys.stdout.write(history.line() + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"{arguments.runs} runs, {len(failed)} with violations {failed or ''}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
