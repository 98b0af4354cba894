"""The indexes of a version against references: BM25 by hand and by rank-bm25, vectors by NumPy."""

from __future__ import annotations

import math
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi

from encoders.words import stems
from ingest.documents import Document
from ingest.errors import DimensionMismatchError, IndexCorruptError, IndexFolderError
from pipeline.version.keyword_index import KeywordIndex, KeywordQuery, write_keyword_index
from pipeline.version.vector_index import StoredVectors, VectorIndex, write_vector_index

K1, B = 1.2, 0.75
# Lucene's one-byte lengths, which tantivy shares, are exact up to here.
EXACT_LENGTH = 40

WORDS = [
    "river",
    "mountain",
    "forest",
    "ocean",
    "desert",
    "valley",
    "island",
    "glacier",
    "canyon",
    "meadow",
]


def keyword_index(folder: Path, texts: Sequence[str]) -> KeywordIndex:
    folder.mkdir(exist_ok=True)
    write_keyword_index(folder, (Document(str(row), "", text) for row, text in enumerate(texts)))
    return KeywordIndex(folder)


def bm25_by_hand(texts: Sequence[str], query: Sequence[str]) -> NDArray[np.float64]:
    """Robertson's BM25 with Lucene's never negative idf, which is tantivy's formula."""
    counted = [Counter(stems(text)) for text in texts]
    lengths = [counts.total() for counts in counted]
    mean_length = sum(lengths) / len(lengths)
    scores = np.zeros(len(texts))
    for stem in query:
        frequency = sum(stem in counts for counts in counted)
        idf = math.log(1 + (len(texts) - frequency + 0.5) / (frequency + 0.5))
        for row, counts in enumerate(counted):
            tf = counts[stem]
            norm = K1 * (1 - B + B * lengths[row] / mean_length)
            scores[row] += idf * tf * (K1 + 1) / (tf + norm)
    return scores


