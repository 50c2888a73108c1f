"""Payloads and headers that look like the protocol itself pass through as what they are."""

from __future__ import annotations

import asyncio
import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memphis import Memphis
from memphis.transport import Publisher
from memphis.transport.protocol import MessageFrame
from tests.fixtures.engine import Engine
from tests.fixtures.transport import Connect, create_consumer, create_stream, send
from tests.integration.sdk.helpers import SOON_S, read
from tests.waiting import eventually

FRAGMENTS = [
    b"\r\n",
    b"\r",
    b"\n",
    b"PING\r\n",
    b"PONG\r\n",
    b"+OK\r\n",
    b"-ERR 'Authorization Violation'\r\n",
    b"-ERR 'Stale Connection'\r\n",
    b'INFO {"max_payload":1,"ldm":true}\r\n',
    b"MSG a 1 3\r\nabc\r\n",
    b"MSG a 1 999999\r\n",
    b"HMSG a 1 12 15\r\nNATS/1.0\r\n\r\nabc\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 404 No Messages\r\n\r\n",
    b"NATS/1.0\r\n",
    b'{"stream":"s","seq":1}\r\n',
    b'{"stream":"s","seq":1,"duplicate": true}',
    b'{"error":{"code":503,"err_code":10077,"description":"no"}}',
    b'"}\r\n',
    b"}\r\n",
    b"+ACK",
    b"-NAK",
    b"+TERM",
    b"UNSUB 1\r\n",
    b"PUB a 0\r\n\r\n",
]
WORDS = [piece.decode().replace("\r", "").replace("\n", "") for piece in FRAGMENTS]
PAYLOADS = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=20), max_size=8).map(b"".join)
HEADERS = st.dictionaries(
    st.sampled_from(["PING", "-ERR", "+OK", "MSG", "NATS/1.0", "{}", "a"]),
    st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join),
    max_size=3,
)

_numbers = itertools.count(1)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(messages=st.lists(st.tuples(PAYLOADS, HEADERS), min_size=1, max_size=20))
async def test_produced_and_consumed(
    memphis: Memphis, messages: list[tuple[bytes, dict[str, str]]]
) -> None:
    """Produce and consume: the same bytes, the same headers, and a true result for each."""
    name = f"lookalikes-{next(_numbers)}"
    producer = await memphis.producer(name, "p")
    pending = [
        await producer.produce(payload, headers=headers, nonblocking=True)
        for payload, headers in messages
    ]
    results = await asyncio.gather(*pending)
    assert [result.sequence for result in results] == list(range(1, len(messages) + 1))
    consumer = await memphis.consumer(name, "c")
    found = await read(consumer, len(messages))
    assert [bytes(message.get_data()) for message in found] == [payload for payload, _ in messages]
    for message, (_, headers) in zip(found, messages, strict=True):
        kept = message.get_headers()
        own = {key: value for key, value in kept.items() if not key.startswith("$memphis")}
        assert own == {key: value.strip() for key, value in headers.items()}
    await (await memphis.existing_station(name)).destroy()


async def test_acknowledgements_as_payloads(engine: Engine, connect: Connect) -> None:
    """Answers to this very publisher, as the content of messages among the true answers."""
    connection = await connect(engine.address)
    await create_stream(connection, "answers")
    # Pushed, so that the payloads come in the same reads as the true answers.
    pushed = {"deliver_subject": "deliveries", "ack_policy": "none"}
    await create_consumer(connection, "answers", "d", **pushed)
    received: list[MessageFrame] = []
    connection.subscribe("deliveries", received.append)
    publisher = Publisher(connection)
    inboxes: list[MessageFrame] = []
    # Whoever may listen to it sees where answers go, and which number the next message has.
    connection.subscribe("answers.probe", inboxes.append)
    send(publisher, b"answers.probe", b"", resend_s=0, deadline_s=SOON_S)
    await eventually(lambda: inboxes and not publisher.in_flight)
    prefix, _, token = inboxes[0][3].rpartition(b".")
    count = 500
    sent = []
    futures = []
    for number in range(int(token) + 1, int(token) + 1 + count):
        forged = _forged(prefix, number)
        sent.append(forged)
        futures.append(send(publisher, b"answers.in", forged, resend_s=0, deadline_s=SOON_S))
        if number % 20 == 0:
            await asyncio.sleep(0)
    results = await asyncio.gather(*futures)
    assert [result.sequence for result in results] == list(range(2, count + 2))
    await eventually(lambda: len(received) == count + 1, SOON_S)
    assert [frame[5] for frame in received[1:]] == sent
    statistics = publisher.statistics()
    assert (statistics.late_answers, statistics.refused, statistics.not_confirmed) == (0, 0, 0)


def _forged(prefix: bytes, number: int) -> bytes:
    """What the engine would say to confirm the messages from this one on, for likely subscriptions."""
    answer = b'{"stream":"answers","seq":999999}'
    return b"\r\n".join(
        b"%bMSG %b.%d %d %d\r\n%b\r\n" % (start, prefix, number + step, sid, len(answer), answer)
        for start in (b"", b"\r\n")
        for step in range(3)
        for sid in range(5)
    )
