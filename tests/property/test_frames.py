"""Properties of the frame parser: how bytes are cut must not matter."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from memphis.transport import protocol
from memphis.transport.errors import ProtocolError
from memphis.transport.protocol import Frame, Parser

SUBJECTS = st.text("abcXYZ019$#._-*>", min_size=1, max_size=30).map(str.encode)
CONTENT = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\r\n", b"MSG a 1 3\r\nabc\r\n", b"PING\r\n", b"+OK\r\n", b"\r", b"\n"]),
)
SIDS = st.integers(0, 10**9)
MESSAGES = st.tuples(
    st.just(protocol.MSG), SIDS, SUBJECTS, st.one_of(st.just(b""), SUBJECTS), CONTENT, CONTENT
)
FRAMES = st.one_of(
    MESSAGES,
    st.sampled_from([(protocol.PING,), (protocol.PONG,), (protocol.OK,)]),
    st.tuples(st.just(protocol.ERR), st.just(b"Slow Consumer")),
    st.tuples(st.just(protocol.INFO), st.dictionaries(st.text(), st.integers())),
)


def as_server(frame: Frame) -> bytes:
    """The bytes with which a server would send this frame."""
    kind = frame[0]
    if kind == protocol.MSG:
        _, sid, subject, reply, header, payload = frame
        words = [subject, b"%d" % sid, *([reply] if reply else [])]
        words = [b"HMSG", *words, b"%d" % len(header)] if header else [b"MSG", *words]
        words.append(b"%d" % (len(header) + len(payload)))
        return b" ".join(words) + b"\r\n" + header + payload + b"\r\n"
    if kind == protocol.ERR:
        return b"-ERR '%b'\r\n" % frame[1]
    if kind == protocol.INFO:
        return protocol.encode_connect(frame[1]).replace(b"CONNECT", b"INFO", 1)
    return {protocol.PING: b"PING\r\n", protocol.PONG: b"PONG\r\n", protocol.OK: b"+OK\r\n"}[kind]


def feed_all(pieces: list[bytes]) -> list[Frame]:
    parser = Parser()
    return [frame for piece in pieces for frame in parser.feed(piece)]


@given(st.lists(FRAMES, max_size=8))
def test_frames_survive_in_one_piece_and_byte_by_byte(frames: list[Frame]) -> None:
    """What a server sends comes out as it was, whole or byte by byte."""
    data = b"".join(map(as_server, frames))
    assert feed_all([data]) == frames
    assert feed_all([data[at : at + 1] for at in range(len(data))]) == frames


@given(st.lists(FRAMES, max_size=8), st.data())
def test_frames_survive_any_split(frames: list[Frame], data: st.DataObject) -> None:
    """Random cuts give the same frames."""
    stream = b"".join(map(as_server, frames))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20).map(sorted))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert feed_all(pieces) == frames


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_waited_for(garbage: bytes) -> None:
    """Arbitrary bytes never raise anything but ProtocolError."""
    try:
        frames = Parser().feed(garbage)
    except ProtocolError:
        return
    assert all(1 <= frame[0] <= 6 for frame in frames)


@given(st.lists(FRAMES, min_size=1, max_size=5), st.data())
def test_a_damaged_stream_never_crashes_the_parser(
    frames: list[Frame], data: st.DataObject
) -> None:
    """One changed byte gives frames or ProtocolError, never another exception."""
    stream = bytearray(b"".join(map(as_server, frames)))
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    try:
        feed_all([bytes(stream)])
    except ProtocolError:
        return


@given(SUBJECTS, st.one_of(st.just(b""), SUBJECTS), CONTENT, CONTENT)
def test_what_the_encoder_writes_can_be_read_back(
    subject: bytes, reply: bytes, header: bytes, payload: bytes
) -> None:
    """PUB and HPUB carry subject, reply, header and payload exactly."""
    written = protocol.encode_publish(subject, payload, reply, header)
    # A server passes the same words on, with the subscription's number after the subject.
    line, _, rest = written.partition(b"\r\n")
    words = line.split(b" ")
    words[0] = words[0].replace(b"PUB", b"MSG")
    words.insert(2, b"7")
    frames = Parser().feed(b" ".join(words) + b"\r\n" + rest)
    assert frames == [(protocol.MSG, 7, subject, reply, header, payload)]
