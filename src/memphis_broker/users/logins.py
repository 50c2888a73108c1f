"""Decides logins: one rule for passwords, one for the shared token.

In the flow: engine > auth callout > here > signed permissions. Secrets come in by constructor.
Invariants: secrets are compared in constant time and appear in no text; an unknown user and a wrong
password look the same and take as long; a name that was only claimed, as with the shared token, opens
nothing that another connection of that name has, and nobody claims the name of who has a password.
"""

from __future__ import annotations

import hmac
import uuid
from typing import Final

from memphis.transport.handshake import LIBRARY
from memphis.wire.errors import Refusal
from memphis.wire.names import InvalidNameError, UserName
from memphis_broker.engine.logins import Login, LoginAttempt, LoginRefusedError, Permissions
from memphis_broker.users.model import ROOT, native_permissions, original_permissions
from memphis_broker.users.passwords import KnownPassword, Passwords, TooManyChecksError
from memphis_broker.users.store import KnownUsers, StoredUser

_ACCOUNT_SEPARATOR: Final = "$"
_CONNECTION_SEPARATOR: Final = "::"


class LoginService:
    """Turns a login attempt into permissions or a refusal. Safe for many tasks at once.

    Who is stored is looked up anew for each login, so that whoever was removed is refused from then on;
    root needs no such look, and gets in while nothing can be looked up.

    Args:
        root_password: The one of root.
        users: All others who have a password of their own.
        passwords: Checks theirs.
        connection_token: The shared token, or None to refuse every login by token.
        original_sdks: Whether a client that is not ours may be an SDK of the original, and gets what
            such an SDK needs.
    """

    def __init__(
        self,
        root_password: str,
        users: KnownUsers,
        passwords: Passwords,
        connection_token: str | None,
        *,
        original_sdks: bool = False,
    ) -> None:
        self._root_password = root_password
        self._users = users
        self._passwords = passwords
        self._connection_token = connection_token
        self._original_sdks = original_sdks

    async def log_in(self, attempt: LoginAttempt) -> Login:
        """Decide one attempt.

        Raises:
            LoginRefusedError: Why not, in words for the log.
        """
        if attempt.token and attempt.password:
            raise LoginRefusedError("both a password and a connection token were given")
        if attempt.token:
            return await self._by_token(attempt)
        return await self._by_password(attempt)

    async def _by_password(self, attempt: LoginAttempt) -> Login:
        # The original's SDKs send "<user>$<account id>"; a user name itself has no dollar.
        user = _parse_user(attempt.user.partition(_ACCOUNT_SEPARATOR)[0])
        if not await self._is_right(user, attempt.password):
            raise LoginRefusedError(f"unknown user {user} or wrong password")
        connection_id, named = _parse_connection_name(attempt.connection_name)
        # A client that is not ours names no connection, and may have any inbox of this user.
        own_inbox = connection_id if named.lower() == user else None
        return Login(user=user, permissions=self._permissions(attempt, user, own_inbox))

    async def _is_right(self, user: UserName, password: str) -> bool:
        if user == ROOT:
            return _same_secret(password, self._root_password)
        record, revision = await self._find(user)
        known = KnownPassword(record.password_hash, revision) if record else None
        try:
            return await self._passwords.matches(user, password, known)
        except TooManyChecksError as error:
            raise LoginRefusedError(f"too many logins wait before that of {user}") from error

    async def _find(self, user: UserName) -> StoredUser:
        try:
            return await self._users.find(user)
        except Refusal as refusal:
            raise LoginRefusedError(f"the user {user} cannot be looked up: {refusal}") from refusal

    async def _by_token(self, attempt: LoginAttempt) -> Login:
        if self._connection_token is None:
            raise LoginRefusedError("a connection token was given, and this broker has none set")
        if not _same_secret(attempt.token, self._connection_token):
            raise LoginRefusedError("wrong connection token")
        connection_id, named = _parse_connection_name(attempt.connection_name)
        user = _parse_user(named)
        if user == ROOT or (await self._find(user)).user is not None:
            raise LoginRefusedError(
                f"{user} has a login of its own, and cannot log in by connection token"
            )
        # The user is whoever the client says it is: nothing but a random id keeps two apart.
        if connection_id is None:
            raise LoginRefusedError(
                "a login by connection token names its connection '<uuid>::<user>'"
            )
        return Login(user=user, permissions=self._permissions(attempt, user, connection_id))

    def _permissions(
        self, attempt: LoginAttempt, user: UserName, connection_id: str | None
    ) -> Permissions:
        if self._original_sdks and attempt.library != LIBRARY:
            return original_permissions(user, connection_id)
        return native_permissions(user, connection_id)


def _parse_connection_name(name: str) -> tuple[str | None, str]:
    """The id and the user in ``<id>::<user>``; the id is None unless it is a uuid as SDKs write it.

    The id becomes a part of a subject, so no other spelling of a uuid is accepted.
    """
    connection_id, _, user = name.partition(_CONNECTION_SEPARATOR)
    try:
        well_formed = str(uuid.UUID(connection_id)) == connection_id
    except ValueError:
        well_formed = False
    return connection_id if well_formed else None, user


def _parse_user(text: str) -> UserName:
    try:
        return UserName.parse(text)
    except InvalidNameError as error:
        raise LoginRefusedError(str(error)) from error


def _same_secret(given: str, expected: str) -> bool:
    # Lone surrogates can arrive through JSON escapes and have no plain UTF-8 form.
    return hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass")
    )
