"""The grammar of names, and its types: past the door only typed names travel.

A name is 1 to 128 characters of ``a-z 0-9 _ . -`` that begins and ends with a letter or a digit.
Upper case is accepted and lowered. Inside the engine a dot would split a subject into tokens, so
the *internal* form of a name writes ``#`` for ``.``; ``#`` itself is not allowed in a name, which
keeps the two forms one to one.
"""

from __future__ import annotations

import re
from typing import ClassVar, Self

from memphis.exceptions import MemphisUsageError

NAME_LENGTH_MAX = 128
USER_NAME_LENGTH_MAX = 60

_GRAMMAR = re.compile(r"[a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?", re.ASCII)


class InvalidNameError(MemphisUsageError):
    """A name that breaks the grammar; the text says what it names and which rule it breaks."""


class Name(str):
    """A checked, lower-case name. Make one with :meth:`parse`, never with the constructor."""

    __slots__ = ()
    what: ClassVar[str] = "name"
    length_max: ClassVar[int] = NAME_LENGTH_MAX

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check ``value`` and return it lowered.

        Raises:
            InvalidNameError: It is no string, or breaks the grammar of this kind of name.
        """
        if not isinstance(value, str):
            raise InvalidNameError(f"a {cls.what} must be a string, not {type(value).__name__}")
        # str.lower() can lengthen or alter non-ASCII letters; those are refused by the grammar.
        name = value.lower()
        if not name:
            raise InvalidNameError(f"a {cls.what} must not be empty")
        if len(name) > cls.length_max:
            raise InvalidNameError(
                f"the {cls.what} {name[:32]!r}... has {len(name)} characters; "
                f"at most {cls.length_max} are allowed"
            )
        if not value.isascii() or _GRAMMAR.fullmatch(name) is None:
            raise InvalidNameError(
                f"the {cls.what} {value!r} is not valid: use the characters a-z 0-9 _ . - and "
                "begin and end with a letter or a digit"
            )
        return cls(name)

    @property
    def internal(self) -> str:
        """The form used in engine subjects and stream names: dots written as ``#``."""
        return self.replace(".", "#")


class StationName(Name):
    """The name of a station."""

    __slots__ = ()
    what = "station name"


class GroupName(Name):
    """The name of a consumer group."""

    __slots__ = ()
    what = "consumer group name"


class ProducerName(Name):
    """The name of a producer."""

    __slots__ = ()
    what = "producer name"


class ConsumerName(Name):
    """The name of a consumer, a member of a group."""

    __slots__ = ()
    what = "consumer name"


class SchemaName(Name):
    """The name of a schema."""

    __slots__ = ()
    what = "schema name"


class UserName(Name):
    """The name of a user."""

    __slots__ = ()
    what = "user name"
    length_max = USER_NAME_LENGTH_MAX
