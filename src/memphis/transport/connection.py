"""A connection to the engine that comes back by itself.

Place in the flow: everything the SDK sends or receives passes here. Below it, a
:class:`~memphis.transport.link.Link` is one socket; this object outlives sockets.

States: connected → (link lost) → reconnecting → connected …, and from any of them closed, which is
final. ``_link`` is the one owner of that fact: it is set only while a proved link is in use.

Invariant: after a reconnect all subscriptions are in place before anything else is sent. Nothing
that was handed to a socket is sent a second time from here; only a publisher does that, knowingly.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

from memphis.exceptions import MemphisConnectError, MemphisTimeoutError, MemphisUsageError
from memphis.transport.errors import ConnectionClosedError, ConnectionLostError
from memphis.transport.handshake import open_link
from memphis.transport.incoming import Incoming
from memphis.transport.keepalive import Keepalive
from memphis.transport.link import Link
from memphis.transport.listeners import Listeners
from memphis.transport.options import (
    ConnectionListener,
    ConnectionStatistics,
    ConnectOptions,
    FrameSource,
)
from memphis.transport.outbox import Outbox
from memphis.transport.protocol import (
    ERR,
    INFO,
    PING,
    PING_LINE,
    PONG,
    PONG_LINE,
    EngineRefusal,
    Frame,
    classify_error,
    encode_publish,
    encode_subject,
    encode_unsubscribe,
)
from memphis.transport.reconnect import Reconnector, connect_first
from memphis.transport.requests import Reply, Requester
from memphis.transport.servers import Address, ServerPool
from memphis.transport.subscriptions import (
    MessageCallback,
    RunCallback,
    Subscription,
    Subscriptions,
)

_DEFAULT_MAX_PAYLOAD = 1024 * 1024
_CLOSE_FLUSH_S = 2.0
_CLOSE_SOCKET_S = 1.0

_logger = logging.getLogger(__name__)


class Connection:
    """See the module. Made by :meth:`open`; not thread-safe, belongs to one event loop."""

    def __init__(self, options: ConnectOptions) -> None:
        loop = asyncio.get_running_loop()
        self._options = options
        self._pool = ServerPool(options.servers)
        self._outbox = Outbox(loop, options.outgoing_bytes_max)
        self._link: Link | None = None
        self._address: Address = options.servers[0]
        self.max_payload = _DEFAULT_MAX_PAYLOAD
        """Bytes of header and payload together that the server takes in one message."""
        self._subscriptions = Subscriptions(self._unsubscribe)
        self._incoming = Incoming(self._subscriptions.callbacks, self._control)
        self._next_inbox = 0
        self._listeners = Listeners()
        self._pongs: deque[Callable[[], object]] = deque()
        self._requester: Requester | None = None
        self._keepalive = Keepalive(loop, options.ping_interval_s, lambda: self._ping(_nothing))
        self._reconnector = Reconnector(
            options,
            connect_next=self._connect_next,
            pool_size=lambda: len(self._pool),
            on_success=self._reconnected,
            on_give_up=self._give_up,
        )
        self._changed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._close_reason: str | None = None
        self._lost_reason = ""
        self._reconnects = 0
        self._bytes_in = 0
        self._bytes_out = 0

    @classmethod
    async def open(cls, options: ConnectOptions) -> Self:
        """Connect to the first of the servers that lets us in, each tried once.

        Raises:
            MemphisConnectError: None did within ``connect_timeout_s`` in all; the text names host,
                port and reason of each. A refused login is a LoginRefusedError.
        """
        connection = cls(options)
        await connect_first(
            len(options.servers), options.connect_timeout_s, connection._connect_next
        )
        return connection

    # What there is to know.

    @property
    def is_connected(self) -> bool:
        """Whether there is a working connection at this moment."""
        return self._link is not None and self._link.is_open

    @property
    def is_closed(self) -> bool:
        """Whether it was closed or given up: it will not come back."""
        return self._close_reason is not None

    @property
    def server(self) -> Address:
        """The server connected to now, or last."""
        return self._address

    def check_open(self) -> None:
        """Raise MemphisConnectError, with the reason, if it is given up or (its subclass) closed."""
        if self._close_reason is not None:
            host, port = self._address
            kind = MemphisConnectError if self._closing is None else ConnectionClosedError
            raise kind(f"the connection to {host}:{port} is closed: {self._close_reason}")

    def statistics(self) -> ConnectionStatistics:
        """The numbers so far."""
        link = self._link
        return ConnectionStatistics(
            server=f"{self._address[0]}:{self._address[1]}",
            reconnects=self._reconnects,
            frames_in=self._incoming.frames,
            bytes_in=self._bytes_in + (link.bytes_in if link else 0),
            bytes_out=self._bytes_out + (link.bytes_out if link else 0),
            outgoing_bytes=self._outbox.bytes,
            outgoing_bytes_max=self._outbox.bytes_max,
            subscriptions=len(self._subscriptions),
            callback_errors=self._incoming.callback_errors,
        )

    # Sending.

    def publish(
        self,
        subject: bytes,
        payload: bytes | bytearray | memoryview,
        *,
        reply: bytes = b"",
        header: bytes = b"",
    ) -> None:
        """Send at the end of this turn, at most once. While reconnecting it waits, up to a limit.

        The caller vouches for the subject: no spaces, no line breaks. ``header`` is a whole block.

        Raises:
            MemphisConnectError: Closed, or too much waits to be sent already.
            MemphisUsageError: Larger than the server takes.
        """
        self.check_open()
        if type(payload) is not bytes:
            payload = bytes(payload)
        self._check_size(len(payload) + len(header))
        self._outbox.put(encode_publish(subject, payload, reply, header))

    def acknowledge(self, subject: bytes) -> None:
        """Tell the engine that a delivered message is done with, as :meth:`publish` would.

        An empty message is JetStream's shortest acknowledgement.

        Raises:
            MemphisConnectError: Closed, or too much waits to be sent already.
        """
        if self._close_reason is not None:
            self.check_open()
        self._outbox.acknowledge(subject)

    def write_now(self, frame: bytes, *, is_urgent: bool = False) -> None:
        """Write a whole frame at once; never kept for a later connection.

        It goes after all that waits, or before it if it is urgent.

        Raises:
            ConnectionLostError: There is no connection at this moment; nothing was sent.
            MemphisConnectError: Closed.
        """
        self.check_open()
        link = self._link
        if link is None or not link.is_open:
            raise ConnectionLostError("there is no connection at the moment")
        if is_urgent:
            self._outbox.write_all(link, first=frame)
        else:
            self._outbox.write_all(link, last=frame)

    async def request(
        self, subject: str, payload: bytes, *, timeout_s: float, header: bytes = b""
    ) -> Reply:
        """Send a request and wait for one reply. While reconnecting it waits within the deadline.

        Raises:
            NoRespondersError: Nobody listens there.
            ConnectionLostError: The connection broke before the reply; it may have had an effect.
            MemphisTimeoutError: No reply within ``timeout_s``.
            MemphisConnectError: Closed.
            MemphisUsageError: An impossible subject, or larger than the server takes.
        """
        self.check_open()
        self._check_size(len(payload) + len(header))
        if self._requester is None:
            self._requester = Requester(self)
        return await self._requester.request(
            encode_subject(subject), payload, timeout_s=timeout_s, header=header
        )

    async def flush(self, timeout_s: float) -> None:
        """Wait until the server has read everything that was sent here before.

        What a publisher still holds because the server does not read is not waited for.

        Raises:
            ConnectionLostError: There is no connection, or it broke meanwhile.
            MemphisTimeoutError: The server did not answer within ``timeout_s``.
        """
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outbox.flush()
        self._ping(lambda: _settle(answered))
        link = self._link
        try:
            async with asyncio.timeout(timeout_s):
                await answered
        except TimeoutError as error:
            raise MemphisTimeoutError(
                f"the server did not answer within {timeout_s:g} seconds"
            ) from error
        if self._link is not link:
            raise ConnectionLostError(f"the connection broke meanwhile: {self._lost_reason}")

    def add_source(self, source: FrameSource) -> None:
        """Ask ``source`` for frames whenever something is written; see :meth:`schedule_flush`."""
        self._outbox.add_source(source)

    def remove_source(self, source: FrameSource) -> None:
        """Ask it no longer."""
        self._outbox.remove_source(source)

    def flush_now(self) -> None:
        """Write what waits, unless the server does not read at the moment."""
        self._outbox.flush()

    def schedule_flush(self) -> None:
        """A source has frames: ask it at the end of this turn, or when writing is possible."""
        self._outbox.schedule()

    # Receiving.

    def new_inbox(self, purpose: str) -> bytes:
        """A subject below the inbox prefix that nobody else uses."""
        self._next_inbox += 1
        return encode_subject(f"{self._options.inbox_prefix}.{purpose}{self._next_inbox}")

    def subscribe(self, subject: str, callback: MessageCallback) -> Subscription:
        """Have ``callback`` called, from the event loop, with every message to ``subject``.

        What the callback raises is logged and changes nothing else. The subscription is kept over
        reconnects; messages published while there is no connection are missed.

        Raises:
            MemphisUsageError: An impossible subject.
            MemphisConnectError: Closed.
        """
        return self.subscribe_runs(subject, self._incoming.one_by_one(callback))

    def subscribe_runs(
        self, subject: str, callback: RunCallback, *, queue: str = ""
    ) -> Subscription:
        """As :meth:`subscribe`, but messages that came one after another are handed over together.

        Of all who name the same ``queue``, each message reaches one.
        """
        self.check_open()
        group = encode_subject(queue) if queue else b""
        subscription = self._subscriptions.add(encode_subject(subject), callback, group)
        if self.is_connected:
            self.write_now(subscription.frame)
        return subscription

    def expect_answers(
        self, subscription: Subscription, prefix: bytes, callback: Callable[[Frame], None]
    ) -> None:
        """Hand over runs of usual answers to publishes at once, instead of one by one.

        One publisher per connection can have this; others get single messages.
        """
        answers = self._incoming.expect_answers(subscription.sid, prefix, callback)
        if answers is not None and self._link is not None:
            self._link.expect_answers(*answers)

    def _unsubscribe(self, subscription: Subscription) -> None:
        if not self._subscriptions.deactivate(subscription):
            return
        if not self.is_connected:
            self._subscriptions.forget(subscription)
            return
        self.write_now(encode_unsubscribe(subscription.sid))
        # Once the server has answered a PING sent after UNSUB, no more can come.
        self._ping(lambda: self._subscriptions.forget(subscription))

    def frames_received(self, frames: Sequence[Frame]) -> None:
        """The link has read something."""
        self._incoming.receive(frames)

    def _control(self, frame: Frame) -> None:
        kind = frame[0]
        if kind == PING:
            if self.is_connected:
                self.write_now(PONG_LINE)
        elif kind == PONG:
            if self._pongs:
                self._pongs.popleft()()
        elif kind == INFO:
            self._learn(frame[1])
            if frame[1].get("ldm") is True:
                self._leave()
        elif kind == ERR:
            self._refused(frame[1])

    def _refused(self, text: bytes) -> None:
        shown = text.decode("utf-8", "replace")
        if classify_error(text) is EngineRefusal.PERMISSION:
            _logger.error("the server does not permit this user: %s", shown)
        else:
            # The server closes the connection itself where the error calls for it.
            _logger.error("the server reports: %s", shown)

    def _learn(self, info: dict[str, object]) -> None:
        limit = info.get("max_payload")
        if isinstance(limit, int) and limit > 0:
            self.max_payload = limit
        if "connect_urls" in info:
            self._pool.learn(info["connect_urls"])

    def _leave(self) -> None:
        """The server is about to stop. With no other to go to we stay until this one is gone."""
        if len(self._pool) > 1 and self._link is not None:
            self._outbox.write_all(self._link)
            self._link.leave("the server is about to stop (lame duck mode)")

    # Coming and going of links.

    def add_listener(self, listener: ConnectionListener) -> None:
        """Tell ``listener`` how the connection fares, after those added before it."""
        self._listeners.add(listener)

    def remove_listener(self, listener: ConnectionListener) -> None:
        """Tell it no more."""
        self._listeners.remove(listener)

    async def wait_connected(self, timeout_s: float) -> None:
        """Return as soon as there is a connection.

        Raises:
            MemphisTimeoutError: There was none within ``timeout_s``.
            MemphisConnectError: Closed or given up.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self.is_connected:
                    self.check_open()
                    await self._changed.wait()
                    # A socket may be gone a turn before we are told, with the event still set.
                    await asyncio.sleep(0)
        except TimeoutError as error:
            raise MemphisTimeoutError(f"no connection within {timeout_s:g} seconds") from error
        self.check_open()

    async def _connect_next(self, timeout_s: float) -> None:
        address = self._pool.take()
        link, info = await open_link(
            address,
            self._options,
            verified_name=self._pool.verified_name(address),
            timeout_s=timeout_s,
        )
        self._address = address
        self._link = link
        link.attach(self)
        if self._incoming.answers is not None:
            link.expect_answers(*self._incoming.answers)
        self._learn(info)
        link.write(self._subscriptions.restore_frames())
        self._outbox.use(link)
        self._keepalive.start(link)
        self._changed.set()
        self._listeners.restored()
        self._outbox.schedule()

    def link_writable(self) -> None:
        """The link takes bytes again."""
        self._outbox.flush()

    def link_lost(self, reason: str) -> None:
        """The link is over: tell everyone, and try to get another."""
        if self.is_closed:
            return
        self._lost_reason = reason
        self._changed.clear()
        self._drop_link()
        self._listeners.lost(reason)
        if self._closing is None:
            _logger.warning("the connection to %s:%d is lost: %s", *self._address, reason)
            self._reconnector.start(reason)

    def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._bytes_in += link.bytes_in
            self._bytes_out += link.bytes_out
        self._outbox.use(None)
        self._keepalive.stop()
        pongs, self._pongs = self._pongs, deque()
        for callback in pongs:
            callback()

    def _reconnected(self) -> None:
        self._reconnects += 1
        _logger.info("connected again, to %s:%d", *self._address)

    def _give_up(self, reason: str) -> None:
        _logger.error("the connection is given up: %s", reason)
        self._finish(f"given up, {reason}")

    def _ping(self, on_pong: Callable[[], object]) -> None:
        self.write_now(PING_LINE)
        self._pongs.append(on_pong)

    # The end.

    async def close(self, *, flush_timeout_s: float = _CLOSE_FLUSH_S) -> None:
        """Send what waits, within ``flush_timeout_s``, and end for good. Idempotent.

        What is in flight elsewhere fails with MemphisConnectError; publishers are drained before.
        Cancelling the caller does not stop the closing.
        """
        if self._closing is None:
            loop = asyncio.get_running_loop()
            self._closing = loop.create_task(self._shut_down(flush_timeout_s))
        await asyncio.shield(self._closing)

    async def _shut_down(self, flush_timeout_s: float) -> None:
        await self._reconnector.stop()
        link = self._link
        if link is not None and link.is_open:
            try:
                await self.flush(flush_timeout_s)
            except (MemphisConnectError, MemphisTimeoutError) as error:
                _logger.warning("closing without knowing that everything arrived: %s", error)
        self._finish("closed by the application")
        if link is not None:
            await link.close(_CLOSE_SOCKET_S)

    def _finish(self, reason: str) -> None:
        if self.is_closed:
            return
        self._close_reason = reason
        self._drop_link()
        if dropped := self._outbox.clear():
            _logger.warning("closed with %d frames that were never sent", dropped)
        self._changed.set()
        self._listeners.closed(reason)

    def _check_size(self, size: int) -> None:
        if size > self.max_payload:
            raise MemphisUsageError(
                f"a message of {size} bytes is more than the server takes ({self.max_payload})"
            )


def _nothing() -> None:
    """What a keepalive's PONG leads to."""


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
