"""Consumer groups through real requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client

from memphis.types import Retention
from memphis.wire.errors import ErrorCode
from memphis.wire.models import (
    GroupJoin,
    GroupLeave,
    StationCreate,
    StationGet,
    StationInfoGet,
    StationOptions,
    StationRemove,
)
from memphis.wire.names import GroupName, StationName
from memphis.wire.subjects import members_subject
from memphis_broker.engine.durables import Durables
from memphis_broker.groups import model, service
from memphis_broker.groups.model import Limits
from tests.integration.api.conftest import Asker, Engine

STATION = StationName.parse("s.x")
GROUP = GroupName.parse("g.one")


async def subscribed(member: Client) -> None:
    """Return when the engine has the member's subscriptions.

    A request goes out behind them; the ping of ``flush`` can overtake what is still buffered.
    """
    await member.jetstream().account_info()


async def fill(client: Client, order: list[int]) -> None:
    """Store a message in each partition named, in this order; the payload is its place in it."""
    for place, partition in enumerate(order):
        await client.jetstream().publish(f"s#x${partition}.in", str(place).encode())


async def read_all(client: Client, partitions: int, group: GroupName = GROUP) -> list[int]:
    """The places of everything that the group has before it."""
    places = []
    js = client.jetstream()
    for partition in range(1, partitions + 1):
        pending = (await js.consumer_info(f"s#x${partition}", group.internal)).num_pending or 0
        if pending:
            subscription = await js.pull_subscribe_bind(group.internal, f"s#x${partition}")
            for message in await subscription.fetch(pending, timeout=10):
                places.append(int(message.data))
                await message.ack()
    return sorted(places)


@asynccontextmanager
async def listening(engine: Engine) -> AsyncIterator[Client]:
    """A live member on a connection of its own, which answers the broker's question."""
    async with engine.connect("client") as member:

        async def answer(message: Any) -> None:
            await message.respond(b"")

        await member.subscribe(members_subject(STATION, GROUP), cb=answer)
        await subscribed(member)
        yield member


def limits_of(config: Any) -> tuple[float, int]:
    """Ack time in seconds and deliveries, as a group has them."""
    return config.ack_wait, int(config.metadata["memphis.group.deliveries_max"])


def join(**options: Any) -> GroupJoin:
    return GroupJoin(station=STATION, group=GROUP, **options)


async def test_join_makes_the_station_and_the_group(ask: Asker, client: Client):
    """A missing station comes with the defaults; the durable is as the request says."""
    joined = await ask.ok(join(max_ack_time_ms=1500, max_msg_deliveries=7))
    assert (joined["created"], joined["station"]["partitions"]) == (True, [1])
    config = (await client.jetstream().consumer_info("s#x$1", "g#one")).config
    assert config.filter_subjects == ["s#x$1.final", "s#x$1.redrive.g#one.*"]
    # The engine itself has no limit: it would forget what it gives up.
    assert (config.ack_wait, config.max_deliver, config.ack_policy) == (1.5, -1, "explicit")
    assert (config.metadata or {})["memphis.group.deliveries_max"] == "7"
    assert (config.max_ack_pending, config.deliver_policy) == (-1, "all")
    assert (config.metadata or {})["memphis.group"] == "g.one"


async def test_join_again_keeps_the_position_and_sets_the_limits(ask: Asker, client: Client):
    """Whatever start the second member names, the group reads on where it was."""
    await ask.ok(StationCreate(name=STATION, options=StationOptions(partitions_number=2)))
    await ask.ok(join())
    await fill(client, [1, 1, 2])
    assert await read_all(client, 2) == [0, 1, 2]
    await fill(client, [1, 2])
    again = await ask.ok(join(max_ack_time_ms=9000, max_msg_deliveries=3, last_messages=100))
    assert again["created"] is False
    assert await read_all(client, 2) == [0, 1]
    config = (await client.jetstream().consumer_info("s#x$2", "g#one")).config
    assert limits_of(config) == (9, 3)
    assert (config.metadata or {})["memphis.group"] == "g.one"


@pytest.mark.parametrize("new", [False, True])
async def test_a_joining_member_does_not_change_the_limits_under_the_others(
    ask: Asker, client: Client, engine: Engine, new: bool
):
    """While another member lives its limits hold, and whoever joins is told which they are.

    One that listens before it joins is not taken for another.
    """
    asked = {"max_ack_time_ms": 60_000, "max_msg_deliveries": 9}
    first = await ask.ok(join(**asked))
    other = {"max_ack_time_ms": 100, "max_msg_deliveries": 1}
    assert {key: first[key] for key in asked} == asked
    async with listening(engine):
        if new:
            async with listening(engine):
                second = await ask.ok(join(**other, listening=True))
        else:
            second = await ask.ok(join(**other))
        assert {key: second[key] for key in asked} == asked
        config = (await client.jetstream().consumer_info("s#x$1", "g#one")).config
        assert limits_of(config) == (60, 9)
        third = await ask.ok(join(**other, listening=True))
    assert {key: third[key] for key in asked} == other
    config = (await client.jetstream().consumer_info("s#x$1", "g#one")).config
    assert limits_of(config) == (0.1, 1)


