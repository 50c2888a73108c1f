"""Lines from a real pipe, however the writer cuts them."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memphis_broker.cli import _lines
from memphis_broker.cli._lines import LineReader, LineTooLongError

PIECES = st.lists(st.sampled_from([b"", b"a", b"bc", b"\n", b"d\n", b"\r\n", b"\n\n", b"\xff"]))


async def read_through_a_pipe(pieces: list[bytes], *, whole: bool = False) -> list[bytes]:
    """What a reader makes of pieces that are written one after another."""
    reading, writing = os.pipe()
    try:
        reader = LineReader(reading)
        for piece in pieces:
            os.write(writing, piece)
        os.close(writing)
        return [await reader.everything()] if whole else [line async for line in reader.lines()]
    finally:
        os.close(reading)


@settings(deadline=None, max_examples=50)
@given(PIECES)
def test_lines_do_not_depend_on_how_they_are_cut(pieces: list[bytes]) -> None:
    """The same lines come out as if the input had been split in one go, without the empty ones."""
    expected = [line.rstrip(b"\r\n") for line in b"".join(pieces).split(b"\n")]
    found = asyncio.run(read_through_a_pipe(pieces))
    assert found == [line for line in expected if line]


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3])
async def test_small_chunks_give_the_same_lines(
    monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    """A line may be spread over any number of chunks."""
    monkeypatch.setattr(_lines, "_CHUNK_BYTES", chunk_bytes)
    assert await read_through_a_pipe([b"one\ntwo and more\n\nthree"]) == [
        b"one", b"two and more", b"three",
    ]  # fmt: skip


async def test_everything_is_left_as_it_is() -> None:
    """The whole input keeps its line ends."""
    assert await read_through_a_pipe([b"\na", b"\r\n\n"], whole=True) == [b"\na\r\n\n"]


@pytest.mark.parametrize("whole", [False, True])
async def test_input_without_an_end_of_line_is_refused(
    monkeypatch: pytest.MonkeyPatch, *, whole: bool
) -> None:
    """Memory does not grow with an input that is not made of lines."""
    monkeypatch.setattr(_lines, "_LINE_BYTES_MAX", 100)
    monkeypatch.setattr(_lines, "_CHUNK_BYTES", 10)
    with pytest.raises(LineTooLongError):
        await read_through_a_pipe([b"x" * 1000], whole=whole)


async def test_an_unreadable_descriptor_raises() -> None:
    """A directory cannot be read; the caller learns it."""
    descriptor = os.open(".", os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            _ = [line async for line in LineReader(descriptor).lines()]
    finally:
        os.close(descriptor)
