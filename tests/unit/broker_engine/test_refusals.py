"""The engine's own words for a refused login, against a real engine."""

from __future__ import annotations

from collections.abc import Callable

from memphis_broker.engine.accounts import Credentials
from memphis_broker.engine.refusals import ask_why
from tests.fixtures.engine import Engine, free_port


async def test_a_refused_login(start_engine: Callable[..., Engine]) -> None:
    """By password and by token; one that is granted, and nobody there, say nothing."""
    engine = start_engine('authorization { user: "a", password: "b" }')
    right, wrong = Credentials(user="a", password="b"), Credentials(user="a", password="x")
    assert await ask_why(engine.url, wrong, None) == "Authorization Violation"
    assert await ask_why(engine.url, None, "token") == "Authorization Violation"
    assert await ask_why(engine.url, right, None) == ""
    assert await ask_why(f"nats://127.0.0.1:{free_port()}", right, None) == ""
