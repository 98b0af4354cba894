"""The signals, each bound to one query: what it proposes, and how it scores given documents.

This is the seam to the engine: whatever can propose candidates and score given rows can stand
in for the embedded indexes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from ingest.errors import QueryError
from pipeline.search.query import Query
from pipeline.search.query_text import ParsedText
from pipeline.search.steering import Steering
from pipeline.search.time_limit import check_time
from pipeline.version.keyword_index import KeywordIndex, KeywordQuery
from pipeline.version.open_version import OpenVersion, PassageTable
from pipeline.version.vector_index import VectorIndex

__all__ = [
    "Candidates",
    "KeywordScorer",
    "PassageScorer",
    "Scorer",
    "VectorScorer",
    "scorers_for",
    "weighted_signals",
]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What one signal proposes for one query.

    Parameters
    ----------
    rows
        int64, best first; equal scores by row.
    scores
        float64, the same length, never rising.
    total
        How many documents the signal matches in all, when it matches rather than ranks
        everything (``bm25``); the number of rows otherwise.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    total: int


class Scorer(Protocol):
    """One signal, bound to one query."""

    def candidates(self, depth: int, allowed: NDArray[np.bool_] | None) -> Candidates:
        """The best ``depth`` documents among those allowed (all when ``None``)."""
        ...

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Exact score of each given document, NaN where the signal abstains."""
        ...


