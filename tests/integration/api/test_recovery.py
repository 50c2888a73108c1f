"""Half-made stations: what a killed broker leaves, and what several brokers do to each other."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from nats.aio.client import Client

from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import StationCreate, StationGet, StationOptions, StationRemove
from memphis.wire.names import StationName
from memphis_broker.app import App
from memphis_broker.engine.records import RecordConflictError, RecordStore
from memphis_broker.engine.streams import Streams
from memphis_broker.stations import claims, model
from memphis_broker.stations.claims import Claim, ClaimLostError
from memphis_broker.stations.model import StationRecord, StationState
from tests.integration.api.conftest import Asker, Engine, StreamNames

NAME = StationName.parse("s.x")


def half_made(state: StationState, **options: Any) -> StationRecord:
    """A station as a broker that was killed has left it."""
    return StationRecord(
        name=NAME,
        id="life-one",
        state=state,
        options=StationOptions(partitions_number=3, **options),
        created_at=datetime.now(UTC),
        claimed_by="a broker that is gone",
    )


async def leave_behind(engine: Engine, record: StationRecord, partitions: list[int]) -> None:
    """Write a record and make some of its streams, as if killed in between."""
    async with engine.connections() as connections:
        store = RecordStore(connections.control, "memphis_stations", 1)
        await store.open()
        await store.write(model.key_of(NAME), record.model_dump_json().encode(), 0)
        for partition in partitions:
            await Streams(connections.clients).create(model.partition_stream(record, partition))


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("made", [[], [1], [2, 3], [1, 2, 3]])
async def test_a_creation_that_was_cut_off_is_finished(
    engine: Engine, client: Client, stream_names: StreamNames, made: list[int], alone: bool
):
    """After the next start the station is whole, whichever streams were there already."""
    await leave_behind(engine, half_made(StationState.CREATING), made)
    async with engine.app(alone=alone):
        assert await stream_names() == ["s#x$1", "s#x$2", "s#x$3"]
        assert (await Asker(client).ok(StationGet(name=NAME)))["id"] == "life-one"


@pytest.mark.parametrize("made", [[], [2], [1, 2, 3]])
async def test_a_deletion_that_was_cut_off_is_finished(
    engine: Engine, client: Client, stream_names: StreamNames, made: list[int]
):
    """After the next start nothing is left, and the name is free."""
    await leave_behind(engine, half_made(StationState.DELETING), made)
    async with engine.app():
        ask = Asker(client)
        assert await stream_names() == []
        assert await ask.refused(StationGet(name=NAME)) == ErrorCode.STATION_NOT_FOUND
        assert (await ask.ok(StationCreate(name=NAME)))["created"] is True


async def test_a_creation_that_cannot_succeed_is_undone_at_the_start(
    engine: Engine, client: Client, stream_names: StreamNames
):
    """A half-made station that needs three servers does not keep the broker from starting."""
    await leave_behind(engine, half_made(StationState.CREATING, replicas=3), [])
    async with engine.app():
        refused = await Asker(client).refused(StationGet(name=NAME))
        assert refused == ErrorCode.STATION_NOT_FOUND
        assert await stream_names() == []


async def test_a_running_broker_takes_over_from_one_that_died(
    engine: Engine, client: Client, stream_names: StreamNames
):
    """A request that finds a half-made station waits for its broker, then finishes it."""
    async with engine.app(alone=False):
        await leave_behind(engine, half_made(StationState.CREATING), [1])
        opened = await Asker(client).ok(StationCreate(name=NAME))
        assert (opened["created"], opened["station"]["id"]) == (False, "life-one")
        assert len(await stream_names()) == 3


async def test_a_stream_of_a_dead_life_is_replaced(
    engine: Engine, client: Client, stream_names: StreamNames
):
    """What an earlier life left over does not come back in a later one."""
    old = half_made(StationState.CREATING)
    async with engine.app():
        await Streams(client).create(model.partition_stream(old, 2))
        await client.jetstream().publish("s#x$2.in", b"of the dead")
        ask = Asker(client)
        await ask.ok(StationCreate(name=NAME, options=StationOptions(partitions_number=2)))
        assert (await client.jetstream().stream_info("s#x$2")).state.messages == 0


async def test_a_stream_that_is_not_ours_is_left_alone(app: App, client: Client):
    """Somebody else's stream under a partition's name is never deleted."""
    await client.jetstream().add_stream(name="s#x$2", subjects=["other"])
    ask = Asker(client)
    request = StationCreate(name=NAME, options=StationOptions(partitions_number=3))
    assert await ask.refused(request) == ErrorCode.ENGINE_REFUSED
    assert [s.config.name for s in await client.jetstream().streams_info()] == [
        "memphis_dead_letters",
        "memphis_given_up",
        "memphis_legacy_reports",
        "s#x$2",
    ]


async def test_a_claim_that_was_taken_over_is_lost(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    """Once another broker has claimed a station, the first one can neither go on nor delete."""
    monkeypatch.setattr(claims, "RENEW_AFTER_S", 0.0)
    async with engine.connections() as connections:
        store = RecordStore(connections.control, "memphis_stations", 1)
        await store.open()
        key = model.key_of(NAME)
        record = half_made(StationState.DELETING)
        first = await Claim.take(store, await store.read(key), record, "first")
        await first.prove()
        second = await Claim.take(store, await store.read(key), record, "second")
        with pytest.raises(ClaimLostError):
            await first.prove()
        with pytest.raises(ClaimLostError):
            await first.erase()
        await second.erase()
        assert (await store.read(key)).value is None


async def test_a_slow_removal_leaves_a_later_life_alone(
    engine: Engine, client: Client, monkeypatch: pytest.MonkeyPatch
):
    """A broker that lost its claim on one life does not go on with the next one."""
    async with engine.app(alone=False), engine.connections() as connections:
        ask = Asker(client)
        old = await ask.ok(StationCreate(name=NAME))
        take = Claim.take

        async def too_late(records: RecordStore, *rest: Any) -> Claim:
            # Meanwhile others have removed the station and created it again.
            monkeypatch.setattr(Claim, "take", take)
            store = RecordStore(connections.control, "memphis_stations", 1)
            key = model.key_of(NAME)
            record = await store.read(key)
            later = half_made(StationState.READY).model_copy(update={"id": "life-two"})
            await store.write(key, later.model_dump_json().encode(), record.revision)
            return await take(records, *rest)

        monkeypatch.setattr(Claim, "take", too_late)
        assert await ask.refused(StationRemove(name=NAME)) == ErrorCode.STATION_NOT_FOUND
        assert old["station"]["id"] != "life-two"
        assert (await ask.ok(StationGet(name=NAME)))["id"] == "life-two"


async def test_the_same_station_created_by_many_brokers_at_once_is_one(
    engine: Engine, client: Client, stream_names: StreamNames
):
    """All get the same station, and exactly one of them created it."""
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(engine.app(alone=False))
        ask = Asker(client)
        request = StationCreate(name=NAME, options=StationOptions(partitions_number=5))
        opened = await asyncio.gather(*(ask.ok(request) for _ in range(12)))
        assert len({one["station"]["id"] for one in opened}) == 1
        assert sum(one["created"] for one in opened) == 1
        assert len(await stream_names()) == 5


@pytest.mark.parametrize("seed", range(3))
async def test_creations_and_removals_by_several_brokers_end_consistent(
    engine: Engine, client: Client, stream_names: StreamNames, seed: int
):
    """Whatever the order, the streams at the end are those of the stations that say they are."""
    chosen = random.Random(seed)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(engine.app(alone=False))
        ask = Asker(client)

        async def one(_: int) -> None:
            name = chosen.choice(["a", "b.c"])
            if chosen.random() < 0.5:
                options = StationOptions(partitions_number=chosen.randint(1, 4))
                await ask.ok(StationCreate(name=name, options=options))
                return
            refused = (await ask(StationRemove(name=name))).error
            assert refused is None or refused.code == ErrorCode.STATION_NOT_FOUND

        await asyncio.gather(*(one(number) for number in range(60)))
        expected = {}
        for name in ("a", "b.c"):
            found = (await ask(StationGet(name=name))).ok
            if found is not None:
                internal = StationName.parse(name).internal
                expected |= {f"{internal}${p}": found["id"] for p in found["partitions"]}
        js = client.jetstream()
        owners = {
            stream: (await js.stream_info(stream)).config.metadata[model.STATION_ID]  # type: ignore[index]
            for stream in await stream_names()
        }
        assert owners == expected


async def test_a_record_is_written_only_if_it_is_unchanged(engine: Engine):
    """Records come back after they were erased, and no stale revision ever wins."""
    async with engine.connections() as connections:
        store = RecordStore(connections.control, "b", 1)
        await store.open()
        await store.open()
        first = await store.write("k", b"1", 0)
        with pytest.raises(RecordConflictError):
            await store.write("k", b"x", 0)
        second = await store.write("k", b"2", first)
        with pytest.raises(RecordConflictError):
            await store.erase("k", first)
        await store.erase("k", second)
        gone = await store.read("k")
        assert gone.value is None
        assert await store.scan() == []
        with pytest.raises(RecordConflictError):
            await store.write("k", b"3", 0)
        await store.write("k", b"3", gone.revision)
        for number in range(1500):
            await store.write(f"n{number}", b"", 0)
        assert len(await store.scan()) == 1501


async def test_an_engine_that_is_gone_is_said_to_be_gone(engine: Engine):
    """Without a connection every call ends in a refusal that may be tried again."""
    async with engine.connections() as connections:
        store = RecordStore(connections.control, "b", 1)
        await connections.control.close()
        with pytest.raises(Refusal) as refused:
            await store.open()
        assert refused.value.code is ErrorCode.ENGINE_UNAVAILABLE
