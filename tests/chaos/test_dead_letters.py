"""No message of three groups is lost or twice among the dead letters while brokers are killed."""

from __future__ import annotations

import random
import sys

import pytest

from tests.chaos.dead_letters import VICTIMS, run


@pytest.mark.parametrize("retention", ["age", "acks"])
@pytest.mark.parametrize("victim", VICTIMS)
async def test_every_message_has_one_end(victim: str, retention: str) -> None:
    """A short run of each kind, with a seed that is new in every run and repeats it."""
    seed = random.randrange(10_000)
    sys.stdout.write(f"seed {seed}\n")  # pytest shows it if the test fails
    history = await run(seed, victim, retention, messages=200, kills=2)
    assert history.kills == 2
    assert len(history.sent) + history.unconfirmed == 200
    assert {"ack", "nack", "dead_letter"} <= set(history.ways)