async def test_a_partition_that_is_added_gets_the_limits_of_the_living(
    ask: Asker, client: Client, engine: Engine
):
    """A group that is completed while members live has the same limits everywhere."""
    await ask.ok(StationCreate(name=STATION, options=StationOptions(partitions_number=2)))
    await ask.ok(join(max_ack_time_ms=5000))
    await client.jetstream().delete_consumer("s#x$1", "g#one")
    async with listening(engine):
        await ask.ok(join(max_ack_time_ms=100))
    for stream in ("s#x$1", "s#x$2"):
        assert (await client.jetstream().consumer_info(stream, "g#one")).config.ack_wait == 5


async def test_a_durable_is_never_changed_by_one_that_wants_to_make_it(client: Client, ask: Asker):
    """Of two brokers that make a group at once, the second is told, and nothing is altered."""
    await ask.ok(StationCreate(name=STATION))
    durables = Durables(client)

    def spec(join_id: str, limits: Limits) -> Any:
        marks = model.marks_of_new(join_id)
        return model.durable(STATION, 1, GROUP, limits, 1, marks)

    assert await durables.create("s#x$1", spec("one", Limits(1000, 2)))
    assert await durables.create("s#x$1", spec("one", Limits(1000, 2)))
    assert not await durables.create("s#x$1", spec("two", Limits(1000, 2)))
    assert not await durables.create("s#x$1", spec("one", Limits(2000, 3)))
    state = await durables.state("s#x$1", "g#one")
    assert state is not None
    assert model.limits_of(state) == (1000, 2)
    assert not model.is_shared(state)


async def test_more_pulls_wait_than_the_engine_allows_by_default(ask: Asker, client: Client):
    """Six hundred members that ask at once all wait; none is turned away."""
    await ask.ok(join())
    inbox = client.new_inbox()
    replies = await client.subscribe(inbox)
    await subscribed(client)
    for _ in range(600):
        await client.publish("$JS.API.CONSUMER.MSG.NEXT.s#x$1.g#one", b"1", reply=inbox)
    await fill(client, [1] * 600)
    for place in range(600):
        message = await replies.next_msg(timeout=10)
        assert message.data == str(place).encode(), message.headers


async def test_members_that_join_at_once_make_one_group(ask: Asker, client: Client):
    """Many first members with different starts: all succeed."""
    await ask.ok(StationCreate(name=STATION, options=StationOptions(partitions_number=3)))
    await fill(client, [1, 2, 3, 1])
    await asyncio.gather(*(ask.ok(join(start_consume_from_sequence=n)) for n in range(1, 9)))
    info = await ask.ok(StationInfoGet(name=STATION))
    assert [group["name"] for group in info["groups"]] == ["g.one"]


async def test_a_group_that_is_half_there_is_completed(ask: Asker, client: Client):
    """The partition that it lost is added; the others keep their position."""
    await ask.ok(StationCreate(name=STATION, options=StationOptions(partitions_number=2)))
    await ask.ok(join())
    await fill(client, [1, 2])
    assert await read_all(client, 2) == [0, 1]
    await client.jetstream().delete_consumer("s#x$2", "g#one")
    assert (await ask.ok(join()))["created"] is False
    assert await read_all(client, 2) == [1]


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("wanted", [0, 1, 4, 5, 10, 11, 99])
async def test_last_messages_are_the_newest_of_the_station(
    ask: Asker, client: Client, partitions: int, wanted: int
):
    """Exactly the newest N of all partitions together, however they are spread."""
    await ask.ok(StationCreate(name=STATION, options=StationOptions(partitions_number=partitions)))
    order = [min(p, partitions) for p in (1, 1, 2, 3, 3, 3, 1, 2, 2, 1)]
    await fill(client, order)
    await ask.ok(join(last_messages=wanted))
    assert await read_all(client, partitions) == list(range(max(0, 10 - wanted), 10))


