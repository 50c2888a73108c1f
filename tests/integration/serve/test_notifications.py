"""A web address is told of new dead letters: gathered, again if it must be, never in anybody's way."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from memphis_broker.config import ConfigError, load_settings
from tests.fixtures.broker import BrokerFactory
from tests.fixtures.sdk import connect
from tests.waiting import eventually


class Hook(ThreadingHTTPServer):
    """Answers with these statuses, the last one for ever, and keeps the bodies it was sent."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = list(statuses)
        self.bodies: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.bodies.append(json.loads(self.rfile.read(length)))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing to the terminal."""


@contextmanager
def hook(*statuses: int) -> Iterator[Hook]:
    with Hook(*statuses) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("shape", ["generic", "slack"])
async def test_new_dead_letters_are_told(broker_factory: BrokerFactory, shape: str) -> None:
    """With counts; an address that fails at first is told again."""
    with hook(500, 200) as server:
        options = [
            "--dead-letter-webhook", server.url, "--dead-letter-webhook-format", shape,
        ]  # fmt: skip
        broker = await asyncio.to_thread(broker_factory(options=options).start)
        async with await connect(broker) as memphis:
            producer = await memphis.producer("s", "p")
            consumer = await memphis.consumer("s", "c", "g", max_ack_time_ms=600_000)
            for number in range(5):
                await producer.produce(str(number))
            left = 5
            while left:
                for message in await consumer.fetch(left):
                    await message.dead_letter("<!channel> & more")
                    left -= 1
        await eventually(lambda: len(server.bodies) >= 2)
        first, again = server.bodies[:2]
        assert first == again
    if shape == "generic":
        assert first["event"] == "dead_letters"
        assert 1 <= first["count"] <= 5
        (of,) = first["of"]
        assert (of["station"], of["group"], of["kind"]) == ("s", "g", "poison")
        assert of["latest_reason"] == "<!channel> & more"
    else:
        assert set(first) == {"text"}
        assert "s, group g (poison)" in first["text"]
        assert "&lt;!channel&gt; &amp; more" in first["text"]


async def test_an_address_where_nobody_is_disturbs_nothing(broker_factory: BrokerFactory) -> None:
    """The log says so, without the address, which is a secret; the broker stops as ever."""
    with hook(200) as server:
        url = server.url
    broker = broker_factory(options=["--dead-letter-webhook", url])
    await asyncio.to_thread(broker.start)
    async with await connect(broker) as memphis:
        await (await memphis.producer("s", "p")).produce(b"")
        (message,) = await (await memphis.consumer("s", "c")).fetch(1)
        await message.dead_letter("because")
        station = await memphis.existing_station("s")
        assert (await station.info()).dead_letters.poison == 1
        await eventually(lambda: "nobody was notified" in broker.log)
    assert await asyncio.to_thread(broker.stop) == 0
    assert "/hook" not in broker.log


@pytest.mark.parametrize("url", ["ftp://host", "secret-place", "http://", "http://host:port/"])
def test_what_is_no_web_address(url: str) -> None:
    """It is refused at the start, and not repeated."""
    with pytest.raises(ConfigError) as refused:
        load_settings({"dead_letter_webhook": url}, {})
    assert "dead-letter-webhook" in str(refused.value)
    assert url not in str(refused.value)
