"""A small NATS client of our own, for the SDK and for the broker's bulk paths.

Place: below the public face and ``memphis._core``, above ``memphis.wire``. Written because the data
path is what this SDK exists for: one write per turn of the event loop, no task, queue or timer per
message, and every publish, request and pull ends, whatever happens to the connection.

Invariant: nothing here knows stations, producers or consumers; only subjects and bytes.
"""

from memphis.transport.acknowledgement import PublishResult
from memphis.transport.connection import Connection
from memphis.transport.errors import (
    ConnectionLostError,
    LoginRefusedError,
    NoRespondersError,
    ProtocolError,
)
from memphis.transport.options import ConnectionListener, ConnectionStatistics, ConnectOptions
from memphis.transport.publisher import Publisher
from memphis.transport.puller import Pull, PullEnd, Puller, PullerStatistics
from memphis.transport.receipt import PublisherStatistics
from memphis.transport.requests import Reply
from memphis.transport.subscriptions import Subscription

__all__ = [
    "ConnectOptions",
    "Connection",
    "ConnectionListener",
    "ConnectionLostError",
    "ConnectionStatistics",
    "LoginRefusedError",
    "NoRespondersError",
    "ProtocolError",
    "PublishResult",
    "Publisher",
    "PublisherStatistics",
    "Pull",
    "PullEnd",
    "Puller",
    "PullerStatistics",
    "Reply",
    "Subscription",
]
