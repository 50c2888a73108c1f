"""Requests of every wrong kind to every native subject: a numbered error, and nothing changed."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any, get_args, get_origin

import nats.errors
import pytest
from nats.aio.client import Client

from memphis.wire import dead_letters, models, schemas, users
from memphis.wire.errors import ErrorCode
from memphis.wire.models import Request, StationCreate, StationGet, StationInfoGet, StationList
from memphis.wire.subjects import API_PREFIX, api_subject
from memphis_broker.app import App
from memphis_broker.engine import endpoints
from tests.integration.api.conftest import Asker, Engine
from tests.waiting import eventually

SECRET = "do-not-echo-this"

REQUESTS = [
    found
    for found in {**vars(models), **vars(schemas), **vars(dead_letters), **vars(users)}.values()
    if isinstance(found, type) and issubclass(found, Request) and getattr(found, "noun", "")
]

NO_JSON = [
    b"",
    b" ",
    b"{",
    b"}",
    b"nul",
    b"{]",
    b"\x00",
    b"\xff\xfe\xfd",
    b'{"name": "\xc3("}',
    b'{"name": "\\ud800"}',
    b"{'name': 's'}",
    b"[" * 100_000,
    b'{"name":' * 50_000,
    b'{"a":' * 300 + b"1" + b"}" * 300,
    b"x" * 900_000,
]
NO_OBJECT = [b"null", b"true", b"0", b"-1.5e300", b'"text"', b"[]", b'[{"name": "s"}]']
STRANGE_VALUES: list[Any] = [
    None,
    True,
    -1,
    2**64,
    10**400,
    1.5,
    "",
    SECRET * 40_000,
    [],
    {},
    [[[[[]]]]],
    {"a": {"b": None}},
]


def valid(request_type: type[Request]) -> dict[str, Any]:
    """A request that could be granted but for a name that is not there."""
    values: dict[str, Any] = {
        "name": "missing",
        "station": "missing",
        "group": "g",
        "type": "application" if request_type.noun == "user" else "json",
        "password": "a password",
        "content": "{}",
        "partition": 1,
        "id": 1,
        "since": "2026-01-01T00:00:00Z",
    }
    fields = request_type.model_fields
    return {name: value for name, value in values.items() if name in fields}


def wrong_bodies(request_type: type[Request]) -> list[bytes]:
    """Bodies that no request of this type may have."""
    good = valid(request_type)
    bodies = [*NO_JSON, *NO_OBJECT]
    bodies.append(json.dumps({**good, "unknown": 1}).encode())
    bodies.append(json.dumps({**good, SECRET * 1000: 1}).encode())
    bodies.append(json.dumps({**good, **{f"field{n}": n for n in range(5000)}}).encode())
    for name, field in request_type.model_fields.items():
        if field.is_required():
            bodies.append(json.dumps({k: v for k, v in good.items() if k != name}).encode())
        bodies.extend(
            json.dumps({**good, name: value}).encode()
            for value in STRANGE_VALUES
            if not isinstance(value, str) and value not in ({}, -1)
            if not (value == [] and get_origin(field.annotation) is list)
            if not (
                isinstance(value, bool) and bool in (field.annotation, *get_args(field.annotation))
            )
            # A number is a time as well, in seconds.
            if not (name == "since" and isinstance(value, float))
            if not (value is None and type(None) in get_args(field.annotation))
        )
        # A payload may be of any length; what is wrong with it is no matter of the form.
        if name != "payload":
            bodies.append(json.dumps({**good, name: SECRET * 40_000}).encode())
    return bodies


async def everything(ask: Asker) -> tuple[Any, Any]:
    """What there is in the broker."""
    return await ask.ok(StationList()), await ask.ok(StationInfoGet(name="kept"))


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda r: f"{r.noun}.{r.verb}")
async def test_malformed_requests_are_refused_and_change_nothing(
    ask: Asker, request_type: type[Request]
):
    """Not JSON, no object, missing, unknown, mistyped and huge fields: 1001, and a short text."""
    await ask.ok(StationCreate(name="kept"))
    before = await everything(ask)
    subject = api_subject(request_type.noun, request_type.verb)
    for body in wrong_bodies(request_type):
        reply = await ask.raw(subject, body)
        assert reply.error is not None, body[:200]
        assert reply.error.code == ErrorCode.MALFORMED_REQUEST, (body[:200], reply.error)
        assert len(reply.error.message) < 1500
        assert reply.error.message.count(SECRET) < 5
    assert await everything(ask) == before


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda r: f"{r.noun}.{r.verb}")
async def test_random_json_never_ends_in_an_internal_error(ask: Asker, request_type: type[Request]):
    """Random values in random fields get a reply that is not 9001, and the broker lives."""
    chosen = random.Random(request_type.__name__)
    subject = api_subject(request_type.noun, request_type.verb)
    names = [*request_type.model_fields, "options", "x"]
    for _ in range(150):
        values = {name: chosen.choice(STRANGE_VALUES) for name in chosen.sample(names, k=2)}
        body = json.dumps({**valid(request_type), **values}).encode()
        if len(body) > 1_000_000:
            continue
        reply = await ask.raw(subject, body)
        assert reply.error is None or reply.error.code != ErrorCode.INTERNAL, body[:500]
    assert await ask.refused(StationGet(name="missing.still")) == ErrorCode.STATION_NOT_FOUND


async def test_the_error_says_where_the_request_is_wrong(ask: Asker):
    """The path into the body is named; the value is not."""
    body = {"name": "s", "options": {"replicas": SECRET, "partitions_number": 0}}
    reply = await ask.raw(api_subject("station", "create"), json.dumps(body).encode())
    assert reply.error is not None
    assert "options.replicas" in reply.error.message
    assert "options.partitions_number" in reply.error.message
    assert SECRET not in reply.error.message


@pytest.mark.parametrize("rest", ["station", "station.fly", "a.b.c.d", "x" * 500])
async def test_unknown_requests_get_their_number(ask: Asker, rest: str):
    """A request that this broker does not know is told so, once."""
    reply = await ask.raw(f"{API_PREFIX}.{rest}", b"{}")
    assert reply.error is not None
    assert reply.error.code == ErrorCode.UNKNOWN_REQUEST


async def test_every_request_gets_one_reply(app: App, client: Client):
    """The endpoint and the one for unknown requests never both answer."""
    inbox = client.new_inbox()
    replies = await client.subscribe(inbox)
    for subject in (api_subject("station", "list"), f"{API_PREFIX}.no.such", f"{API_PREFIX}.end.x"):
        await client.publish(subject, b"{}", reply=inbox)
    for _ in range(3):
        await replies.next_msg(timeout=10)
    await client.request(api_subject("station", "list"), b"{}", timeout=10)
    with pytest.raises(nats.errors.TimeoutError):
        await replies.next_msg(timeout=0.1)


async def test_requests_run_side_by_side_and_too_many_are_turned_away(
    engine: Engine, client: Client, monkeypatch: pytest.MonkeyPatch
):
    """A bounded number runs and waits; those beyond are refused at once, and counted."""
    monkeypatch.setattr(endpoints, "RUNNING_MAX", 2)
    monkeypatch.setattr(endpoints, "WAITING_MAX", 3)
    release = asyncio.Event()

    async def answer(*_: object) -> bytes:
        await release.wait()
        return b"answered"

    replies = endpoints.FixedReplies(busy=b"busy", too_large=b"large")
    subject = f"{API_PREFIX}.test.slow"
    async with engine.connect("broker") as control:
        served = endpoints.Endpoints(
            control, answer, replies, name="test", subjects={subject: "slow"}, prefix=API_PREFIX
        )
        await served.start()

        def ask_times(count: int) -> list[asyncio.Task[Any]]:
            return [
                asyncio.create_task(client.request(subject, b"", timeout=30)) for _ in range(count)
            ]

        asked = ask_times(2)
        await eventually(lambda: served.statistics()["running"] == 2)
        asked += ask_times(6)
        await eventually(lambda: served.statistics()["refused"] == 3)
        assert served.statistics() == {"running": 2, "waiting": 3, "refused": 3}
        release.set()
        got = [reply.data for reply in await asyncio.gather(*asked)]
        assert sorted(got) == [b"answered"] * 5 + [b"busy"] * 3
        await served.stop()
        await served.stop()


async def test_the_service_can_be_discovered(app: App, engine: Engine):
    """Any NATS tool sees the requests, one endpoint for each, and their statistics."""
    async with engine.connect("broker") as control:
        reply = await control.request("$SRV.STATS.memphis", b"", timeout=10)
    found = json.loads(reply.data)
    assert {e["subject"] for e in found["endpoints"]} == {
        api_subject(request.noun, request.verb) for request in REQUESTS
    }
    assert found["endpoints"][0]["data"] == {"running": 0, "waiting": 0, "refused": 0}
