"""Measure a version against judged queries, asking as a user asks: through the Searcher."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from encoders.protocol import ProgressCallback
from ingest.errors import CorpusError
from pipeline.encoding.progress import BuildProgress, SilentProgress
from pipeline.evaluation.confidence import ForeignQueries, MissingAnswers, pooled
from pipeline.evaluation.metrics import measure
from pipeline.evaluation.reliability import (
    N_JUDGED_HITS,
    JudgedHits,
    Reliability,
    measure_reliability,
)
from pipeline.search.answer import Answer
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher

__all__ = [
    "HYBRID",
    "Evaluation",
    "evaluate_searcher",
    "judge_hits",
    "judged_queries",
    "run_queries",
]

HYBRID = "hybrid"
_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one version over one set of judged queries.

    Parameters
    ----------
    signals
        For each signal by itself, and ``hybrid``: measure -> mean over the queries.
    latency_ms
        p50, p95 and p99 of a plain query of ten hits, in milliseconds.
    runs
        For each signal and ``hybrid``: query id -> doc_ids found, best first.
    answered
        Share of the queries the hybrid answers with confidence, ``no_good_result`` being false.
    reliability
        How well the probabilities of the hybrid's first ten hits are calibrated.
    foreign, missing_answers
        What came of queries the collection cannot answer; nothing where none were asked.
    """

    collection: str
    version: str
    n_documents: int
    n_queries: int
    signals: dict[str, dict[str, float]]
    latency_ms: dict[str, float]
    runs: dict[str, dict[str, list[str]]]
    answered: float
    reliability: Reliability
    foreign: list[ForeignQueries] = field(default_factory=list)
    missing_answers: MissingAnswers | None = None

    def to_json(self) -> dict[str, object]:
        """The figures as JSON-ready values, without the runs."""
        unanswerable: dict[str, object] = {}
        if self.foreign:
            parts = [*self.foreign, pooled(self.foreign)]
            unanswerable["foreign"] = [part.to_json() for part in parts]
        if self.missing_answers is not None:
            unanswerable["missing_answers"] = self.missing_answers.to_json()
        return {
            "collection": self.collection,
            "version": self.version,
            "n_documents": self.n_documents,
            "n_queries": self.n_queries,
            "signals": self.signals,
            "latency_ms": self.latency_ms,
            "answered": self.answered,
            "calibration": self.reliability.to_json(),
            **unanswerable,
        }


def evaluate_searcher(
    searcher: Searcher,
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    *,
    base: Query | None = None,
    progress: BuildProgress | None = None,
) -> Evaluation:
    """Ask every judged query of every signal and of the hybrid, and measure.

    Parameters
    ----------
    qrels
        Judgments; only queries that occur here are asked. A document whose id is the query's
        own id is left out, as BEIR does.
    base
        Settings to ask with; its text is replaced.

    Raises
    ------
    CorpusError
        If a judged query has no text, or none is judged.
    """
    judged = judged_queries(queries, qrels)
    texts = {query_id: queries[query_id] for query_id in judged}
    base = base or Query("?")
    searcher.warm()
    ways = {name: replace(base, signals=(name,), weights=None) for name in searcher.signals}
    runs: dict[str, dict[str, list[str]]] = {}
    watched = progress or SilentProgress()
    for name, asked in ways.items():
        with watched.stage(name, len(judged)) as advance:
            runs[name] = run_queries(searcher, texts, asked, advance)
    with watched.stage(HYBRID, len(judged)) as advance:
        answers = _answers(searcher, texts, replace(base, k=_DEPTH, explain=True), advance)
        runs[HYBRID] = {}
        recorded = _recorded(answers, runs[HYBRID])
        judged_hits = JudgedHits.collect(recorded, texts, judged)
    with watched.stage("latency", len(judged)) as advance:
        latency_ms = _latency(searcher, list(texts.values()), base)
        advance(len(judged))
    return Evaluation(
        collection=searcher.collection,
        version=searcher.version,
        n_documents=searcher.n_documents,
        n_queries=len(judged),
        signals={name: measure(run, judged) for name, run in runs.items()},
        latency_ms=latency_ms,
        runs=runs,
        answered=float(judged_hits.answered.mean()),
        reliability=measure_reliability(judged_hits),
    )


def judged_queries(
    queries: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]]
) -> dict[str, Mapping[str, int]]:
    """Judgments of the queries that have a relevant document.

    Raises
    ------
    CorpusError
        If a judged query has no text, or none is judged.
    """
    judged = {
        query_id: found
        for query_id, found in qrels.items()
        if any(relevance > 0 for relevance in found.values())
    }
    if not judged:
        raise CorpusError("no query has a relevant document: nothing to evaluate")
    if missing := [query_id for query_id in judged if query_id not in queries]:
        raise CorpusError(f"query {missing[0]!r} is judged but has no text")
    return judged


def run_queries(
    searcher: Searcher, texts: Mapping[str, str], base: Query, advance: ProgressCallback
) -> dict[str, list[str]]:
    """The best 100 doc_ids of each query, its own id left out, asked as ``base`` asks."""
    return {
        query_id: _found(query_id, answer)
        for query_id, answer in _answers(
            searcher, texts, replace(base, k=_DEPTH, explain=False), advance
        )
    }


def judge_hits(
    searcher: Searcher,
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    *,
    progress: BuildProgress | None = None,
) -> JudgedHits:
    """The first ten hits of every judged query, with their probabilities and judgments.

    Raises
    ------
    CorpusError
        If a judged query has no text, or none is judged.
    """
    judged = judged_queries(queries, qrels)
    texts = {query_id: queries[query_id] for query_id in judged}
    with (progress or SilentProgress()).stage("judge", len(judged)) as advance:
        # One more, for the query's own document is left out.
        answers = _answers(searcher, texts, Query("?", k=N_JUDGED_HITS + 1), advance)
        return JudgedHits.collect(answers, texts, judged)


def _answers(
    searcher: Searcher, texts: Mapping[str, str], base: Query, advance: ProgressCallback
) -> Iterator[tuple[str, Answer]]:
    for query_id, text in texts.items():
        asked = replace(base, text=text, highlight=False)
        yield query_id, searcher.search(asked)
        advance(1)


def _recorded(
    answers: Iterable[tuple[str, Answer]], run: dict[str, list[str]]
) -> Iterator[tuple[str, Answer]]:
    for query_id, answer in answers:
        run[query_id] = _found(query_id, answer)
        yield query_id, answer


def _found(query_id: str, answer: Answer) -> list[str]:
    return [hit.doc_id for hit in answer.hits if hit.doc_id != query_id]


def _latency(searcher: Searcher, texts: Sequence[str], base: Query) -> dict[str, float]:
    took = []
    for text in texts:
        began = time.perf_counter()
        searcher.search(replace(base, text=text, k=10))
        took.append((time.perf_counter() - began) * 1000)
    return {f"p{share}": float(np.percentile(took, share)) for share in (50, 95, 99)}
