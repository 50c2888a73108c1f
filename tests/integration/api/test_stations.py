"""Stations through real requests: created, described, listed, purged, removed, refused."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from nats.aio.client import Client

from memphis.types import Retention, Storage
from memphis.wire.errors import ErrorCode
from memphis.wire.models import (
    GroupJoin,
    Request,
    StationCreate,
    StationGet,
    StationInfoGet,
    StationList,
    StationOptions,
    StationPurge,
    StationRemove,
    StationUpdate,
)
from memphis.wire.names import StationName
from memphis.wire.subjects import ingest_subject, stream_name, updates_subject
from memphis_broker.app import App
from memphis_broker.config import Durability
from tests.integration.api.conftest import Asker, Engine, StreamNames


async def test_create_returns_the_station_and_makes_its_streams(
    ask: Asker, stream_names: StreamNames
):
    """A new station has one stream for each partition, and says that it was created."""
    options = StationOptions(partitions_number=3)
    made = await ask.ok(StationCreate(name="Fleet.Trucks", options=options))
    assert made["created"] is True
    assert made["station"]["name"] == "fleet.trucks"
    assert made["station"]["partitions"] == [1, 2, 3]
    assert await stream_names() == ["fleet#trucks$1", "fleet#trucks$2", "fleet#trucks$3"]


async def test_create_again_changes_nothing(ask: Asker, caplog: pytest.LogCaptureFixture):
    """An existing station is returned as it is; the log says that the options differ."""
    first = await ask.ok(StationCreate(name="s"))
    with caplog.at_level(logging.DEBUG):
        again = await ask.ok(StationCreate(name="s", options=StationOptions(partitions_number=7)))
    assert again == {"station": first["station"], "created": False}
    assert "other options" in caplog.text


async def test_a_message_sent_to_the_ingest_subject_is_stored_under_the_final_one(
    ask: Asker, client: Client
):
    """The stream of a partition transforms what native producers send."""
    await ask.ok(StationCreate(name="s"))
    js = client.jetstream()
    name = StationName.parse("s")
    stored = await js.publish(ingest_subject(name, 1), b"x")
    message = await js.get_msg(stored.stream, stored.seq)
    assert (message.subject, message.data) == ("s$1.final", b"x")


async def test_message_retention_is_divided_over_the_partitions_and_rounded_up(
    ask: Asker, client: Client
):
    """10 messages over 3 partitions are 4 for each; 10 bytes likewise."""
    for kind in (Retention.MESSAGES, Retention.BYTES):
        options = StationOptions(retention_type=kind, retention_value=10, partitions_number=3)
        await ask.ok(StationCreate(name=kind.value, options=options))
    js = client.jetstream()
    for partition in (1, 2, 3):
        by_messages = await js.stream_info(f"messages${partition}")
        by_bytes = await js.stream_info(f"bytes${partition}")
        config = by_messages.config
        # By subject, so that dead letters which were given back count for nothing.
        assert (config.max_msgs, config.max_msgs_per_subject, config.max_bytes) == (-1, 4, -1)
        assert (by_bytes.config.max_msgs, by_bytes.config.max_bytes) == (-1, 4)


async def test_every_option_reaches_the_engine(ask: Asker, client: Client):
    """Age, storage and window as asked; a window longer than the age is cut to it."""
    options = StationOptions(
        retention_type=Retention.MAX_MESSAGE_AGE_SECONDS,
        retention_value=60,
        storage_type=Storage.MEMORY,
        idempotency_window_ms=90_000,
    )
    made = await ask.ok(StationCreate(name="s", options=options))
    assert made["station"]["options"]["idempotency_window_ms"] == 60_000
    config = (await client.jetstream().stream_info("s$1")).config
    assert (config.max_age, config.duplicate_window, config.storage) == (60, 60, "memory")
    assert (config.allow_direct, config.allow_atomic, config.max_consumers) == (True, True, -1)


async def test_ack_based_retention_is_interest(ask: Asker, client: Client):
    """Ack-based retention needs no value and keeps messages while groups want them."""
    options = StationOptions(retention_type=Retention.ACK_BASED, retention_value=0)
    await ask.ok(StationCreate(name="s", options=options))
    assert (await client.jetstream().stream_info("s$1")).config.retention == "interest"


async def test_fast_durability_acknowledges_early_where_the_engine_can(
    engine: Engine, client: Client
):
    """Only streams on disk with one replica persist asynchronously, and those take no batches."""
    async with engine.app(durability=Durability.FAST):
        ask = Asker(client)
        await ask.ok(StationCreate(name="disk"))
        await ask.ok(StationCreate(name="mem", options=StationOptions(storage_type=Storage.MEMORY)))
        js = client.jetstream()
        disk = (await js.stream_info("disk$1")).config
        memory = (await js.stream_info("mem$1")).config
    assert (disk.persist_mode, bool(disk.allow_atomic)) == ("async", False)
    assert (memory.persist_mode, memory.allow_atomic) == (None, True)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (StationOptions(retention_value=0), ErrorCode.INVALID_OPTION),
        (StationOptions(retention_value=-5), ErrorCode.INVALID_OPTION),
        (StationOptions(retention_value=2**62), ErrorCode.INVALID_OPTION),
        (StationOptions(dls_station="s"), ErrorCode.INVALID_DLS_STATION),
        (StationOptions(dls_station="?"), ErrorCode.INVALID_DLS_STATION),
        (StationOptions(schema_name="missing"), ErrorCode.SCHEMA_NOT_FOUND),
        (StationOptions(schema_name="$"), ErrorCode.INVALID_NAME),
        (StationOptions(replicas=3, partitions_number=4), ErrorCode.TOO_FEW_SERVERS),
        (
            StationOptions(retention_type=Retention.BYTES, retention_value=2**62),
            ErrorCode.ENGINE_REFUSED,
        ),
    ],
)
async def test_a_refused_creation_leaves_nothing(
    ask: Asker, stream_names: StreamNames, options: StationOptions, code: ErrorCode
):
    """No record, no stream; the name is free for a creation that can succeed."""
    assert await ask.refused(StationCreate(name="s", options=options)) == code
    assert await stream_names() == []
    assert await ask.refused(StationGet(name="s")) == ErrorCode.STATION_NOT_FOUND
    assert (await ask.ok(StationCreate(name="s")))["created"] is True


async def test_a_missing_dls_station_is_created(ask: Asker):
    """The dls_station comes with the defaults."""
    await ask.ok(StationCreate(name="s", options=StationOptions(dls_station="Dead.S")))
    assert (await ask.ok(StationGet(name="s")))["options"]["dls_station"] == "dead.s"
    dead = await ask.ok(StationGet(name="dead.s"))
    assert StationOptions.model_validate_json(json.dumps(dead["options"])) == StationOptions()


async def test_info_counts_partitions_and_groups(ask: Asker, client: Client):
    """Messages are summed; groups are merged over partitions; other consumers are left out."""
    await ask.ok(StationCreate(name="s.x", options=StationOptions(partitions_number=2)))
    await ask.ok(GroupJoin(station="s.x", group="g.one"))
    js = client.jetstream()
    name = StationName.parse("s.x")
    for partition in (1, 1, 2):
        await js.publish(ingest_subject(name, partition), b"12345")
    for partition in (1, 2):
        await js.add_consumer(stream_name(name, partition), durable_name="monitor")
    subscription = await js.pull_subscribe_bind("g#one", stream_name(name, 1))
    await subscription.fetch(1)
    info = await ask.ok(StationInfoGet(name="s.x"))
    assert info["messages"] == 3
    assert info["bytes"] == sum(partition["bytes"] for partition in info["partitions"]) > 15
    counted = [(p["number"], p["messages"], p["last_sequence"]) for p in info["partitions"]]
    assert counted == [(1, 2, 2), (2, 1, 1)]
    assert info["groups"] == [
        {"name": "g.one", "pending": 2, "unacknowledged": 1, "redelivered": 0, "dead_letters": 0}
    ]


async def test_list_is_paged_in_the_order_of_names(ask: Asker, client: Client):
    """Pages follow each other without a gap; messages are counted; dots sort as in names."""
    names = ["b", "a.b", "a", "a-b", "c"]
    for name in names:
        await ask.ok(StationCreate(name=name))
    await client.jetstream().publish("a$1.in", b"x")
    seen: list[dict[str, object]] = []
    more = True
    while more:
        after = str(seen[-1]["name"]) if seen else ""
        page = await ask.ok(StationList(after=after, limit=2))
        seen += page["stations"]
        more = page["more"]
    assert [station["name"] for station in seen] == sorted(names)
    assert [station["messages"] for station in seen] == [1, 0, 0, 0, 0]


async def test_many_stations_are_listed(ask: Asker, stream_names: StreamNames):
    """More stations than the engine lists at once: all are there, with their counts."""
    async with asyncio.TaskGroup() as group:
        for number in range(300):
            group.create_task(
                ask.ok(
                    StationCreate(
                        name=f"s{number:03}", options=StationOptions(storage_type=Storage.MEMORY)
                    )
                )
            )
    await ask.client.jetstream().publish("s299$1.in", b"x")
    page = await ask.ok(StationList(limit=1000))
    assert [station["name"] for station in page["stations"]] == [f"s{n:03}" for n in range(300)]
    assert page["more"] is False
    assert page["stations"][-1]["messages"] == 1


async def test_purge_empties_every_partition_and_counts(ask: Asker, client: Client):
    """The count is what went; the station stays."""
    await ask.ok(StationCreate(name="s", options=StationOptions(partitions_number=2)))
    for subject in ("s$1.in", "s$1.in", "s$2.in"):
        await client.jetstream().publish(subject, b"x")
    assert await ask.ok(StationPurge(name="s")) == {"messages": 3}
    assert (await ask.ok(StationInfoGet(name="s")))["messages"] == 0


async def test_remove_tells_clients_and_leaves_nothing(
    ask: Asker, client: Client, stream_names: StreamNames
):
    """Streams and record go, clients hear of it, and the same name begins a new life."""
    old = await ask.ok(StationCreate(name="s.x", options=StationOptions(partitions_number=2)))
    heard = await client.subscribe(updates_subject(StationName.parse("s.x")))
    await ask.ok(StationRemove(name="S.x"))
    update = StationUpdate.model_validate_json((await heard.next_msg(timeout=10)).data)
    assert (update.event, update.station_id) == ("removed", old["station"]["id"])
    assert await stream_names() == []
    assert await ask.refused(StationRemove(name="s.x")) == ErrorCode.STATION_NOT_FOUND
    new = await ask.ok(StationCreate(name="s.x"))
    assert new["created"] is True
    assert new["station"]["id"] != old["station"]["id"]


async def test_remove_of_one_life_never_touches_another(ask: Asker, stream_names: StreamNames):
    """A removal that comes again, late, finds its life gone and leaves the next one alone."""
    old = await ask.ok(StationCreate(name="s"))
    removal = StationRemove(name="s", id=old["station"]["id"])
    await ask.ok(removal)
    assert await ask.refused(removal) == ErrorCode.STATION_NOT_FOUND
    new = await ask.ok(StationCreate(name="s"))
    assert await ask.refused(removal) == ErrorCode.STATION_NOT_FOUND
    assert (await ask.ok(StationGet(name="s")))["id"] == new["station"]["id"]
    assert await stream_names() == ["s$1"]


@pytest.mark.parametrize(
    "request_",
    [
        StationCreate(name="s"),
        StationGet(name="s"),
        StationInfoGet(name="s"),
        GroupJoin(station="s", group="g"),
    ],
    ids=lambda request: f"{request.noun}.{request.verb}",
)
async def test_a_station_in_memory_gets_its_streams_back_when_it_is_used(
    ask: Asker, client: Client, stream_names: StreamNames, request_: Request
):
    """The engine came back without what it had in memory, and the broker stayed."""
    options = StationOptions(partitions_number=3, storage_type=Storage.MEMORY)
    made = await ask.ok(StationCreate(name="s", options=options))
    for stream in ("s$1", "s$3"):
        await client.jetstream().delete_stream(stream)
    await ask.ok(request_)
    assert await stream_names() == ["s$1", "s$2", "s$3"]
    assert (await ask.ok(StationGet(name="s"))) == made["station"]


async def test_a_missing_stream_on_disk_is_not_hidden(ask: Asker, client: Client):
    """What somebody took away is not silently replaced by an empty stream."""
    await ask.ok(StationCreate(name="s"))
    await client.jetstream().delete_stream("s$1")
    assert await ask.refused(StationInfoGet(name="s")) == ErrorCode.STATION_NOT_FOUND
    assert (await ask(StationGet(name="s"))).ok is not None


async def test_remove_is_forgotten_by_stations_that_name_it_as_dls_station(ask: Asker):
    """No station is left with a dls_station that is not there; two may name each other."""
    await ask.ok(StationCreate(name="a", options=StationOptions(dls_station="b")))
    await ask.ok(StationRemove(name="b"))
    assert (await ask.ok(StationGet(name="a")))["options"]["dls_station"] == ""
    await ask.ok(StationCreate(name="c", options=StationOptions(dls_station="a")))
    await asyncio.gather(ask.ok(StationRemove(name="a")), ask.ok(StationRemove(name="c")))
    assert (await ask.ok(StationList()))["stations"] == []


@pytest.mark.parametrize("request_type", [StationGet, StationInfoGet, StationPurge, StationRemove])
async def test_a_missing_station_is_named_as_such(ask: Asker, request_type: type):
    """Every request about a station that is not there gets the same number."""
    assert await ask.refused(request_type(name="nope")) == ErrorCode.STATION_NOT_FOUND
    assert await ask.refused(request_type(name="no pe")) == ErrorCode.INVALID_NAME


def test_app_counts_its_requests(app: App):
    """Nothing runs or waits in an idle control plane."""
    assert app.statistics() == {"running": 0, "waiting": 0, "refused": 0}
