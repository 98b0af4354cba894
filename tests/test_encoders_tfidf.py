"""TF-IDF and its reduction, held against a table made by hand and against scikit-learn."""

from __future__ import annotations

from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from encoders.tfidf import TfidfEncoder
from encoders.words import stems
from ingest.errors import EncoderError

APPLES = ["red apple apple", "green apple", "red sky"]
_words = np.random.default_rng(0).zipf(1.5, size=(40, 12)) % 30
CORPUS = [" ".join(f"word{number}" for number in row) for row in _words.tolist()]


def test_weights_of_three_documents_by_hand() -> None:
    encoder = TfidfEncoder().fit(APPLES)
    assert encoder.vocabulary == {"appl": 0, "green": 1, "red": 2, "sky": 3}
    twice, once = log(4 / 3) + 1, log(4 / 2) + 1
    np.testing.assert_allclose(encoder.idf, [twice, once, twice, once], rtol=1e-6)
    apple, red = (1 + log(2)) * twice, twice
    expected = [
        np.array([apple, 0, red, 0]) / sqrt(apple**2 + red**2),
        np.array([twice, once, 0, 0]) / sqrt(twice**2 + once**2),
        np.array([0, 0, twice, once]) / sqrt(twice**2 + once**2),
    ]
    np.testing.assert_allclose(encoder.sparse(APPLES).toarray(), expected, rtol=1e-6)


def test_sparse_rows_agree_with_scikit_learn() -> None:
    oracle = TfidfVectorizer(analyzer=stems, sublinear_tf=True).fit(CORPUS)
    encoder = TfidfEncoder().fit(CORPUS)
    assert encoder.vocabulary == oracle.vocabulary_
    rows = encoder.sparse([*CORPUS, "unheard", ""])
    assert rows.dtype == np.float32
    expected = oracle.transform([*CORPUS, "unheard", ""])
    np.testing.assert_allclose(rows.toarray(), expected.toarray(), atol=1e-6)


def test_embeddings_agree_with_scikit_learn() -> None:
    rows = TfidfVectorizer(analyzer=stems, sublinear_tf=True).fit_transform(CORPUS)
    projected = TruncatedSVD(4, algorithm="arpack", random_state=0).fit_transform(rows)
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    embeddings = TfidfEncoder(n_components=4).fit(CORPUS).encode_documents(CORPUS)
    # Directions are known up to sign, and equal strengths up to rotation: compare similarities.
    np.testing.assert_allclose(embeddings @ embeddings.T, projected @ projected.T, atol=1e-3)


def test_dimension_never_exceeds_what_the_corpus_holds() -> None:
    assert TfidfEncoder().fit(APPLES).dimension == 3
    assert TfidfEncoder().fit(["red apple"] * 5).dimension == 1
    assert TfidfEncoder(n_components=2).fit(APPLES).dimension == 2


def test_the_vocabulary_keeps_the_words_of_most_documents() -> None:
    assert list(TfidfEncoder(max_features=2).fit(APPLES).vocabulary) == ["appl", "red"]


def test_directions_of_a_sample_repeat_and_word_statistics_count_all() -> None:
    first, second = (TfidfEncoder(sample_size=5, n_components=3).fit(CORPUS) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert first.vocabulary == TfidfEncoder().fit(CORPUS).vocabulary
    assert (
        first.fingerprint
        != TfidfEncoder(sample_size=5, n_components=3, seed=1).fit(CORPUS).fingerprint
    )


def test_loaded_directions_stay_on_disk(tmp_path: Path) -> None:
    TfidfEncoder().fit(APPLES).save(tmp_path)
    loaded = TfidfEncoder.load(tmp_path)
    assert isinstance(loaded.vectors.base, np.memmap)


def test_damaged_state_is_refused(tmp_path: Path) -> None:
    TfidfEncoder().fit(APPLES).save(tmp_path)
    np.save(tmp_path / "idf.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(EncoderError, match=r"idf\.npy"):
        TfidfEncoder.load(tmp_path)
    (tmp_path / "vocabulary.json").write_text("{}", encoding="utf-8")
    with pytest.raises(EncoderError, match=r"vocabulary\.json holds dict, expected list"):
        TfidfEncoder.load(tmp_path)


@pytest.mark.parametrize("setting", ["n_components", "max_features", "sample_size"])
def test_settings_below_one_are_refused(setting: str) -> None:
    with pytest.raises(EncoderError, match=setting):
        TfidfEncoder(**{setting: 0})
