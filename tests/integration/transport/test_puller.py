"""Pull requests against a real engine: every way they can end, and no message without a home."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from memphis.exceptions import MemphisConnectError
from memphis.transport import Connection, Publisher, Pull, PullEnd, Puller
from memphis.transport.protocol import MessageFrame
from tests.fixtures.engine import Engine
from tests.fixtures.transport import (
    Connect,
    create_consumer,
    create_stream,
    jetstream,
    send,
    send_numbers,
)
from tests.waiting import eventually


class Batch:
    """What one pull brought, and how it ended."""

    def __init__(
        self,
        puller: Puller,
        subject: bytes,
        batch: int,
        expires_s: float,
        bytes_max: int = 1 << 25,
    ) -> None:
        self.payloads: list[bytes] = []
        self.replies: list[bytes] = []
        self.ends: list[PullEnd] = []
        self.ended = asyncio.Event()
        self.pull: Pull = puller.pull(
            subject,
            batch=batch,
            bytes_max=bytes_max,
            expires_s=expires_s,
            on_messages=self._got,
            on_end=self._over,
        )

    def _got(self, frames: Sequence[MessageFrame]) -> None:
        assert not self.ends
        self.payloads += [frame[5] for frame in frames]
        self.replies += [frame[3] for frame in frames]

    def _over(self, end: PullEnd) -> None:
        self.ends.append(end)
        self.ended.set()

    async def end(self) -> PullEnd:
        async with asyncio.timeout(20):
            await self.ended.wait()
        return self.ends[-1]


async def prepared(connection: Connection, name: str, messages: int, **consumer: Any) -> bytes:
    """A stream with numbered messages and a consumer; returns where to pull."""
    await create_stream(connection, name)
    publisher = Publisher(connection)
    await asyncio.gather(
        *send_numbers(publisher, f"{name}.in".encode(), range(messages), resend_s=0)
    )
    publisher.close()
    return await create_consumer(connection, name, "d", **consumer)


async def test_filled_then_empty(shared_engine: Engine, connect: Connect) -> None:
    """A full batch ends filled; what is left ends empty, with and without waiting."""
    connection = await connect(shared_engine.address)
    subject = await prepared(connection, "filled", 25)
    puller = Puller(connection)
    full = Batch(puller, subject, 10, 5)
    assert await full.end() is PullEnd.FILLED
    assert full.payloads == [b"%d" % number for number in range(10)]
    assert full.pull.outstanding == 0
    partial = Batch(puller, subject, 10, 0)
    assert await partial.end() is PullEnd.FILLED
    rest = Batch(puller, subject, 10, 0)
    assert await rest.end() is PullEnd.EMPTY
    assert (len(rest.payloads), rest.pull.outstanding, rest.pull.status) == (5, 5, 404)
    nothing = Batch(puller, subject, 10, 0.1)
    assert await nothing.end() is PullEnd.EMPTY
    assert nothing.pull.status == 408
    assert nothing.payloads == []
    for reply in full.replies + partial.replies + rest.replies:
        connection.publish(reply, b"+ACK")
    await connection.flush(5)
    info = await jetstream(connection, "CONSUMER.INFO.filled.d")
    assert info["num_ack_pending"] == 0
    assert puller.statistics().open_pulls == 0
    assert puller.statistics().free_slots == 1


@pytest.mark.parametrize("expires_s", [0, 10])
async def test_no_more_bytes_than_asked_for(
    shared_engine: Engine, connect: Connect, expires_s: float
) -> None:
    """A pull that has had its bytes ends as filled; one too small for any message does not."""
    connection = await connect(shared_engine.address)
    name = f"bytes-{expires_s}"
    subject = await prepared(connection, name, 0)
    publisher = Publisher(connection)
    for number in range(5):
        await send(publisher, f"{name}.in".encode(), b"%01000d" % number, resend_s=0, deadline_s=5)
    puller = Puller(connection)
    some = Batch(puller, subject, 10, expires_s, bytes_max=3500)
    assert await some.end() is PullEnd.FILLED
    assert [int(payload) for payload in some.payloads] == [0, 1, 2]
    rest = Batch(puller, subject, 2, expires_s, bytes_max=3500)
    assert await rest.end() is PullEnd.FILLED
    assert [int(payload) for payload in rest.payloads] == [3, 4]
    await send(publisher, f"{name}.in".encode(), bytes(1000), resend_s=0, deadline_s=5)
    too_small = Batch(puller, subject, 1, expires_s, bytes_max=500)
    assert await too_small.end() is PullEnd.LOST
    assert too_small.payloads == []


async def test_overlapping_pulls_share_without_mixing_up(
    shared_engine: Engine, connect: Connect
) -> None:
    """Several pulls at once get each message once, and each counts its own."""
    connection = await connect(shared_engine.address)
    subject = await prepared(connection, "overlap", 1000, max_ack_pending=2000)
    puller = Puller(connection)
    batches = [Batch(puller, subject, 100, 5) for _ in range(10)]
    assert [await batch.end() for batch in batches] == [PullEnd.FILLED] * 10
    assert all(len(batch.payloads) == 100 for batch in batches)
    seen = sorted(int(payload) for batch in batches for payload in batch.payloads)
    assert seen == list(range(1000))
    assert puller.statistics().strays == 0


async def test_a_waiting_pull_gets_what_comes(shared_engine: Engine, connect: Connect) -> None:
    """A pull that waits is filled by messages published later."""
    connection = await connect(shared_engine.address)
    subject = await prepared(connection, "waiting", 0)
    waiting = Batch(Puller(connection), subject, 3, 10)
    await connection.flush(5)
    send_numbers(Publisher(connection), b"waiting.in", range(3), resend_s=0)
    assert await waiting.end() is PullEnd.FILLED
    assert waiting.payloads == [b"0", b"1", b"2"]


async def test_gone(shared_engine: Engine, connect: Connect) -> None:
    """A consumer deleted under a waiting pull, and one that is not there at all."""
    connection = await connect(shared_engine.address)
    subject = await prepared(connection, "gone", 0)
    puller = Puller(connection)
    waiting = Batch(puller, subject, 3, 10)
    await connection.flush(5)
    await jetstream(connection, "CONSUMER.DELETE.gone.d")
    assert await waiting.end() is PullEnd.GONE
    assert waiting.pull.status == 409
    missing = Batch(puller, subject, 3, 10)
    assert await missing.end() is PullEnd.GONE
    assert missing.pull.status == 503


async def test_lost(engine: Engine, connect: Connect) -> None:
    """A pull ends with its connection, once; afterwards pulling works again without strays."""
    connection = await connect(engine.address)
    subject = await prepared(connection, "lost", 0)
    puller = Puller(connection)
    waiting = [Batch(puller, subject, 3, 30) for _ in range(3)]
    await connection.flush(5)
    engine.kill()
    assert [await batch.end() for batch in waiting] == [PullEnd.LOST] * 3
    while_away = Batch(puller, subject, 3, 30)
    assert while_away.ends == []
    assert await while_away.end() is PullEnd.LOST
    engine.start()
    await connection.wait_connected(10)
    again = Batch(puller, subject, 3, 10)
    send_numbers(Publisher(connection), b"lost.in", range(3), resend_s=0)
    assert await again.end() is PullEnd.FILLED
    assert puller.statistics().strays == 0
    assert all(len(batch.ends) == 1 for batch in waiting)


async def test_a_pull_cut_off_does_not_catch_messages_later(
    cutting_proxy: Any, connect: Connect
) -> None:
    """Requests that the engine still holds from before a cut find nobody at their inbox."""
    connection = await connect(cutting_proxy.address)
    subject = await prepared(connection, "held", 0, ack_wait=60_000_000_000)
    puller = Puller(connection)
    before = Batch(puller, subject, 10, 60)
    await connection.flush(5)
    cutting_proxy.cut()
    assert await before.end() is PullEnd.LOST
    await connection.wait_connected(10)
    send_numbers(Publisher(connection), b"held.in", range(5), resend_s=0)
    after = Batch(puller, subject, 5, 10)
    assert await after.end() is PullEnd.FILLED
    assert after.payloads == [b"%d" % number for number in range(5)]
    assert before.payloads == []


@pytest.mark.parametrize("has_handler", [True, False])
async def test_strays(
    shared_engine: Engine,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    has_handler: bool,
) -> None:
    """Messages on their way to a cancelled pull go to on_stray, or into the log."""
    connection = await connect(shared_engine.address)
    name = f"stray-{has_handler}"
    subject = await prepared(connection, name, 5)
    strays: list[bytes] = []
    puller = Puller(
        connection, on_stray=(lambda frame: strays.append(frame[5])) if has_handler else None
    )
    cancelled = Batch(puller, subject, 5, 10)
    with caplog.at_level(logging.WARNING, logger="memphis"):
        cancelled.pull.cancel()
        cancelled.pull.cancel()
        assert cancelled.ends == [PullEnd.CANCELLED]
        await connection.flush(5)
    delivered = puller.statistics().strays
    assert len(strays) == (delivered if has_handler else 0)
    assert len(caplog.records) == (0 if has_handler else delivered)
    assert cancelled.payloads == []
    assert len(cancelled.ends) == 1


async def test_a_message_after_the_end_is_a_stray(shared_engine: Engine, connect: Connect) -> None:
    """A message that comes through a slot whose pull is over goes to on_stray."""
    connection = await connect(shared_engine.address)
    subject = await prepared(connection, "after", 1)
    strays: list[bytes] = []
    puller = Puller(connection, on_stray=lambda frame: strays.append(frame[5]))
    assert await Batch(puller, subject, 1, 5).end() is PullEnd.FILLED
    (slot,) = puller._free
    connection.publish(slot.prefix + b"0", b"late", reply=b"re.ply")
    await connection.flush(5)
    assert strays == [b"late"]


async def test_a_status_that_never_comes(
    engine: Engine, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that froze does not hold a pull for ever: the safety deadline ends it."""
    monkeypatch.setattr("memphis.transport.puller.SAFETY_S", 0.1)
    connection = await connect(engine.address)
    subject = await prepared(connection, "safety", 0)
    engine.pause()
    assert await Batch(Puller(connection), subject, 1, 0.1).end() is PullEnd.EMPTY
    engine.resume()


