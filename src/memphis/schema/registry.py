"""The schema types, each by its name. A new type is one module here and one line below."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from memphis.exceptions import MemphisSchemaError

if TYPE_CHECKING:
    from memphis.schema.codec import Codec
    from memphis.wire.schemas import SchemaDefinition

_MODULES: Final = {
    "protobuf": "memphis.schema.protobuf",
    "json": "memphis.schema.json_schema",
    "graphql": "memphis.schema.graphql",
    "avro": "memphis.schema.avro",
}
"""Where each type's ``compile_definition`` is. Imported when first used: validators are large."""


def compile_schema(definition: SchemaDefinition) -> Codec:
    """The codec for one version of a schema. May take a second for a large one.

    Raises:
        MemphisSchemaError: The schema is not valid, costs too much to compile, or has a type that
            this version does not know.
    """
    module = _MODULES.get(definition.type)
    if module is None:
        raise MemphisSchemaError(
            f"the schema {definition.name} has the type {definition.type!r}, which this version "
            f"does not know; it knows {', '.join(_MODULES)}"
        )
    return cast("Codec", import_module(module).compile_definition(definition))
