"""`memphis produce`: messages from arguments, a file or standard input into a station."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memphis_broker.cli import _output
from memphis_broker.cli._client import FAILED, connected
from memphis_broker.cli._lines import LineReader, LineTooLongError

if TYPE_CHECKING:
    from memphis import Memphis
    from memphis.exceptions import MemphisError
    from memphis.producer import Producer

_IN_FLIGHT_MAX = 1_000
_NUMBER = "{n}"
_TOO_LARGE = 10054
"""The engine's number for a message that is larger than it takes."""


@dataclass
class _Sending:
    """One run of the command: how each message is sent, and what became of them."""

    producer: Producer
    options: dict[str, Any]
    message_id: str
    sent: int = 0
    stored: int = 0
    duplicates: int = 0
    failed: list[int] = field(default_factory=list)
    """The numbers of the messages that failed, in the order in which that was known."""
    first_failure: str = ""
    is_in_doubt: bool = False
    """Whether some of those may be stored nevertheless."""
    _unconfirmed: deque[tuple[int, Awaitable[Any]]] = field(default_factory=deque)

    async def send(self, payload: bytes) -> None:
        """Send a message without waiting for its confirmation; wait for older ones if need be."""
        from memphis.exceptions import (  # noqa: PLC0415 - only when it is run
            MemphisProduceError,
            MemphisSchemaError,
        )

        self.sent += 1
        message_id = self.message_id.replace(_NUMBER, str(self.sent)) or None
        try:
            confirmation = await self.producer.produce(
                payload, msg_id=message_id, nonblocking=True, **self.options
            )
        except (MemphisProduceError, MemphisSchemaError) as error:
            self._count_failure(self.sent, error)
        else:
            self._unconfirmed.append((self.sent, confirmation))
        while len(self._unconfirmed) > _IN_FLIGHT_MAX:
            await self._confirm()

    async def finish(self) -> None:
        """Wait until every message is confirmed or has failed."""
        while self._unconfirmed:
            await self._confirm()

    async def _confirm(self) -> None:
        from memphis.exceptions import MemphisError  # noqa: PLC0415 - only when it is run

        number, confirmation = self._unconfirmed.popleft()
        try:
            result = await confirmation
        except MemphisError as error:
            self._count_failure(number, error)
        else:
            self.stored += 1
            self.duplicates += bool(result.duplicate)

    def _count_failure(self, number: int, error: MemphisError) -> None:
        from memphis.exceptions import (  # noqa: PLC0415 - only when it is run
            MemphisNotConfirmedError,
            MemphisProduceError,
        )

        self.failed.append(number)
        self.is_in_doubt |= isinstance(error, MemphisNotConfirmedError)
        if not self.first_failure:
            is_too_large = isinstance(error, MemphisProduceError) and error.code == _TOO_LARGE
            hint = "; `memphis serve --max-message-size` sets that" if is_too_large else ""
            self.first_failure = f"message {number}: {error}{hint}"


def ranges(numbers: Iterable[int]) -> str:
    """Different numbers in short: ``3, 58-408``."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


@connected
async def produce(
    memphis: Memphis,
    station: Annotated[str, typer.Argument(metavar="STATION", help="Where to.")],
    messages: Annotated[
        list[str] | None, typer.Argument(metavar="MESSAGE", help="The messages.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            help="A file with one message per line.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="The file or standard input is one message.")
    ] = False,
    key: Annotated[
        str | None,
        typer.Option("--key", "-k", help="Messages with the same key stay in order."),
    ] = None,
    partition: Annotated[
        int | None, typer.Option("--partition", "-p", help="The partition, instead of a key.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="KEY=VALUE", help="A header; may be repeated."),
    ] = None,
    msg_id: Annotated[
        str,
        typer.Option(
            help="An id by which a message sent twice is stored once. With several messages put "
            f"{_NUMBER} in it, which becomes the number of the message.",
            show_default=False,
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="The producer's name.")] = "command-line",
) -> None:
    """Send messages to a station; it is created with the defaults if it does not exist.

    Without MESSAGE and --file, every line of standard input that is not empty is one message:

      tail -f access.log | memphis produce access --key web-1

    The exit code is 0 only if every message was stored.
    """
    if messages and (file or whole):
        raise typer.BadParameter("give messages as arguments or from a file, not both")
    options = {
        "headers": _parse_headers(header or []),
        "producer_partition_key": key,
        "producer_partition_number": -1 if partition is None else partition,
    }
    try:
        with _opened(file) as descriptor:
            reader = LineReader(descriptor)
            payloads = _payloads(messages or [], reader, whole=whole)
            if msg_id and _NUMBER not in msg_id:
                payloads = _only_one(payloads)
            producer = await memphis.producer(station, name)
            sending = _Sending(producer, options, msg_id)
            with _output.progress("sending", _size(file)) as update:
                async for payload in payloads:
                    await sending.send(payload)
                    update(reader.bytes_read, f"{sending.sent:,} messages")
                await sending.finish()
    except (OSError, LineTooLongError) as error:
        _output.write_error(f"cannot read {file or 'standard input'}: {error}")
        raise typer.Exit(FAILED) from error
    await producer.destroy()
    _report(sending, station)


def _report(sending: _Sending, station: str) -> None:
    duplicates = f", {sending.duplicates:,} of them already there" if sending.duplicates else ""
    _output.write_note(
        f"{_output.counted(sending.stored, 'message')} stored in station {station}{duplicates}"
    )
    if count := len(sending.failed):
        _output.write_error(
            f"{'not confirmed' if sending.is_in_doubt else 'not stored'}: "
            f"{_output.counted(count, 'message')}, number{'s' * (count > 1)} "
            f"{ranges(sending.failed)}; the first: {sending.first_failure}"
        )
        raise typer.Exit(FAILED)


def _parse_headers(given: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"write a header as KEY=VALUE, not {text!r}")
        headers[key] = value
    return headers


@contextmanager
def _opened(file: Path | None) -> Iterator[int]:
    """The descriptor to read from: the file's, or standard input's, which stays open."""
    if file is None:
        if sys.stdin is None or sys.stdin.closed:
            raise OSError("it is closed")
        yield sys.stdin.fileno()
        return
    descriptor = os.open(file, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _size(file: Path | None) -> int | None:
    return file.stat().st_size if file else None


async def _payloads(
    arguments: list[str], reader: LineReader, *, whole: bool
) -> AsyncIterator[bytes]:
    """The messages to send, from wherever the command was told to take them."""
    if arguments:
        for argument in arguments:
            # What the shell passed that is not UTF-8 goes out as it came in.
            yield os.fsencode(argument)
    elif whole:
        yield await reader.everything()
    else:
        async for line in reader.lines():
            yield line


async def _only_one(payloads: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The one message there is; a second one is refused before the first is sent."""
    first = await anext(payloads, None)
    if await anext(payloads, None) is not None:
        raise typer.BadParameter(
            f"--msg-id for several messages needs {_NUMBER} in it, or they would count as one"
        )
    if first is not None:
        yield first
