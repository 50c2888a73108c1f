"""The connection against a real engine: opening, requests, subscriptions, loss and return."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from memphis.exceptions import MemphisConnectError, MemphisTimeoutError, MemphisUsageError
from memphis.transport import (
    Connection,
    ConnectionLostError,
    LoginRefusedError,
    NoRespondersError,
)
from memphis.transport.protocol import MessageFrame
from tests.fixtures.engine import HOST, Engine, free_port
from tests.fixtures.proxy import CuttingProxy
from tests.fixtures.stranger import Conversation, StartStranger
from tests.fixtures.transport import Connect, connect_options, transport_tasks
from tests.waiting import eventually


def _say(greeting: bytes) -> Conversation:
    async def converse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)

    return converse


class Recorder:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def connection_lost(self, reason: str) -> None:
        self.heard.append("lost")

    def connection_restored(self) -> None:
        self.heard.append("restored")

    def connection_closed(self, reason: str) -> None:
        self.heard.append("closed")


async def test_messages_arrive_with_reply_and_header(
    shared_engine: Engine, connect: Connect
) -> None:
    """What is published is received: subject, reply, header and payload, in order."""
    connection = await connect(shared_engine.address)
    received: list[MessageFrame] = []
    connection.subscribe("arrive.*", received.append)
    header = b"NATS/1.0\r\na: b\r\n\r\n"
    connection.publish(b"arrive.1", b"one", reply=b"r", header=header)
    connection.publish(b"arrive.2", bytearray(b"two"))
    connection.publish(b"arrive.3", memoryview(b"three"))
    await connection.flush(5)
    assert [frame[2:] for frame in received] == [
        (b"arrive.1", b"r", header, b"one"),
        (b"arrive.2", b"", b"", b"two"),
        (b"arrive.3", b"", b"", b"three"),
    ]


async def test_unsubscribed_means_no_more(shared_engine: Engine, connect: Connect) -> None:
    """After unsubscribe only what was on its way still comes; twice does no harm."""
    connection = await connect(shared_engine.address)
    received: list[MessageFrame] = []
    subscription = connection.subscribe("ended", received.append)
    connection.publish(b"ended", b"before")
    subscription.unsubscribe()
    subscription.unsubscribe()
    connection.publish(b"ended", b"after")
    await connection.flush(5)
    assert [frame[5] for frame in received] == [b"before"]
    assert connection.statistics().subscriptions == 0


async def test_a_failing_callback_hurts_nobody_else(
    shared_engine: Engine, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in a callback is logged; the connection and the others go on."""
    connection = await connect(shared_engine.address)
    received: list[MessageFrame] = []

    def fail(_: MessageFrame) -> None:
        raise RuntimeError("on purpose")

    connection.subscribe("fails", fail)
    connection.subscribe("fails", received.append)
    with caplog.at_level(logging.CRITICAL, logger="memphis"):
        connection.publish(b"fails", b"")
        await connection.flush(5)
    assert len(received) == 1
    assert connection.is_connected
    assert connection.statistics().callback_errors == 1


async def test_request_and_reply(shared_engine: Engine, connect: Connect) -> None:
    """A request gets its reply; nobody there and nobody answering are two different errors."""
    connection = await connect(shared_engine.address)
    connection.subscribe(
        "echo", lambda frame: connection.publish(frame[3], b"<" + frame[5], header=frame[4])
    )
    header = b"NATS/1.0\r\na: b\r\n\r\n"
    reply = await connection.request("echo", b"hi", timeout_s=5, header=header)
    assert reply == (b"<hi", header)
    many = await asyncio.gather(
        *(connection.request("echo", b"%d" % number, timeout_s=5) for number in range(200))
    )
    assert [reply.payload for reply in many] == [b"<%d" % number for number in range(200)]
    with pytest.raises(NoRespondersError):
        await connection.request("nobody", b"", timeout_s=5)
    connection.subscribe("silent", lambda _: None)
    with pytest.raises(MemphisTimeoutError):
        await connection.request("silent", b"", timeout_s=0.05)


