"""Reads many stored messages with one request: the engine's batched direct get (NATS ADR-31)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final, NamedTuple

import nats.errors

from memphis_broker.engine.failures import engine_failures

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

PAGE_MESSAGES: Final = 1000
PAGE_BYTES: Final = 4 * 1024 * 1024
_PAGE_DEADLINE_S: Final = 5.0

_STATUS_END: Final = "204"
_STATUS_NONE: Final = "404"


class Page(NamedTuple):
    """Some messages in their order, and the sequence from which to read on; 0: these are the last."""

    messages: list[Msg]
    following: int


def sequence_of(message: Msg) -> int:
    """The sequence of a message that was read here."""
    return int((message.headers or {})["Nats-Sequence"])


async def read_page(
    client: Client, stream: str, subject: str, start: int, count: int = PAGE_MESSAGES
) -> Page:
    """The messages on ``subject`` from sequence ``start`` on, up to a thousand or some megabytes.

    A stored message may have any headers; what the engine says of it stands last, and so wins.

    Raises:
        Refusal: The engine refused or did not answer.
    """
    messages: list[Msg] = []
    complete: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

    async def collect(message: Msg) -> None:
        if "Nats-Sequence" in (message.headers or {}):
            messages.append(message)
        elif not complete.done():
            complete.set_result(message)

    query = {
        "seq": start,
        "next_by_subj": subject,
        "batch": min(count, PAGE_MESSAGES),
        "max_bytes": PAGE_BYTES,
    }
    with engine_failures(f"reading the stream {stream}"):
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=collect)
        try:
            await client.publish(
                f"$JS.API.DIRECT.GET.{stream}", json.dumps(query).encode(), reply=inbox
            )
            async with asyncio.timeout(_PAGE_DEADLINE_S):
                last = await complete
        except TimeoutError as error:
            raise nats.errors.TimeoutError from error
        finally:
            await subscription.unsubscribe()
        headers = last.headers or {}
        if headers["Status"] == _STATUS_NONE:
            return Page(messages, 0)
        if headers["Status"] != _STATUS_END:
            raise nats.errors.NoRespondersError
    more = int(headers.get("Nats-Num-Pending", 0)) > 0 and bool(messages)
    return Page(messages, sequence_of(messages[-1]) + 1 if more else 0)
