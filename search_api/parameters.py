"""From what a request says to its model; strict: nothing unknown is ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ingest.errors import QueryError
from pipeline.search.query import Query
from search_api.request_fields import InAddress
from search_api.request_models import RankingParameters, Request, SearchParameters
from search_api.values import parameter_of, wrong_value

__all__ = [
    "SEARCH_PARAMETERS",
    "SearchRequest",
    "checked_names",
    "from_arguments",
    "from_object",
    "in_address",
    "query_of",
    "search_from_arguments",
    "search_from_object",
    "search_of",
]

SEARCH_PARAMETERS = ("q", "query", *(n for n in SearchParameters.model_fields if n[0] != "q"))
Asked = TypeVar("Asked", bound=Request)
_WANTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A query, and where to ask it; empty is the default collection, or the current version.

    Which model re-ranks, where ``rerank`` asks for it, the server knows: no request names a path.
    """

    query: Query
    collections: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    rerank: bool = False

    @property
    def collection(self) -> str | None:
        """The one collection named; several are one name that no collection has."""
        return ",".join(self.collections) or None

    @property
    def version(self) -> str | None:
        """The one version named."""
        return ",".join(self.versions) or None


def search_from_arguments(arguments: Mapping[str, Sequence[str]]) -> SearchRequest:
    """Read the parameters of a search from a query string.

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
    return search_of(from_arguments(SearchParameters, arguments))


def search_from_object(body: Mapping[str, object]) -> SearchRequest:
    """Read the parameters of a search from a JSON object.

    Raises
    ------
    QueryError
        If one is unknown, or not of its type; names it.

    Examples
    --------
    >>> search_from_object({"query": "read a file", "weights": {"bert": 1}}).query.weights
    {'bert': 1.0}
    """
    return search_of(from_object(SearchParameters, body))


def search_of(asked: SearchParameters) -> SearchRequest:
    """Make the query that checked parameters ask for.

    Raises
    ------
    QueryError
        If parameters do not go together, or one is out of its bounds.
    """
    if asked.q is not None and asked.query is not None:
        raise QueryError("q and query are the same parameter: give one", parameter="query")
    text = asked.q if asked.query is None else asked.query
    if text is None and not asked.like:
        raise QueryError("q is missing: give the words to search for", parameter="q")
    query = query_of(
        asked,
        text or "",
        like=asked.like,
        unlike=asked.unlike,
        correct=asked.correct,
    )
    return SearchRequest(query, asked.collection, asked.version, asked.rerank)


def query_of(
    asked: RankingParameters,
    text: str,
    *,
    like: tuple[str, ...],
    unlike: tuple[str, ...] = (),
    correct: bool = True,
) -> Query:
    """Make a query of what every kind of search may say."""
    return Query(
        text=text,
        k=asked.k,
        page=asked.page,
        filter=asked.filter or None,
        facets=asked.facets,
        sort=asked.sort or None,
        signals=asked.signals,
        weights=asked.weights,
        fusion=asked.fusion,
        min_probability=asked.min_probability,
        correct=correct,
        explain=asked.explain is not False,
        explain_words=asked.explain == "words",
        diversity=asked.diversity,
        collapse=asked.collapse,
        like=like,
        unlike=unlike,
        map_region=asked.map_region or None,
    )


def from_arguments(model: type[Asked], arguments: Mapping[str, Sequence[str]]) -> Asked:
    """Read a query string as a model.

    Raises
    ------
    QueryError
        If a parameter is unknown, given twice, or not of its type; names it.
    """
    fields = model.model_fields
    checked_names(arguments, tuple(fields))
    values: dict[str, object] = {}
    for name, given in arguments.items():
        form = in_address(fields[name])
        if form.schema.get("type") == "array":
            values[name] = list(given) if form.repeated else ",".join(given)
        elif len(given) != 1:
            raise QueryError(f"{name} is given {len(given)} times; give it once", parameter=name)
        else:
            values[name] = form.read(given[0], name)
    return from_object(model, values)


def from_object(model: type[Asked], body: Mapping[str, object]) -> Asked:
    """Read a JSON object as a model; ``null`` is as good as leaving a member out.

    Raises
    ------
    QueryError
        If a member is unknown, or not of its type; names it.
    """
    checked_names(body, tuple(model.model_fields))
    try:
        return model.model_validate({n: value for n, value in body.items() if value is not None})
    except ValidationError as error:
        raise _told(error.errors(include_url=False)[0], model) from error


def in_address(field: FieldInfo) -> InAddress:
    """How a field is written in the query string."""
    return next(mark for mark in field.metadata if isinstance(mark, InAddress))


def checked_names(given: Iterable[str], known: Sequence[str]) -> None:
    """Refuse a parameter that is not known."""
    for name in given:
        if name not in known:
            shown = name if len(name) <= 60 else name[:57] + "..."
            allowed = f"parameters are {', '.join(known)}" if known else "this address takes none"
            raise QueryError(f"unknown parameter {shown!r}; {allowed}", parameter=name)


def _told(error: ErrorDetails, model: type[Request]) -> QueryError:
    """Say in our words what a model refused."""
    found = error.get("ctx", {}).get("error")
    if isinstance(found, QueryError):
        return found
    name = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error["loc"])[1:]
    parameter, kind, value = parameter_of(name), error["type"], error["input"]
    if kind == "missing":
        described = model.model_fields[parameter].description or ""
        hint = described.partition(".")[0]
        return QueryError(f"{name} is missing: {hint[:1].lower()}{hint[1:]}", parameter=parameter)
    if kind == "string_unicode":
        return QueryError(
            f"{name} holds half a surrogate pair, not a character", parameter=parameter
        )
    if kind in {"too_short", "too_long"}:
        bounds = error["ctx"]
        limit = bounds.get("min_length", bounds.get("max_length"))
        least = "least" if kind == "too_short" else "most"
        return QueryError(
            f"{name} holds {bounds['actual_length']} entries; it must hold at {least} {limit}",
            parameter=parameter,
        )
    if kind == "extra_forbidden":
        return QueryError(f"unknown parameter {name!r}", parameter=parameter)
    return wrong_value(name, value, _WANTED.get(kind, "another value"))