class KeywordScorer:
    """bm25: documents that contain a word of the query."""

    def __init__(self, index: KeywordIndex, query: KeywordQuery) -> None:
        self._index = index
        self._query = query
        # What the first candidates scored, so that it is not computed again. Only theirs: a longer
        # list may differ in the last bit, and a document's score from page to page.
        self._known: dict[int, float] | None = None
        self._knows_all = False

    def candidates(self, depth: int, allowed: NDArray[np.bool_] | None) -> Candidates:
        """The best ``depth`` documents; ``total`` counts every match."""
        if allowed is None:
            found = Candidates(*self._index.search(self._query, depth))
        else:
            rows, scores, _ = self._index.search(self._query, self._index.n_documents)
            kept = allowed[rows]
            n_kept = int(np.count_nonzero(kept))
            found = Candidates(rows[kept][:depth], scores[kept][:depth], n_kept)
        if self._known is None:
            self._known = dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True))
            self._knows_all = allowed is None and found.total == len(found.rows)
        return found

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """BM25 score; 0 where no word of the query occurs."""
        known = self._known or {}
        if self._knows_all:
            return np.array([known.get(row, 0.0) for row in rows.tolist()], np.float64)
        result = np.array([known.get(row, np.nan) for row in rows.tolist()], np.float64)
        unknown = np.isnan(result)
        result[unknown] = self._index.scores(self._query, rows[unknown])
        return result

    def stem_scores(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """What each stem of the query brings to the score of each given document."""
        return self._index.stem_scores(self._query, rows)


class _BoundVectors:
    """One index, asked one query: similarities of all rows at once, or of a few, whichever is less.

    Where all rows are scanned anyway one pass answers everything a query will ask of it; where
    they are too many, the index proposes candidates and only their rows are read.
    """

    def __init__(self, index: VectorIndex, query: Embeddings, *, exact: bool = False) -> None:
        self._index = index
        self._query = query
        self._exact = exact
        self.covered = index.covered
        self.all: NDArray[np.float64] | None = None
        if index.is_exhaustive:
            similarities = index.all_similarities(query).astype(np.float64)
            self.all = np.where(index.covered, similarities, np.nan)

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Similarity of each given row, NaN where it has no embedding."""
        if self.all is not None:
            return self.all[rows]
        similarities = self._index.similarities(self._query, rows).astype(np.float64)
        return np.where(self.covered[rows], similarities, np.nan)

    def nearest(
        self, depth: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The ``depth`` nearest rows among those allowed."""
        if self.all is not None:
            return _best(self.all, depth, allowed)
        rows, similarities = self._index.nearest(self._query, depth, allowed, exact=self._exact)
        return rows, similarities.astype(np.float64)


class VectorScorer:
    """tfidf, word2vec: documents whose embedding is near the query's."""

    def __init__(self, index: VectorIndex, query: Embeddings, *, exact: bool = False) -> None:
        self.query = query
        self._vectors = _BoundVectors(index, query, exact=exact) if query.any() else None

    def candidates(self, depth: int, allowed: NDArray[np.bool_] | None) -> Candidates:
        """The ``depth`` nearest documents."""
        if self._vectors is None:
            return _NONE
        rows, similarities = self._vectors.nearest(depth, allowed)
        return Candidates(rows, similarities, len(rows))

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cosine, in [-1, 1]."""
        return np.full(len(rows), np.nan) if self._vectors is None else self._vectors.of(rows)


@dataclass(frozen=True, slots=True)
class _BestPassages:
    """Best passages of documents, and their scores, in ascending order of document rows."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    passages: NDArray[np.int64]

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
        """Those of the given documents; ``None`` unless all of them are among these."""
        if not len(self.rows):
            return None
        where = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        if not np.array_equal(self.rows[where], rows):
            return None
        return self.scores[where], self.passages[where]


class PassageScorer:
    """bert: documents whose best passage is near the query."""

    def __init__(
        self,
        index: VectorIndex,
        passages: PassageTable,
        query: Embeddings,
        *,
        exact: bool = False,
    ) -> None:
        self.query = query
        self._passages = passages
        self._vectors = _BoundVectors(index, query, exact=exact) if query.any() else None
        # The best passages of the documents last asked for, in ascending order of their rows:
        # those that are ranked first are asked for again to be smoothed, and again to be shown.
        self._known: _BestPassages | None = None

    def candidates(self, depth: int, allowed: NDArray[np.bool_] | None) -> Candidates:
        """The ``depth`` documents with the nearest passages."""
        if self._vectors is None:
            return _NONE
        offsets = self._passages.offsets
        if self._vectors.all is not None:
            # fmax passes over NaN: a passage without an embedding says nothing.
            best_of_each = np.fmax.reduceat(self._vectors.all, offsets[:-1])
            rows, similarities = _best(best_of_each, depth, allowed)
            return Candidates(rows, similarities, len(rows))
        allowed_passages = None if allowed is None else np.repeat(allowed, np.diff(offsets))
        # As many passages as that many documents have on average, to begin with.
        wanted = -(-depth * self._passages.n_passages // (len(offsets) - 1))
        while True:
            check_time()
            # A document's later passages come after its best, so distinct documents, in order
            # of first appearance, are the nearest documents; ask for more until there are enough.
            passages, similarities = self._vectors.nearest(wanted, allowed_passages)
            rows = np.searchsorted(offsets, passages, side="right") - 1
            _, first = np.unique(rows, return_index=True)
            if len(first) >= depth or len(passages) < wanted:
                break
            wanted *= 2
        best = np.sort(first)[:depth]
        return Candidates(rows[best], similarities[best], len(best))

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cosine of each document's best passage."""
        return self.best_passages(rows)[0]

    def best_passages(
        self, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Score of each document, NaN where the signal abstains, and its best passage's row."""
        known = self._known
        if known is not None and (found := known.of(rows)) is not None:
            return found
        scores, passages = self._find_best(rows)
        order = np.argsort(rows, kind="stable")
        self._known = _BestPassages(rows[order], scores[order], passages[order])
        return scores, passages

    def nearest_of(self, row: int) -> NDArray[np.int64]:
        """All passages of one document, nearest first, ties as they stand.

        Returns
        -------
        int64, shape (n_passages,)
            Passage rows; as they stand where the query says nothing.
        """
        first, end = self._passages.offsets[row : row + 2].tolist()
        passages = np.arange(first, end)
        if self._vectors is None:
            return passages
        return passages[np.argsort(-self._vectors.of(passages), kind="stable")]

    def _find_best(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        offsets = self._passages.offsets
        first = np.asarray(offsets[rows])
        if self._vectors is None or not len(rows):
            return np.full(len(rows), np.nan), first
        counts = np.asarray(offsets[rows + 1]) - first
        begins = np.cumsum(counts) - counts
        passages = np.repeat(first - begins, counts) + np.arange(counts.sum())
        similarities = self._vectors.of(passages)
        similarities = np.where(np.isnan(similarities), -np.inf, similarities)
        best = np.maximum.reduceat(similarities, begins)
        # The first passage that reaches its document's best score.
        at_best = np.flatnonzero(similarities == np.repeat(best, counts))
        owner = np.searchsorted(begins, at_best, side="right") - 1
        _, position = np.unique(owner, return_index=True)
        return np.where(np.isneginf(best), np.nan, best), passages[at_best[position]]


def _best(
    similarities: NDArray[np.float64], depth: int, allowed: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of the ``depth`` highest values that are no NaN, best first; ties by row."""
    usable = ~np.isnan(similarities) if allowed is None else allowed & ~np.isnan(similarities)
    rows = np.flatnonzero(usable)
    if len(rows) > depth:
        values = similarities[rows]
        edge = np.partition(values, len(values) - depth)[len(values) - depth]
        # Everything at the edge, so that ties there go by row as everywhere.
        rows = rows[values >= edge]
    order = np.lexsort((rows, -similarities[rows]))[:depth]
    return rows[order], similarities[rows[order]]


_NONE = Candidates(np.zeros(0, np.int64), np.zeros(0), 0)


def scorers_for(
    version: OpenVersion,
    names: Sequence[str],
    parsed: ParsedText,
    steering: Steering,
) -> dict[str, Scorer]:
    """Bind signals of a version to one query.

    Parameters
    ----------
    names
        Signals to use, all of which the version holds.
    parsed
        Its text; may be empty where documents say what to look for.
    steering
        Documents that move its embeddings.
    """
    scorers: dict[str, Scorer] = {}
    for name in names:
        check_time()
        if name == "bm25" and version.keywords is not None:
            scorers[name] = KeywordScorer(version.keywords, parsed.keywords)
            continue
        index = version.vectors[name]
        embedding = np.zeros(index.dimension, np.float32)
        text = parsed.read_by(name)
        if text.strip():
            embedding = version.encoders[name].encode_queries([text])[0]
        if steering:
            embedding = steering.steer(version, name, embedding)
        if version.manifest.signals[name].rows == "passages":
            scorers[name] = PassageScorer(index, version.passages, embedding)
        else:
            scorers[name] = VectorScorer(index, embedding)
    return scorers


def weighted_signals(query: Query, held: Sequence[str], defaults: Mapping[str, float]) -> list[str]:
    """Signals a query is to be answered by: of those it names, or all, the ones with a weight.

    Parameters
    ----------
    held
        Signals the version holds.
    defaults
        Weights where the query gives none.

    Raises
    ------
    QueryError
        If the version does not hold one that is named, or none is left.
    """
    for name in query.signals or ():
        if name not in held:
            raise QueryError(
                f"signal {name!r} is not in this version; it holds {', '.join(held)}",
                parameter="signals",
            )
    chosen = query.signals or held
    weights = defaults if query.weights is None else query.weights
    # A signal without weight is not asked at all.
    weighted = [name for name in held if name in chosen and weights.get(name, 0.0) > 0]
    if not weighted:
        raise QueryError(
            "no signal is left to rank by: give at least one a weight above 0",
            parameter="weights",
        )
    return weighted
