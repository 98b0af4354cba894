"""What all pages share: the frame around them, and the way from one to another."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Response, current_app, make_response, render_template, request, url_for

from ingest.errors import TrineError
from search_api.access import asker, may
from search_api.problems import Problem
from search_api.snapshot import current_pool
from web.page_request import PageRequest
from web.plain_text import readable

__all__ = ["PLACES", "NavigationEntry", "navigation", "problem_page", "render_page"]

PLACES = (
    ("pages.search_page", "Search"),
    ("lenses.lenses_page", "Lenses"),
    ("words.words_page", "Words"),
    ("map.map_page", "Map"),
    ("judging.judging_page", "Judge"),
    ("console.console_page", "Console"),
)
"""Endpoint and name of each place, in their order; only those an application has are shown."""

# The scopes a place needs; search where none are named.
_SCOPES = {"judging.judging_page": ("search", "write"), "console.console_page": ("admin",)}

# Places that show the same query in another way.
_TAKING_THE_QUERY = ("pages.search_page", "lenses.lenses_page", "map.map_page")


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """One link of the navigation."""

    label: str
    address: str
    current: bool


def navigation(asked: PageRequest) -> list[NavigationEntry]:
    """The places that are there for the asker; they keep the collection, and the query too."""
    entries = []
    for endpoint, label in PLACES:
        if not _is_for_asker(endpoint):
            continue
        kept = {"collection": asked.arguments.get("collection")}
        if endpoint in _TAKING_THE_QUERY:
            kept["q"] = asked.text
        pairs = urlencode([(name, value) for name, value in kept.items() if value])
        address = url_for(endpoint) + (f"?{pairs}" if pairs else "")
        entries.append(NavigationEntry(label, address, request.endpoint == endpoint))
    return entries


def _is_for_asker(endpoint: str) -> bool:
    needed = _SCOPES.get(endpoint, ("search",))
    return endpoint in current_app.view_functions and all(may(scope) for scope in needed)


def render_page(template: str, asked: PageRequest, **values: object) -> Response:
    """Render a page, or a part of one, with what the frame shows.

    Parameters
    ----------
    template
        Extends ``base.html``, or is a part that a script puts into such a page.
    asked
        What the address says, for the links.
    """
    pool = current_pool()
    named = asked.arguments.get("collection")
    return make_response(
        render_template(
            template,
            asked=asked,
            navigation=navigation(asked),
            collection=readable(named or pool.default_collection),
            collections=_collection_links(asked, pool.default_collection),
            signed_in=_signed_in(),
            **values,
        )
    )


def problem_page(
    problem: Problem, asked: PageRequest | None = None, template: str = "problem.html"
) -> Response:
    """Say what went wrong to a person, the search box at hand."""
    response = render_page(template, asked or PageRequest({}), problem=problem)
    response.status_code = problem.kind.status
    for name, value in problem.headers:
        response.headers.setdefault(name, value)
    return response


def _signed_in() -> str | None:
    """Label of the key somebody signed in with."""
    try:
        who = asker()
    except TrineError:
        return None
    return readable(who.key.label) if who.key and who.by_session else None


def _collection_links(asked: PageRequest, default: str) -> list[tuple[str, str, bool]]:
    try:
        names = current_pool().names()
    except TrineError:
        return []
    current = asked.arguments.get("collection") or default
    bare = PageRequest({"q": asked.text} if asked.text else {}, path=asked.path)
    return [
        (name, bare.address(collection=None if name == default else name), name == current)
        for name in names
    ]
