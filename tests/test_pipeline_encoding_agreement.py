"""An encoder that makes nonsense of a collection shows, and does not spoil the ranking."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from encoders.protocol import Embeddings
from ingest.documents import Document
from pipeline.encoding.agreement import neighbor_agreement
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.manifest import SignalRecord, read_manifest, write_manifest
from pipeline.version.open_version import open_version


@pytest.fixture
def good() -> Embeddings:
    return _unit(np.random.default_rng(0).normal(size=(200, 16)))


def _unit(rows: np.ndarray) -> Embeddings:
    unit: Embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _nearly(rows: Embeddings) -> Embeddings:
    return _unit(rows + np.random.default_rng(1).normal(scale=0.05, size=rows.shape))


def test_the_signal_that_agrees_with_none_is_found(good: Embeddings) -> None:
    found = neighbor_agreement({"tfidf": good, "word2vec": _nearly(good), "bert": good[::-1]})
    assert found["tfidf"] == found["word2vec"] > 0.6
    assert found["bert"] < 0.1


def test_two_broken_signals_do_not_back_each_other(good: Embeddings) -> None:
    shuffled = np.random.default_rng(2).permutation(good)
    found = neighbor_agreement({"tfidf": good, "word2vec": good[::-1], "bert": shuffled})
    assert max(found.values()) < 0.1


def test_where_nothing_can_be_told_all_are_trusted(good: Embeddings) -> None:
    assert neighbor_agreement({}) == {}
    assert neighbor_agreement({"bert": good}) == {"bert": 1.0}
    few = {"tfidf": good[:20], "bert": good[20:40]}
    assert neighbor_agreement(few) == {"tfidf": 1.0, "bert": 1.0}


def test_documents_without_embedding_are_left_out(good: Embeddings) -> None:
    holes = good.copy()
    holes[::3] = 0
    found = neighbor_agreement({"tfidf": good, "bert": holes})
    assert found == {"tfidf": 1.0, "bert": 1.0}
    assert neighbor_agreement({"tfidf": good, "bert": good * 0}) == {"tfidf": 1.0, "bert": 1.0}


def test_copies_of_one_document_are_no_disagreement(good: Embeddings) -> None:
    copies = np.repeat(good[:10], 20, axis=0)
    assert neighbor_agreement({"tfidf": copies, "bert": _unit(copies * 2)})["bert"] > 0.9


@pytest.fixture
def collection(tmp_path: Path, tiny_settings: IndexSettings) -> CollectionFolder:
    # The tiny BERT is a random network: it stands for a model chosen badly.
    folder = CollectionFolder(tmp_path, "default")
    topics = ["river water fish", "engine oil wheel", "bread flour oven", "violin music note"]
    documents = [
        Document(f"{number:03}", "", f"{topics[number % 4]} number{number} sample{number % 7}")
        for number in range(120)
    ]
    build_version(folder, documents, settings=tiny_settings)
    return folder


def _rewrite(folder: CollectionFolder, **changes: float) -> Path:
    path = folder.version_path(folder.current())
    manifest = read_manifest(path)
    signals = {
        name: replace(record, agreement=changes.get(name, 1.0))
        for name, record in manifest.signals.items()
    }
    write_manifest(path, replace(manifest, signals=signals))
    return path


def test_a_build_measures_the_agreement_of_its_signals(collection: CollectionFolder) -> None:
    signals = collection.manifest(collection.current()).signals
    assert all(0 <= record.agreement <= 1 for record in signals.values())
    assert signals["bm25"].agreement == 1
    assert signals["tfidf"].agreement > 0.25


def test_a_signal_that_agrees_with_none_has_no_say(collection: CollectionFolder) -> None:
    asked = Query("violin number43", explain=True)
    trusted = Searcher(open_version(_rewrite(collection))).search(asked)
    guarded = Searcher(open_version(_rewrite(collection, bert=0.0))).search(asked)
    without = Searcher(open_version(_rewrite(collection))).search(
        replace(asked, signals=("bm25", "tfidf", "word2vec"))
    )
    assert trusted.hits != guarded.hits
    # Under full doubt of bert the words are not doubted at all; alone they may be.
    assert [hit.doc_id for hit in guarded.hits] == [hit.doc_id for hit in without.hits]


def test_a_version_of_an_earlier_release_trusts_its_signals() -> None:
    assert SignalRecord("passages", 9, 9, "fingerprint", 8).agreement == 1
