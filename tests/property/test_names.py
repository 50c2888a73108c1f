"""Properties of names: the grammar, lower case, and the internal form."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memphis.wire.names import (
    ConsumerName,
    GroupName,
    InvalidNameError,
    Name,
    ProducerName,
    SchemaName,
    StationName,
    UserName,
)
from tests.names import ILLEGAL_NAMES, NAMES

KINDS = [StationName, GroupName, ProducerName, ConsumerName, SchemaName]
ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")
ENDS = ALLOWED - frozenset("_.-")


@given(NAMES, st.sampled_from(KINDS))
@example("a" * 128, StationName)
@example("0", StationName)
@example("a.-_b", StationName)
def test_legal_names_pass_and_come_out_lower(name: str, kind: type[Name]) -> None:
    """A legal name is itself; in upper case it is the same name; parsing again changes nothing."""
    parsed = kind.parse(name)
    assert parsed == name
    assert type(parsed) is kind
    assert kind.parse(name.upper()) == parsed
    assert kind.parse(parsed) == parsed


@pytest.mark.parametrize("illegal", ILLEGAL_NAMES, ids=repr)
@pytest.mark.parametrize("kind", [*KINDS, UserName])
def test_illegal_names_are_refused(kind: type[Name], illegal: object) -> None:
    """Each is refused with an error that says what it names."""
    with pytest.raises(InvalidNameError) as refused:
        kind.parse(illegal)
    assert kind.what in str(refused.value)


@given(st.text(max_size=140))
def test_any_text_is_a_name_or_is_refused(text: str) -> None:
    """What passes keeps to the grammar, written a second time here; the rest is refused."""
    lower = text.lower()
    legal = (
        text.isascii()
        and 1 <= len(text) <= 128
        and set(lower) <= ALLOWED
        and lower[0] in ENDS
        and lower[-1] in ENDS
    )
    try:
        assert StationName.parse(text) == lower
    except InvalidNameError:
        assert not legal
    else:
        assert legal


@given(NAMES, NAMES)
def test_internal_forms_are_one_to_one(one: str, other: str) -> None:
    """Two names share an internal form only if they are the same name."""
    first, second = StationName.parse(one), StationName.parse(other)
    assert (first.internal == second.internal) == (first == second)
    assert first.internal.replace("#", ".") == first


@given(NAMES)
def test_an_internal_form_is_one_token(name: str) -> None:
    """Inside a subject it can neither split nor match more than itself."""
    assert not set(StationName.parse(name).internal) & set(".*> \t\r\n$")


@given(NAMES)
def test_user_names_are_shorter(name: str) -> None:
    """A user's name has 60 characters at most."""
    try:
        assert UserName.parse(name) == name
    except InvalidNameError:
        assert len(name) > 60
    else:
        assert len(name) <= 60
