"""Documents that word vectors were not trained on take no more places than others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.centrality import Center, CenterOfRows
from pipeline.encoding.settings import IndexSettings
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.open_version import open_version

ONLY = IndexSettings(signals=("word2vec",), encoders={"word2vec": {"dimension": 24}})


@given(seed=st.integers(0, 1000))
def test_nothing_is_nearer_to_the_mean_than_the_mean_is_long(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(20, 6)) + 0.7
    rows[3] = 0
    lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    embeddings = (rows / lengths).astype(np.float32)
    mean = embeddings[:10].mean(axis=0, dtype=np.float64)
    length = np.linalg.norm(mean)
    held = Center(mean).held(embeddings)
    assert (held @ (mean / length) <= length + 1e-5).all()
    assert np.allclose(np.linalg.norm(held, axis=1), np.linalg.norm(embeddings, axis=1), atol=1e-5)
    far = embeddings @ (mean / length) <= length
    assert np.array_equal(held[far], embeddings[far])


@pytest.mark.parametrize("mean", [np.zeros(3), np.array([1.0, 0.0, 0.0])])
def test_what_has_no_mean_direction_stays(mean: np.ndarray) -> None:
    embeddings = np.eye(3, dtype=np.float32)
    assert np.array_equal(Center(mean).held(embeddings), embeddings)


def test_the_mean_is_written_and_read(tmp_path: Path) -> None:
    taken = CenterOfRows(2)
    taken.add(np.array([[1, 0], [0, 0]], np.float32))
    taken.add(np.array([[0, 1]], np.float32))
    assert Center.read(tmp_path) is None
    taken.write(tmp_path)
    center = Center.read(tmp_path)
    assert center is not None
    assert center.mean.tolist() == [0.5, 0.5]


def test_a_folded_document_is_no_nearer_to_all_than_the_trained_are(
    tmp_path: Path, library: list[Document]
) -> None:
    folder = CollectionFolder(tmp_path, "default")
    build_version(folder, library, settings=ONLY)
    added = Document("aaa", "New", "This document explains how to read and write a file folder.")
    summary = build_version(folder, [added, *library], settings=ONLY)
    assert not summary.drift["word2vec"].refitted
    version = open_version(folder.version_path(summary.version))
    vectors = np.array(version.vectors["word2vec"].vectors)
    plain = version.encoders["word2vec"].encode_documents([f"{added.title}\n{added.text}"])[0]
    trained = vectors[1:]
    center = trained[trained.any(axis=1)].mean(axis=0)
    direction = center / np.linalg.norm(center)
    assert vectors[0] @ direction <= np.linalg.norm(center) + 1e-4
    assert vectors[0] @ plain > 0.5
    # What each word brought still adds up to the score that is shown.
    found = Searcher(version).search(Query("read the file folder", k=70, explain_words=True))
    hit = next(hit for hit in found.hits if hit.doc_id == "aaa")
    assert hit.attribution is not None
    for side in (hit.attribution.query, hit.attribution.document):
        total = sum(entry.contribution for entry in side["word2vec"])
        assert total == pytest.approx(hit.explanation["word2vec"].raw, abs=1e-4)


def test_read_vectors_are_left_as_they_are(tmp_path: Path, library: list[Document]) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("read 1 0\nwrite 0 1\nfile 1 1\nfolder 1 2\n", encoding="utf-8")
    settings = IndexSettings(signals=("word2vec",)).with_encoder(
        "word2vec", vectors_path=str(vectors)
    )
    folder = CollectionFolder(tmp_path / "data", "default")
    build_version(folder, library, settings=settings)
    added = Document("aaa", "read", "write file folder")
    summary = build_version(folder, [added, *library], settings=settings)
    version = open_version(folder.version_path(summary.version))
    plain = version.encoders["word2vec"].encode_documents(["read\nwrite file folder"])[0]
    assert np.allclose(version.vectors["word2vec"].vectors[0], plain)
