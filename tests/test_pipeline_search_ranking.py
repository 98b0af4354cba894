"""The short ways of ranking give, to the last bit, what the plain ones give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.search.fusion import FUSIONS, fit_normalization, normalize_each
from pipeline.search.query import Query
from pipeline.search.query_text import parse_query_text
from pipeline.search.ranking import EVERYTHING
from pipeline.search.regularization import regularization
from pipeline.search.searcher import Searcher
from pipeline.search.signals import KeywordScorer, PassageScorer
from pipeline.version.open_version import OpenVersion, open_version


@pytest.mark.parametrize("fusion", FUSIONS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_normalizing_all_signals_at_once_is_normalizing_each(fusion: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    raw = generator.normal(size=(4, 9))
    raw[generator.random(raw.shape) < 0.3] = np.nan
    raw[0] = 1.0
    ranks = generator.integers(0, 5, raw.shape)
    each = [fit_normalization(fusion, of_signal) for of_signal in raw]
    expected = [one.apply(*both) for one, *both in zip(each, raw, ranks, strict=True)]
    assert np.array_equal(normalize_each(each, raw, ranks), expected)
    assert np.isfinite(expected).all()


@given(seed=st.integers(0, 10_000), n_documents=st.integers(3, 12), n_lists=st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_the_nearest_of_equals_are_the_first(seed: int, n_documents: int, n_lists: int) -> None:
    generator = np.random.default_rng(seed)
    # Few distinct values, so that many documents are equally near.
    similarity = generator.integers(0, 4, (n_lists, n_documents, n_documents)) / 4
    similarity[:, range(n_documents), range(n_documents)] = -1
    scores = generator.random((n_lists, n_documents))
    for added, among, of_list in zip(
        regularization(scores, similarity), similarity, scores, strict=True
    ):
        for row, near in enumerate(among):
            nearest = np.argsort(-near, kind="stable")[: min(5, n_documents - 1)]
            weight = 0.5 * np.clip(near[nearest], 0, 1) ** 4
            expected = (weight * (of_list[nearest] - of_list[row])).sum() / (1 + weight.sum())
            assert added[row] == pytest.approx(expected, abs=1e-15)


@pytest.fixture(scope="module")
def version(searcher: Searcher) -> OpenVersion:
    return open_version(searcher._version.folder)


def test_best_passages_asked_for_again_are_the_same(version: OpenVersion) -> None:
    query = version.encoders["bert"].encode_queries(["copy a file"])[0]

    def scorer() -> PassageScorer:
        return PassageScorer(version.vectors["bert"], version.passages, query)

    once = scorer()
    everything = np.arange(version.documents.n_documents)[::-1].copy()
    for rows in (everything, np.array([3, 1]), np.array([1]), everything[:0], everything):
        for found, expected in zip(
            once.best_passages(rows), scorer().best_passages(rows), strict=True
        ):
            assert np.array_equal(found, expected)


def test_who_matches_no_word_scores_nothing_however_it_is_asked(version: OpenVersion) -> None:
    assert version.keywords is not None
    keywords = parse_query_text("copy temporary").keywords
    scorer = KeywordScorer(version.keywords, keywords)
    rows = np.arange(version.documents.n_documents)
    expected = scorer.scores(rows)
    found = scorer.candidates(len(rows), None)
    assert 0 < found.total == len(found.rows) < len(rows)
    assert np.allclose(scorer.scores(rows), expected, rtol=1e-6)
    assert (scorer.scores(rows) == 0).sum() == len(rows) - found.total


def test_the_best_are_the_first_of_all(searcher: Searcher) -> None:
    retrieval = searcher.retrieve(Query("copying files"))
    every = retrieval.rank(EVERYTHING)
    assert len(retrieval.rank(3)) == 3
    assert np.array_equal(retrieval.rank(3).rows, every.rows[:3])
    assert np.array_equal(retrieval.rank(3).scores, every.scores[:3])
