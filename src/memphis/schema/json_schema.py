"""JSON messages, checked with a JSON Schema of draft 4, 6, 7, 2019-09 or 2020-12 (``$schema`` says).

Without ``$schema`` it is 2020-12. What is checked is what is stored: text as it was given, objects
as :mod:`memphis.schema.json_values` writes them.

``format`` and ``content...`` are annotations in every draft, as the specification has it by default
(JSON Schema Validation 2020-12, section 7.2.1) and as the original treated them: a ``pattern``
checks. No ``$ref`` is ever fetched: one that leads out of the schema makes it unusable. A regular
expression has a limit of steps, so that none can hang a producer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs

from memphis.schema import inputs, json_faults, json_values
from memphis.schema.faults import Misfit, SchemaLabel, path_text, shortened
from memphis.schema.json_limits import MessageLimits, message_limits

if TYPE_CHECKING:
    from memphis.wire.schemas import SchemaDefinition

# Some milliseconds of one core; sizes are bytes of a compiled expression.
_PATTERNS: Final = jsonschema_rs.FancyRegexOptions(
    backtrack_limit=100_000, size_limit=1 << 20, dfa_size_limit=1 << 20
)
_USABLE: Final = "a dict, a list, JSON text as str or bytes, or a pydantic model"
_CONTAINERS: Final = (dict, list, tuple)
_VALUES: Final = (*_CONTAINERS, int, float, type(None))


def compile_definition(definition: SchemaDefinition) -> JsonSchemaCodec:
    """The codec for a JSON Schema.

    Raises:
        MemphisSchemaError: It is no JSON or no JSON Schema, leads out of itself, or costs too much.
    """
    label = SchemaLabel(definition)
    try:
        schema = json_values.read(json_values.encode_text(definition.content))
        limits = message_limits(schema)
    except Misfit as fault:
        raise label.unusable_part(fault) from fault
    try:
        validator = jsonschema_rs.validator_for(
            schema, validate_formats=False, pattern_options=_PATTERNS, offline=True
        )
    except jsonschema_rs.ValidationError as error:
        where = path_text(error.instance_path)
        place = f" at {where}" if where else ""
        raise label.unusable(
            f"it is no valid JSON Schema{place}: {shortened(error.message)}", where
        ) from error
    except ValueError as error:
        raise label.unusable(f"it is no valid JSON Schema: {shortened(str(error))}") from error
    return JsonSchemaCodec(label, validator, limits)


class JsonSchemaCodec:
    """One version of a JSON Schema."""

    __slots__ = ("_depth_max", "_label", "_length_free", "_limits", "_validate")

    def __init__(
        self, label: SchemaLabel, validator: jsonschema_rs.Validator, limits: MessageLimits
    ) -> None:
        self._label = label
        self._validate = validator.validate
        self._limits = limits
        self._depth_max = limits.depth_max
        self._length_free = limits.length_free

    def encode(self, message: Any) -> bytes:
        """See :class:`memphis.schema.codec.Codec`; a ``str`` is JSON text."""
        try:
            # The two usual forms without a further call.
            if type(message) is dict:
                text, value = json_values.write(message, self._depth_max)
            elif type(message) is bytes:
                text, value = message, json_values.read(message, self._depth_max)
            else:
                text, value = self._as_json(message)
            if len(text) > self._length_free:
                self._limits.check(text, value)
            self._validate(value)
        except Misfit as fault:
            raise self._label.misfit(fault) from fault
        except jsonschema_rs.ValidationError as error:
            raise self._explained(error) from error
        except ValueError as error:
            if isinstance(message, _CONTAINERS):
                # Something that JSON can stand for, like a UUID, but the validator does not know.
                return self._encode_plain(message)
            raise self._explained(error) from error
        return text

    def _encode_plain(self, message: Any) -> bytes:
        try:
            text, value = json_values.write_plain(message, self._depth_max)
            self._limits.check(text, value)
            self._validate(value)
        except Misfit as fault:
            raise self._label.misfit(fault) from fault
        except ValueError as error:
            raise self._explained(error) from error
        return text

    def decode(self, payload: bytes) -> Any:
        """See :class:`memphis.schema.codec.Codec`."""
        try:
            value = json_values.read(payload, self._depth_max)
            if len(payload) > self._length_free:
                self._limits.check(payload, value)
            self._validate(value)
        except Misfit as fault:
            raise self._label.misfit(fault) from fault
        except ValueError as error:
            raise self._explained(error) from error
        return value

    def _as_json(self, message: Any) -> tuple[bytes, Any]:
        if isinstance(message, inputs.BYTES_TYPES):
            text = inputs.as_bytes(message)
            return text, json_values.read(text, self._depth_max)
        if isinstance(message, str):
            text = json_values.encode_text(message)
            return text, json_values.read(text, self._depth_max)
        if isinstance(message, _VALUES):
            return json_values.write(message, self._depth_max)
        if inputs.is_model(message):
            text = json_values.write_model(message)
            return text, json_values.read(text, self._depth_max)
        raise self._label.wrong_type(message, _USABLE)

    def _explained(self, error: ValueError) -> Exception:
        if isinstance(error, jsonschema_rs.ValidationError):
            return self._label.misfit(json_faults.explain(error))
        return self._label.refused(shortened(str(error)))
