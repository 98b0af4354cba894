"""The searchers of the application at hand, and one look at them that does not change."""

from __future__ import annotations

from flask import Flask, current_app

from pipeline.search.searcher import Searcher
from search_api.access import asker
from search_api.reach import Reach
from search_api.searchers import SearcherPool

__all__ = ["Snapshot", "current_pool", "init_app", "pool_of"]

_EXTENSION = "trine_searchers"


class Snapshot:
    """The searchers one request has asked for: it gets the same again, whatever is published.

    Parameters
    ----------
    pool
        Where to get them.
    """

    def __init__(self, pool: Reach) -> None:
        self.pool = pool
        self._known: dict[tuple[str, str | None], Searcher] = {}

    def get(self, collection: str | None = None, version: str | None = None) -> Searcher:
        """The searcher of a collection; errors as the pool's."""
        key = (collection or self.pool.default_collection, version)
        if key not in self._known:
            self._known[key] = self.pool.get(collection, version)
        return self._known[key]


def init_app(app: Flask, pool: SearcherPool) -> None:
    """Give an application its searchers."""
    app.extensions[_EXTENSION] = pool


def pool_of(app: Flask) -> SearcherPool:
    """Searchers of an application."""
    pool: SearcherPool = app.extensions[_EXTENSION]
    return pool


def current_pool() -> Reach:
    """Searchers of the application that handles this request, as far as its asker can reach."""
    return Reach(pool_of(current_app), asker)