def random_texts(seed: int, n_texts: int, max_length: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [
        " ".join(generator.choice(WORDS, generator.integers(1, max_length + 1)))
        for _ in range(n_texts)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_bm25_equals_the_formula(tmp_path: Path, seed: int) -> None:
    texts = random_texts(seed, 60, EXACT_LENGTH)
    index = keyword_index(tmp_path / "bm25", texts)
    every_row = np.arange(len(texts))
    for query in (["river"], ["river", "ocean", "desert"], ["glacier", "glacier", "unknown"]):
        asked = KeywordQuery(tuple(stems(" ".join(query))))
        expected = bm25_by_hand(texts, asked.stems)
        # tantivy computes in float32.
        assert index.scores(asked, every_row) == pytest.approx(expected, rel=1e-5)
        rows, scores, total = index.search(asked, len(texts))
        assert total == len(rows) == np.count_nonzero(expected)
        assert scores == pytest.approx(expected[rows], rel=1e-5)
        assert np.all(np.diff(scores) <= 0)
        top, top_scores, same_total = index.search(asked, 5)
        assert same_total == total
        assert top_scores == pytest.approx(np.sort(expected)[::-1][: len(top)], rel=1e-5)
        # Any rows in any order score the same.
        some = np.random.default_rng(seed).permutation(len(texts))[:20]
        assert index.scores(asked, some) == pytest.approx(expected[some], rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_one_word_ranks_as_rank_bm25_ranks(tmp_path: Path, seed: int) -> None:
    # The idf formulas differ, but one word has one idf: it scales all scores alike.
    texts = [text + " filler" * 3 for text in random_texts(seed, 50, EXACT_LENGTH - 3)]
    index = keyword_index(tmp_path / "bm25", texts)
    reference = BM25Okapi([stems(text) for text in texts], k1=K1, b=B)
    for word in WORDS:
        (stem,) = stems(word)
        expected = reference.get_scores([stem])
        rows, scores, _ = index.search(KeywordQuery((stem,)), len(texts))
        assert set(rows.tolist()) == set(np.flatnonzero(expected).tolist())
        # In their order the reference's scores never rise, rounding to float32 apart.
        theirs = np.abs(expected[rows])
        assert np.all(np.diff(theirs) <= 1e-6 * theirs[:-1])
        ratio = scores / theirs
        assert ratio == pytest.approx(np.full(len(ratio), ratio[0]), rel=1e-5)


def test_long_documents_rank_nearly_as_rank_bm25_ranks(tmp_path: Path) -> None:
    # Beyond 40 words a length keeps four significant bits: 1/8 of it at most is lost.
    texts = random_texts(9, 80, 600)
    index = keyword_index(tmp_path / "bm25", texts)
    query = KeywordQuery(tuple(stems("river ocean desert")))
    expected = bm25_by_hand(texts, query.stems)
    scores = index.scores(query, np.arange(len(texts)))
    assert scores == pytest.approx(expected, rel=0.1)
    best = set(np.argsort(-expected)[:10].tolist())
    assert len(best & set(index.search(query, 10)[0].tolist())) >= 8


def test_equal_scores_go_by_row(tmp_path: Path) -> None:
    index = keyword_index(tmp_path / "bm25", ["river ocean"] * 50)
    for depth in (1, 7, 50, 1000):
        rows, scores, total = index.search(KeywordQuery(("river",)), depth)
        assert rows.tolist() == list(range(min(depth, 50)))
        assert len(set(scores.tolist())) == 1
        assert total == 50


def test_phrases_required_and_excluded(tmp_path: Path) -> None:
    texts = ["the river bank", "bank the river", "river", "a forest bank", "", "the of"]
    index = keyword_index(tmp_path / "bm25", texts)
    assert index.rows_with_phrase(["river", "bank"]).tolist() == [0]
    assert index.rows_with_phrase(["the"]).tolist() == [0, 1, 5]
    assert index.rows_with_phrase([]).tolist() == []
    query = KeywordQuery(("river",), required=(("bank",),), excluded=(("the", "river"),))
    assert np.flatnonzero(index.rows_allowed(query)).tolist() == [3]
    only_excluded = KeywordQuery((), excluded=(("bank",),))
    assert np.flatnonzero(index.rows_allowed(only_excluded)).tolist() == [2, 4, 5]
    assert [index.document_frequency(stem) for stem in ("river", "bank", "nothing")] == [3, 3, 0]


def test_a_phrase_does_not_cross_from_title_to_text(tmp_path: Path) -> None:
    write_keyword_index(tmp_path, [Document("a", "river", "bank of gold")])
    index = KeywordIndex(tmp_path)
    assert index.rows_with_phrase(["river", "bank"]).tolist() == []
    assert index.rows_with_phrase(["bank", "of", "gold"]).tolist() == [0]


@pytest.mark.parametrize("texts", [[], [""], ["the of and"]])
def test_an_index_without_words_finds_nothing(tmp_path: Path, texts: list[str]) -> None:
    index = keyword_index(tmp_path / "bm25", texts)
    rows, scores, total = index.search(KeywordQuery(("river",)), 10)
    assert (rows.tolist(), scores.tolist(), total) == ([], [], 0)
    assert index.search(KeywordQuery(()), 10)[2] == 0
    assert index.scores(KeywordQuery(("river",)), np.arange(len(texts))).tolist() == [0] * len(
        texts
    )


def test_a_folder_that_holds_no_keyword_index(tmp_path: Path) -> None:
    with pytest.raises(IndexCorruptError, match="keyword index"):
        KeywordIndex(tmp_path)
    with pytest.raises(IndexFolderError, match="failed"):
        write_keyword_index(tmp_path / "missing", [])


# ---- vectors ------------------------------------------------------------------------------


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1), np.float32)


def vector_index(folder: Path, vectors: NDArray[np.float32]) -> VectorIndex:
    folder.mkdir(exist_ok=True)
    batches = np.array_split(vectors, 3) if len(vectors) else []
    n_covered = write_vector_index(folder, batches, vectors.shape[1])
    assert n_covered == np.count_nonzero(vectors.any(axis=1))
    return VectorIndex(folder, all_covered=n_covered == len(vectors))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_rows", [1, 30, 2500])
def test_nearest_agrees_with_numpy(tmp_path: Path, seed: int, n_rows: int) -> None:
    generator = np.random.default_rng(seed)
    vectors = unit(generator.standard_normal((n_rows, 16)).astype(np.float32))
    vectors[generator.random(n_rows) < 0.1] = 0
    index = vector_index(tmp_path / "bert", vectors)
    assert np.array_equal(index.vectors, vectors)
    covered = vectors.any(axis=1)
    for share in (None, 0.5, 0.01, 0.0):
        allowed = None if share is None else generator.random(n_rows) < share
        usable = np.flatnonzero(covered if allowed is None else covered & allowed)
        query = unit(generator.standard_normal((1, 16)).astype(np.float32))[0]
        expected = vectors @ query
        for depth in (1, 10, n_rows, n_rows + 100):
            rows, similarities = index.nearest(query, depth, allowed)
            assert len(rows) == len(similarities) == min(depth, len(usable))
            assert set(rows.tolist()) <= set(usable.tolist())
            assert similarities == pytest.approx(expected[rows], abs=1e-6)
            best = np.sort(expected[usable])[::-1][: len(rows)]
            assert similarities == pytest.approx(best, abs=1e-6)
            assert np.all(np.diff(similarities) <= 0)
        every = index.similarities(query, np.arange(n_rows))
        assert every == pytest.approx(expected, abs=1e-6)


def test_equal_similarities_go_by_row(tmp_path: Path) -> None:
    vectors = np.zeros((20, 2), np.float32)
    vectors[:, 0] = 1
    vectors[[3, 8]] = [0, 1]
    index = vector_index(tmp_path / "bert", vectors)
    rows, _ = index.nearest(np.array([1, 0], np.float32), 20)
    assert rows.tolist() == [row for row in range(20) if row not in (3, 8)] + [3, 8]


def test_a_score_does_not_depend_on_what_else_is_asked_for(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    vectors = unit(generator.standard_normal((300, 24)).astype(np.float32))
    index = vector_index(tmp_path / "bert", vectors)
    query = vectors[7]
    whole = index.similarities(query, np.arange(300))
    for _ in range(20):
        rows = generator.permutation(300)[: generator.integers(1, 300)]
        assert np.array_equal(index.similarities(query, rows), whole[rows])


def test_widths_that_do_not_fit_name_both_numbers(tmp_path: Path) -> None:
    index = vector_index(tmp_path / "bert", np.eye(4, dtype=np.float32))
    for query in (np.ones(3, np.float32), np.ones((1, 4), np.float32)):
        with pytest.raises(DimensionMismatchError, match=r"\(.*3.*|1, 4\).* 4"):
            index.nearest(query, 1)
        with pytest.raises(DimensionMismatchError):
            index.similarities(query, np.array([0]))
    with pytest.raises(DimensionMismatchError, match=r"\(2, 3\).* 4"):
        write_vector_index(tmp_path, [np.ones((2, 3), np.float32)], 4)


@pytest.mark.parametrize("n_rows", [0, 1, 4097])
def test_vectors_are_written_as_faiss_writes_them(tmp_path: Path, n_rows: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((n_rows, 3)).astype(np.float32)
    vectors[1::5] = 0
    write_vector_index(tmp_path, np.array_split(vectors, 4), 3)
    index = faiss.IndexFlatIP(3)
    index.add(vectors)
    assert (tmp_path / "vectors.faiss").read_bytes() == faiss.serialize_index(index).tobytes()
    stored = StoredVectors(tmp_path)
    assert (stored.n_rows, stored.dimension) == (n_rows, 3)
    rows = np.arange(n_rows)[::-3].copy()
    assert np.array_equal(stored.rows(rows), vectors[rows])
    assert np.array_equal(stored.covered(), vectors.any(axis=1))


def test_vectors_are_written_as_they_come(tmp_path: Path) -> None:
    """Forty megabytes pass through; a few batches of them are in memory at a time."""
    batches = (np.full((1000, 100), n, np.float32) for n in range(100))
    tracemalloc.start()
    try:
        write_vector_index(tmp_path, batches, 100)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
        tracemalloc.reset_peak()
        assert StoredVectors(tmp_path).covered().sum() == 99_000
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("damage", ["missing", "short", "long", "header"])
def test_damaged_vectors_are_not_taken_over(tmp_path: Path, damage: str) -> None:
    write_vector_index(tmp_path, [np.eye(4, dtype=np.float32)], 4)
    path = tmp_path / "vectors.faiss"
    content = path.read_bytes()
    changed = {"short": content[:-1], "long": content + b"x", "header": b"y" + content[1:]}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(changed[damage])
    with pytest.raises(IndexCorruptError, match="vector index"):
        StoredVectors(tmp_path)


def test_no_vectors_at_all(tmp_path: Path) -> None:
    index = vector_index(tmp_path / "bert", np.zeros((0, 4), np.float32))
    rows, similarities = index.nearest(np.ones(4, np.float32), 5)
    assert (len(rows), len(similarities), index.n_rows) == (0, 0, 0)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=300))
def test_bytes_that_are_no_vector_index(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vectors.faiss").write_bytes(content)
    with pytest.raises(IndexCorruptError, match="vector index"):
        VectorIndex(tmp_path)


def test_a_folder_that_cannot_take_vectors(tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError) as caught:
        write_vector_index(tmp_path / "missing", [np.eye(2, dtype=np.float32)], 2)
    assert "\n" not in str(caught.value)
