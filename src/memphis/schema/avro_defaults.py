"""Defaults of an Avro schema as the values that the binary writer takes.

A schema is JSON, which has no bytes: there the default of ``bytes`` and ``fixed`` is a string whose
code points from 0 to 255 are the bytes (Avro 1.12 specification, "Complex Types", table of defaults).
The library writes a default as it finds it.
"""

from __future__ import annotations

from typing import Any

from memphis.schema.avro_fits import Fitter, TooCostlyError
from memphis.schema.avro_limits import everywhere
from memphis.schema.avro_scalars import Direction, Fit, Visit
from memphis.schema.faults import Misfit


def give_defaults(schema: Any, named: dict[str, Any]) -> None:
    """Replace each default of a parsed schema by the value that it stands for.

    One that is no value of its type stays, and is refused when a message is to have it.
    """
    fitter = Fitter(named, Direction.FROM_JSON)
    for one in everywhere(schema, named):
        if isinstance(one, dict) and "fields" in one:
            for field in one["fields"]:
                if "default" in field:
                    field["default"] = _meant(fitter, field["type"], field["default"])


def _meant(fitter: Fitter, schema: Any, default: Any) -> Any:
    # Of a union a default is of the first branch; newer versions of the specification take any.
    branches = [schema[0], schema] if isinstance(schema, list) and schema else [schema]
    for branch in branches:
        fit: Fit = fitter.fit(branch)
        try:
            return fit(default, Visit())
        except (Misfit, TooCostlyError):
            continue
    return default