async def test_misuse_is_refused_before_it_reaches_the_engine(
    shared_engine: Engine, connect: Connect
) -> None:
    """Impossible subjects and payloads over the limit leave the connection as it was."""
    connection = await connect(shared_engine.address)
    too_large = bytes(connection.max_payload + 1)
    with pytest.raises(MemphisUsageError):
        connection.publish(b"a", too_large)
    with pytest.raises(MemphisUsageError):
        await connection.request("a", too_large, timeout_s=1)
    with pytest.raises(MemphisUsageError):
        await connection.request("a\r\nPING", b"", timeout_s=1)
    with pytest.raises(MemphisUsageError):
        connection.subscribe("a b", lambda _: None)
    await connection.flush(5)


async def test_nothing_listens() -> None:
    """A port nobody listens on: an error that names host and port."""
    port = free_port()
    with pytest.raises(MemphisConnectError, match=rf"{HOST}:{port}.*nothing listens"):
        await Connection.open(connect_options((HOST, port)))


async def test_an_unknown_host() -> None:
    """A host that does not exist: an error that names it."""
    with pytest.raises(MemphisConnectError, match=r"nowhere\.invalid:4222"):
        await Connection.open(connect_options(("nowhere.invalid", 4222)))


async def test_a_server_that_never_answers(start_stranger: StartStranger) -> None:
    """A socket that says nothing ends the attempt at its deadline."""
    address = await start_stranger(_say(b""))
    with pytest.raises(MemphisConnectError, match="no answer within"):
        await Connection.open(connect_options(address, connect_timeout_s=0.1))


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"PING\r\n"])
async def test_a_server_of_another_kind(start_stranger: StartStranger, greeting: bytes) -> None:
    """Another protocol is recognised as that."""
    address = await start_stranger(_say(greeting))
    with pytest.raises(MemphisConnectError, match="not a NATS server"):
        await Connection.open(connect_options(address))


async def test_the_second_server_is_tried(shared_engine: Engine, connect: Connect) -> None:
    """One dead address among several does not keep us out."""
    dead = (HOST, free_port())
    connection = await connect(dead, servers=(dead, shared_engine.address))
    assert connection.server == shared_engine.address


@pytest.mark.parametrize(
    ("configured", "used"),
    [
        ('authorization { user: "u", password: "p" }', {"user": "u", "password": "wrong"}),
        ('authorization { user: "u", password: "p" }', {"user": "other", "password": "p"}),
        ('authorization { user: "u", password: "p" }', {}),
        ('authorization { token: "t" }', {"token": "wrong"}),
    ],
)
async def test_refused_logins(start_engine: Any, configured: str, used: dict[str, str]) -> None:
    """A wrong user, password or token, or none, is a LoginRefusedError with host and port."""
    engine = start_engine(configured)
    with pytest.raises(LoginRefusedError, match=f"{engine.port}.*refused"):
        await Connection.open(connect_options(engine.address, **used))


@pytest.mark.parametrize(
    ("configured", "used"),
    [
        ('authorization { user: "u", password: "p" }', {"user": "u", "password": "p"}),
        ('authorization { token: "t" }', {"token": "t"}),
    ],
)
async def test_accepted_logins(
    start_engine: Any, connect: Connect, configured: str, used: dict[str, str]
) -> None:
    """The right credentials let us in."""
    engine = start_engine(configured)
    assert (await connect(engine.address, **used)).is_connected


