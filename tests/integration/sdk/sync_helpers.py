"""What the tests of the synchronous face share: a connection, reading, and waiting for a group."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from memphis.sync import Consumer, Memphis, Message
from memphis_broker.testing import BrokerProcess
from tests.integration.sdk.helpers import SOON_S
from tests.waiting import eventually_sync


def connect(broker: BrokerProcess) -> Memphis:
    """A new connection, as root."""
    memphis = Memphis()
    memphis.connect(
        host=broker.host, port=broker.port, username="root", password="memphis", timeout_ms=10_000
    )
    return memphis


@pytest.fixture
def memphis(broker: BrokerProcess) -> Iterator[Memphis]:
    """A connection that is closed at the end, and leaves no thread."""
    before = set(threading.enumerate())
    with connect(broker) as connection:
        yield connection
    assert set(threading.enumerate()) <= before


def read(consumer: Consumer[Any], count: int) -> list[Message[Any]]:
    """Fetch and acknowledge until so many messages have come."""
    found: list[Message[Any]] = []

    def enough() -> bool:
        batch = consumer.fetch(count - len(found))
        for message in batch:
            message.ack()
        found.extend(batch)
        return len(found) >= count

    eventually_sync(enough, SOON_S, f"{count} messages come")
    return found


def until_settled(memphis: Memphis, station: str, group: str) -> None:
    """Wait until the group has acknowledged everything."""

    def is_settled() -> bool:
        groups = {g.name: g for g in memphis.existing_station(station).info().groups}
        return groups[group].pending == groups[group].unacknowledged == 0

    eventually_sync(is_settled, SOON_S, f"{group} has acknowledged everything")
