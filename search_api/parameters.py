"""From the parameters of a request to a checked Query; strict: nothing unknown is ignored."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ingest.errors import QueryError
from pipeline.search.query import Query

__all__ = [
    "PLACE_PARAMETERS",
    "SEARCH_PARAMETERS",
    "SearchRequest",
    "checked_names",
    "place_from_arguments",
    "read_json_object",
    "search_from_arguments",
    "search_from_object",
]

PLACE_PARAMETERS = ("collection", "version")
SEARCH_PARAMETERS = (
    "q",
    "query",
    "k",
    "page",
    "filter",
    "facets",
    "sort",
    "signals",
    "weights",
    "fusion",
    "min_probability",
    "correct",
    "explain",
    "rerank",
    "diversity",
    "collapse",
    *PLACE_PARAMETERS,
)
_LISTS = frozenset({"facets", "signals"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_BOOLEANS = MappingProxyType({"true": True, "1": True, "false": False, "0": False})


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A query, and where to ask it; ``None`` is the default collection, or the current version.

    Which model re-ranks, where ``rerank`` asks for it, the server knows: no request names a path.
    """

    query: Query
    collection: str | None = None
    version: str | None = None
    rerank: bool = False


def search_from_arguments(arguments: Mapping[str, Sequence[str]]) -> SearchRequest:
    """Read the parameters of a query string.

    Parameters
    ----------
    arguments
        Name -> every value given.

    Raises
    ------
    QueryError
        If one is unknown, given twice, or not of its type; names it.

    Examples
    --------
    >>> search_from_arguments({"q": ["read a file"], "k": ["5"]}).query.k
    5
    """
    checked_names(arguments, SEARCH_PARAMETERS)
    values: dict[str, object] = {}
    for name, given in arguments.items():
        if name in _LISTS:
            values[name] = ",".join(given)
        else:
            values[name] = _FROM_TEXT.get(name, _same)(_only(name, given), name)
    return search_from_object(values)


def search_from_object(body: Mapping[str, object]) -> SearchRequest:
    """Read the members of a JSON object.

    Raises
    ------
    QueryError
        If one is unknown, or not of its type; names it.

    Examples
    --------
    >>> search_from_object({"query": "read a file", "weights": {"bert": 1}}).query.weights
    {'bert': 1.0}
    """
    checked_names(body, SEARCH_PARAMETERS)
    given = {name: value for name, value in body.items() if value is not None}
    if "q" in given and "query" in given:
        raise QueryError("q and query are the same parameter: give one", parameter="query")
    asked = "query" if "query" in given else "q"
    if asked not in given:
        raise QueryError("q is missing: give the words to search for", parameter="q")
    query = Query(
        text=_text(given[asked], asked),
        k=_integer(given.get("k", 10), "k"),
        page=_integer(given.get("page", 1), "page"),
        filter=_optional_text(given, "filter"),
        facets=_names(given.get("facets", ()), "facets"),
        sort=_optional_text(given, "sort"),
        signals=_names(given["signals"], "signals") if "signals" in given else None,
        weights=_weights(given["weights"]) if "weights" in given else None,
        fusion=_text(given["fusion"], "fusion") if "fusion" in given else None,
        min_probability=(
            _number(given["min_probability"], "min_probability")
            if "min_probability" in given
            else None
        ),
        correct=_boolean(given.get("correct", True), "correct"),
        explain=_explain(given.get("explain", True)) is not False,
        explain_words=_explain(given.get("explain", True)) == "words",
        diversity=_number(given.get("diversity", 0.0), "diversity"),
        collapse=_collapse(given.get("collapse", False)),
    )
    return SearchRequest(
        query,
        _optional_text(given, "collection"),
        _optional_text(given, "version"),
        _boolean(given.get("rerank", False), "rerank"),
    )


def place_from_arguments(
    arguments: Mapping[str, Sequence[str]],
) -> tuple[str | None, str | None]:
    """Read ``collection`` and ``version``, the only parameters of reading a document."""
    checked_names(arguments, PLACE_PARAMETERS)
    values: dict[str, object] = {name: _only(name, given) for name, given in arguments.items()}
    return _optional_text(values, "collection"), _optional_text(values, "version")


def checked_names(given: Iterable[str], known: Sequence[str]) -> None:
    """Refuse a parameter that is not known."""
    for name in given:
        if name not in known:
            allowed = f"parameters are {', '.join(known)}" if known else "this address takes none"
            raise QueryError(f"unknown parameter {name!r}; {allowed}", parameter=name)


