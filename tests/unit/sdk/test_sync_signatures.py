"""The synchronous face has everything that the asynchronous one has, with the same parameters."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

import memphis
import memphis.sync
from memphis.transport.receipt import Receipt

# For other parts of the SDK, not for applications.
INTERNAL = {
    "Consumer": {"end"},
    "PendingProduce": {name for name in dir(Receipt) if not name.startswith("_")},
    "Producer": {"fail", "made_ready", "take_error"},
}
# What Python calls by itself, and by what it calls it without an event loop.
SPECIAL = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
PLAIN = {"BatchMessage", "Compatibility", "Headers", "ProduceResult", "RedriveResult", "Retention"} | {
    "StationInfo", "StationSummary", "Storage",
}  # fmt: skip
"""Values, which are the same in both."""

PAIRS = {
    name: (getattr(memphis, name), getattr(memphis.sync, name)) for name in memphis.sync.__all__
}


def members(kind: type) -> dict[str, Any]:
    """What a class offers to applications, by name."""
    offered = {}
    for name in dir(kind):
        if not name.startswith("_") or name in SPECIAL:
            offered[name] = inspect.getattr_static(kind, name)
    return offered


def calls() -> list[tuple[str, str]]:
    """Every method of the asynchronous classes, by class and name."""
    return [
        (kind, name)
        for kind, (asynchronous, _) in PAIRS.items()
        for name, member in members(asynchronous).items()
        if inspect.isfunction(member) and name not in INTERNAL.get(kind, set())
    ]


def test_every_class_has_its_counterpart():
    """A class that is added to the one must be added to the other, or named as plain."""
    classes = {
        name
        for name in memphis.__all__
        if isinstance(getattr(memphis, name), type)
        and not issubclass(getattr(memphis, name), Exception)
    }
    assert classes - PLAIN == set(memphis.sync.__all__)
    assert memphis.sync.__all__ == sorted(memphis.sync.__all__)


@pytest.mark.parametrize("name", PAIRS)
def test_every_name_has_its_counterpart(name: str):
    """A property for a property, a method for a method."""
    asynchronous, synchronous = PAIRS[name]
    for member, value in members(asynchronous).items():
        if member in INTERNAL.get(name, set()):
            continue
        other = inspect.getattr_static(synchronous, SPECIAL.get(member, member), None)
        assert other is not None, f"memphis.sync.{name} lacks {member}"
        assert inspect.isfunction(other) == inspect.isfunction(value)


@pytest.mark.parametrize(("kind", "name"), calls())
def test_every_method_has_the_same_parameters(kind: str, name: str):
    """Names, order, kinds and defaults; what is awaited there is no coroutine function here."""
    asynchronous, synchronous = PAIRS[kind]
    there = inspect.signature(getattr(asynchronous, name))
    here = inspect.signature(getattr(synchronous, SPECIAL.get(name, name)))
    assert [(p.name, p.kind, p.default) for p in here.parameters.values()] == [
        (p.name, p.kind, p.default) for p in there.parameters.values()
    ]
    assert not inspect.iscoroutinefunction(getattr(synchronous, SPECIAL.get(name, name)))
    assert getattr(synchronous, SPECIAL.get(name, name)).__doc__ or name in SPECIAL


def test_what_is_made_is_made_by_the_same_names():
    """A station's own calls are those of the connection without the station."""
    for call in ("producer", "consumer"):
        of_memphis = list(inspect.signature(getattr(memphis.Memphis, call)).parameters.values())
        of_station = list(inspect.signature(getattr(memphis.Station, call)).parameters.values())
        assert of_station[1:] == of_memphis[2:]


def test_importing_the_one_does_not_import_the_other():
    """Asynchronous applications do not pay for the synchronous face."""
    program = "import memphis, sys; assert 'memphis.sync' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)
