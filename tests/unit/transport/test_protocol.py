"""The parser against bytes that no server should send, and the encoders' exact words."""

from __future__ import annotations

import pytest

from memphis.exceptions import MemphisUsageError
from memphis.transport import protocol
from memphis.transport.errors import ProtocolError
from memphis.transport.protocol import EngineRefusal, Parser


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\r\n",
        b"MSG a 1\r\n",
        b"MSG a 1 b 3 4\r\n",
        b"MSG a 1 -3\r\n",
        b"MSG a 1 +3\r\n",
        b"MSG a 1 3_0\r\n",
        b"MSG a x 3\r\n",
        b"MSG  1 3\r\n",
        b"MSG a 1 3\nabc\r\n",
        b"MSG a 1 3\r\nabcd\r\n",
        b"MSG a 1 3\r\nabc\n\n",
        b"MSGS a 1 3\r\nabc\r\n",
        b"MSG a 1 99999999999\r\n",
        b"MSG a 1 " + b"9" * 6000 + b"\r\n",
        b"HMSG a 1 9 3\r\n",
        b"HMSG a 1 3\r\n",
        b"INFO\r\n",
        b"INFO []\r\n",
        b"INFO {\r\n",
        b"INFO " + b"[" * 20_000 + b"\r\n",
        b"INFO \xff\r\n",
        b"PINGS\r\n",
        b"A" * 70_000,
        b"INFO " + b"A" * 70_000 + b"\r\n",
    ],
    ids=lambda garbage: garbage[:24],
)
def test_garbage_is_refused(garbage: bytes) -> None:
    """What breaks the protocol raises ProtocolError, at once."""
    with pytest.raises(ProtocolError):
        Parser().feed(garbage)


def test_an_overlong_line_is_refused_before_it_ends() -> None:
    """A line that never ends does not fill the memory."""
    parser = Parser()
    for _ in range(64):
        assert parser.feed(b"A" * 1024) == []
    with pytest.raises(ProtocolError):
        parser.feed(b"A" * 1024)


def test_a_large_payload_in_small_pieces_is_copied_once() -> None:
    """Pieces of a large payload are kept as they are until all are there."""
    parser = Parser()
    payload = bytes(8 * 1024 * 1024)
    stream = b"MSG a 1 %d\r\n%b\r\nPING\r\n" % (len(payload), payload)
    frames = []
    for start in range(0, len(stream), 1000):
        frames += parser.feed(stream[start : start + 1000])
    assert frames == [(protocol.MSG, 1, b"a", b"", b"", payload), (protocol.PING,)]


def test_the_payload_limit_is_the_callers() -> None:
    """A message above payload_max is refused from its control line alone."""
    Parser(payload_max=10).feed(b"MSG a 1 10\r\n")
    with pytest.raises(ProtocolError):
        Parser(payload_max=10).feed(b"MSG a 1 11\r\n")


def test_encoders_write_the_words_of_the_protocol() -> None:
    """Each frame is written exactly as the protocol's description has it."""
    assert protocol.encode_publish(b"a.b", b"xyz") == b"PUB a.b 3\r\nxyz\r\n"
    assert protocol.encode_publish(b"a", b"", b"r") == b"PUB a r 0\r\n\r\n"
    assert protocol.encode_publish(b"a", b"x", b"r", b"NATS/1.0\r\n\r\n") == (
        b"HPUB a r 12 13\r\nNATS/1.0\r\n\r\nx\r\n"
    )
    assert protocol.encode_subscribe(b"a.*", 3) == b"SUB a.* 3\r\n"
    assert protocol.encode_subscribe(b"a.*", 3, b"q") == b"SUB a.* q 3\r\n"
    assert protocol.encode_unsubscribe(3) == b"UNSUB 3\r\n"
    assert protocol.encode_connect({"verbose": False}) == b'CONNECT {"verbose": false}\r\n'


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB x 0", "a\tb", "\x00", "a\x7f"])
def test_a_subject_that_would_break_the_line_is_refused(subject: str) -> None:
    """Nothing that reaches the control line can end it early."""
    with pytest.raises(MemphisUsageError):
        protocol.encode_subject(subject)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (b"Authorization Violation", EngineRefusal.LOGIN),
        (b"User Authentication Expired", EngineRefusal.LOGIN),
        (b'Permissions Violation for Publish to "a"', EngineRefusal.PERMISSION),
        (b"Slow Consumer", EngineRefusal.OTHER),
        (b"something new", EngineRefusal.OTHER),
    ],
)
def test_engine_errors_are_classified(text: bytes, refusal: EngineRefusal) -> None:
    """Every text leads to one of three meanings, an unknown one to the harmless."""
    assert protocol.classify_error(text) is refusal
