"""Sampled queries are looked at again, in the background: recall and drift for the metrics.

A search only leaves its text behind, and where nobody has time for it, not even that.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import weakref
from contextlib import suppress

from ingest.errors import TrineError
from pipeline.search.searcher import Searcher
from search_api.metrics import Metrics

__all__ = ["SAMPLED_ONE_IN", "Auditor"]

SAMPLED_ONE_IN = 100
# One that looks again takes at most 2 % of a processor.
_PAUSE = 50.0
_LONGEST_PAUSE_S = 60.0
_CLOSE_WAITS_S = 5.0

_logger = logging.getLogger(__name__)


class Auditor:
    """Looks again at one in a hundred queries, the first among them.

    Starts its thread with the first of them, so it may be made before a fork; the thread ends with
    it, and keeps nothing alive.

    Parameters
    ----------
    metrics
        Where to tell what was found.
    one_in
        How many queries one of them stands for.
    """

    def __init__(self, metrics: Metrics, *, one_in: int = SAMPLED_ONE_IN) -> None:
        self._one_in = one_in
        self._n_seen = 0
        self._lock = threading.Lock()
        self._work = _Work(metrics)
        weakref.finalize(self, self._work.stop)

    def searched(self, searcher: Searcher, text: str) -> None:
        """Note a query; never waits."""
        with self._lock:
            is_sampled = self._n_seen % self._one_in == 0
            self._n_seen += 1
            if not is_sampled or self._work.stopped.is_set():
                return
            self._work.start()
        with suppress(queue.Full):
            self._work.sampled.put_nowait((searcher, text))

    def wait(self) -> None:
        """Wait until everything that was sampled has been looked at."""
        self._work.sampled.join()

    def close(self) -> None:
        """End the thread."""
        self._work.stop()


class _Work:
    """What the thread has: not the auditor, nor the application whose metrics these are."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = weakref.ref(metrics)
        # One at a time: what waits keeps its version open.
        self.sampled: queue.Queue[tuple[Searcher, str] | None] = queue.Queue(maxsize=1)
        self.stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trine-auditor", daemon=True)

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        self.stopped.set()
        with suppress(queue.Full):
            self.sampled.put_nowait(None)
        # Python aborts when it ends within a model's run; waiting for itself it would for ever.
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_WAITS_S)

    def _run(self) -> None:
        while not self.stopped.is_set():
            sampled = self.sampled.get()
            if sampled is None:
                return
            began = time.monotonic()
            try:
                self._look(*sampled)
            except TrineError as error:
                _logger.warning("a sampled query could not be looked at: %s", error)
            except Exception as error:
                _logger.warning("a sampled query could not be looked at: %s", type(error).__name__)
            del sampled
            self.sampled.task_done()
            pause_s = min(_PAUSE * (time.monotonic() - began), _LONGEST_PAUSE_S)
            self.stopped.wait(pause_s)

    def _look(self, searcher: Searcher, text: str) -> None:
        found, metrics = searcher.audit(text), self._metrics()
        if found is not None and metrics is not None:
            name = searcher.collection
            metrics.recall.labels(name).observe(found.recall)
            metrics.drift.labels(name).observe(found.drift)
            metrics.nearest.labels(name).observe(found.nearest)
