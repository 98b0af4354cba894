"""What one asker can reach: the collections as if there were no others, and no more in them.

Routes get their searchers here and nowhere else, so that what a key may not see is not there for
anything they do, whether or not they think of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ingest.errors import IndexNotFoundError, TrineError
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from search_api.access import Asker, UnauthorizedError
from search_api.problems import UnknownIndexError
from search_api.searchers import CollectionState, SearcherPool

__all__ = ["Reach"]


class Reach:
    """A pool of searchers as one asker sees it; for nobody there is nothing, not even names.

    Parameters
    ----------
    pool
        All there is.
    who
        Tells who asks; raises ``UnauthorizedError`` where that is nobody.
    """

    def __init__(self, pool: SearcherPool, who: Callable[[], Asker]) -> None:
        self._pool = pool
        self._who = who

    @property
    def default_collection(self) -> str:
        """Collection of requests that name none: the server's, or the first of the asker's own."""
        try:
            mine = self._who().collections
        except UnauthorizedError:
            return ""
        default = self._pool.default_collection
        return mine[0] if mine and default not in mine else default

    def get(self, collection: str | None = None, version: str | None = None) -> Searcher:
        """The searcher a request asks for; errors as the pool's."""
        name = self._checked(collection)
        searcher = self._pool.get(name, version)
        bound = self._who().filter
        return searcher if bound is None else searcher.within(bound)

    def folder(self, collection: str | None = None) -> CollectionFolder:
        """Folder of a collection, for those who write to it, or tell of its versions.

        Raises
        ------
        UnknownIndexError
            If the collection is not there for the asker.
        """
        name = self._checked(collection) or self.default_collection
        return CollectionFolder(self._pool.data_dir, name)

    def existing_folder(self, collection: str | None = None) -> CollectionFolder:
        """Folder of a collection that is there; the default one's where none is named.

        Raises
        ------
        UnknownIndexError
            If the collection is not there, or not for the asker.
        """
        folder = self.folder(collection)
        if not folder.exists():
            raise UnknownIndexError(
                f"there is no collection {folder.name!r}", parameter="collection"
            )
        return folder

    def state(self, collection: str | None = None) -> CollectionState:
        """Describe a collection by its manifest; what a filter leaves of it is counted."""
        try:
            name = self._checked(collection)
        except IndexNotFoundError as error:
            return CollectionState(collection or "", error=str(error))
        state = self._pool.state(name)
        if self._who().filter is None or state.error is not None:
            return state
        try:
            searcher = self.get(name)
        except TrineError as error:
            return CollectionState(state.collection, error=str(error))
        return replace(
            state, version=searcher.version, n_documents=searcher.n_documents, sources=()
        )

    def names(self) -> list[str]:
        """Names of the collections to offer, sorted."""
        try:
            mine = self._who().collections
        except UnauthorizedError:
            return []
        return [name for name in self._pool.names() if not mine or name in mine]

    def with_reranking(self, query: Query) -> Query:
        """The query, re-ranked by this server's model; errors as the pool's."""
        return self._pool.with_reranking(query)

    def refresh(self) -> None:
        """Swap to whatever was published since."""
        self._pool.refresh()

    def _checked(self, collection: str | None) -> str | None:
        """The collection to ask the pool for."""
        mine = self._who().collections
        if not mine or (collection is None and self._pool.default_collection in mine):
            return collection
        name = collection or self.default_collection
        # One whose name is not allowed is refused as such, be it anybody's.
        CollectionFolder(self._pool.data_dir, name)
        if name not in mine:
            raise UnknownIndexError(f"there is no collection {name!r}", parameter="collection")
        return name
