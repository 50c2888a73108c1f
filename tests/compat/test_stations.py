"""Stations made and removed by memphis-py 1.3.1, seen by this project's own SDK."""

from __future__ import annotations

import pytest

from memphis import MemphisNotFoundError, Retention, Storage
from tests.compat.conftest import OriginalError
from tests.waiting import eventually


async def test_every_option_arrives(connected, memphis, name):
    """What it asks for is what the station has; its name is lowered."""
    await memphis.create_schema(f"{name}-schema", "json", content='{"type": "object"}')
    given = await connected(
        """
        station = await kept.memphis.station(
            NAME.upper(), retention_type=Retention.MESSAGES, retention_value=500,
            storage_type=Storage.MEMORY, replicas=1, idempotency_window_ms=5000,
            schema_name=NAME + "-schema", send_poison_msg_to_dls=False,
            send_schema_failed_msg_to_dls=False, tiered_storage_enabled=True, partitions_number=3,
            dls_station=NAME + "-dls",
        )
        return station.name
        """,
        NAME=name,
    )
    assert given == name
    options = (await (await memphis.existing_station(name)).info()).options
    assert options.model_dump() == {
        "retention_type": Retention.MESSAGES,
        "retention_value": 500,
        "storage_type": Storage.MEMORY,
        "replicas": 1,
        "idempotency_window_ms": 5000,
        "schema_name": f"{name}-schema",
        "send_poison_msg_to_dls": False,
        "send_schema_failed_msg_to_dls": False,
        "tiered_storage_enabled": True,
        "partitions_number": 3,
        "dls_station": f"{name}-dls",
        "dead_letter_age_max_s": 0,
        "dead_letter_count_max": 0,
    }
    assert await memphis.existing_station(f"{name}-dls")


async def test_its_defaults_are_those_of_the_sdk_here(connected, memphis, name):
    """A station without options is the same from both."""
    await connected("await kept.memphis.station(NAME + '.theirs')", NAME=name)
    theirs = await memphis.existing_station(f"{name}.theirs")
    ours = await memphis.station(f"{name}.ours")
    assert (await theirs.info()).options == (await ours.info()).options


@pytest.mark.parametrize("kind", list(Retention))
async def test_every_retention(connected, memphis, name, kind):
    """All four, by the names that it gives them."""
    await connected(
        "await kept.memphis.station(NAME, retention_type=Retention[KIND], retention_value=3000)",
        NAME=name,
        KIND=kind.name,
    )
    options = (await (await memphis.existing_station(name)).info()).options
    assert options.retention_type is kind


async def test_one_that_exists_stays_as_it_is(connected, memphis, name):
    """It gets the station, and nothing is changed."""
    await memphis.station(name, retention_value=7200)
    await connected("await kept.memphis.station(NAME, retention_value=99)", NAME=name)
    assert (await (await memphis.existing_station(name)).info()).options.retention_value == 7200


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"replicas": 3}, "fewer servers"),
        ({"partitions_number": 10_001}, "partitions_number"),
        ({"schema_name": "no-such-schema"}, "no-such-schema"),
        ({"idempotency_window_ms": 86_400_001}, "idempotency_window_in_ms"),
    ],
)
async def test_what_cannot_be_made_is_refused(connected, memphis, name, arguments, part):
    """With the reason, where the original said nothing in one of these cases; nothing is left of it."""
    with pytest.raises(OriginalError, match=part):
        await connected(
            "await kept.memphis.station(NAME, **ARGUMENTS)", NAME=name, ARGUMENTS=arguments
        )
    with pytest.raises(MemphisNotFoundError):
        await memphis.existing_station(name)


@pytest.mark.parametrize("bad", ["-x", "a b", "x already exist", "x#y", "x" * 129])
async def test_a_bad_name_is_no_success(connected, bad):
    """Also where the name holds words that it takes for one."""
    with pytest.raises(OriginalError):
        await connected("await kept.memphis.station(NAME)", NAME=bad)


async def test_removed_by_either_it_is_gone_for_both(connected, memphis, name):
    """Its destroy removes the station; a second time is a success to it."""
    await connected("kept.station = await kept.memphis.station(NAME)", NAME=name)
    await connected("await kept.station.destroy()")
    with pytest.raises(MemphisNotFoundError):
        await memphis.existing_station(name)
    await connected("await kept.station.destroy()")


async def test_it_forgets_a_station_that_somebody_else_removes(connected, memphis, name):
    """Its producers of the station are dropped, as they were when the console removed one."""
    await connected("await kept.memphis.producer(NAME, 'p')", NAME=name)
    count = "return sum(NAME in key for key in kept.memphis.producers_map)"
    internal = name.replace(".", "#")
    assert await connected(count, NAME=internal) == 1
    await (await memphis.existing_station(name)).destroy()

    async def dropped() -> bool:
        return await connected(count, NAME=internal) == 0

    await eventually(dropped)
