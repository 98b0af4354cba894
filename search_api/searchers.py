"""The open searchers of one server process: opened when asked for, swapped when republished."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from encoders.reranker import shared_reranker
from ingest.errors import IndexFolderError, IndexNotFoundError, QueryError, TrineError
from pipeline.search.query import RERANK_BUDGET_MS, RERANK_DEPTH, Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder, list_collections
from pipeline.version.open_version import SIGNALS
from search_api.problems import UnknownIndexError

__all__ = ["CollectionState", "RerankSettings", "SearcherPool"]

_logger = logging.getLogger(__name__)
_MAX_PINNED = 4
_RETRY_AFTER_S = 10.0
_EVALUATION_PREFIX = "evaluate-"


@dataclass(frozen=True, slots=True)
class CollectionState:
    """A collection as its current version's manifest describes it.

    Parameters
    ----------
    error
        One line when the current version cannot be read; everything else is empty then.
    """

    collection: str
    version: str | None = None
    n_documents: int = 0
    signals: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, object]:
        """The state as JSON-ready values."""
        state: dict[str, object] = {
            "collection": self.collection,
            "version": self.version,
            "documents": self.n_documents,
            "signals": list(self.signals),
        }
        return state if self.error is None else {**state, "error": self.error}


@dataclass(frozen=True, slots=True)
class RerankSettings:
    """The re-ranker a server offers, as its operator chose it."""

    model: str
    depth: int = RERANK_DEPTH
    budget_ms: float = RERANK_BUDGET_MS


class SearcherPool:
    """Hands out searchers; safe to share among threads.

    Nothing is opened before the first call, so a pool may be made before a fork. The small
    file CURRENT is read again at each request; when it names another version, the request
    that notices opens and warms it while all others go on with the old one. Where the new
    version cannot be opened the old one keeps serving.

    Parameters
    ----------
    data_dir
        The data folder.
    default_collection
        Collection of requests that name none.
    reranking
        What requests for re-ranking get; they are refused when ``None``.
    """

    def __init__(
        self, data_dir: Path, default_collection: str, *, reranking: RerankSettings | None = None
    ) -> None:
        self.data_dir = data_dir
        self.default_collection = default_collection
        self.reranking = reranking
        self._lock = threading.Lock()
        self._opening: dict[str, threading.Lock] = {}
        self._current: dict[str, Searcher] = {}
        self._pinned: OrderedDict[tuple[str, str], Searcher] = OrderedDict()
        self._refused: dict[str, tuple[str, float]] = {}

    def get(self, collection: str | None = None, version: str | None = None) -> Searcher:
        """The searcher a request asks for.

        Parameters
        ----------
        collection, version
            As the request names them; the default, and the current one, when ``None``.

        Raises
        ------
        UnknownIndexError
            If the request names a collection or version that is not there.
        IndexNotFoundError
            If it names none and the default collection is not there.
        IndexFolderError, EncoderError
            If the version cannot be opened.
        """
        folder = CollectionFolder(self.data_dir, collection or self.default_collection)
        try:
            return self._pin(folder, version) if version else self._follow(folder)
        except IndexNotFoundError as error:
            if version and folder.exists():
                raise UnknownIndexError(
                    f"collection {folder.name!r} has no version {version!r} (any more)"
                ) from error
            if collection:
                raise UnknownIndexError(f"there is no collection {folder.name!r}") from error
            raise

    def with_reranking(self, query: Query) -> Query:
        """The query, re-ranked by this server's model.

        Raises
        ------
        QueryError
            If the server offers none.
        """
        if self.reranking is None:
            raise QueryError(
                "this server has no re-ranker: start it with trine serve --rerank MODEL_DIR",
                parameter="rerank",
            )
        return replace(
            query,
            rerank=self.reranking.model,
            rerank_depth=self.reranking.depth,
            rerank_budget_ms=self.reranking.budget_ms,
        )

    def state(self, collection: str | None = None) -> CollectionState:
        """Describe a collection by its manifest alone, without opening it."""
        folder = CollectionFolder(self.data_dir, collection or self.default_collection)
        try:
            manifest = folder.manifest(folder.current())
        except TrineError as error:
            return CollectionState(folder.name, error=str(error))
        return CollectionState(
            folder.name,
            manifest.version,
            manifest.n_documents,
            tuple(name for name in SIGNALS if name in manifest.signals),
            tuple(manifest.sources),
        )

    def names(self) -> list[str]:
        """Names of the collections to offer, sorted; those of evaluations are left out."""
        found = list_collections(self.data_dir)
        return [name for name in found if not name.startswith(_EVALUATION_PREFIX)]

    def _follow(self, folder: CollectionFolder) -> Searcher:
        held = self._current.get(folder.name)
        try:
            wanted = folder.current()
        except IndexNotFoundError:
            self._current.pop(folder.name, None)
            raise
        except IndexFolderError as error:
            if held is None:
                raise
            self._refuse(folder.name, "CURRENT", error)
            return held
        if held is not None and (held.version == wanted or self._is_refused(folder.name, wanted)):
            return held
        opening = self._opening_lock(folder.name)
        if not opening.acquire(blocking=held is None):
            return held if held is not None else self._follow(folder)
        try:
            return self._swap(folder, wanted)
        finally:
            opening.release()

    def _opening_lock(self, name: str) -> threading.Lock:
        with self._lock:
            return self._opening.setdefault(name, threading.Lock())

    def _swap(self, folder: CollectionFolder, wanted: str) -> Searcher:
        held = self._current.get(folder.name)
        if held is not None and held.version == wanted:
            return held  # another thread was faster
        try:
            searcher = self._open(folder, wanted, must_answer=held is not None)
        except IndexNotFoundError:
            # Pruned since it was current: another was published meanwhile.
            if (now := folder.current()) == wanted:
                raise
            return self._swap(folder, now)
        except Exception as error:
            if held is None:
                raise
            self._refuse(folder.name, wanted, error)
            return held
        self._current[folder.name] = searcher
        return searcher

    def _open(self, folder: CollectionFolder, version: str, *, must_answer: bool) -> Searcher:
        searcher = Searcher.open(folder.name, data_dir=self.data_dir, version=version, verify=True)
        try:
            searcher.warm()
            if self.reranking is not None:
                shared_reranker(self.reranking.model).load()
        except TrineError as error:
            if must_answer:
                raise
            # Documents can still be read; each search will tell what is missing.
            _logger.warning("collection %s cannot be searched yet: %s", folder.name, error)
        return searcher

    def _refuse(self, name: str, version: str, error: Exception) -> None:
        if not self._is_refused(name, version):
            _logger.warning(
                "collection %s keeps its old version: %s cannot be opened: %s", name, version, error
            )
        self._refused[name] = (version, time.monotonic() + _RETRY_AFTER_S)

    def _is_refused(self, name: str, version: str) -> bool:
        refused, until = self._refused.get(name, ("", 0.0))
        return refused == version and time.monotonic() < until

    def _pin(self, folder: CollectionFolder, version: str) -> Searcher:
        held = self._current.get(folder.name)
        if held is not None and held.version == version:
            return held
        key = (folder.name, version)
        with self._lock:
            if key in self._pinned:
                self._pinned.move_to_end(key)
                return self._pinned[key]
        with self._opening_lock(f"{folder.name}/{version}"):
            if key not in self._pinned:
                opened = self._open(folder, version, must_answer=False)
                with self._lock:
                    self._pinned[key] = opened
                    while len(self._pinned) > _MAX_PINNED:
                        self._pinned.popitem(last=False)
            return self._pinned.get(key) or self._pin(folder, version)
