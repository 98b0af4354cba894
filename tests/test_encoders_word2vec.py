"""Word2Vec: the weighted mean by hand, repeatable training, files of pre-trained vectors."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from math import log
from pathlib import Path

import numpy as np
import pytest

from encoders.word2vec import Word2VecEncoder
from encoders.word_vectors import read_word_vectors, train_word_vectors
from ingest.errors import EncoderError, ModelNotFoundError

CORPUS = [
    "red apples and green apples grow on trees",
    "green trees grow apples, red or green",
    "clouds cross the blue sky, clouds and rain",
    "rain falls from clouds in the sky",
] * 5
VECTORS = {"red": [1.0, 0.0], "Apple": [0.0, 2.0], "apple": [9.0, 9.0], "new york": [1.0, 1.0]}


def test_a_text_is_the_weighted_mean_of_its_words() -> None:
    encoder = Word2VecEncoder(dimension=6).fit(CORPUS)
    red, apples = (encoder.vocabulary[word] for word in ("red", "apples"))
    mean = (
        encoder.idf[red] * encoder.vectors[red] + 2 * encoder.idf[apples] * encoder.vectors[apples]
    ) / 3
    expected = mean / np.linalg.norm(mean)
    found = encoder.encode_documents(["Red apples! The unheard apples."])[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_nearness_of_words_adds_up_to_a_texts_mean_cosine() -> None:
    encoder = Word2VecEncoder(dimension=6).fit(CORPUS)
    query = encoder.encode_queries(["blue sky"])[0]
    rows = encoder.rows(["apples", "the", "unheard", "red"])
    assert (rows >= 0).tolist() == [True, False, False, True]
    near, weights = encoder.nearness(rows, query)
    chosen = encoder.vectors[rows[[0, 3]]]
    lengths = np.linalg.norm(chosen, axis=1)
    np.testing.assert_allclose(weights[[0, 3]], encoder.idf[rows[[0, 3]]] * lengths, rtol=1e-5)
    np.testing.assert_allclose(near[[0, 3]] / weights[[0, 3]], chosen @ query / lengths, rtol=1e-5)
    assert not near[1:3].any()
    assert not weights[1:3].any()


def test_weights_count_documents() -> None:
    encoder = Word2VecEncoder(dimension=2).fit(CORPUS)
    assert encoder.idf[encoder.vocabulary["apples"]] == pytest.approx(log(21 / 11) + 1)
    assert encoder.idf[encoder.vocabulary["falls"]] == pytest.approx(log(21 / 6) + 1)


def test_company_makes_words_similar() -> None:
    encoder = Word2VecEncoder(dimension=16).fit(CORPUS)
    red, green, clouds = encoder.encode_queries(["red", "green", "clouds"])
    assert red @ green > red @ clouds


def test_training_repeats_whatever_the_hash_seed() -> None:
    program = (
        "from tests_corpus import CORPUS; from encoders.word2vec import Word2VecEncoder;"
        "print(Word2VecEncoder(dimension=8).fit(CORPUS).fingerprint)"
    ).replace("from tests_corpus import CORPUS", f"CORPUS = {CORPUS!r}")
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {Word2VecEncoder(dimension=8).fit(CORPUS).fingerprint + "\n"}


def test_rare_words_count_where_no_word_is_frequent() -> None:
    assert set(Word2VecEncoder().fit(["red apple", "blue sky"]).vocabulary) == {
        "red",
        "apple",
        "blue",
        "sky",
    }


def test_training_on_a_sample_still_counts_all_documents() -> None:
    encoder = Word2VecEncoder(dimension=4, max_training_words=30, min_count=1).fit(CORPUS)
    whole = Word2VecEncoder(dimension=4, min_count=1).fit(CORPUS)
    word = next(iter(encoder.vocabulary))
    assert encoder.idf[encoder.vocabulary[word]] == whole.idf[whole.vocabulary[word]]
    assert encoder.fingerprint != whole.fingerprint


def test_a_text_longer_than_a_gensim_sentence_is_read_whole() -> None:
    text = ["early"] * 10_000 + ["late"] * 5
    found, _ = train_word_vectors([text], dimension=2, window=2, min_count=1, seed=0)
    assert found == ["early", "late"]


def write_text(path: Path, *, header: bool) -> Path:
    rows = [f"{word.replace(' ', '_')} {x} {y}" for word, (x, y) in VECTORS.items()]
    content = "\n".join([f"{len(rows)} 2", *rows] if header else rows) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content.encode()))
    else:
        path.write_text(content, encoding="utf-8")
    return path


def write_binary(path: Path) -> Path:
    rows = [
        word.replace(" ", "_").encode() + b" " + struct.pack("<2f", x, y)
        for word, (x, y) in VECTORS.items()
    ]
    path.write_bytes(f"{len(rows)} 2\n".encode() + b"".join(rows))
    return path


@pytest.mark.parametrize("kind", ["vectors.vec", "glove.txt", "vectors.txt.gz", "vectors.bin"])
def test_every_format_gives_the_same_vectors(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if path.suffix == ".bin":
        write_binary(path)
    else:
        write_text(path, header=kind != "glove.txt")
    found, vectors = read_word_vectors(path)
    assert found == ["red", "apple"]
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, [[1, 0], [0, 2]])


def test_pretrained_vectors_are_weighted_by_the_corpus(tmp_path: Path) -> None:
    path = write_text(tmp_path / "glove.txt", header=False)
    encoder = Word2VecEncoder(vectors_path=path).fit(["red apple", "red sky"])
    assert encoder.dimension == 2
    np.testing.assert_allclose(encoder.idf, [log(3 / 3) + 1, log(3 / 2) + 1], rtol=1e-6)
    folder = tmp_path / "saved"
    folder.mkdir()
    encoder.save(folder)
    path.unlink()
    loaded = Word2VecEncoder.load(folder)
    assert loaded.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(loaded.encode_queries(["apple"]), [[0, 1]])


def test_files_without_vectors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no file"):
        Word2VecEncoder(vectors_path=tmp_path / "none.vec").fit(CORPUS)
    path = tmp_path / "broken.vec"
    path.write_text("this is no vector\nneither is this\n", encoding="utf-8")
    with pytest.raises(ModelNotFoundError, match=r"broken\.vec"):
        Word2VecEncoder(vectors_path=path).fit(CORPUS)


@pytest.mark.parametrize("setting", ["dimension", "window", "min_count", "max_training_words"])
def test_settings_below_one_are_refused(setting: str) -> None:
    with pytest.raises(EncoderError, match=setting):
        Word2VecEncoder(**{setting: 0})
