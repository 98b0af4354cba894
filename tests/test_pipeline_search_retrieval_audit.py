"""Recall and drift of single queries, and the time limit."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ingest.errors import QueryTimeoutError
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.search.time_limit import time_limited
from pipeline.version import vector_index
from pipeline.version.vector_index import VectorIndex


def test_exact_search_misses_nothing(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    for rows in (vector_index.EXHAUSTIVE_ROWS, 0):
        monkeypatch.setattr(vector_index, "EXHAUSTIVE_ROWS", rows)
        for text in ("read a file", "parse a date", "socket"):
            found = searcher.audit(text)
            assert found is not None
            assert found.recall == 1.0
            assert found.nearest == pytest.approx(
                searcher.space("bert")
                .nearest_documents(searcher.space("bert").encode([text])[0], 1)[0]
                .similarity,
                abs=1e-5,
            )


def test_an_index_that_overlooks_rows_is_noticed(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = VectorIndex.all_similarities

    def halved(self: VectorIndex, query: np.ndarray) -> np.ndarray:
        similarities = whole(self, query)
        similarities[np.argsort(-similarities)[:20:2]] = -1.0
        return similarities

    monkeypatch.setattr(VectorIndex, "all_similarities", halved)
    found = searcher.audit("read a file")
    assert found is not None
    assert found.recall < 0.8


def test_drift_grows_with_the_distance_from_the_corpus(searcher: Searcher) -> None:
    typicality = searcher._typicality
    assert typicality is not None
    vectors = searcher._version.vectors["bert"].vectors
    # By its definition passages have none on average, and their deviation is one.
    drifts = [typicality.drift(vector) for vector in vectors]
    assert np.mean(drifts) == pytest.approx(0.0, abs=1e-3)
    assert np.std(drifts) == pytest.approx(1.0, abs=1e-3)
    assert typicality.drift(-typicality.center) > max(drifts)


def test_a_search_ends_with_its_time(searcher: Searcher) -> None:
    with time_limited(time.monotonic() - 1.0), pytest.raises(QueryTimeoutError):
        searcher.search(Query("read a file"))
    with time_limited(time.monotonic() + 600.0):
        assert searcher.search(Query("read a file", explain_words=True)).hits
    assert searcher.search(Query("read a file")).hits
