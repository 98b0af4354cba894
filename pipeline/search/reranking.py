"""Re-ranking by a cross-encoder, within a time budget: all of the depth is re-ordered, or nothing.

What a model says of a document is remembered with the documents it was compared with, so that the
pages of a query agree although each is asked for by itself.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from encoders.reranker import Reranker
from pipeline.search.answer import RerankOutcome
from pipeline.search.query import Query
from pipeline.search.ranking import Ranking

__all__ = ["RerankMemory", "rerank"]

# Few at once, so that little time is lost when the budget ends inside a batch.
_BATCH_PAIRS = 4
# The first batch of a model is slower than the rest.
_BATCHES_BEFORE_GIVING_UP = 2
# Where all fused scores are alike the re-ranked ones still have to differ.
_LEAST_RANGE = 1e-3
_N_REMEMBERED = 256


@dataclass(frozen=True)
class _Scored:
    """Scores of all the pairs, or why there are none."""

    scores: NDArray[np.float64] | None
    reason: str | None
    n_scored: int


class RerankMemory:
    """What a re-ranker said of the last queries to one version; safe to share among threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[object, ...], _Scored] = OrderedDict()

    def recall(self, key: tuple[object, ...]) -> _Scored | None:
        """The outcome kept under a key."""
        with self._lock:
            return self._known.get(key)

    def keep(self, key: tuple[object, ...], scored: _Scored) -> None:
        """Keep an outcome; the oldest is forgotten."""
        with self._lock:
            self._known[key] = scored
            self._known.move_to_end(key)
            while len(self._known) > _N_REMEMBERED:
                self._known.popitem(last=False)


def rerank(
    ranking: Ranking,
    query: Query,
    meaning: str,
    reranker: Reranker,
    *,
    passage_rows: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    read: Callable[[NDArray[np.int64], NDArray[np.int64]], Sequence[str]],
    memory: RerankMemory,
) -> tuple[Ranking, RerankOutcome]:
    """Order the best documents as the re-ranker scores them.

    Among equally exact documents the model's order counts; what is exactly what was typed stays
    first. The scores of the best documents keep their range, so none of them falls below a
    document that was not re-scored, and each one's change is its ``reranking`` contribution.

    Parameters
    ----------
    ranking
        Every document as deep as ``query.rerank_depth`` at least (or all there are), best first.
    meaning
        Text to compare with.
    passage_rows
        Which passage of each document the model reads.
    read
        Texts of these passages, given documents' rows and passages' rows.

    Returns
    -------
    (ranking, outcome)
        The given ranking, unless ``outcome.applied``.

    Raises
    ------
    ModelNotFoundError
        If the re-ranker cannot be loaded. Loading is not counted as time of the query.
    """
    reranker.load()
    began = time.perf_counter()
    top = np.arange(min(query.rerank_depth, len(ranking)))
    rows = ranking.rows[top]
    passages = passage_rows(rows)
    key = (reranker.model, meaning, passages.tobytes())
    found = memory.recall(key)
    # A first page that ran out of time may be tried again; its later pages go with it.
    if found is None or (found.scores is None and query.page == 1):
        found = _score(meaning, read(rows, passages), reranker, query.rerank_budget_ms, began)
        memory.keep(key, found)
    outcome = RerankOutcome(
        applied=found.scores is not None,
        reason=found.reason,
        scored=found.n_scored,
        took_ms=(time.perf_counter() - began) * 1000,
    )
    return (ranking if found.scores is None else _reordered(ranking, found.scores)), outcome


def _score(
    meaning: str, texts: Sequence[str], reranker: Reranker, budget_ms: float, began: float
) -> _Scored:
    if not texts:
        return _Scored(None, "nothing was found to re-rank", 0)
    scores: list[float] = []
    fastest_ms = np.inf
    for n_batches, start in enumerate(range(0, len(texts), _BATCH_PAIRS)):
        # Even at the best speed seen the rest must fit; else its time would be spent for nothing.
        hopeful = n_batches < _BATCHES_BEFORE_GIVING_UP
        least_ms = 0.0 if hopeful else fastest_ms * (len(texts) - start)
        before = time.perf_counter()
        if (before - began) * 1000 + least_ms >= budget_ms:
            reason = (
                f"{budget_ms:g} ms were too few for {len(texts)} documents; "
                "the order is that of the signals"
            )
            return _Scored(None, reason, len(scores))
        batch = texts[start : start + _BATCH_PAIRS]
        scores += reranker.scores(meaning, batch).tolist()
        fastest_ms = min(fastest_ms, (time.perf_counter() - before) * 1000 / len(batch))
    return _Scored(np.array(scores), None, len(scores))


def _reordered(ranking: Ranking, scores: NDArray[np.float64]) -> Ranking:
    n_scored = len(scores)
    known = np.arange(len(ranking)) < n_scored
    before, exactness = ranking.scores[known], ranking.exactness[known]
    # In order of score the last is the lowest, and nothing beyond it is higher.
    fused = before - exactness
    spread = max(float(np.ptp(fused)), _LEAST_RANGE)
    share = (scores - scores.min()) / (float(np.ptp(scores)) or 1.0)
    wanted = before[-1] + (exactness - exactness.min()) + spread * share
    change, raw = np.zeros(len(ranking)), np.full(len(ranking), np.nan)
    change[known] = wanted - before
    raw[known] = scores
    changed = replace(ranking, reranking=change, reranker_raw=raw, scores=ranking.scores + change)
    return changed.take(np.lexsort((changed.rows, -changed.scores)))
