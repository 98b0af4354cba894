"""Single values of requests, from text and from JSON; what is wrong is told in one line."""

from __future__ import annotations

import math
import re
from types import MappingProxyType

from ingest.errors import QueryError
from pipeline.search.embedding_space import MAX_POINTS, POINT_KINDS, Point
from pipeline.search.query import MAX_QUERY_CHARACTERS
from search_api.json_reading import kind_name, read_json_object

__all__ = [
    "MAX_WEIGHT",
    "MIN_WEIGHT",
    "boolean_of_text",
    "collapse_of",
    "doc_ids_of",
    "explain_of",
    "integer_of_text",
    "names_of",
    "number_of",
    "number_of_text",
    "parameter_of",
    "point_of",
    "points_of",
    "rows_of",
    "same",
    "switch_or_number_of_text",
    "text_of",
    "weights_of",
    "wrong_value",
]

# Sums of embeddings weighted within these bounds neither overflow nor vanish.
MIN_WEIGHT = 1e-6
MAX_WEIGHT = 1e6
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_BOOLEANS = MappingProxyType({"true": True, "1": True, "false": False, "0": False})
_WEIGHTS_WANTED = "bm25:0.3,bert:0.5 or an object"
_POINT_WANTED = 'a word, or an object such as {"text": "open a file"}'


def parameter_of(name: str) -> str:
    """The parameter that a name such as ``positive[2].weight`` lies in."""
    return re.split(r"[.\[]", name, maxsplit=1)[0]


def wrong_value(name: str, value: object, wanted: str) -> QueryError:
    """Say that a value is of the wrong kind."""
    shown = repr(value) if isinstance(value, str | int | float) else kind_name(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return QueryError(f"{name} is {shown}; it must be {wanted}", parameter=parameter_of(name))


def same(text: str, name: str) -> object:
    """Take text as it is."""
    return text


def integer_of_text(text: str, name: str) -> object:
    """Read a whole number of at most 18 digits; anything else stays text."""
    return int(text) if _INTEGER.fullmatch(text) else text


def number_of_text(text: str, name: str) -> object:
    """Read a decimal number; anything else stays text."""
    return float(text) if _NUMBER.fullmatch(text) else text


def boolean_of_text(text: str, name: str) -> object:
    """Read ``true``, ``false``, ``1`` or ``0``; anything else stays text."""
    return _BOOLEANS.get(text, text)


def switch_or_number_of_text(text: str, name: str) -> object:
    """Read ``true``, ``false`` or a number; anything else stays text."""
    return text == "true" if text in {"true", "false"} else number_of_text(text, name)


def text_of(value: object, name: str) -> str:
    """Check a string.

    Raises
    ------
    QueryError
        If it is none, or holds half a surrogate pair.
    """
    if not isinstance(value, str):
        raise wrong_value(name, value, "a string")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise QueryError(
            f"{name} holds half a surrogate pair, not a character",
            parameter=parameter_of(name),
        )
    return value


def number_of(value: object, name: str) -> float:
    """Check a finite number.

    Raises
    ------
    QueryError
        If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_value(name, value, "a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise wrong_value(name, number, "a finite number")
    return number


def explain_of(value: object, name: str) -> bool | str:
    """Check ``explain``."""
    if isinstance(value, bool) or value == "words":
        return value
    raise wrong_value(name, value, "true, false or words")


def collapse_of(value: object, name: str) -> bool | float:
    """Check ``collapse``."""
    if isinstance(value, str):
        raise wrong_value(name, value, "true, false or a cosine in (0, 1]")
    return value if isinstance(value, bool) else number_of(value, name)


def names_of(value: object, name: str) -> tuple[str, ...]:
    """Check a list of names, or take text apart at commas; each counts once."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise wrong_value(name, value, "a list of names")
    return tuple(dict.fromkeys(text_of(entry, name) for entry in value))


def doc_ids_of(value: object, name: str) -> tuple[str, ...]:
    """Check a list of ids, or one id: an id may hold commas."""
    if not isinstance(value, str | list | tuple):
        raise wrong_value(name, value, "a list of ids")
    given = [value] if isinstance(value, str) else value
    return tuple(text_of(entry, name) for entry in given)


def rows_of(value: object, name: str) -> tuple[int, ...]:
    """Check a list of whole numbers from 0, or take text apart at commas.

    Examples
    --------
    >>> rows_of("3,1", "rows"), rows_of([2], "rows")
    ((3, 1), (2,))
    """
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        raise wrong_value(name, value, "a list of whole numbers")
    rows = []
    for part in given:
        row = integer_of_text(part, name) if isinstance(part, str) else part
        if not isinstance(row, int) or isinstance(row, bool) or row < 0:
            raise wrong_value(name, row, "a list of whole numbers from 0")
        rows.append(row)
    return tuple(rows)


def weights_of(value: object, name: str) -> dict[str, float]:
    """Check weights by signal, written as an object or as ``bm25:0.3,bert:0.5``."""
    if isinstance(value, str):
        value = _weights_of_text(value, name)
    if not isinstance(value, dict):
        raise wrong_value(name, value, _WEIGHTS_WANTED)
    return {text_of(signal, name): number_of(weight, name) for signal, weight in value.items()}


def _weights_of_text(text: str, name: str) -> dict[str, object]:
    if text.lstrip().startswith("{"):
        try:
            return read_json_object(text.encode("utf-8"))
        except (QueryError, UnicodeEncodeError) as error:
            raise wrong_value(name, text, _WEIGHTS_WANTED) from error
    weights: dict[str, object] = {}
    for part in text.split(","):
        signal, colon, number = (piece.strip() for piece in part.partition(":"))
        if not colon or not _NUMBER.fullmatch(number) or signal in weights:
            raise wrong_value(name, text, _WEIGHTS_WANTED)
        weights[signal] = float(number)
    return weights


def point_of(value: object, name: str) -> Point:
    """Check a text, a document or a word; a string alone is a word.

    Examples
    --------
    >>> point_of({"document": "io.open", "weight": 2}, "first")
    Point(kind='document', value='io.open', weight=2.0)
    """
    members = {"word": value} if isinstance(value, str) else value
    if not isinstance(members, dict):
        raise wrong_value(name, value, _POINT_WANTED)
    kinds = [kind for kind in POINT_KINDS if kind in members]
    if len(kinds) != 1 or not set(members) <= {*POINT_KINDS, "weight"}:
        raise QueryError(
            f"{name} must name one of text, document and word, and beside it at most weight",
            parameter=parameter_of(name),
        )
    held = text_of(members[kinds[0]], f"{name}.{kinds[0]}")
    if not held:
        raise wrong_value(f"{name}.{kinds[0]}", held, "at least one character")
    if len(held) > MAX_QUERY_CHARACTERS:
        raise QueryError(
            f"{name} has {len(held)} characters; at most {MAX_QUERY_CHARACTERS} are allowed",
            parameter=parameter_of(name),
        )
    weight = number_of(members.get("weight", 1), f"{name}.weight")
    if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        raise wrong_value(f"{name}.weight", weight, f"{MIN_WEIGHT:g} to {MAX_WEIGHT:g}")
    return Point(kinds[0], held, weight)


def points_of(value: object, name: str) -> tuple[Point, ...]:
    """Check a list of texts, documents and words."""
    if not isinstance(value, list):
        raise wrong_value(name, value, "an array")
    if len(value) > MAX_POINTS:
        raise QueryError(
            f"{name} holds {len(value)} entries; at most {MAX_POINTS} are allowed", parameter=name
        )
    return tuple(point_of(entry, f"{name}[{place}]") for place, entry in enumerate(value))
