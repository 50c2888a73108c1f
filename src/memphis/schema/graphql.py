"""GraphQL messages: documents whose operations are valid for the schema (GraphQL October 2021, 5).

A text that was valid once is remembered, since applications send the same query again and again: a
few hundred of them, the short ones only, so that memory is bounded in both ways. A document object is
printed first; what is checked is the text that is stored.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    ParallelVisitor,
    build_ast_schema,
    parse,
    print_ast,
    validate,
    validate_schema,
    visit,
)
from graphql.validation import SDLValidationContext
from graphql.validation.rules.overlapping_fields_can_be_merged import MAX_COMPLEXITY_BUDGET
from graphql.validation.specified_rules import specified_sdl_rules
from graphql.validation.validate import ValidationAbortedError
from graphql.validation.validation_context import MAX_FRAGMENT_WORK

from memphis.schema import inputs, json_values
from memphis.schema.faults import Misfit, SchemaLabel, shortened, shown

if TYPE_CHECKING:
    from memphis.wire.schemas import SchemaDefinition

TOKENS_MAX: Final = 10_000
"""Words and signs of a document; with the library's own limits it bounds the time of a check."""
SCHEMA_TOKENS_MAX: Final = 100_000
_INTERFACE_PAIRS_MAX: Final = 500_000
"""Each interface of a type is compared with each other one of it."""

_TEXTS_REMEMBERED: Final = 512
_TEXT_REMEMBERED_LENGTH_MAX: Final = 16 * 1024
_SIMPLER: Final = (
    "simpler: comparing the fields that it selects under the same name, fragments included, takes more "
    f"than {MAX_COMPLEXITY_BUDGET:,} steps, or its fragments share more than {MAX_FRAGMENT_WORK:,} "
    "spreads and variables, or nest too deep; select each field once"
)
"""The library's own limits: half a second to two at their worst, and process-wide, so left alone."""
_USABLE: Final = "a GraphQL document as str, bytes, or a parsed DocumentNode"


def compile_definition(definition: SchemaDefinition) -> GraphQLCodec:
    """The codec for a schema in GraphQL's schema language.

    Raises:
        MemphisSchemaError: It is no valid schema, has no query type, or is too large.
    """
    label = SchemaLabel(definition)
    try:
        schema = _build(definition.content)
        errors = validate_schema(schema)
    except Misfit as fault:
        raise label.unusable_part(fault) from fault
    except GraphQLError as error:
        raise label.unusable(
            f"it is no valid GraphQL schema: {shortened(error.message)}", _place(error)
        ) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise label.unusable(f"it is no valid GraphQL schema: {shortened(str(error))}") from error
    if errors:
        raise label.unusable(
            f"it is no valid GraphQL schema: {shortened(errors[0].message)}", _place(errors[0])
        ) from errors[0]
    return GraphQLCodec(label, schema)


def _build(content: str) -> GraphQLSchema:
    """The schema, with no more work than up to its first fault.

    The library's own ``build_schema`` looks for every fault and for what each may have meant, which
    takes minutes for a text made of faults.
    """
    document = parse(content, max_lexical_tokens=SCHEMA_TOKENS_MAX, max_comments=SCHEMA_TOKENS_MAX)
    work = sum(len(getattr(one, "interfaces", None) or ()) ** 2 for one in document.definitions)
    if work > _INTERFACE_PAIRS_MAX:
        raise Misfit("simpler: its types implement too many interfaces")
    context = SDLValidationContext(document, None, _raise)
    visit(document, ParallelVisitor([rule(context) for rule in specified_sdl_rules]))
    return build_ast_schema(document, assume_valid_sdl=True)


def _raise(error: GraphQLError) -> NoReturn:
    raise error


class GraphQLCodec:
    """One version of a GraphQL schema."""

    __slots__ = ("_check_once", "_label", "_schema")

    def __init__(self, label: SchemaLabel, schema: GraphQLSchema) -> None:
        self._label = label
        self._schema = schema
        # Remembers only what was valid: an error leaves nothing in it.
        self._check_once = lru_cache(maxsize=_TEXTS_REMEMBERED)(self._check)

    def encode(self, message: Any) -> bytes:
        """See :class:`memphis.schema.codec.Codec`."""
        if isinstance(message, str):
            try:
                payload = json_values.encode_text(message)
            except Misfit as fault:
                raise self._label.misfit(fault) from fault
        elif isinstance(message, inputs.BYTES_TYPES):
            payload = inputs.as_bytes(message)
        elif isinstance(message, DocumentNode):
            payload = self._printed(message)
        else:
            raise self._label.wrong_type(message, _USABLE)
        self._checked(payload)
        return payload

    def decode(self, payload: bytes) -> str:
        """See :class:`memphis.schema.codec.Codec`."""
        self._checked(payload)
        return payload.decode()

    def _checked(self, payload: bytes) -> None:
        if len(payload) <= _TEXT_REMEMBERED_LENGTH_MAX:
            self._check_once(payload)
        else:
            self._check(payload)

    def _check(self, payload: bytes) -> None:
        try:
            text = payload.decode()
            document = parse(text, max_lexical_tokens=TOKENS_MAX, max_comments=TOKENS_MAX)
            errors = validate(self._schema, document, max_errors=1)
        except UnicodeDecodeError as error:
            raise self._label.misfit(Misfit("UTF-8 text", shown(payload))) from error
        except GraphQLError as error:
            raise self._refused(error) from error
        except RecursionError as error:
            raise self._label.refused("it is nested too deep") from error
        if errors:
            if isinstance(errors[0], ValidationAbortedError):
                raise self._label.misfit(Misfit(_SIMPLER)) from errors[0]
            raise self._refused(errors[0]) from errors[0]

    def _printed(self, document: DocumentNode) -> bytes:
        try:
            return json_values.encode_text(print_ast(document))
        except Misfit as fault:
            raise self._label.misfit(fault) from fault
        except (RecursionError, TypeError, AttributeError) as error:
            raise self._label.refused(
                "its document cannot be printed: it is nested too deep, or not whole"
            ) from error

    def _refused(self, error: GraphQLError) -> Exception:
        place = _place(error)
        where = f" ({place})" if place else ""
        return self._label.refused(
            f"{shortened(error.message)}{where}", place, "a document that is valid for the schema"
        )


def _place(error: GraphQLError) -> str:
    if not error.locations:
        return ""
    return f"line {error.locations[0].line}, column {error.locations[0].column}"
