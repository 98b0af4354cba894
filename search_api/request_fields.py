"""Fields of requests: what each kind of value may be, in JSON and in an address.

Every kind checks by a function that knows the field's name and tells what is wrong in our words,
and says what the contract tells of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, JsonValue, ValidationInfo, WithJsonSchema

from pipeline.search.embedding_space import MAX_POINTS, Point
from pipeline.search.query import MAX_STEERING
from pipeline.version.open_version import SIGNALS
from search_api.values import (
    MAX_WEIGHT,
    MIN_WEIGHT,
    boolean_of_text,
    collapse_of,
    doc_ids_of,
    explain_of,
    integer_of_text,
    names_of,
    number_of_text,
    point_of,
    points_of,
    rows_of,
    same,
    switch_or_number_of_text,
    text_of,
    weights_of,
    wrong_value,
)

__all__ = [
    "ENCODERS",
    "Boolean",
    "Collapse",
    "DocIds",
    "Explain",
    "InAddress",
    "Integer",
    "Names",
    "Number",
    "OnePoint",
    "OptionalNumber",
    "OptionalText",
    "Points",
    "Rows",
    "SignalNames",
    "Text",
    "Weights",
    "within",
    "written_names",
]


def written_names(names: Iterable[str]) -> list[JsonValue]:
    """The names a value may have, as a schema lists them."""
    return list(names)


def _checked(read: Callable[[object, str], object]) -> BeforeValidator:
    """Check a field by a function that knows its name, and tells what is wrong in our words."""

    def check(value: object, info: ValidationInfo) -> object:
        return None if value is None else read(value, info.field_name or "value")

    return BeforeValidator(check)


def within(least: float, most: float) -> AfterValidator:
    """Check a field's bounds, a number's, and tell in our words what is wrong."""

    def check(value: float, info: ValidationInfo) -> float:
        if not least <= value <= most:
            name = info.field_name or "value"
            raise wrong_value(name, value, f"a number from {least:g} to {most:g}")
        return value

    return AfterValidator(check)


@dataclass(frozen=True, slots=True)
class InAddress:
    """How a field is written in the query string, where that differs from JSON.

    Parameters
    ----------
    schema
        JSON schema of what stands there.
    read
        From the text and the parameter's name to what the model checks; what cannot be read
        stays text, and the model refuses it.
    repeated
        Whether the parameter may be given several times, each time one entry.
    """

    schema: Mapping[str, object]
    read: Callable[[str, str], object] = same
    repeated: bool = False


_TEXT = InAddress({"type": "string"})
_NAMES = InAddress({"type": "array", "items": {"type": "string"}})
_IDS = InAddress({"type": "array", "items": {"type": "string"}}, repeated=True)
_SWITCH_SCHEMA = {"type": "string", "enum": ["true", "false", "1", "0"]}
ENCODERS = written_names(name for name in SIGNALS if name != "bm25")
"""Signals that encode."""
_SIGNAL_NAMES = {"type": "string", "enum": list(SIGNALS)}
_NAMES_SCHEMA = {
    "anyOf": [
        {"type": "array", "items": {"type": "string"}},
        {"type": "string", "description": "The same, separated by commas."},
    ]
}
_WEIGHT_SCHEMA = {
    "anyOf": [
        {
            "type": "object",
            "additionalProperties": {"type": "number", "minimum": 0},
            "propertyNames": {"enum": list(SIGNALS)},
        },
        {"type": "string", "description": "`bm25:0.3,bert:0.5`, or such an object as text."},
    ]
}
_POINT_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1, "description": "A word."},
        {
            "type": "object",
            "properties": {
                kind: {"type": "string", "minLength": 1} for kind in ("text", "document", "word")
            }
            | {
                "weight": {
                    "type": "number",
                    "minimum": MIN_WEIGHT,
                    "maximum": MAX_WEIGHT,
                    "default": 1,
                }
            },
            "oneOf": [{"required": [kind]} for kind in ("text", "document", "word")],
            "additionalProperties": False,
        },
    ]
}
_POINTS_SCHEMA = {"type": "array", "items": _POINT_SCHEMA, "maxItems": MAX_POINTS}

Text = Annotated[str, _checked(text_of), _TEXT]
OptionalText = Annotated[str | None, _checked(text_of), _TEXT]
Integer = Annotated[int, InAddress({"type": "integer"}, integer_of_text)]
Number = Annotated[float, InAddress({"type": "number"}, number_of_text)]
OptionalNumber = Annotated[float | None, InAddress({"type": "number"}, number_of_text)]
Boolean = Annotated[bool, InAddress(_SWITCH_SCHEMA, boolean_of_text)]
Names = Annotated[tuple[str, ...], _checked(names_of), WithJsonSchema(_NAMES_SCHEMA), _NAMES]
SignalNames = Annotated[
    tuple[str, ...] | None,
    _checked(names_of),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": _SIGNAL_NAMES, "minItems": 1},
                {"type": "string", "description": "The same, separated by commas."},
            ]
        }
    ),
    InAddress({"type": "array", "items": _SIGNAL_NAMES}),
]
Rows = Annotated[
    tuple[int, ...],
    _checked(rows_of),
    WithJsonSchema({"type": "array", "items": {"type": "integer", "minimum": 0}}),
    InAddress({"type": "array", "items": {"type": "integer", "minimum": 0}}),
]
DocIds = Annotated[
    tuple[str, ...],
    _checked(doc_ids_of),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "maxItems": MAX_STEERING},
                {"type": "string", "description": "One id."},
            ]
        }
    ),
    _IDS,
]
Weights = Annotated[
    dict[str, float] | None,
    _checked(weights_of),
    WithJsonSchema(_WEIGHT_SCHEMA),
    InAddress({"type": "string"}),
]
Explain = Annotated[
    bool | str,
    _checked(explain_of),
    WithJsonSchema({"enum": [True, False, "words"]}),
    InAddress({"type": "string", "enum": ["true", "false", "1", "0", "words"]}, boolean_of_text),
]
Collapse = Annotated[
    bool | float,
    _checked(collapse_of),
    WithJsonSchema(
        {"anyOf": [{"type": "boolean"}, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}]}
    ),
    InAddress(
        {
            "anyOf": [
                {"type": "string", "enum": ["true", "false"]},
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            ]
        },
        switch_or_number_of_text,
    ),
]
OnePoint = Annotated[Point, _checked(point_of), WithJsonSchema(_POINT_SCHEMA)]
Points = Annotated[tuple[Point, ...], _checked(points_of), WithJsonSchema(_POINTS_SCHEMA)]