async def test_start_sequence_is_the_same_number_on_each_partition(ask: Asker, client: Client):
    """Sequence 2 of each partition is where the group begins."""
    await ask.ok(StationCreate(name=STATION, options=StationOptions(partitions_number=2)))
    await fill(client, [1, 1, 2, 2, 2])
    await ask.ok(join(start_consume_from_sequence=2))
    assert await read_all(client, 2) == [1, 3, 4]


async def test_two_starts_are_refused(ask: Asker):
    """A sequence and a number of messages together: refused, and no station is made."""
    request = join(start_consume_from_sequence=2, last_messages=0)
    assert await ask.refused(request) == ErrorCode.INVALID_OPTION
    assert await ask.refused(StationGet(name=STATION)) == ErrorCode.STATION_NOT_FOUND


async def test_a_group_ends_with_its_last_member(ask: Asker, client: Client, engine: Engine):
    """While a member listens the group stays; when nobody does, it goes with its position."""
    await ask.ok(StationCreate(name=STATION, options=StationOptions(partitions_number=2)))
    await ask.ok(join())
    leave = GroupLeave(station=STATION, group=GROUP)
    async with listening(engine):
        assert await ask.ok(leave) == {"removed": False}
    assert await ask.ok(leave) == {"removed": True}
    assert (await ask.ok(StationInfoGet(name=STATION)))["groups"] == []
    assert await ask.ok(leave) == {"removed": False}
    await ask.ok(StationRemove(name=STATION))
    assert await ask.refused(leave) == ErrorCode.STATION_NOT_FOUND


async def test_a_group_outlives_a_member_that_reconnects(
    ask: Asker, client: Client, engine: Engine
):
    """One leaves while the other's connection is down: the position is there when it is back."""
    await ask.ok(join())
    await ask.ok(join(listening=True))
    await fill(client, [1])
    assert await read_all(client, 1) == [0]
    leaving = asyncio.create_task(ask.ok(GroupLeave(station=STATION, group=GROUP)))
    # The broker takes requests in their order: it asks who is left before it answers this one.
    await ask.ok(StationGet(name=STATION))
    async with listening(engine):
        assert await leaving == {"removed": False}
    assert await read_all(client, 1) == []


async def test_a_shared_group_ends_after_the_grace(
    ask: Asker, client: Client, monkeypatch: pytest.MonkeyPatch
):
    """When nobody comes back the group ends, and the last who leaves is told so."""
    monkeypatch.setattr(service, "GRACE_S", 0.1)
    await ask.ok(join())
    await ask.ok(join())
    leave = GroupLeave(station=STATION, group=GROUP)
    assert await ask.ok(leave) == {"removed": True}
    assert (await ask.ok(StationInfoGet(name=STATION)))["groups"] == []
    assert (await ask.ok(join()))["created"] is True


async def test_a_group_of_one_ends_at_once(ask: Asker, monkeypatch: pytest.MonkeyPatch):
    """Where only one member ever joined there is nobody to wait for."""
    monkeypatch.setattr(service, "GRACE_S", 3600)
    await ask.ok(join())
    async with asyncio.timeout(30):
        left = await ask.ok(GroupLeave(station=STATION, group=GROUP))
    assert left == {"removed": True}


async def test_joining_and_leaving_at_once_leave_no_half_group(ask: Asker, engine: Engine):
    """Whoever listens and has joined finds its group on every partition."""
    await ask.ok(StationCreate(name=STATION, options=StationOptions(partitions_number=5)))
    await ask.ok(join())
    leave = ask.ok(GroupLeave(station=STATION, group=GROUP))
    async with listening(engine):
        await asyncio.gather(leave, *(ask.ok(join(listening=True)) for _ in range(5)))
        for partition in range(1, 6):
            stream = f"s#x${partition}"
            assert await Durables(ask.client).state(stream, GROUP.internal) is not None


async def test_a_silent_member_counts_as_alive(ask: Asker, client: Client, engine: Engine):
    """A lost position is worse than a group too many."""
    await ask.ok(join())
    async with engine.connect("client") as member:
        await member.subscribe(members_subject(STATION, GROUP))
        await subscribed(member)
        leave = GroupLeave(station=STATION, group=GROUP)
        assert await ask.ok(leave) == {"removed": False}
    assert len((await ask.ok(StationInfoGet(name=STATION)))["groups"]) == 1


async def test_groups_work_with_ack_based_retention(ask: Asker, client: Client):
    """The engine accepts the durable there, and a message goes once it is acknowledged."""
    options = StationOptions(retention_type=Retention.ACK_BASED)
    await ask.ok(StationCreate(name=STATION, options=options))
    await ask.ok(join())
    await fill(client, [1])
    assert (await ask.ok(StationInfoGet(name=STATION)))["messages"] == 1
    assert await read_all(client, 1) == [0]