def read_json_object(body: bytes) -> dict[str, object]:
    """Read a request's body.

    Raises
    ------
    QueryError
        If it is not UTF-8, not JSON, not an object, or names a member twice.

    Examples
    --------
    >>> read_json_object(b'{"q": "read a file"}')
    {'q': 'read a file'}
    """
    try:
        content = json.loads(body.decode("utf-8"), object_pairs_hook=_unique_members)
    except UnicodeDecodeError as error:
        raise QueryError(f"the body is not UTF-8: byte {error.start} cannot be read") from error
    except json.JSONDecodeError as error:
        raise QueryError(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise QueryError("the body is nested too deeply") from error
    except QueryError:
        raise
    except ValueError as error:
        raise QueryError("the body holds a number that is too long") from error
    if not isinstance(content, dict):
        raise QueryError(
            f"the body is {_kind_name(content)}; it must be an object such as "
            '{"q": "read a file"}'
        )
    return content


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise QueryError(f"the body names {twice!r} twice", parameter=twice)
    return members


def _only(name: str, given: Sequence[str]) -> str:
    if len(given) != 1:
        raise QueryError(f"{name} is given {len(given)} times; give it once", parameter=name)
    return given[0]


def _same(text: str, name: str) -> object:
    return text


def _integer_of_text(text: str, name: str) -> object:
    return int(text) if _INTEGER.fullmatch(text) else text


def _number_of_text(text: str, name: str) -> object:
    return float(text) if _NUMBER.fullmatch(text) else text


def _boolean_of_text(text: str, name: str) -> object:
    return _BOOLEANS.get(text, text)


def _switch_or_number_of_text(text: str, name: str) -> object:
    return text == "true" if text in {"true", "false"} else _number_of_text(text, name)


_FROM_TEXT: Mapping[str, Callable[[str, str], object]] = MappingProxyType(
    {
        "k": _integer_of_text,
        "page": _integer_of_text,
        "min_probability": _number_of_text,
        "correct": _boolean_of_text,
        "explain": _boolean_of_text,
        "rerank": _boolean_of_text,
        "diversity": _number_of_text,
        "collapse": _switch_or_number_of_text,
    }
)


def _kind_name(value: object) -> str:
    names: dict[type[Any], str] = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")


def _wrong(name: str, value: object, wanted: str) -> QueryError:
    shown = repr(value) if isinstance(value, str | int | float) else _kind_name(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return QueryError(f"{name} is {shown}; it must be {wanted}", parameter=name)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, "a string")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise QueryError(f"{name} holds half a surrogate pair, not a character", parameter=name)
    return value


def _optional_text(given: Mapping[str, object], name: str) -> str | None:
    return (_text(given[name], name) or None) if name in given else None


def _integer(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(name, value, "a whole number")
    return value


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, value, "a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(name, number, "a finite number")
    return number


def _boolean(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def _explain(value: object) -> bool | str:
    if not isinstance(value, bool) and value != "words":
        raise _wrong("explain", value, "true, false or words")
    return value


def _collapse(value: object) -> bool | float:
    if isinstance(value, str):
        raise _wrong("collapse", value, "true, false or a cosine in (0, 1]")
    return value if isinstance(value, bool) else _number(value, "collapse")


def _names(value: object, name: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise _wrong(name, value, "a list of names")
    return tuple(dict.fromkeys(_text(entry, name) for entry in value))


def _weights(value: object) -> dict[str, float]:
    if isinstance(value, str):
        value = _weights_of_text(value)
    if not isinstance(value, dict):
        raise _wrong("weights", value, "bm25:0.3,bert:0.5 or an object")
    return {_text(name, "weights"): _number(weight, "weights") for name, weight in value.items()}


def _weights_of_text(text: str) -> dict[str, object]:
    if text.lstrip().startswith("{"):
        try:
            return read_json_object(text.encode("utf-8"))
        except (QueryError, UnicodeEncodeError) as error:
            raise _wrong("weights", text, "bm25:0.3,bert:0.5 or an object") from error
    weights: dict[str, object] = {}
    for part in text.split(","):
        name, colon, number = (piece.strip() for piece in part.partition(":"))
        if not colon or not _NUMBER.fullmatch(number) or name in weights:
            raise _wrong("weights", text, "bm25:0.3,bert:0.5 or an object")
        weights[name] = float(number)
    return weights
