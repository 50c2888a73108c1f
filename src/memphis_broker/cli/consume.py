"""`memphis consume`: read a station as a member of a group, to a terminal or a program.

Invariant: a message is acknowledged after it was written and flushed, so that what a closed pipe
swallowed comes again.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memphis_broker.cli import _output
from memphis_broker.cli._client import connected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from memphis import Memphis
    from memphis.consumer import Consumer
    from memphis.message import Message

    _Take = Callable[[int], Awaitable[list[Message]]]

_BATCH_MAX = 500
# After so long without a full batch the station counts as read to its end.
_DRY_AFTER_MS = 1_000
# A follower should see a message soon, even one that comes alone.
_FOLLOW_WAIT_MS = 200
# A follower's pause while the connection is away; the SDK has its own pace to get it back.
_RECONNECT_CHECK_S = 0.25


@connected
async def consume(
    memphis: Memphis,
    station: Annotated[str, typer.Argument(metavar="STATION", help="What to read.")],
    group: Annotated[
        str, typer.Option("--group", "-g", help="The group; its members share the messages.")
    ],
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after so many messages.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more instead of ending.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object per line, with all that is known.")
    ] = False,
    partition: Annotated[
        int | None, typer.Option("--partition", "-p", help="Read this partition only.")
    ] = None,
    from_sequence: Annotated[
        int, typer.Option(help="Where a new group begins, in each partition.", show_default=False)
    ] = 1,
    last_messages: Annotated[
        int | None, typer.Option(help="A new group begins so many messages before the end.")
    ] = None,
    max_ack_time_ms: Annotated[
        int, typer.Option(help="After which time a message not acknowledged comes again.")
    ] = 30_000,
    max_msg_deliveries: Annotated[
        int, typer.Option(help="How often a message comes before it is a dead letter.")
    ] = 10,
    name: Annotated[str, typer.Option(help="The consumer's name.")] = "command-line",
) -> None:
    """Read messages of a station, one per line; each is acknowledged once it is written.

    It ends when nothing is left to read. With --follow it waits for more, also while the broker is
    away. The group keeps its position, so the next run goes on where this one ended:

      memphis consume orders --group audit --json | jq .data
    """
    # The SDK creates a station that is not there; someone who reads has more likely mistyped.
    await memphis.existing_station(station)
    consumer = await memphis.consumer(
        station,
        name,
        consumer_group=group,
        batch_size=_BATCH_MAX,
        batch_max_time_to_wait_ms=_FOLLOW_WAIT_MS if follow else _DRY_AFTER_MS,
        max_ack_time_ms=max_ack_time_ms,
        max_msg_deliveries=max_msg_deliveries,
        start_consume_from_sequence=from_sequence,
        last_messages=-1 if last_messages is None else last_messages,
    )
    # The consumer is not destroyed at the end: with its last member the group would lose its place.
    number = -1 if partition is None else partition
    take = _taking_patiently(memphis, consumer, number) if follow else _taking(consumer, number)
    read = await _read(take, count=count, follow=follow, as_json=as_json)
    if not as_json:
        _output.write_note(
            f"{_output.counted(read, 'message')} read from station {station} by group {group}"
        )


def _taking(consumer: Consumer, partition: int) -> _Take:
    """Takes up to so many messages as it is given."""

    async def take(wanted: int) -> list[Message]:
        return await consumer.fetch(wanted, consumer_partition_number=partition)

    return take


def _taking_patiently(memphis: Memphis, consumer: Consumer, partition: int) -> _Take:
    """The same, but a lost connection is waited for.

    It has an end: our connections are never given up, only closed, and closing is what follows the
    last fetch. A station or group that is gone is no matter of waiting and ends the command.
    """
    take = _taking(consumer, partition)

    async def take_patiently(wanted: int) -> list[Message]:
        from memphis.exceptions import MemphisConnectError  # noqa: PLC0415 - only when it is run

        is_told = False
        while True:
            try:
                messages = await take(wanted)
            except MemphisConnectError as error:
                if not is_told:
                    _output.write_note(f"{error}; waiting for it, Ctrl-C ends that")
                    is_told = True
                await asyncio.sleep(_RECONNECT_CHECK_S)
            else:
                if is_told and memphis.is_connected():
                    _output.write_note("memphis: connected again")
                return messages

    return take_patiently


async def _read(take: _Take, *, count: int | None, follow: bool, as_json: bool) -> int:
    read = 0
    while count is None or read < count:
        wanted = _BATCH_MAX if count is None else min(_BATCH_MAX, count - read)
        messages = await take(wanted)
        _output.write_bytes(b"".join(_as_json(messages) if as_json else _as_text(messages)))
        for message in messages:
            await message.ack()
        read += len(messages)
        if len(messages) < wanted and not follow:
            break
    return read


def _as_text(messages: Iterable[Message]) -> Iterable[bytes]:
    return (bytes(message.get_data()) + b"\n" for message in messages)


def _as_json(messages: Iterable[Message]) -> Iterable[bytes]:
    return (json.dumps(describe(message)).encode() + b"\n" for message in messages)


def describe(message: Message) -> dict[str, Any]:
    """A message as JSON has it; a payload that is no text comes as ``data_base64``."""
    described: dict[str, Any] = {
        "station": message.station_name,
        "partition": message.partition,
        "sequence": message.get_sequence_number(),
        "time": message.get_timesent().isoformat(),
        "deliveries": message.delivery_count,
        "headers": message.get_headers(),
    }
    payload = bytes(message.get_data())
    try:
        described["data"] = payload.decode()
    except UnicodeDecodeError:
        described["data_base64"] = base64.b64encode(payload).decode()
    return described
