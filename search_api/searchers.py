"""The open searchers of one server process: opened when asked for, swapped when republished."""

from __future__ import annotations

import logging
import threading
import time
import weakref
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
_UNPINNED_AFTER_S = 300.0
_RETRY_AFTER_S = 10.0
# An idle server looks this often whether something was published.
_LOOK_EVERY_S = 1.0
_CLOSE_WAITS_S = 5.0
_EVALUATION_PREFIX = "evaluate-"
_UNREADABLE = "its current version cannot be read (see: trine versions list)"


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
        # What is wrong names files: it is for the operator alone.
        return state if self.error is None else {**state, "error": _UNREADABLE}


@dataclass(frozen=True, slots=True)
class RerankSettings:
    """The re-ranker a server offers, as its operator chose it."""

    model: str
    depth: int = RERANK_DEPTH
    budget_ms: float = RERANK_BUDGET_MS


class SearcherPool:
    """Hands out searchers; safe to share among threads.

    Nothing is opened, and no thread started, before the first call, so a pool may be made before
    a fork. From then on a thread of the pool's own follows what is published: it opens and warms
    the new version aside, then swaps, and lets go of the old one, which lives until the last
    request that was given it is answered. No request waits for that, and each gets one searcher
    for all it does. Where the new version cannot be opened the old one keeps serving.

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
        self._opening: weakref.WeakValueDictionary[str, _Lock] = weakref.WeakValueDictionary()
        self._current: dict[str, Searcher] = {}
        self._pinned: OrderedDict[tuple[str, str], _Pinned] = OrderedDict()
        self._refused: dict[str, tuple[str, float]] = {}
        self._opened: weakref.WeakSet[Searcher] = weakref.WeakSet()
        self._follower: _Follower | None = None

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
                    f"collection {folder.name!r} has no version {version!r} (any more)",
                    parameter="version",
                ) from error
            if collection:
                raise UnknownIndexError(
                    f"there is no collection {folder.name!r}", parameter="collection"
                ) from error
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

    @property
    def n_open(self) -> int:
        """How many versions are open, those included that only unfinished requests still have."""
        return len(self._opened)

    def refresh(self) -> None:
        """Swap to whatever was published since; the pool's own thread calls this by itself."""
        for name in list(self._current):
            self._swap(CollectionFolder(self.data_dir, name))
        self._unpin_idle()

    def close(self) -> None:
        """Follow no longer what is published; a version being opened is waited for a while."""
        if self._follower is not None:
            self._follower.stop()

    def _follow(self, folder: CollectionFolder) -> Searcher:
        held = self._current.get(folder.name)
        if held is None:
            return self._open_first(folder)
        try:
            wanted = folder.current()
        except IndexNotFoundError:
            self._current.pop(folder.name, None)
            raise
        except IndexFolderError as error:
            self._refuse(folder.name, "CURRENT", error)
            return held
        if held.version != wanted and self._follower is not None:
            self._follower.look()
        return held

    def _open_first(self, folder: CollectionFolder) -> Searcher:
        with self._opening_lock(folder.name):
            while (held := self._current.get(folder.name)) is None:
                wanted = folder.current()
                try:
                    self._hold(folder, wanted, must_answer=False)
                except IndexFolderError:
                    if folder.current() == wanted:
                        raise
                    # Another was published meanwhile, and this one perhaps removed.
            self._start_following()
        return held

    def _start_following(self) -> None:
        with self._lock:
            if self._follower is None:
                self._follower = _Follower(self)

    def _swap(self, folder: CollectionFolder) -> None:
        with self._opening_lock(folder.name):
            held = self._current.get(folder.name)
            wanted = "CURRENT"
            try:
                wanted = folder.current()
                if held is None or held.version == wanted or self._is_refused(folder.name, wanted):
                    return
                self._hold(folder, wanted, must_answer=True)
                self._refused.pop(folder.name, None)
            except IndexNotFoundError:
                if wanted == "CURRENT":  # the collection was deleted
                    self._current.pop(folder.name, None)
            except Exception as error:
                self._refuse(folder.name, wanted, error)

    def _opening_lock(self, name: str) -> _Lock:
        with self._lock:
            return self._opening.setdefault(name, _Lock())

    def _hold(self, folder: CollectionFolder, version: str, *, must_answer: bool) -> None:
        with self._opening_lock(f"{folder.name}/{version}"):
            self._current[folder.name] = self._known(folder.name, version) or self._open(
                folder, version, must_answer=must_answer
            )

    def _open(self, folder: CollectionFolder, version: str, *, must_answer: bool) -> Searcher:
        searcher = Searcher.open(folder.name, data_dir=self.data_dir, version=version, verify=True)
        self._opened.add(searcher)
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
        if self._refused.get(name, ("",))[0] != version:
            _logger.warning(
                "collection %s keeps its old version: %s cannot be opened: %s", name, version, error
            )
        self._refused[name] = (version, time.monotonic() + _RETRY_AFTER_S)

    def _is_refused(self, name: str, version: str) -> bool:
        refused, until = self._refused.get(name, ("", 0.0))
        return refused == version and time.monotonic() < until

    def _known(self, name: str, version: str) -> Searcher | None:
        held = self._current.get(name)
        if held is not None and held.version == version:
            return held
        with self._lock:
            pinned = self._pinned.get((name, version))
            if pinned is None:
                return None
            self._pinned.move_to_end((name, version))
            pinned.asked_s = time.monotonic()
            return pinned.searcher

    def _pin(self, folder: CollectionFolder, version: str) -> Searcher:
        if (known := self._known(folder.name, version)) is not None:
            return known
        # Whoever asks for the same version meanwhile, the follower too, waits for this one.
        with self._opening_lock(f"{folder.name}/{version}"):
            if (known := self._known(folder.name, version)) is not None:
                return known
            opened = self._open(folder, version, must_answer=False)
            with self._lock:
                self._pinned[folder.name, version] = _Pinned(opened, time.monotonic())
                while len(self._pinned) > _MAX_PINNED:
                    self._pinned.popitem(last=False)
        self._start_following()
        return opened

    def _unpin_idle(self) -> None:
        oldest = time.monotonic() - _UNPINNED_AFTER_S
        with self._lock:
            for key in [key for key, pinned in self._pinned.items() if pinned.asked_s < oldest]:
                del self._pinned[key]


class _Lock:
    """A lock that a dictionary may hold weakly, so that what nobody waits for is forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@dataclass(slots=True)
class _Pinned:
    """A version that a request named, and when one last did."""

    searcher: Searcher
    asked_s: float


class _Follower:
    """The thread that keeps a pool up to date, and keeps no pool alive."""

    def __init__(self, pool: SearcherPool) -> None:
        self._noticed = threading.Event()
        self._stopped = False
        self._pool = weakref.ref(pool, lambda _: self._noticed.set())
        self._thread = threading.Thread(target=self._run, name="trine-follower", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Look now."""
        self._noticed.set()

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self._noticed.set()
        self._thread.join(_CLOSE_WAITS_S)

    def _run(self) -> None:
        while not self._stopped:
            self._noticed.wait(_LOOK_EVERY_S)
            self._noticed.clear()
            pool = self._pool()
            if pool is None:
                return
            if not self._stopped:
                pool.refresh()
            del pool
