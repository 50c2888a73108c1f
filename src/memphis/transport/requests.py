"""Request and reply over one wildcard inbox.

Place in the flow: ``Connection.request → Requester → engine → inbox → future``.

Invariant: a request ends with its reply, with an error, or at its deadline, and leaves nothing
behind whichever it was, also when its caller is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from memphis.exceptions import MemphisConnectError, MemphisTimeoutError
from memphis.transport.errors import ConnectionLostError, NoRespondersError
from memphis.transport.protocol import MessageFrame, encode_publish
from memphis.wire.headers import status_of

if TYPE_CHECKING:
    from memphis.transport.connection import Connection

NO_RESPONDERS = 503
"""The status with which the engine says that nobody listens on a subject."""

_logger = logging.getLogger(__name__)


class Reply(NamedTuple):
    """What came back."""

    payload: bytes
    header: bytes
    """The whole header block, empty where there is none."""


class Requester:
    """The requests of one connection that wait for their reply. Made by the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._next_token = 0
        inbox = connection.new_inbox("reply")
        self._reply_prefix = inbox + b"."
        connection.subscribe((inbox + b".*").decode(), self._replied)
        connection.add_listener(self)

    async def request(
        self, subject: bytes, payload: bytes, *, timeout_s: float, header: bytes
    ) -> Reply:
        """See :meth:`memphis.transport.connection.Connection.request`."""
        token = self._next_token
        self._next_token += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._connection.wait_connected(timeout_s)
                reply = self._reply_prefix + b"%d" % token
                self._connection.write_now(encode_publish(subject, payload, reply, header))
                future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
                self._waiting[token] = future
                return await future
        except TimeoutError as error:
            raise MemphisTimeoutError(
                f"no reply to {subject.decode()} within {timeout_s:g} seconds"
            ) from error
        except NoRespondersError as error:
            raise NoRespondersError(f"nobody answers requests to {subject.decode()}") from error
        finally:
            self._waiting.pop(token, None)

    def _replied(self, frame: MessageFrame) -> None:
        _, _, subject, _, header, payload = frame
        future = self._waiting.pop(int(subject[len(self._reply_prefix) :]), None)
        if future is None or future.done():
            _logger.debug("a reply came after its request had ended")
        elif header and not payload and status_of(header) == NO_RESPONDERS:
            future.set_exception(NoRespondersError("no responders"))
        else:
            future.set_result(Reply(payload, header))

    def connection_lost(self, reason: str) -> None:
        """Every request in flight fails: its reply would come to a socket that is gone."""
        self._fail_all(ConnectionLostError, f"the connection broke during the request: {reason}")

    def connection_restored(self) -> None:
        """Nothing to do: what waits for the connection has not been sent yet."""

    def connection_closed(self, reason: str) -> None:
        """Every request in flight fails."""
        self._fail_all(MemphisConnectError, f"the connection was closed: {reason}")

    def _fail_all(self, error: type[MemphisConnectError], text: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(error(text))
