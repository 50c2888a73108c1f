"""Answers the engine's question whether a client may log in: its wire format and nothing else.

In the flow: engine > here > users.logins > here > engine. The engine asks with a JWT on a subject
of the broker's account, and wants a JWT back, signed by the key that its config names. The decision
comes in by constructor, and may take its time: others are decided meanwhile. Invariant: a request is
answered whatever goes wrong with it, and no secret is logged.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats.errors
import nkeys  # type: ignore[import-untyped]  # it ships no types
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from memphis_broker.engine.accounts import CLIENTS_ACCOUNT
from memphis_broker.engine.logins import Login, LoginAttempt, LoginRefusedError, Permissions

logger = logging.getLogger(__name__)

_SUBJECT: Final = "$SYS.REQ.USER.AUTH"
_QUEUE: Final = "memphis-logins"
"""Several brokers on one engine share the logins."""
_JWT_HEADER: Final = {"typ": "JWT", "alg": "ed25519-nkey"}
_JWT_PARTS: Final = 3
_NO_LIMIT: Final = -1
_NANOSECONDS: Final = 1_000_000_000
_UNDER_WAY_MAX: Final = 2048
"""More wait with the client library. Each holds a request of a few kilobytes."""
_DRAIN_SECONDS: Final = 1.0
_CANCEL_AGAIN_SECONDS: Final = 0.5
_REFUSED: Final = "refused by the memphis broker; its log has the reason"


class MalformedJwtError(ValueError):
    """Text that is no JWT with JSON claims."""


def encode_jwt(claims: dict[str, Any], key: nkeys.KeyPair) -> str:
    """Claims signed with an nkey, in the form that the engine verifies."""
    body = ".".join(_base64url(_json(part)) for part in (_JWT_HEADER, claims))
    return f"{body}.{_base64url(key.sign(body.encode()))}"


def decode_claims(token: str) -> dict[str, Any]:
    """The claims of a JWT, its signature unchecked: it came over a connection we trust.

    Raises:
        MalformedJwtError: There are none.
    """
    parts = token.split(".")
    if len(parts) != _JWT_PARTS:
        raise MalformedJwtError(f"a JWT has {_JWT_PARTS} parts, this has {len(parts)}")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError) as error:
        raise MalformedJwtError("the claims of this JWT are not JSON") from error
    if not isinstance(claims, dict):
        raise MalformedJwtError("the claims of this JWT are no object")
    return claims


def permission_claims(permissions: Permissions) -> dict[str, Any]:
    """Permissions in the words of a user JWT."""
    return {
        "pub": {
            "allow": list(permissions.publish),
            "deny": list(permissions.publish_denied),
        },
        "sub": {
            "allow": list(permissions.subscribe),
            "deny": list(permissions.subscribe_denied),
        },
        "resp": {
            "max": permissions.responses_max,
            "ttl": permissions.response_time_max_seconds * _NANOSECONDS,
        },
        "subs": _NO_LIMIT,
        "data": _NO_LIMIT,
        "payload": _NO_LIMIT,
    }


class AuthCallout:
    """Serves logins from start to stop. Use an object once.

    Args:
        control: The broker's connection in its own account.
        issuer: Signs the answers; the engine's config has its public key.
        log_in: Decides; raises :class:`LoginRefusedError` to refuse. Called for many logins at once.
    """

    def __init__(
        self,
        control: Client,
        issuer: nkeys.KeyPair,
        log_in: Callable[[LoginAttempt], Awaitable[Login]],
    ) -> None:
        self._control = control
        self._issuer = issuer
        self._issuer_name = issuer.public_key.decode()
        self._log_in = log_in
        self._subscription: Subscription | None = None
        self._stopping = False
        self._room = asyncio.Semaphore(_UNDER_WAY_MAX)
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Answer logins from now on; returns when the engine knows."""
        self._subscription = await self._control.subscribe(_SUBJECT, _QUEUE, cb=self._on_request)
        # nats-py writes the PING of a flush ahead of a SUB that is still in its buffer; the PING of
        # a second flush comes after it.
        await self._control.flush()
        await self._control.flush()

    async def stop(self) -> None:
        """Take no more logins, and answer those that are almost decided. Idempotent."""
        self._stopping = True
        subscription, self._subscription = self._subscription, None
        if subscription is not None and self._control.is_connected:
            await subscription.unsubscribe()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_DRAIN_SECONDS)
        while self._under_way:
            for task in self._under_way:
                task.cancel()
            await asyncio.wait(self._under_way, timeout=_CANCEL_AGAIN_SECONDS)

    async def _on_request(self, message: Msg) -> None:
        # The client library calls this for one message at a time.
        await self._room.acquire()
        if self._stopping:  # while this one waited for its turn
            self._room.release()
            return
        task = asyncio.create_task(self._serve(message), name="memphis login")
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._room.release()

    async def _serve(self, message: Msg) -> None:
        try:
            claims = decode_claims(message.data.decode())
            request = claims["nats"]
            user_key = str(request["user_nkey"])
            server_id = str(request["server_id"]["id"])
            attempt = _attempt(request["connect_opts"])
            host = str(request.get("client_info", {}).get("host", ""))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # Only the engine can publish here: this is a version that we do not understand.
            logger.error("cannot read a login request of the engine: %s", type(error).__name__)  # noqa: TRY400 - a traceback could quote the request, which holds secrets
            return
        answer = await self._answer(attempt, user_key, host)
        response = self._sign(
            user_key,
            server_id,
            {"nats": {"type": "authorization_response", "version": 2, **answer}},
        )
        try:
            await message.respond(response.encode())
        except nats.errors.Error as error:
            # The client asks again, over a connection that the engine then asks about.
            logger.warning("a login could not be answered: %r", error)

    async def _answer(self, attempt: LoginAttempt, user_key: str, host: str) -> dict[str, str]:
        try:
            login = await self._log_in(attempt)
        except LoginRefusedError as refusal:
            logger.warning("login refused: client %s: %s", host, refusal)
            return {"error": _REFUSED}
        except Exception:  # a named supervisor: whoever cannot be decided upon stays out
            logger.exception("login refused: client %s: the decision failed", host)
            return {"error": _REFUSED}
        logger.debug("login granted: user %s, client %s", login.user, host)
        nats_claims = {"type": "user", "version": 2, **permission_claims(login.permissions)}
        claims = {"name": str(login.user), "nats": nats_claims}
        return {"jwt": self._sign(user_key, CLIENTS_ACCOUNT, claims)}

    def _sign(self, subject: str, audience: str, claims: dict[str, Any]) -> str:
        envelope = {
            "iss": self._issuer_name,
            "iat": int(time.time()),
            "sub": subject,
            "aud": audience,
        }
        return encode_jwt({**envelope, **claims}, self._issuer)


def _attempt(options: dict[str, Any]) -> LoginAttempt:
    return LoginAttempt(
        user=str(options.get("user") or ""),
        password=str(options.get("pass") or ""),
        token=str(options.get("auth_token") or ""),
        connection_name=str(options.get("name") or ""),
        library=str(options.get("lang") or ""),
    )


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
