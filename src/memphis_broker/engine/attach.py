"""An engine that is not ours: a NATS server or cluster that runs already.

The counterpart of embedded.py with the same methods, so that the server need not know which it
has. Invariant: nothing is started and nothing is written to the local disk.
"""

from __future__ import annotations

import asyncio
from urllib.parse import SplitResult, unquote, urlsplit

from memphis_broker.config import ConfigError, Settings
from memphis_broker.engine.accounts import Credentials, EngineSecrets, EngineTargets

_SCHEMES = ("nats", "tls")
_DEFAULT_PORT = 4222


class AttachedEngine:
    """The engine at the URLs of ``--engine``.

    Raises:
        ConfigError: A URL cannot be used.
        StartupError: The secrets file cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        parts = [_parse(url) for url in settings.engine_urls]
        urls = [f"{part.scheme}://{_host_and_port(part)}" for part in parts]
        self._first = parts[0].hostname or "", parts[0].port or _DEFAULT_PORT
        if settings.engine_secrets is not None:
            secrets = EngineSecrets.read(settings.engine_secrets)
            self._targets = EngineTargets(urls=urls, secrets=secrets)
            return
        # Taken out of the URLs: so they also serve servers discovered later, and no log shows them.
        user, password = _first_login(parts)
        if password is not None:
            self._targets = EngineTargets(
                urls=urls, plain=Credentials(user=user or "", password=password)
            )
        else:
            self._targets = EngineTargets(urls=urls, plain_token=user)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first URL: where clients may connect."""
        return self._first

    async def prepare(self) -> None:
        """Needs nothing: the engine is ready or it is not."""

    async def start(self) -> EngineTargets:
        """How to enter the engine; starts nothing."""
        return self._targets

    async def wait_until_ended(self) -> str:
        """Never returns: the connections notice when this engine goes."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError("a future that nobody resolves was resolved")

    async def stop(self) -> None:
        """Leaves the engine as it is."""

    def release(self) -> None:
        """Holds nothing."""


def _parse(url: str) -> SplitResult:
    if "://" not in url:
        url = f"nats://{url}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ConfigError(_bad_url(url)) from error
    if not valid:
        raise ConfigError(_bad_url(url))
    return parts


def _bad_url(url: str) -> str:
    shown = url.rpartition("@")[2]  # never the login in front of it
    return f"engine: {shown!r} is not a URL of an engine; write for example nats://127.0.0.1:4222"


def _host_and_port(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or _DEFAULT_PORT}"


def _first_login(parts: list[SplitResult]) -> tuple[str | None, str | None]:
    """User and password of the first URL that has any; a user alone is a token, as in NATS."""
    for part in parts:
        if part.username:
            password = None if part.password is None else unquote(part.password)
            return unquote(part.username), password
    return None, None
