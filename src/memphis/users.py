"""Users: who has a password of their own. Everything here is for root alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from memphis.exceptions import MemphisUsageError
from memphis.wire.models import Done
from memphis.wire.names import UserName
from memphis.wire.users import (
    PASSWORD_LENGTH_MAX,
    PASSWORD_LENGTH_MIN,
    USER_TYPES,
    UserCreate,
    UserList,
    UserPage,
    UserPassword,
    UserRemove,
    UserSummary,
)

if TYPE_CHECKING:
    from memphis._core.session import Session
    from memphis.wire.users import UserType

__all__ = ["UserSummary"]


class UserCalls(ABC):
    """The calls of ``Memphis`` that are about users.

    Each raises ``MemphisPermissionError`` if this connection is not root's, or if the broker is attached
    to an engine that decides logins by itself. A password is in no text of an error.
    """

    @abstractmethod
    def _open_session(self) -> Session:
        """The session of a connected client."""

    async def create_user(self, name: str, password: str, type: UserType = "application") -> None:  # noqa: A002 - the broker's word
        """Create a user with a password of its own. Root only.

        From then on nobody logs in under this name by the connection token. Called again with the same
        password and type it does nothing.

        Args:
            name: Up to 60 characters, else as station names.
            password: 8 to 128 characters.
            type: ``application`` or ``management``: a note for people, both may do the same.

        Raises:
            MemphisRequestError: The user exists, code ``USER_EXISTS``, and stays as it is; or the name is
                ``root``, whose password is a setting of the broker.
        """
        session = self._open_session()
        if type not in USER_TYPES:
            raise MemphisUsageError(f"type must be one of {', '.join(USER_TYPES)}")
        request = UserCreate(name=UserName.parse(name), password=_checked(password), type=type)
        await session.rpc.call(request, Done)

    async def users(self) -> list[UserSummary]:
        """All users but root, in the order of their names. Root only."""
        rpc = self._open_session().rpc
        found: list[UserSummary] = []
        more = True
        while more:
            page = await rpc.call(UserList(after=found[-1].name if found else ""), UserPage)
            found += page.users
            more = page.more and bool(page.users)
        return found

    async def remove_user(self, name: str) -> None:
        """Remove a user, who cannot log in from then on. Root only.

        Connections of this user that stand go on until they are lost or closed.

        Raises:
            MemphisNotFoundError: There is no such user.
            MemphisRequestError: The name is ``root``.
        """
        session = self._open_session()
        await session.rpc.call(UserRemove(name=UserName.parse(name)), Done, if_gone=Done())

    async def set_password(self, name: str, password: str) -> None:
        """Give a user another password, by which logins are checked from then on. Root only.

        Connections of this user that stand go on until they are lost or closed.

        Args:
            name: The user.
            password: 8 to 128 characters.

        Raises:
            MemphisNotFoundError: There is no such user.
            MemphisRequestError: The name is ``root``, whose password is a setting of the broker.
        """
        session = self._open_session()
        request = UserPassword(name=UserName.parse(name), password=_checked(password))
        await session.rpc.call(request, Done)


def _checked(password: str) -> str:
    """A password that a request can carry; complaints here do not quote it."""
    if not isinstance(password, str):
        raise MemphisUsageError("a password must be a string")
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise MemphisUsageError(
            f"a password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters, "
            f"this has {len(password)}"
        )
    if any("\ud800" <= character <= "\udfff" for character in password):
        raise MemphisUsageError("a password must be text that can be written as UTF-8")
    return password
