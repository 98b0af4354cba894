"""What the address of the search page says, and the addresses of its links."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from flask import has_request_context, request

from ingest.errors import QueryError
from pipeline.search.query import Query
from search_api.addresses import path_of_doc_id
from search_api.parameters import SEARCH_PARAMETERS, SearchRequest, search_from_arguments

__all__ = ["ONLY", "PageRequest", "can_filter", "own"]

ONLY = "only"
"""Parameter of a facet that was clicked: ``only=field:value``, as often as there are."""

_KEPT = tuple(name for name in SEARCH_PARAMETERS if name not in {"query", "facets", "explain"})
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
    """

    arguments: Mapping[str, str]
    only: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, given: Mapping[str, Sequence[str]]) -> PageRequest:
        """Read the query string.

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
        return cls(arguments, tuple(only))

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
        return search_from_arguments({name: [value] for name, value in self.arguments.items()})

    def within(self, fields: Collection[str]) -> PageRequest:
        """The same without choices among fields the collection does not have."""
        kept = tuple(pair for pair in self.only if pair[0] in fields and can_filter(pair[0]))
        return replace(self, only=kept)

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
        return own("/?" + urlencode(pairs) if pairs else "/")

    def with_only(self, field: str, value: str) -> str:
        """Address with one more facet value chosen: a new search, so from page 1."""
        return replace(self, only=(*self.only, (field, value))).fresh_address()

    def without_only(self, field: str, value: str) -> str:
        """Address with a facet value no longer chosen."""
        kept = tuple(pair for pair in self.only if pair != (field, value))
        return replace(self, only=kept).fresh_address()

    def fresh_address(self) -> str:
        """Address of the same search from its first page, over the current version."""
        return self.address(page=None, version=None)

    def document_address(self, doc_id: str, start: int, end: int) -> str:
        """Address of a document's page, at a passage, with the way back to this search."""
        pairs = [("q", self.text), ("passage", f"{start}-{end}")]
        pairs += [(name, self.arguments.get(name, "")) for name in ("collection", "correct")]
        known = urlencode([pair for pair in pairs if pair[1]])
        return own(f"/documents/{path_of_doc_id(doc_id)}?{known}#passage")

    def json_address(self, query: Query) -> str:
        """Address of the same answer in the JSON API."""
        pairs = {**self.arguments, "filter": query.filter, "facets": ",".join(query.facets)}
        return own("/api/v1/search?" + urlencode([(k, v) for k, v in pairs.items() if v]))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
