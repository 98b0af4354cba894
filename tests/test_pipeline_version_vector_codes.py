"""Where embeddings are very many, codes propose neighbours; scores and files stay exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from ingest.errors import IndexCorruptError
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.embedding_space import Point
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version import vector_index
from pipeline.version.collection import CollectionFolder
from pipeline.version.manifest import verify_files
from pipeline.version.vector_codes import CODES_NAME
from pipeline.version.vector_index import VectorIndex, write_vector_index

N_ROWS, DIMENSION, N_QUERIES = 4000, 32, 40


def clustered(seed: int, n_rows: int = N_ROWS) -> Embeddings:
    """Embeddings as texts have them: many subjects, each with its own."""
    drawn = np.random.default_rng(seed)
    subjects = np.random.default_rng(0).standard_normal((60, DIMENSION), np.float32)
    rows = subjects[drawn.integers(0, 60, n_rows)] + 0.5 * drawn.standard_normal(
        (n_rows, DIMENSION), np.float32
    )
    unit: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[VectorIndex, Embeddings]:
    """An index so large that it has codes, as this module sees it."""
    monkeypatch.setattr(vector_index, "EXHAUSTIVE_ROWS", N_ROWS - 1)
    vectors = clustered(1)
    vectors[::50] = 0
    write_vector_index(tmp_path, iter(np.split(vectors, 4)), DIMENSION)
    assert (tmp_path / CODES_NAME).is_file()
    return VectorIndex(tmp_path), vectors


def nearest(
    vectors: Embeddings, query: Embeddings, depth: int, allowed: NDArray[np.bool_]
) -> NDArray[np.int64]:
    scores = np.where(vectors.any(axis=1) & allowed, vectors @ query, -np.inf)
    return np.lexsort((np.arange(len(scores)), -scores))[:depth]


def test_nearly_all_neighbours_are_found_and_none_is_misplaced(
    many: tuple[VectorIndex, Embeddings],
) -> None:
    index, vectors = many
    everything = np.ones(N_ROWS, np.bool_)
    found = []
    for query in clustered(2, N_QUERIES):
        rows, scores = index.nearest(query, 10)
        assert scores == pytest.approx(vectors[rows] @ query, abs=1e-6)
        assert list(rows) == sorted(rows, key=lambda row: (-(vectors[row] @ query), row))
        found.append(len({*rows} & {*nearest(vectors, query, 10, everything)}))
        exact, _ = index.nearest(query, 10, exact=True)
        assert [*exact] == [*nearest(vectors, query, 10, everything)]
    assert np.mean(found) / 10 >= 0.95


@pytest.mark.parametrize("share", [0.9, 0.4, 0.001])
def test_only_what_is_allowed_is_found_and_as_much_as_was_asked_for(
    many: tuple[VectorIndex, Embeddings], share: float
) -> None:
    index, vectors = many
    allowed = np.random.default_rng(3).random(N_ROWS) < share
    usable = allowed & vectors.any(axis=1)
    for query in clustered(2, 5):
        for depth in (1, 10, 3000):
            rows, _ = index.nearest(query, depth, allowed)
            assert len(rows) == len({*rows}) == min(depth, np.count_nonzero(usable))
            assert usable[rows].all()


def test_the_same_embeddings_give_the_same_file(
    many: tuple[VectorIndex, Embeddings], tmp_path: Path
) -> None:
    (tmp_path / "again").mkdir()
    write_vector_index(tmp_path / "again", [many[1]], DIMENSION)
    again = (tmp_path / "again" / CODES_NAME).read_bytes()
    assert again == (tmp_path / CODES_NAME).read_bytes()


def test_codes_of_another_index_are_refused(
    many: tuple[VectorIndex, Embeddings], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    write_vector_index(tmp_path / "other", [many[1], many[1]], DIMENSION)
    (tmp_path / "other" / CODES_NAME).write_bytes((tmp_path / CODES_NAME).read_bytes())
    with pytest.raises(IndexCorruptError, match="does not belong"):
        VectorIndex(tmp_path / "other")
    (tmp_path / "other" / CODES_NAME).write_bytes(b"IxPF no index")
    with pytest.raises(IndexCorruptError, match="cannot be read"):
        VectorIndex(tmp_path / "other")
    (tmp_path / CODES_NAME).write_bytes((tmp_path / "vectors.faiss").read_bytes())
    with pytest.raises(IndexCorruptError, match="does not belong"):
        VectorIndex(tmp_path)


def test_a_large_collection_has_codes_of_every_signal_and_answers_as_a_small_one(
    copied_data_dir: Path, tiny_settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CollectionFolder(copied_data_dir, "default")
    small = Searcher.open("default", data_dir=copied_data_dir)
    documents = [small.document(doc_id) for doc_id in small.doc_ids(range(small.n_documents))]
    before = [small.search(Query(text)).hits for text in ("open a file", "socket timeout")]
    monkeypatch.setattr(vector_index, "EXHAUSTIVE_ROWS", 20)
    built = build_version(folder, documents, settings=tiny_settings, full=True)
    assert built.version is not None
    path = folder.version_path(built.version)
    manifest = folder.manifest(built.version)
    names = [name for name in manifest.files if name.endswith(CODES_NAME)]
    assert names == [f"{signal}/{CODES_NAME}" for signal in ("bert", "tfidf", "word2vec")]
    assert verify_files(path, manifest) == []
    large = Searcher.open("default", data_dir=copied_data_dir)
    after = [large.search(Query(text)).hits for text in ("open a file", "socket timeout")]
    for one, other in zip(before, after, strict=True):
        assert [hit.doc_id for hit in one][:5] == [hit.doc_id for hit in other][:5]
    point = [Point("document", documents[0].doc_id)]
    expected = small.space("bert").neighbors(point, k=5)
    for exact in (False, True):
        found = large.space("bert").neighbors(point, k=5, exact=exact)
        assert [one.name for one in found] == [one.name for one in expected]
