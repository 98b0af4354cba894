"""Candidates -> scores -> order: the heart of the search pipeline.

Every signal proposes candidates to a fixed depth, and every candidate gets its score from every
signal. Documents that match by keyword beyond that depth cannot outrank a known bound (the
score of a document at the edge of every signal's depth), so they are scored only when a page
reaches below it: the threshold algorithm (Fagin, Lotem & Naor, JCSS 2003,
doi:10.1016/S0022-0000(03)00026-6). Pages therefore never overlap or gap, and a document's score
does not depend on the page asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.search.exactness import Exactness
from pipeline.search.fusion import (
    DEFAULT_WEIGHTS,
    LEXICAL_SIGNALS,
    Normalization,
    effective_weights,
    fit_normalization,
    normalize_each,
    signal_confidence,
)
from pipeline.search.query import RESULT_WINDOW
from pipeline.search.regularization import N_REGULARIZED, regularization, similarities
from pipeline.search.signals import Candidates, PassageScorer, Scorer
from pipeline.search.time_limit import check_time
from pipeline.version.vector_index import VectorIndex

__all__ = ["DEPTH", "EVERYTHING", "Ranking", "Retrieval", "retrieve"]

DEPTH = 200
# tantivy adds up in 32 bits, in an order that depends on how it walks the postings.
_ROUNDING = 1e-6
EVERYTHING = np.iinfo(np.int64).max
"""More documents than there can be."""


@dataclass(frozen=True)
class Ranking:
    """Scored documents, best first; every array has one entry, or column, a document.

    Parameters
    ----------
    signals
        Names of the signals, in the order of the first axis below.
    raw, normalized, contributions
        float64, shape (n_signals, n); raw is NaN where a signal abstains.
    ranks
        int64, shape (n_signals, n): rank among the signal's own candidates, 0 beyond its depth.
    reranking, reranker_raw
        float64, shape (n,): what re-ranking changed, and the re-ranker's own score, NaN where it
        gave none.
    scores
        float64, shape (n,): the sum, in order, of contributions, regularization, exactness and
        reranking.
    """

    signals: tuple[str, ...]
    weights: NDArray[np.float64]
    rows: NDArray[np.int64]
    raw: NDArray[np.float64]
    normalized: NDArray[np.float64]
    contributions: NDArray[np.float64]
    ranks: NDArray[np.int64]
    regularization: NDArray[np.float64]
    exactness: NDArray[np.float64]
    reranking: NDArray[np.float64]
    reranker_raw: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> Ranking:
        """The chosen documents, in the given order."""
        return Ranking(
            self.signals,
            self.weights,
            self.rows[chosen],
            self.raw[:, chosen],
            self.normalized[:, chosen],
            self.contributions[:, chosen],
            self.ranks[:, chosen],
            self.regularization[chosen],
            self.exactness[chosen],
            self.reranking[chosen],
            self.reranker_raw[chosen],
            self.scores[chosen],
        )

    def raw_of(self, signal: str) -> NDArray[np.float64]:
        """Raw scores of one of the signals."""
        raw: NDArray[np.float64] = self.raw[self.signals.index(signal)]
        return raw


@dataclass(frozen=True)
class Retrieval:
    """One query's candidates, and all that is needed to rank them or any other document."""

    scorers: Mapping[str, Scorer]
    allowed: NDArray[np.bool_] | None
    candidates: Mapping[str, Candidates]
    head: NDArray[np.int64]
    head_raw: NDArray[np.float64]
    weights: NDArray[np.float64]
    normalizations: tuple[Normalization, ...]
    exactness: Exactness
    passage_index: VectorIndex | None
    confidence: Mapping[str, float] = field(default_factory=dict)

    @property
    def trust_in_neighbors(self) -> float:
        """How far the embeddings that say which documents are alike can be trusted."""
        return self.confidence.get("bert", 1.0)

    @property
    def active(self) -> list[bool]:
        """Which signals proposed any candidate, in the order of ``scorers``."""
        return [len(found.rows) > 0 for found in self.candidates.values()]

    def with_defaults(self, weights: Mapping[str, float], fusion: str) -> Retrieval:
        """The same query under other default weights; no signal is asked again.

        A signal without weight is left out with its candidates, as if it had not been asked.
        """
        names = [name for name in self.scorers if weights.get(name, 0.0) > 0]
        candidates = {name: self.candidates[name] for name in names}
        head = _head(candidates.values(), self.exactness, self.allowed)
        of_names = [list(self.scorers).index(name) for name in names]
        raw = self.head_raw[of_names][:, np.searchsorted(self.head, head)]
        kept = replace(
            self,
            scorers={name: self.scorers[name] for name in names},
            candidates=candidates,
            head=head,
            head_raw=raw,
            normalizations=tuple(fit_normalization(fusion, values) for values in raw),
            # Without bm25 nothing tells how far the words can be trusted.
            confidence={
                name: found
                for name, found in self.confidence.items()
                if "bm25" in names or name not in LEXICAL_SIGNALS
            },
        )
        return kept.with_weights(
            effective_weights(names, kept.active, None, kept.confidence, defaults=weights)
        )

    def with_weights(self, weights: NDArray[np.float64]) -> Retrieval:
        """The same query and signals under other effective weights."""
        return replace(self, weights=weights)

    @property
    def total(self) -> int:
        """Documents that match: by keyword, or among the semantic candidates."""
        if "bm25" not in self.scorers:
            return len(self.head)
        position = list(self.scorers).index("bm25")
        semantic_only = int(np.count_nonzero(self.head_raw[position] <= 0))
        return self.candidates["bm25"].total + semantic_only

    def matching_rows(self) -> NDArray[np.int64]:
        """Every document that matches, ascending; exactly ``total`` of them."""
        if not self._has_tail:
            return self.head
        n_matched = self.candidates["bm25"].total
        # Only bm25 matches beyond its depth; ask it for all it has.
        everything = self.scorers["bm25"].candidates(max(n_matched, 1), self.allowed)
        return np.union1d(self.head, everything.rows)

    @property
    def _has_tail(self) -> bool:
        bm25 = self.candidates.get("bm25")
        return bm25 is not None and bm25.total > len(bm25.rows)

    @cached_property
    def head_ranking(self) -> Ranking:
        """The candidates, scored but neither regularised nor sorted."""
        return self._score(self.head, self.head_raw)

    def rank(self, n_wanted: int) -> Ranking:
        """Rank the best ``n_wanted`` documents (fewer when fewer match).

        The order, and every score, is the same whatever ``n_wanted`` is.
        """
        ranking = self.head_ranking
        if self.n_safe(ranking.contributions.sum(axis=0), self.weights) < max(
            n_wanted, N_REGULARIZED
        ):
            rows = self._window()
            ranking = self._score(rows, _raw_scores(self.scorers, rows))
        return self._finish(ranking, n_wanted)

    def n_safe(self, base: NDArray[np.float64], weights: NDArray[np.float64]) -> int:
        """How many candidates no document can outrank that no signal proposed.

        Parameters
        ----------
        base
            float64, shape (n,): each candidate's contributions, added up.
        weights
            float64, shape (n_signals,): the weights they were made with.
        """
        if not self._has_tail:
            return EVERYTHING
        return int(np.count_nonzero(base > weights @ self._tail_edges + _ROUNDING))

    def rank_rows(self, rows: NDArray[np.int64]) -> Ranking:
        """Score the given documents, in the given order, without regularisation."""
        return self._score(rows, _raw_scores(self.scorers, rows))

    def _window(self) -> NDArray[np.int64]:
        matched = self.scorers["bm25"].candidates(RESULT_WINDOW, self.allowed)
        return np.union1d(self.head, matched.rows)

    @cached_property
    def _tail_edges(self) -> NDArray[np.float64]:
        """Most each signal can give, before its weight, to a document no signal proposed."""
        raw = np.full((len(self.candidates), 1), np.nan)
        ranks = np.zeros(raw.shape, np.int64)
        for position, (name, found) in enumerate(self.candidates.items()):
            # A signal that proposed fewer than it was asked for proposed all it has.
            if len(found.rows) >= DEPTH:
                raw[position] = found.scores[-1]
                ranks[position] = len(found.rows) + 1 if name == "bm25" else 0
        return normalize_each(self.normalizations, raw, ranks)[:, 0]

    def _score(self, rows: NDArray[np.int64], raw: NDArray[np.float64]) -> Ranking:
        ranks = np.zeros(raw.shape, np.int64)
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        for position, found in enumerate(self.candidates.values()):
            if len(rows) and len(found.rows):
                where = np.minimum(np.searchsorted(ascending, found.rows), len(rows) - 1)
                known = np.flatnonzero(ascending[where] == found.rows)
                ranks[position, order[where[known]]] = known + 1
        normalized = normalize_each(self.normalizations, raw, ranks)
        contributions = self.weights[:, None] * normalized
        none = np.zeros(len(rows))
        exactness = none
        if bonuses := self.exactness.bonuses:
            exactness = np.array([bonuses.get(row, 0.0) for row in rows.tolist()])
        scores = _add_up(contributions, none, exactness)
        return Ranking(
            tuple(self.scorers),
            self.weights,
            rows,
            raw,
            normalized,
            contributions,
            ranks,
            none,
            exactness,
            none,
            np.full(len(rows), np.nan),
            scores,
        )

    def similarities(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """How alike documents are by their best passages; ``None`` where nothing is smoothed."""
        bert = self.scorers.get("bert")
        # One signal alone is ranked as it ranks.
        if len(self.scorers) < 2 or not self.passage_index or not isinstance(bert, PassageScorer):
            return None
        _, passages = bert.best_passages(rows)
        return similarities(self.passage_index.vectors[passages])

    def _finish(self, ranking: Ranking, n_wanted: int) -> Ranking:
        base = ranking.contributions.sum(axis=0)
        top = np.lexsort((ranking.rows, -base))[:N_REGULARIZED]
        added = np.zeros(len(ranking))
        similarity = self.similarities(ranking.rows[top])
        if similarity is not None:
            added[top] = self.trust_in_neighbors * regularization(base[top], similarity)
        scores = _add_up(ranking.contributions, added, ranking.exactness)
        order = np.lexsort((ranking.rows, -scores))[:n_wanted]
        fields = {**vars(ranking), "regularization": added, "scores": scores}
        return Ranking(**fields).take(order)


def retrieve(
    scorers: Mapping[str, Scorer],
    *,
    allowed: NDArray[np.bool_] | None,
    weights: Mapping[str, float] | None,
    fusion: str,
    exactness: Exactness,
    passage_index: VectorIndex | None,
    best_bm25: float,
    n_stems: int,
    trust: Mapping[str, float] | None = None,
    defaults: Mapping[str, float] = DEFAULT_WEIGHTS,
) -> Retrieval:
    """Collect every signal's candidates and score each by every signal.

    Parameters
    ----------
    allowed
        Documents that may be found, bool, shape (n_documents,); all when ``None``.
    exactness
        Documents that are, or literally contain, what was asked for; they are candidates too.
    passage_index
        Embeddings to regularise over; none when ``None``.
    best_bm25
        Upper bound of the BM25 score any document can reach for this query.
    n_stems
        Distinct stems in the query.
    trust
        How far each signal can be trusted in this collection, in [0, 1]; 1 where nothing is said.
    defaults
        Weights where ``weights`` is ``None``.
    """
    candidates = {}
    for name, scorer in scorers.items():
        check_time()
        candidates[name] = scorer.candidates(DEPTH, allowed)
    head = _head(candidates.values(), exactness, allowed)
    raw = _raw_scores(scorers, head)
    normalizations = tuple(fit_normalization(fusion, values) for values in raw)
    active = [len(found.rows) > 0 for found in candidates.values()]
    confidence = _confidence(candidates, best_bm25, n_stems, trust or {})
    return Retrieval(
        scorers=scorers,
        allowed=allowed,
        candidates=candidates,
        head=head,
        head_raw=raw,
        weights=effective_weights(list(scorers), active, weights, confidence, defaults=defaults),
        normalizations=normalizations,
        exactness=exactness,
        passage_index=passage_index,
        confidence=confidence,
    )


def _head(
    candidates: Iterable[Candidates],
    exactness: Exactness,
    allowed: NDArray[np.bool_] | None,
) -> NDArray[np.int64]:
    named = np.array(sorted(exactness.bonuses), np.int64)
    if allowed is not None:
        named = named[allowed[named]]
    rows = np.sort(np.concatenate([found.rows for found in candidates] + [named]))
    # Several times as fast as np.unique.
    distinct: NDArray[np.int64] = rows[np.concatenate([rows[:1] >= 0, rows[1:] != rows[:-1]])]
    return distinct


def _confidence(
    candidates: Mapping[str, Candidates],
    best_bm25: float,
    n_stems: int,
    trust: Mapping[str, float],
) -> dict[str, float]:
    found = candidates.get("bm25")
    if found is None or best_bm25 <= 0:
        return {"bert": trust.get("bert", 1.0)}
    share = float(found.scores.max(initial=0.0)) / best_bm25
    return signal_confidence(share, n_stems, trust)


def _raw_scores(scorers: Mapping[str, Scorer], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    raw = []
    for scorer in scorers.values():
        check_time()
        raw.append(scorer.scores(rows))
    return np.stack(raw)


def _add_up(
    contributions: NDArray[np.float64],
    regularized: NDArray[np.float64],
    exactness: NDArray[np.float64],
) -> NDArray[np.float64]:
    # In the order a reader adds up the explanation, so that the sum is equal to the last bit.
    scores = np.zeros(contributions.shape[1])
    for row in contributions:
        scores = scores + row
    result: NDArray[np.float64] = scores + regularized + exactness
    return result
