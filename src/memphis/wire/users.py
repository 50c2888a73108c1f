"""Requests and replies about users; their rules are those of :mod:`memphis.wire.models`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from memphis.wire.models import LIST_LIMIT_MAX, NameText, Reply, Request

PASSWORD_LENGTH_MIN: Final = 8
PASSWORD_LENGTH_MAX: Final = 128

USER_TYPES: Final = ("application", "management")

UserType = Literal["application", "management"]
PasswordText = Annotated[
    str, Field(min_length=PASSWORD_LENGTH_MIN, max_length=PASSWORD_LENGTH_MAX, repr=False)
]


class UserCreate(Request):
    """Create a user with a password of its own. Reply: :class:`Done`. Root only.

    Refused with 6003 if the name is taken, unless by a user of this type with this password, so that
    the request may be made again.
    """

    model_config = ConfigDict(hide_input_in_errors=True)
    noun = "user"
    verb = "create"
    name: NameText
    password: PasswordText
    type: UserType = "application"


class UserList(Request):
    """A page of users in the order of their names. Reply: :class:`UserPage`. Root only."""

    noun = "user"
    verb = "list"
    after: NameText = ""
    limit: Annotated[int, Field(ge=1, le=LIST_LIMIT_MAX)] = 200


class UserSummary(Reply):
    """One line in a list of users."""

    name: str
    type: str
    """``application`` or ``management``."""
    created_at: datetime
    password_set_at: datetime


class UserPage(Reply):
    """A page of users; ``more`` says whether another follows the last name."""

    users: list[UserSummary]
    more: bool


class UserRemove(Request):
    """Remove a user. Reply: :class:`Done`. Refused with 6002 if missing. Root only."""

    noun = "user"
    verb = "remove"
    name: NameText


class UserPassword(Request):
    """Set a user's password. Reply: :class:`Done`. Refused with 6002 if missing. Root only."""

    model_config = ConfigDict(hide_input_in_errors=True)
    noun = "user"
    verb = "password"
    name: NameText
    password: PasswordText