async def test_a_permission_violation_does_not_disconnect(
    start_engine: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """What a user may not do is logged, and everything else goes on."""
    engine = start_engine(
        "authorization { users: [ { user: u, password: p, permissions: { publish: [ok] } } ] }"
    )
    connection = await connect(engine.address, user="u", password="p")
    with caplog.at_level(logging.ERROR, logger="memphis"):
        connection.publish(b"forbidden", b"")
        await connection.flush(5)
    assert connection.is_connected
    assert len(caplog.records) == 1


async def test_a_restart_keeps_subscriptions_and_what_waits(
    engine: Engine, connect: Connect
) -> None:
    """After a kill and restart everything continues, and what was sent meanwhile arrives."""
    connection = await connect(engine.address)
    recorder = Recorder()
    connection.add_listener(recorder)
    received: list[bytes] = []
    connection.subscribe("kept", lambda frame: received.append(frame[5]))
    await connection.flush(5)
    engine.kill()
    await eventually(lambda: not connection.is_connected)
    for number in range(3):
        connection.publish(b"kept", b"%d" % number)
    engine.start()
    await connection.wait_connected(10)
    await connection.flush(5)
    assert received == [b"0", b"1", b"2"]
    assert recorder.heard == ["lost", "restored"]
    assert connection.statistics().reconnects == 1


async def test_what_waits_is_limited(engine: Engine, connect: Connect) -> None:
    """Beyond the limit publish refuses instead of filling the memory."""
    connection = await connect(engine.address, outgoing_bytes_max=1000)
    engine.kill()
    await eventually(lambda: not connection.is_connected)
    connection.publish(b"a", bytes(900))
    with pytest.raises(MemphisConnectError, match="wait to be sent"):
        connection.publish(b"a", bytes(900))
    assert connection.statistics().outgoing_bytes < 1000


async def test_a_request_waits_for_the_connection(engine: Engine, connect: Connect) -> None:
    """A request made while reconnecting is sent when the connection is back."""
    connection = await connect(engine.address)
    engine.kill()
    await eventually(lambda: not connection.is_connected)
    request = asyncio.create_task(connection.request("$JS.API.INFO", b"", timeout_s=10))
    engine.start()
    assert b"account_info" in (await request).payload


async def test_a_request_in_flight_fails_with_the_connection(
    engine: Engine, connect: Connect
) -> None:
    """The caller learns at once that no answer can come; a request that waits meets its deadline."""
    connection = await connect(engine.address)
    connection.subscribe("silent", lambda _: None)
    request = asyncio.create_task(connection.request("silent", b"", timeout_s=30))
    await eventually(lambda: connection.statistics().frames_in > 0)
    engine.kill()
    with pytest.raises(ConnectionLostError):
        await request
    with pytest.raises(MemphisTimeoutError):
        await connection.request("silent", b"", timeout_s=0.05)
    with pytest.raises(ConnectionLostError):
        await connection.flush(1)


async def test_giving_up(engine: Engine, connect: Connect) -> None:
    """After max_reconnect failures the connection is closed, and says why to everyone."""
    connection = await connect(engine.address, max_reconnect=2, reconnect_interval_s=0.01)
    recorder = Recorder()
    connection.add_listener(recorder)
    waiting = asyncio.create_task(connection.request("x", b"", timeout_s=30))
    engine.kill()
    await eventually(lambda: connection.is_closed)
    assert not connection.is_connected
    assert recorder.heard == ["lost", "closed"]
    with pytest.raises(MemphisConnectError):
        await waiting
    with pytest.raises(MemphisConnectError, match="2 attempts"):
        connection.publish(b"a", b"")
    with pytest.raises(MemphisConnectError):
        await connection.wait_connected(1)
    await connection.close()


@pytest.mark.parametrize("off", [{"reconnect": False}, {"max_reconnect": 0}])
async def test_reconnecting_can_be_off(
    engine: Engine, connect: Connect, off: dict[str, Any]
) -> None:
    """Without reconnecting, the first loss is the end."""
    connection = await connect(engine.address, **off)
    engine.kill()
    await eventually(lambda: connection.is_closed)


async def test_a_frozen_server_is_noticed(engine: Engine, connect: Connect) -> None:
    """A server that keeps the socket and says nothing counts as lost after some silent pings."""
    connection = await connect(engine.address, ping_interval_s=0.05, connect_timeout_s=0.2)
    await eventually(lambda: connection.statistics().frames_in > 2)
    engine.pause()
    await eventually(lambda: not connection.is_connected)
    engine.resume()
    await connection.wait_connected(10)


async def test_a_server_that_stops_reading_is_felt(engine: Engine, connect: Connect) -> None:
    """With the socket full, publish refuses at its limit; that passes when the server reads."""
    connection = await connect(engine.address)
    engine.pause()
    piece = bytes(512 * 1024)

    def flood() -> None:
        for _ in range(200):
            connection.publish(b"a", piece)

    with pytest.raises(MemphisConnectError, match="wait to be sent"):
        flood()
    assert connection.is_connected
    engine.resume()
    await connection.flush(10)
    connection.publish(b"a", piece)


async def test_cuts_and_pieces(cutting_proxy: CuttingProxy, connect: Connect) -> None:
    """Through a wire that cuts and splits, the connection comes back and reads correctly."""
    cutting_proxy.piece_bytes = 3
    connection = await connect(cutting_proxy.address)
    received: list[bytes] = []
    connection.subscribe("pieces", lambda frame: received.append(frame[5]))
    for cut in range(3):
        connection.publish(b"pieces", b"%d" % cut * 1000)
        await connection.flush(5)
        cutting_proxy.cut()
        await eventually(lambda cuts=cut: connection.statistics().reconnects > cuts)
    assert received == [b"%d" % cut * 1000 for cut in range(3)]


async def test_garbage_from_the_server_ends_the_link(
    start_stranger: StartStranger, connect: Connect
) -> None:
    """A link that cannot be read any more never looks connected."""
    sent_garbage = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"max_payload": 1000}\r\n')
        await reader.readuntil(b"PING\r\n")
        writer.write(b"PONG\r\n")
        if not sent_garbage.is_set():
            sent_garbage.set()
            await reader.readuntil(b"SUB x 1\r\n")
            writer.write(b"garbage\r\n")

    connection = await connect(await start_stranger(converse))
    connection.subscribe("x", lambda _: None)
    await eventually(lambda: connection.statistics().reconnects == 1)
    assert connection.is_connected
    assert "not a NATS server" in connection._lost_reason
    assert connection.max_payload == 1000
    await connection.close(flush_timeout_s=0.01)


