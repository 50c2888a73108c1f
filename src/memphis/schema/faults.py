"""From what a validator found to the one error that a caller sees.

The parts of a codec raise :class:`Misfit`, which knows a place and what was wanted there; the codec
turns it into a ``MemphisSchemaError`` that names the schema as well. No value is ever shown whole:
a message may be large, deep, or secret in more places than the one that is wrong.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable
from decimal import Decimal
from reprlib import Repr
from typing import TYPE_CHECKING, Final
from uuid import UUID

from memphis.exceptions import MemphisSchemaError

if TYPE_CHECKING:
    from memphis.wire.schemas import SchemaDefinition

SHOWN_LENGTH_MAX: Final = 100
_NAME_SHOWN_LENGTH_MAX: Final = 60
_CHOICES_SHOWN_MAX: Final = 8
_INTEGER_BITS_SHOWN_MAX: Final = 1000
_DATA_TYPES: Final = (
    *(dict, list, tuple, str, int, float, bytes, bytearray, memoryview, type(None)),
    *(dt.date, dt.time, Decimal, UUID),
)
_PLAIN_NAME: Final = re.compile(r"[^\W\d][\w$-]*")

_NOTHING: Final = object()

Step = str | int
"""A field's name or an item's index."""


class Misfit(Exception):  # noqa: N818 - it is a finding on its way to become an error
    """One place of a message that does not fit.

    Args:
        expected: What the schema wants there.
        found: What is there instead, in words; empty where that says nothing more.
        steps: From the message's root to the place; filled from the end while it is passed on.
        value: The value itself in the place of ``found``. It is put in words only when somebody is
            told, since trying the branches of a union makes many of these for nobody.
    """

    def __init__(
        self, expected: str, found: str = "", steps: Iterable[Step] = (), value: object = _NOTHING
    ) -> None:
        super().__init__(expected, found)
        self.steps = list(steps)
        self.expected = expected
        self._found = found
        self._value = value

    def sentence(self) -> str:
        """What must be where, and what is there."""
        found = self._found if self._value is _NOTHING else shown(self._value)
        place = shortened(path_text(self.steps)) or "it"
        return f"{place} must be {self.expected}" + (f", not {found}" if found else "")


class SchemaLabel:
    """Names one version of a schema in errors, and makes them."""

    __slots__ = ("_text",)

    def __init__(self, definition: SchemaDefinition) -> None:
        self._text = f"schema {definition.name} version {definition.version}"

    def misfit(self, fault: Misfit) -> MemphisSchemaError:
        """The error for a message that does not fit."""
        return self.refused(fault.sentence(), path_text(fault.steps), fault.expected)

    def refused(self, reason: str, path: str = "", expected: str = "") -> MemphisSchemaError:
        """The error for a message for a reason that is not about a value's type or bounds."""
        return MemphisSchemaError(
            f"the message does not fit {self._text}: {reason}", path, expected
        )

    def wrong_type(self, message: object, usable: str) -> MemphisSchemaError:
        """The error for a message of a Python type that this kind of schema does not take."""
        return MemphisSchemaError(
            f"a message of type {type(message).__name__} cannot be produced with {self._text}: "
            f"use {usable}",
            expected=usable,
        )

    def misfit_of(self, message: object, fault: Misfit, usable: str) -> MemphisSchemaError:
        """The error for a Python object, which may be of a type that no schema of the kind takes."""
        if fault.steps or isinstance(message, _DATA_TYPES):
            return self.misfit(fault)
        return self.wrong_type(message, usable)

    def unusable_part(self, fault: Misfit) -> MemphisSchemaError:
        """The error for a schema with one place in it that is not as it must be."""
        return self.unusable(fault.sentence(), path_text(fault.steps))

    def unusable(self, reason: str, path: str = "") -> MemphisSchemaError:
        """The error for a schema that is not valid, or that costs too much."""
        return MemphisSchemaError(f"{self._text} cannot be used: {reason}", path)


def path_text(steps: Iterable[Step]) -> str:
    """The place as people write it: ``items[2].price``."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_NAME.fullmatch(step) and len(step) <= _NAME_SHOWN_LENGTH_MAX:
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step[:_NAME_SHOWN_LENGTH_MAX])}]"
    return text


def shown(value: object) -> str:
    """A value in at most about :data:`SHOWN_LENGTH_MAX` characters."""
    return shortened(_REPR.repr(value))


def shortened(text: str) -> str:
    """The start of a long text, on one line."""
    line = " ".join(text[: 4 * SHOWN_LENGTH_MAX].split())
    return line if len(line) <= SHOWN_LENGTH_MAX else line[: SHOWN_LENGTH_MAX - 3] + "..."


def one_of(choices: Iterable[object]) -> str:
    """``one of a, b, c``, or the first of many."""
    names = [choice if isinstance(choice, str) else shown(choice) for choice in choices]
    more = ", ..." if len(names) > _CHOICES_SHOWN_MAX else ""
    if len(names) == 1:
        return shortened(names[0])
    return f"one of {', '.join(shortened(name) for name in names[:_CHOICES_SHOWN_MAX])}{more}"


class _Shortened(Repr):
    """Never builds a long text to show its start."""

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > _INTEGER_BITS_SHOWN_MAX:
            return f"an integer of {x.bit_length()} bits"
        return super().repr_int(x, level)

    def repr_bytes(self, x: bytes, _level: int) -> str:
        return repr(x[:SHOWN_LENGTH_MAX])


_REPR: Final = _Shortened()
# The defaults show thirty characters of a text, too few to recognise an id by.
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = SHOWN_LENGTH_MAX
_REPR.maxdict = _REPR.maxlist = _REPR.maxlevel = 3
