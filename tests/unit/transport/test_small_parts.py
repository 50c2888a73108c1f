"""The pure parts of the transport: acknowledgements, the server ring, statuses, the door queue."""

from __future__ import annotations

import asyncio

import pytest

from memphis.transport.acknowledgement import PublishResult, Refused, parse_acknowledgement
from memphis.transport.puller import PullEnd, classify_status
from memphis.transport.room import Room
from memphis.transport.servers import ServerPool, parse_address


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"stream":"S$1","seq":7}', PublishResult("S$1", 7, duplicate=False)),
        (b'{"stream":"S", "seq":7,"duplicate": true}', PublishResult("S", 7, duplicate=True)),
        (b'{"stream":"S","domain":"d","seq":7}', PublishResult("S", 7, duplicate=False)),
        (
            b'{"stream":"S","seq":7,"domain":"d","duplicate":true}',
            PublishResult("S", 7, duplicate=True),
        ),
        (b'{"seq":7,"stream":"S","val":"5"}', PublishResult("S", 7, duplicate=False)),
        (b'{"stream":"\\u0041","seq":7}', PublishResult("A", 7, duplicate=False)),
        (
            b'{"error":{"code":503,"err_code":10077,"description":"full"},"stream":"S","seq":0}',
            Refused(10077, "full"),
        ),
        (b'{"error":{}}', Refused(0, "")),
        (b"", None),
        (b"[]", None),
        (b'{"stream":1}', None),
        (b"\xff", None),
    ],
)
def test_acknowledgements_are_read(payload: bytes, expected: object) -> None:
    """The usual form and every unusual one are understood or declared not understood."""
    assert parse_acknowledgement(payload) == expected


def test_the_ring_gives_every_server_its_turn() -> None:
    """Given and learnt servers rotate; what is learnt anew replaces what was learnt before."""
    pool = ServerPool([("a", 1), ("b", 2), ("a", 1)])
    assert [pool.take() for _ in range(3)] == [("a", 1), ("b", 2), ("a", 1)]
    pool.learn(["10.0.0.1:4222", "[::1]:5", "b:2", "nonsense", 7])
    assert len(pool) == 4
    assert {pool.take() for _ in range(4)} == {("a", 1), ("b", 2), ("10.0.0.1", 4222), ("::1", 5)}
    pool.learn([])
    assert {pool.take() for _ in range(2)} == {("a", 1), ("b", 2)}
    pool.learn("not a list")
    assert len(pool) == 2


def test_learnt_addresses_are_verified_by_the_given_name() -> None:
    """The certificate of a server that was learnt as a number is for the name that was given."""
    pool = ServerPool([("memphis.example", 1)])
    assert pool.verified_name(("memphis.example", 1)) == "memphis.example"
    assert pool.verified_name(("10.0.0.1", 1)) == "memphis.example"


@pytest.mark.parametrize("url", ["", "host", ":1", "host:", "host:0", "host:65536", "host:x", None])
def test_impossible_addresses_are_skipped(url: object) -> None:
    """A server's odd address is no address."""
    assert parse_address(url) is None


@pytest.mark.parametrize(
    ("status", "text", "end"),
    [
        (404, "No Messages", PullEnd.EMPTY),
        (408, "Request Timeout", PullEnd.EMPTY),
        (503, "", PullEnd.GONE),
        (409, "Consumer Deleted", PullEnd.GONE),
        (409, "Leadership Change", PullEnd.LOST),
        (409, "Server Shutdown", PullEnd.LOST),
        (409, "something new", PullEnd.LOST),
        (400, "Bad Request", PullEnd.LOST),
    ],
)
def test_statuses_are_classified(status: int, text: str, end: PullEnd) -> None:
    """Every status means one end, an unknown one that pulling again is right."""
    assert classify_status(status, text) is end


async def test_the_door_queue_is_fair_and_survives_cancellation() -> None:
    """First come, first served; a cancelled waiter's place goes to the next."""
    capacity = 0
    inside: list[int] = []
    room = Room(lambda expected: len(inside) + expected < capacity)

    async def enter(number: int) -> None:
        await room.wait()
        inside.append(number)

    tasks = [asyncio.create_task(enter(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert room.waiting == 4
    assert not room.is_free
    capacity = 2
    room.let_in()
    tasks[0].cancel()  # let in already, and cancelled before it could enter
    await asyncio.wait(tasks[:3])
    assert inside == [1, 2]
    capacity = 10
    room.let_in()
    await asyncio.gather(*tasks[1:])
    assert inside == [1, 2, 3]
    assert room.is_free
