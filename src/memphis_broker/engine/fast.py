"""The SDK's own transport as the broker uses it: in the clients' account, for many messages at once."""

from __future__ import annotations

import logging
import ssl
import uuid
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from memphis.exceptions import MemphisError
from memphis.transport.connection import Connection
from memphis.transport.options import ConnectOptions
from memphis.wire.subjects import broker_inbox_prefix
from memphis_broker.engine.accounts import CLIENTS_USER, Credentials, EngineTargets
from memphis_broker.engine.failures import unavailable

logger = logging.getLogger(__name__)

_CONNECT_S: Final = 5.0
_RECONNECT_S: Final = 0.25
_OUTGOING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Several of the largest messages, of many clients, may wait to be passed on at once."""
_DEFAULT_PORT: Final = 4222


async def open_fast(targets: EngineTargets, name: str, doing: str) -> Connection:
    """Connect. Whoever calls this closes it.

    Args:
        targets: Where the engine is, and as whom to enter the clients' account.
        name: What the engine shows of the connection.
        doing: What it is for, as the subject of a sentence.

    Raises:
        Refusal: ``ENGINE_UNAVAILABLE``.
    """
    options = replace(_options(targets, name), outgoing_bytes_max=_OUTGOING_BYTES_MAX)
    attempts = [options]
    if options.tls is None:
        # A server may insist on TLS whatever its address says.
        attempts.append(replace(options, tls=ssl.create_default_context()))
    for attempt in attempts:
        try:
            return await Connection.open(attempt)
        except MemphisError as error:
            logger.debug("no connection for %s: %s", name, error)
            failure = error
    raise unavailable(doing) from failure


def _options(targets: EngineTargets, name: str) -> ConnectOptions:
    login = (
        Credentials(user=CLIENTS_USER, password=targets.secrets.clients_password)
        if targets.secrets
        else targets.plain
    )
    parts = [urlsplit(url) for url in targets.urls]
    is_private = any(part.scheme == "tls" for part in parts)
    return ConnectOptions(
        servers=tuple((part.hostname or "", part.port or _DEFAULT_PORT) for part in parts),
        name=name,
        inbox_prefix=f"{broker_inbox_prefix()}.{uuid.uuid4().hex}",
        user=login.user if login else "",
        password=login.password if login else "",
        token=targets.plain_token or "",
        tls=ssl.create_default_context() if is_private else None,
        connect_timeout_s=_CONNECT_S,
        reconnect_interval_s=_RECONNECT_S,
    )
