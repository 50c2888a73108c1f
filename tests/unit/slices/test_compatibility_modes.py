"""Which pairs of versions each mode compares, and how the reasons read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memphis.types import Compatibility
from memphis.wire.schemas import SchemaDefinition
from memphis_broker.schemas.compatibility import check, modes, reads
from memphis_broker.schemas.compatibility.findings import Budget
from memphis_broker.schemas.compatibility.modes import REASONS_MAX


def avro(version: int, *fields: Any, **more: Any) -> SchemaDefinition:
    content = json.dumps({"type": "record", "name": "Order", "fields": list(fields)})
    return SchemaDefinition(
        name="orders", id="1", version=version, type="avro", content=content, **more
    )


def field(name: str, kind: Any = "int", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


# Version 1 is not compatible with 3 in any direction; 2 reads 3 and is read by it.
VERSIONS = [
    avro(1, field("id", "string")),
    avro(2, field("id"), field("note", "string", default="")),
]
NEW = avro(3, field("id"))
ADDS = avro(3, field("id"), field("note", "string", default=""), field("sku"))
DROPS_REQUIRED = avro(3, field("note", "string", default=""))


@pytest.mark.parametrize("mode", Compatibility)
def test_transitive_modes_alone_look_at_all_versions(mode: Compatibility) -> None:
    """A version that only the first one clashes with is refused by the transitive modes alone."""
    reasons = check(mode, NEW, VERSIONS)
    assert bool(reasons) == mode.value.endswith("TRANSITIVE")
    assert all("with version 1: field id" in reason for reason in reasons)


@pytest.mark.parametrize("mode", Compatibility)
def test_each_mode_looks_in_its_direction(mode: Compatibility) -> None:
    """A field added without a default breaks reading older data, one dropped breaks older readers."""
    backward = mode.value.startswith(("BACKWARD", "FULL"))
    forward = mode.value.startswith(("FORWARD", "FULL"))
    assert bool(check(mode, ADDS, VERSIONS[1:])) == backward
    assert bool(check(mode, DROPS_REQUIRED, VERSIONS[1:])) == forward


def test_reasons_name_version_direction_and_place() -> None:
    """A reason says with which version, in which direction, where and what, from old to new."""
    assert check(Compatibility.FULL, avro(2, field("id")), VERSIONS[:1]) == [
        "not backward compatible with version 1: field id: string became int",
        "not forward compatible with version 1: field id: string became int",
    ]
    assert check(Compatibility.FORWARD, DROPS_REQUIRED, VERSIONS) == [
        "not forward compatible with version 2: field id: was removed and has no default"
    ]
    assert check(Compatibility.BACKWARD, ADDS, VERSIONS) == [
        "not backward compatible with version 2: field sku: was added and has no default"
    ]


def test_the_first_version_fits_every_mode() -> None:
    """Where there is nothing before, there is nothing to be compatible with."""
    assert check(Compatibility.FULL_TRANSITIVE, NEW, []) == []


def test_many_reasons_are_cut_short() -> None:
    """Ten reasons are listed and the rest is counted."""
    new = avro(2, *(field(f"f{number}") for number in range(25)))
    reasons = check(Compatibility.BACKWARD, new, [avro(1, field("id"))])
    assert len(reasons) == REASONS_MAX + 1
    assert reasons[-1] == "and 15 more"


def test_what_cannot_be_judged_is_refused_with_advice() -> None:
    """A doubt is a reason too, says so, and names a way out."""
    old, new = (
        SchemaDefinition(
            name="s", id="1", version=version, type="json", content=json.dumps({"pattern": text})
        )
        for version, text in ((1, "^a"), (2, "^b"))
    )
    (reason,) = check(Compatibility.BACKWARD, new, [old])
    assert reason.startswith("cannot tell whether it is backward compatible with version 1")
    assert "pattern ^a became pattern ^b" in reason
    assert "NONE" in reason


def test_another_encoding_is_refused() -> None:
    """Avro in binary form cannot be read as JSON."""
    (finding,) = reads(avro(2, field("id"), encoding="binary"), avro(1, field("id")))
    assert finding.text == "the encoding json became the encoding binary"


def test_another_type_is_refused() -> None:
    """Schemas of two types are never compatible, and that is no crash."""
    other = SchemaDefinition(name="s", id="1", version=2, type="json", content="{}")
    assert reads(other, NEW)[0].certain


def test_a_spent_budget_is_a_doubt_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history too large to compare is refused, with one reason and not one for each version."""
    assert [found.certain for found in reads(NEW, VERSIONS[1], budget=Budget(1))] == [False]
    monkeypatch.setattr(modes, "CHECK_STEPS_MAX", 200)
    history = [avro(version, field("id", default=version)) for version in range(1, 100)]
    new = avro(100, field("id", default=100))
    assert check(Compatibility.BACKWARD_TRANSITIVE, new, history[-5:]) == []
    (reason,) = check(Compatibility.BACKWARD_TRANSITIVE, new, history)
    assert "too large" in reason
