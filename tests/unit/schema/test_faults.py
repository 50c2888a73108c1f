"""The words of errors: paths, shortened values, choices."""

from __future__ import annotations

import pytest

from memphis.schema.faults import Misfit, one_of, path_text, shortened, shown
from memphis.schema.inputs import as_bytes


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["items", 2, "price"], "items[2].price"),
        ([0, 1], "[0][1]"),
        (["a b", "c"], '["a b"].c'),
        (["ä", "x-y"], "ä.x-y"),
        (["", "1"], '[""]["1"]'),
        (['"'], '["\\""]'),
    ],
)
def test_paths(steps: list[str | int], text: str):
    """A place reads like code that would get there."""
    assert path_text(steps) == text


@pytest.mark.parametrize("value", ["x" * 10**6, b"x" * 10**6, [[[[["x"]]]]] * 10**5, 1e300])
def test_values_are_shown_short(value: object):
    """A value of any size takes a line."""
    assert len(shown(value)) <= 100
    assert "\n" not in shown(value)


def test_a_huge_integer_is_shown_by_its_size():
    """Its digits would take long to find, and Python refuses to."""
    assert shown([10**9000]) == "[an integer of 29898 bits]"


def test_small_values_are_shown_whole():
    """What is short is shown as it is."""
    assert shown("ten") == "'ten'"
    assert shown(10) == "10"
    assert shown([1, {"a": None}]) == "[1, {'a': None}]"
    assert shortened("a\n  b") == "a b"


def test_choices():
    """Few choices are named, one is not a choice, of many the first."""
    assert one_of(["a", 1]) == "one of a, 1"
    assert one_of(["a"]) == "a"
    assert one_of(map(str, range(100))).endswith("5, 6, 7, ...")


def test_a_misfit_says_what_it_knows():
    """Without a value there is none in the sentence."""
    assert Misfit("present", "missing", ["a"]).sentence() == "a must be present, not missing"
    assert Misfit("JSON").sentence() == "it must be JSON"
    assert Misfit("null", value="x").sentence() == "it must be null, not 'x'"


def test_bytes_are_a_copy_that_nobody_changes():
    """What was given as a bytearray may change afterwards."""
    given = bytearray(b"ab")
    taken = as_bytes(given)
    given[0] = 0
    assert taken == b"ab"
    assert as_bytes(memoryview(b"abcd")[::2]) == b"ac"
