"""The words of passages lie in a version as a query would cut them, and change no answer."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.words import word_spans, words
from ingest.documents import Document
from ingest.errors import IndexCorruptError
from ingest.sentences import sentence_spans
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.answer import Answer
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.manifest import hash_files, read_manifest, write_manifest
from pipeline.version.passage_words import (
    MAX_SENTENCES,
    PassageWords,
    cut_passage_words,
    read_passage_words,
    write_passage_words,
)

TEXTS = [
    "Dr. Lee's os.path.join left.\n\nThreadPool, HTTPServer? 信息检索 straße ﬁne!",
    "",
    "x" * 300 + " is long.",
    " ".join(f"Sentence number {number}." for number in range(MAX_SENTENCES + 9)),
]


def passage_words(table: PassageWords, row: int) -> list[tuple[int, int, str]]:
    begin, end = table.sentence_offsets[row : row + 2]
    inside = slice(*table.word_offsets[[begin, end]])
    columns = (table.words, table.starts, table.lengths)
    cut = zip(*(column[inside].tolist() for column in columns), strict=True)
    return [(start, start + length, table.vocabulary[word]) for word, start, length in cut]


def written(folder: Path, texts: list[str]) -> PassageWords:
    write_passage_words(folder, texts, ["en", "de"])
    table = read_passage_words(folder, len(texts))
    assert table is not None
    return table


def test_passages_come_back_word_by_word(tmp_path: Path) -> None:
    table = written(tmp_path, TEXTS)
    assert table.stems.shape == (len(table.vocabulary), 2)
    for row, text in enumerate(TEXTS):
        assert passage_words(table, row) == word_spans(text)
        begin, end = table.sentence_offsets[row : row + 2]
        sentences = list(map(tuple, table.sentences[begin:end].tolist()))
        assert sentences[:MAX_SENTENCES] == sentence_spans(text)[:MAX_SENTENCES]
        # What follows the last sentence told apart is one stretch, and loses no word.
        assert len(sentences) <= MAX_SENTENCES + 1


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text(max_size=80), max_size=4))
def test_any_text_is_cut_in_memory_as_on_disk(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    on_disk = written(tmp_path_factory.mktemp("words"), texts)
    in_memory = cut_passage_words(texts, ["en", "de"])
    assert in_memory.vocabulary == on_disk.vocabulary
    for name in ("stems", "sentence_offsets", "sentences", "word_offsets", "words", "starts"):
        assert np.array_equal(getattr(in_memory, name), getattr(on_disk, name))
    for row, text in enumerate(texts):
        found = [word for _, _, word in passage_words(on_disk, row)]
        assert found == [word for s, e in sentence_spans(text) for word in words(text[s:e])]


def test_many_different_words_keep_their_rows(tmp_path: Path) -> None:
    text = " ".join(f"word{number}" for number in range(66_000))
    table = written(tmp_path, [text, "word65999 word0"])
    assert [word for _, _, word in passage_words(table, 1)] == ["word65999", "word0"]
    assert [word for _, _, word in passage_words(table, 0)] == words(text)


@pytest.mark.parametrize(
    "name", ["vocabulary.json", "stems.npy", "sentence_offsets.npy", "words.npy", "lengths.npy"]
)
def test_files_that_are_damaged_or_do_not_fit(tmp_path: Path, name: str) -> None:
    good, other = tmp_path / "good", tmp_path / "other"
    good.mkdir()
    other.mkdir()
    written(good, TEXTS)
    written(other, ["Other words.", "Here."])
    shutil.copy(other / name, good / name)
    with pytest.raises(IndexCorruptError, match="do not fit together"):
        read_passage_words(good, len(TEXTS))
    (good / name).write_bytes(b"\x93NUMPY")
    with pytest.raises(IndexCorruptError):
        read_passage_words(good, len(TEXTS))
    (good / name).unlink()
    with pytest.raises(IndexCorruptError, match=name):
        read_passage_words(good, len(TEXTS))


def test_a_word_beyond_the_vocabulary_is_a_damaged_version(copied_data_dir: Path) -> None:
    (path,) = copied_data_dir.glob("default/versions/*/passage_words/words.npy")
    np.save(path, np.full(np.load(path).shape, 65_535, np.uint16))
    with pytest.raises(IndexCorruptError, match="trine"):
        Searcher.open(data_dir=copied_data_dir).search(Query("temporary file"))


def forget_the_words(data_dir: Path) -> None:
    """Make the library's version one of a release that cut hits at each query."""
    for folder in data_dir.glob("default/versions/*"):
        shutil.rmtree(folder / "passage_words")
        files, total_bytes = hash_files(folder)
        manifest = replace(read_manifest(folder), files=files, total_bytes=total_bytes)
        write_manifest(folder, manifest)


QUERIES = [
    Query("copying files and folders"),
    Query("the"),
    Query('"of the" file', explain_words=True),
    Query("ThreadPoolExecutor's json.dumps", signals=("bm25",)),
    Query("parse dates", signals=("bert",), k=3, page=2),
    Query("🔥"),
]


def content(answer: Answer) -> object:
    return replace(answer, took_ms=0.0, stages_ms={})


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.text)
def test_a_version_without_them_answers_alike(
    searcher: Searcher, copied_data_dir: Path, query: Query
) -> None:
    forget_the_words(copied_data_dir)
    old = Searcher.open(data_dir=copied_data_dir)
    assert content(old.search(query)) == content(searcher.search(query))


def test_indexing_again_adds_them(
    copied_data_dir: Path, library: list[Document], tiny_settings: IndexSettings
) -> None:
    forget_the_words(copied_data_dir)
    collection = CollectionFolder(copied_data_dir, "default")
    summary = build_version(collection, library, settings=tiny_settings)
    assert summary.published
    assert summary.passages_encoded == 0
    assert list((collection.version_path(summary.version) / "passage_words").glob("*.npy"))
    assert not build_version(collection, library, settings=tiny_settings).published


def test_words_are_marked_where_they_stand(build: Callable[..., Searcher]) -> None:
    text = "Café society.\n\nUse ThreadPools, not pools' threads: 信息检索. A pool-side CAFÉ."
    searcher = build(Document("a", "", text), Document("b", "", "Another text."))
    for asked, expected in {
        "pool": ["ThreadPools", "pools", "pool"],
        "cafe\u0301": ["Café", "CAFÉ"],
        "检索": ["检索"],
        "nothing": [],
    }.items():
        hit = next(one for one in searcher.search(Query(asked)).hits if one.doc_id == "a")
        keywords = [mark for mark in hit.highlights if mark.kind == "keyword"]
        assert [hit.passage.text[mark.start : mark.end] for mark in keywords] == expected
