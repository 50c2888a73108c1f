"""Everything that can be asked about users; only root may, and the edge sees to that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from memphis.wire.errors import ErrorCode, Refusal
from memphis.wire.models import Done
from memphis.wire.names import UserName
from memphis.wire.users import UserCreate, UserList, UserPage, UserPassword, UserRemove
from memphis_broker.engine.records import RecordConflictError
from memphis_broker.users import model
from memphis_broker.users.model import UserRecord
from memphis_broker.users.passwords import KnownPassword, Passwords, TooManyChecksError
from memphis_broker.users.store import UserStore


class UserService:
    """Users by name. Safe for many tasks and many brokers at once.

    Every method that takes a name raises ``InvalidNameError`` for one that breaks the grammar. What
    changes is true for logins from then on; connections that stand are left alone.
    """

    def __init__(self, store: UserStore, passwords: Passwords, now: Callable[[], datetime]) -> None:
        self._store = store
        self._passwords = passwords
        self._now = now

    async def create(self, request: UserCreate) -> Done:
        """Create a user; the same request again changes nothing.

        Raises:
            Refusal: ``USER_EXISTS``, or ``INVALID_OPTION`` for root.
        """
        name = _ordinary(request.name)
        password_hash = ""
        while True:
            known, revision = await self._store.find(name)
            if known is not None:
                return await self._created_before(name, known, revision, request)
            password_hash = password_hash or await self._passwords.hash(request.password)
            now = self._now()
            user = UserRecord(
                name=name,
                type=request.type,
                password_hash=password_hash,
                created_at=now,
                password_set_at=now,
            )
            try:
                await self._store.write(user, revision)
            except RecordConflictError:
                continue  # somebody else wrote it meanwhile: look again
            return Done()

    async def _created_before(
        self, name: UserName, known: UserRecord, revision: int, request: UserCreate
    ) -> Done:
        """The answer of a request that was made before may have been lost."""
        by = KnownPassword(known.password_hash, revision)
        try:
            is_same = await self._passwords.matches(name, request.password, by)
        except TooManyChecksError as error:
            raise Refusal(
                ErrorCode.ENGINE_UNAVAILABLE, "too many logins wait; try again in a moment"
            ) from error
        if not is_same or known.type != request.type:
            raise model.exists(name)
        return Done()

    async def page(self, request: UserList) -> UserPage:
        """A page of users in the order of their names; root is not among them."""
        after = request.after.lower()
        following = [user for user in await self._store.all() if user.name > after]
        chosen = following[: request.limit]
        return UserPage(
            users=[user.summarize() for user in chosen], more=len(following) > len(chosen)
        )

    async def remove(self, request: UserRemove) -> Done:
        """Remove a user.

        Raises:
            Refusal: ``USER_NOT_FOUND``, or ``INVALID_OPTION`` for root.
        """
        name = _ordinary(request.name)
        while True:
            known, revision = await self._store.find(name)
            if known is None:
                raise model.not_found(name)
            try:
                await self._store.erase(name, revision)
            except RecordConflictError:
                continue  # somebody else wrote it meanwhile: look again
            return Done()

    async def set_password(self, request: UserPassword) -> Done:
        """Set a user's password.

        Raises:
            Refusal: ``USER_NOT_FOUND``, or ``INVALID_OPTION`` for root.
        """
        name = _ordinary(request.name)
        password_hash = ""
        while True:
            known, revision = await self._store.find(name)
            if known is None:
                raise model.not_found(name)
            password_hash = password_hash or await self._passwords.hash(request.password)
            new = {"password_hash": password_hash, "password_set_at": self._now()}
            try:
                await self._store.write(known.model_copy(update=new), revision)
            except RecordConflictError:
                continue  # somebody else wrote it meanwhile: look again
            return Done()


def _ordinary(text: str) -> UserName:
    name = UserName.parse(text)
    model.check_not_root(name)
    return name
