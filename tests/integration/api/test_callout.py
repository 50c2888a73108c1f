"""The auth callout on a real connection: many logins at once, and none that is left behind."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from nats.aio.client import Client

from memphis.wire.names import UserName
from memphis_broker.engine import callout
from memphis_broker.engine.accounts import EngineSecrets
from memphis_broker.engine.callout import AuthCallout, decode_claims, encode_jwt
from memphis_broker.engine.logins import Login, LoginAttempt, LoginRefusedError, Permissions
from tests.integration.api.conftest import Engine
from tests.waiting import eventually

SECRETS = EngineSecrets.generate()


async def ask(client: Client, user: str) -> dict[str, Any]:
    """The answer that the engine would get for a login of this user."""
    request = {
        "user_nkey": "U",
        "server_id": {"id": "N"},
        "connect_opts": {"user": user, "pass": "p"},
        "client_info": {"host": "here"},
    }
    token = encode_jwt({"nats": request}, SECRETS.issuer())
    reply = await client.request("$SYS.REQ.USER.AUTH", token.encode(), timeout=20)
    answer: dict[str, Any] = decode_claims(reply.data.decode())["nats"]
    return answer


class Decisions:
    """Decides about ``slow`` when it is released, fails at ``broken``, refuses ``bad``."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.slow = 0

    async def log_in(self, attempt: LoginAttempt) -> Login:
        if attempt.user == "slow":
            self.slow += 1
            await self.release.wait()
        if attempt.user == "bad":
            raise LoginRefusedError("bad")
        if attempt.user == "broken":
            raise ValueError(attempt.user)
        permissions = Permissions(publish=(), subscribe=())
        return Login(user=UserName.parse(attempt.user), permissions=permissions)


async def test_a_slow_login_delays_nobody(engine: Engine, caplog: pytest.LogCaptureFixture):
    """Others are answered meanwhile; one that meets a fault is refused, and logged."""
    decisions = Decisions()
    async with engine.connect("broker") as control, engine.connect("broker") as client:
        served = AuthCallout(control, SECRETS.issuer(), decisions.log_in)
        await served.start()
        slow = [asyncio.create_task(ask(client, "slow")) for _ in range(20)]
        await eventually(lambda: decisions.slow == 20)
        answers = await asyncio.gather(*(ask(client, f"u{n}") for n in range(100)))
        assert all("jwt" in answer for answer in answers)
        with caplog.at_level(logging.CRITICAL):
            assert "error" in await ask(client, "broken")
        assert "error" in await ask(client, "bad")
        decisions.release.set()
        assert all("jwt" in answer for answer in await asyncio.gather(*slow))
        await served.stop()
        await served.stop()


async def test_stop_ends_every_login(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    """One that is decided soon is answered; one that is not is given up."""
    monkeypatch.setattr(callout, "_DRAIN_SECONDS", 0.2)
    decisions = Decisions()
    async with engine.connect("broker") as control, engine.connect("broker") as client:
        served = AuthCallout(control, SECRETS.issuer(), decisions.log_in)
        await served.start()
        slow = asyncio.create_task(ask(client, "slow"))
        await eventually(lambda: decisions.slow == 1)
        await served.stop()
        assert not [t for t in asyncio.all_tasks() if t.get_name() == "memphis login"]
        slow.cancel()


async def test_those_beyond_the_limit_wait_their_turn(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    """None is lost."""
    monkeypatch.setattr(callout, "_UNDER_WAY_MAX", 3)
    decisions = Decisions()
    async with engine.connect("broker") as control, engine.connect("broker") as client:
        served = AuthCallout(control, SECRETS.issuer(), decisions.log_in)
        await served.start()
        asked = [asyncio.create_task(ask(client, "slow")) for _ in range(10)]
        await eventually(lambda: decisions.slow == 3)
        decisions.release.set()
        assert all("jwt" in answer for answer in await asyncio.gather(*asked))
        await served.stop()
