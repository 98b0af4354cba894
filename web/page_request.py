"""What the address of the search page says, and the addresses of its links."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from flask import has_request_context, request

from ingest.errors import QueryError
from pipeline.search.query import Query
from pipeline.version.open_version import SIGNALS
from search_api.addresses import path_of_doc_id
from search_api.parameters import SEARCH_PARAMETERS, SearchRequest, search_from_arguments

__all__ = ["ONLY", "SLIDER", "STEERED", "PageRequest", "can_filter", "own", "written_weights"]

ONLY = "only"
"""Parameter of a facet that was clicked: ``only=field:value``, as often as there are."""

STEERED = ("like", "unlike")
"""Parameters that name a document each, as often as there are."""

SLIDER = "weight-"
"""Parameters of the sliders, ``weight-bm25=0.4``: together they are ``weights``."""

_KEPT = tuple(
    name for name in SEARCH_PARAMETERS if name not in {"query", "facets", "explain", *STEERED}
)
_FIELD = re.compile(r"[^\s:()\[\]\"]+")


def own(path: str) -> str:
    """An address on this server, below the prefix that a proxy put before it."""
    return f"{request.script_root}{path}" if has_request_context() else path


def can_filter(field: str) -> bool:
    """Whether the filter grammar can name a field."""
    return _FIELD.fullmatch(field) is not None


@dataclass(frozen=True)
class PageRequest:
    """The parameters of the search page.

    The page knows the API's parameters and ``only``. It is read by people who follow links,
    so it ignores what is empty or unknown; what it knows it reads as strictly as the API.

    Parameters
    ----------
    arguments
        Known parameters that are not empty.
    only
        (field, value) of each facet value chosen.
    like, unlike
        Ids of documents the search is to go toward, and away from.
    path
        The page asked for: what its links lead to.
    """

    arguments: Mapping[str, str]
    only: tuple[tuple[str, str], ...] = ()
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    path: str = "/"

    @classmethod
    def read(cls, given: Mapping[str, Sequence[str]], path: str = "/") -> PageRequest:
        """Read the query string of a page.

        Raises
        ------
        QueryError
            If a parameter is given twice.
        """
        arguments = {}
        for name in _KEPT:
            values = [value for value in given.get(name, ()) if value.strip()]
            if len(values) > 1:
                raise QueryError(f"{name} is given {len(values)} times", parameter=name)
            if values:
                arguments[name] = values[0]
        pairs = (value.partition(":") for value in given.get(ONLY, ()))
        only = dict.fromkeys((field, value) for field, _, value in pairs if field and value)
        if sliders := _sliders(given):
            arguments["weights"] = sliders
        like, unlike = (tuple(dict.fromkeys(filter(None, given.get(name, ())))) for name in STEERED)
        return cls(arguments, tuple(only), like, unlike, path)

    @property
    def text(self) -> str:
        """The query as typed; empty on the home page."""
        return self.arguments.get("q", "")

    def search(self) -> SearchRequest:
        """The query as the API would take it, before facets are known.

        Raises
        ------
        QueryError
            If a parameter is not allowed.
        """
        given = {name: [value] for name, value in self.arguments.items()}
        given.update((name, list(ids)) for name, ids in self._steered() if ids)
        return search_from_arguments(given)

    def within(self, fields: Collection[str]) -> PageRequest:
        """The same without choices among fields the collection does not have."""
        kept = tuple(pair for pair in self.only if pair[0] in fields and can_filter(pair[0]))
        return replace(self, only=kept)

    def balanced(self, defaults: Mapping[str, float]) -> PageRequest:
        """The same without weights where they are what counts anyway."""
        if self.arguments.get("weights") != written_weights(defaults):
            return self
        kept = {name: value for name, value in self.arguments.items() if name != "weights"}
        return replace(self, arguments=kept)

    def narrowed(self, query: Query, facets: Sequence[str]) -> Query:
        """A query with the chosen facet values as conditions, and facets to count."""
        conditions = [f'{field}:"{_escaped(value)}"' for field, value in self.only]
        if query.filter:
            conditions.insert(0, f"({query.filter})")
        return replace(query, filter=" AND ".join(conditions) or None, facets=tuple(facets))

    def address(self, **changes: str | None) -> str:
        """Address of this page with some parameters changed, or left out when ``None``.

        Examples
        --------
        >>> PageRequest({"q": "read a file", "page": "2"}, (("kind", "class"),)).address(page=None)
        '/?q=read+a+file&only=kind%3Aclass'
        """
        merged = {**self.arguments, **changes}
        pairs = [(name, value) for name, value in merged.items() if value]
        pairs += [(ONLY, f"{field}:{value}") for field, value in self.only]
        pairs += [(name, doc_id) for name, ids in self._steered() for doc_id in ids]
        return own(f"{self.path}?{urlencode(pairs)}" if pairs else self.path)

    def with_only(self, field: str, value: str) -> str:
        """Address with one more facet value chosen: a new search, so from page 1."""
        return replace(self, only=(*self.only, (field, value))).fresh_address()

    def without_only(self, field: str, value: str) -> str:
        """Address with a facet value no longer chosen."""
        kept = tuple(pair for pair in self.only if pair != (field, value))
        return replace(self, only=kept).fresh_address()

    def toward(self, doc_id: str) -> str:
        """Address of the same search for more like a document."""
        away = self.without_steering(doc_id)
        return replace(away, like=(*away.like, doc_id)).fresh_address()

    def away_from(self, doc_id: str) -> str:
        """Address of the same search for less like a document."""
        away = self.without_steering(doc_id)
        return replace(away, unlike=(*away.unlike, doc_id)).fresh_address()

    def without_steering(self, doc_id: str) -> PageRequest:
        """The same search, moved neither toward a document nor away from it."""
        like, unlike = (tuple(i for i in ids if i != doc_id) for _, ids in self._steered())
        return replace(self, like=like, unlike=unlike)

    def unfiltered_address(self) -> str:
        """Address of the same search over everything."""
        return replace(self, only=()).address(filter=None, map_region=None, page=None, version=None)

    def home_address(self) -> str:
        """Address of the start page, in the same collection."""
        kept = {name: self.arguments[name] for name in ("collection",) if name in self.arguments}
        return PageRequest(kept).address()

    def collection_suffix(self) -> str:
        """What follows ``?q=...`` to stay in this collection."""
        named = self.arguments.get("collection")
        return "&" + urlencode({"collection": named}) if named else ""

    def opensearch_address(self) -> str:
        """Address of the description of this collection's search."""
        suffix = self.collection_suffix()
        return own("/opensearch.xml" + (f"?{suffix[1:]}" if suffix else ""))

    def fresh_address(self) -> str:
        """Address of the same search from its first page, over the current version."""
        return self.address(page=None, version=None)

    def hit_address(self, path: str, rank: int, version: str) -> str:
        """Address of a page about one hit of this answer."""
        alone = {"k": "1", "page": str(rank), "version": version}
        return replace(self, path=path).address(**alone)

    def document_address(self, doc_id: str, start: int, end: int) -> str:
        """Address of a document's page, at a passage, with the way back to this search."""
        pairs = [("q", self.text), ("passage", f"{start}-{end}")]
        pairs += [(name, self.arguments.get(name, "")) for name in ("collection", "correct")]
        known = urlencode([pair for pair in pairs if pair[1]])
        return own(f"/documents/{path_of_doc_id(doc_id)}?{known}#passage")

    def passages_address(self, doc_id: str, start: int, version: str) -> str:
        """Address of a document's passages but the one that begins at ``start``."""
        pairs = [*self.arguments.items(), ("version", version), ("document", doc_id)]
        pairs = [*dict(pairs).items(), ("but", str(start))]
        pairs += [(name, one) for name, ids in self._steered() for one in ids]
        return own(f"/passages?{urlencode(pairs)}")

    def json_address(self, query: Query) -> str:
        """Address of the same answer in the JSON API."""
        changed = {**self.arguments, "filter": query.filter, "facets": ",".join(query.facets)}
        pairs = [(name, value) for name, value in changed.items() if value]
        pairs += [(name, doc_id) for name, ids in self._steered() for doc_id in ids]
        return own("/api/v1/search?" + urlencode(pairs))

    def _steered(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (("like", self.like), ("unlike", self.unlike))


def written_weights(weights: Mapping[str, float]) -> str:
    """Weights as the parameter is written, by the steps of a slider.

    Examples
    --------
    >>> written_weights({"bert": 0.5, "bm25": 0.25})
    'bm25:0.25,bert:0.5'
    """
    return ",".join(f"{name}:{weights[name]:.4g}" for name in SIGNALS if name in weights)


def _sliders(given: Mapping[str, Sequence[str]]) -> str:
    """The sliders' values, as the parameter ``weights`` is written."""
    values = {name: given[SLIDER + name][0].strip() for name in SIGNALS if given.get(SLIDER + name)}
    return ",".join(f"{name}:{value}" for name, value in values.items() if value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
