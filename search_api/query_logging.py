"""Queries on their way into the query log: no request waits for a disk, and none fails by it."""

from __future__ import annotations

import logging
import queue
import threading
from collections import defaultdict
from pathlib import Path

from ingest.errors import IndexNotFoundError, TrineError
from pipeline.version.collection import CollectionFolder
from pipeline.version.query_log import QueryLog, SearchedFor
from search_api.metrics import Metrics

__all__ = ["QueryLogger"]

_MOST_WAITING = 10_000
_WRITE_EVERY_S = 1.0
_CLOSE_WAITS_S = 5.0

_logger = logging.getLogger(__name__)


class QueryLogger:
    """Writes queries into the logs of their collections, once a second.

    Starts its thread with the first of them, so it may be made before a fork.

    Parameters
    ----------
    data_dir
        The data folder.
    metrics
        Where queries that could not be kept are counted.
    """

    def __init__(self, data_dir: Path, metrics: Metrics) -> None:
        self._data_dir = data_dir
        self._metrics = metrics
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._waiting: queue.Queue[tuple[str, SearchedFor]] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._told: set[str] = set()

    def add(self, collection: str, searched: SearchedFor) -> None:
        """Have a query kept; never waits."""
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="trine-query-log", daemon=True
                )
                self._thread.start()
        try:
            self._waiting.put_nowait((collection, searched))
        except queue.Full:
            self._metrics.unlogged.inc()

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_WAITS_S)

    def _run(self) -> None:
        while not self._stopped.wait(_WRITE_EVERY_S):
            self._write()
        self._write()

    def _write(self) -> None:
        by_collection: dict[str, list[SearchedFor]] = defaultdict(list)
        while True:
            try:
                name, searched = self._waiting.get_nowait()
            except queue.Empty:
                break
            by_collection[name].append(searched)
        for name, found in by_collection.items():
            try:
                QueryLog(CollectionFolder(self._data_dir, name)).add(found)
                self._told.discard(name)
            except IndexNotFoundError:
                continue  # deleted meanwhile, and its log with it
            except TrineError as error:
                self._metrics.unlogged.inc(len(found))
                if name not in self._told:
                    _logger.warning("queries are not logged: %s", error)
                self._told.add(name)