async def test_a_server_in_lame_duck_mode_is_left(start_engine: Any, connect: Connect) -> None:
    """A server that says it will stop is left for another before it does."""
    routes = free_port(), free_port()
    cluster = (
        'server_name: "{name}"\ncluster {{ name: c, listen: "{host}:{mine}", '
        'routes: ["nats-route://{host}:{other}"] }}'
    )
    first = start_engine(cluster.format(name="a", host=HOST, mine=routes[0], other=routes[1]))
    second = start_engine(cluster.format(name="b", host=HOST, mine=routes[1], other=routes[0]))
    connection = await connect(first.address)
    await eventually(lambda: len(connection._pool) == 2, what="the second server was learnt")
    first.lame_duck()
    await eventually(lambda: connection.is_connected and connection.server == second.address)
    first.kill()  # it would take its time


async def test_close_sends_what_waits_and_is_idempotent(
    shared_engine: Engine, connect: Connect
) -> None:
    """What was published before close arrives; closing twice, at once too, is fine."""
    receiver = await connect(shared_engine.address)
    received: list[bytes] = []
    receiver.subscribe("closing", lambda frame: received.append(frame[5]))
    await receiver.flush(5)
    sender = await connect(shared_engine.address, inbox_prefix="_INBOX.root.other")
    recorder = Recorder()
    sender.add_listener(recorder)
    for number in range(100):
        sender.publish(b"closing", b"%d" % number)
    await asyncio.gather(sender.close(), sender.close())
    await sender.close()
    await eventually(lambda: len(received) == 100)
    assert sender.is_closed
    assert not sender.is_connected
    assert recorder.heard == ["closed"]
    with pytest.raises(MemphisConnectError, match="closed by the application"):
        sender.publish(b"closing", b"")


async def test_close_while_reconnecting_leaves_nothing(engine: Engine) -> None:
    """Closing in the middle of a reconnect ends its task."""
    connection = await Connection.open(connect_options(engine.address))
    engine.kill()
    await eventually(lambda: not connection.is_connected)
    await connection.close()
    assert connection.is_closed
    assert transport_tasks() == []


async def test_cancelling_open_leaves_nothing(start_stranger: StartStranger) -> None:
    """An attempt to connect that is cancelled closes its socket."""
    reached = asyncio.Event()

    async def converse(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        reached.set()

    options = connect_options(await start_stranger(converse), connect_timeout_s=30)
    attempt = asyncio.create_task(Connection.open(options))
    await reached.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
