"""Stream from Python without an event loop: the SDK for scripts and web workers.

Every class has the names, parameters and defaults of the one in :mod:`memphis` of its name; what is
awaited there returns here when it is done.

Example:
    >>> from memphis.sync import Memphis
    >>> with Memphis() as memphis:
    ...     memphis.connect(host="localhost", username="root", password="memphis")
    ...     for message in memphis.consumer("flights", "board"):
    ...         message.ack()
"""

from __future__ import annotations

from memphis.sync.consumer import Consumer
from memphis.sync.dead_letters import DeadLetter, DeadLetters
from memphis.sync.memphis import Memphis
from memphis.sync.message import Message
from memphis.sync.producer import PendingProduce, Producer
from memphis.sync.schemas import Schema
from memphis.sync.station import Station

__all__ = [
    "Consumer",
    "DeadLetter",
    "DeadLetters",
    "Memphis",
    "Message",
    "PendingProduce",
    "Producer",
    "Schema",
    "Station",
]
