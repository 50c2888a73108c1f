"""What the tests of dead letters through real requests share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client

from memphis.wire.dead_letters import DeadLetterList, Failure, Label, write_label
from memphis.wire.models import StationCreate, StationOptions
from tests.integration.api.conftest import Asker
from tests.waiting import eventually

STREAM = "memphis_dead_letters"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def letters(ask: Asker, **selected: Any) -> list[dict[str, Any]]:
    """Newest first."""
    found: list[dict[str, Any]] = (await ask.ok(DeadLetterList(**selected)))["letters"]
    return found


async def some_letters(ask: Asker, count: int = 1, **selected: Any) -> list[dict[str, Any]]:
    """Wait for so many."""

    async def there() -> list[dict[str, Any]]:
        found = await letters(ask, **selected)
        return found if len(found) == count else []

    return await eventually(there)


async def station(ask: Asker, name: str = "s.x", **options: Any) -> str:
    """A station; its id."""
    made = await ask.ok(StationCreate(name=name, options=StationOptions(**options)))
    return str(made["station"]["id"])


def label(station_id: str, **values: Any) -> Label:
    """A label as a member writes it."""
    given = {
        "station": "s.x",
        "station_id": station_id,
        "partition": 1,
        "sequence": 1,
        "group": "g.one",
        "kind": "poison",
        "failures": [Failure(reason="why", deliveries=2, at=NOW)],
        **values,
    }
    return Label(**given)


async def put(client: Client, written: Label, payload: bytes = b"x", **headers: str) -> int:
    """Store a dead letter as a member does; its id."""
    subject = (
        f"$memphis.dead_letters.{written.station_id}.{written.partition}."
        f"{written.group.replace('.', '#')}.{written.kind}"
    )
    stored = await client.jetstream().publish(
        subject,
        payload,
        headers={
            "Nats-Msg-Id": written.identity,
            "$memphis_deadLetter": write_label(written),
            **headers,
        },
    )
    return int(stored.seq)