async def test_callbacks_that_fail_end_nothing_but_themselves(
    shared_engine: Engine, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """A pull whose callbacks raise still ends once, and others go on."""
    connection = await connect(shared_engine.address)
    subject = await prepared(connection, "failing", 4)
    puller = Puller(connection)
    ends: list[PullEnd] = []

    def fail_message(_: Sequence[MessageFrame]) -> None:
        raise RuntimeError("on purpose")

    def fail_end(end: PullEnd) -> None:
        ends.append(end)
        raise RuntimeError("on purpose")

    with caplog.at_level(logging.CRITICAL, logger="memphis"):
        puller.pull(
            subject,
            batch=2,
            bytes_max=1 << 25,
            expires_s=5,
            on_messages=fail_message,
            on_end=fail_end,
        )
        other = Batch(puller, subject, 2, 5)
        await eventually(lambda: ends)
        assert await other.end() is PullEnd.FILLED
    assert ends == [PullEnd.FILLED]


async def test_closing(shared_engine: Engine, connect: Connect) -> None:
    """Closing the puller cancels its pulls; closing the connection loses them; then no more."""
    connection = await connect(shared_engine.address)
    subject = await prepared(connection, "closing", 0)
    first = Puller(connection)
    cancelled = Batch(first, subject, 1, 10)
    first.close()
    first.close()
    assert cancelled.ends == [PullEnd.CANCELLED]
    second = Puller(connection)
    lost = Batch(second, subject, 1, 10)
    await connection.close()
    assert lost.ends == [PullEnd.LOST]
    with pytest.raises(MemphisConnectError):
        Batch(second, subject, 1, 10)
