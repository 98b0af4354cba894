"""Misspelt words are corrected; known, foreign and literal ones are not."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.words import stem, words
from ingest.documents import Document
from ingest.errors import IndexCorruptError
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.answer import Answer
from pipeline.search.query import MAX_QUERY_CHARACTERS, Query
from pipeline.search.query_text import plain_words
from pipeline.search.searcher import Searcher
from pipeline.search.spelling import Speller
from pipeline.version.collection import CollectionFolder
from pipeline.version.manifest import hash_files, read_manifest, write_manifest
from pipeline.version.spelling import SpellingVocabulary, read_spelling, write_spelling

AERONAUTICS = """
    turbulence nozzle boundary layer hypersonic pressure separation laminar transition the
    downstream vortex channel change wing flutter supersonic scene since planform experimental
    transferred interferometer aeroelastic autonomous
""".split()  # noqa: SIM905 (a paragraph reads better than thirty quoted words)


def vocabulary_of(found: list[str], *languages: str) -> SpellingVocabulary:
    known = {word: row for row, word in enumerate(sorted(found))}
    return SpellingVocabulary(
        known, np.ones(len(known), np.int32), frozenset(map(stem, known)), languages or ("en",)
    )


@pytest.fixture(scope="module")
def speller() -> Speller:
    return Speller(vocabulary_of(AERONAUTICS))


def corrected(speller: Speller, text: str) -> str | None:
    return speller.corrected(text, plain_words(text))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("turbulance", "turbulence"),  # replaced
        ("turblence", "turbulence"),  # left out
        ("turbulencee", "turbulence"),  # added
        ("turbuelnce", "turbulence"),  # swapped
        ("eturbulence", None),  # a first letter is seldom wrong
        ("urbulence", "turbulence"),  # but may be left out
        ("utrbulence", "turbulence"),  # or swapped
        ("trasnfered", "transferred"),  # two edits in a long word
        ("autologous", None),  # unless its letters are others
        ("turbulnce", "turbulence"),
        ("aeroelastics", None),  # another form of a known word
        ("wnig", "wing"),  # a short word: swapped letters only
        ("wint", None),
    ],
)
def test_one_edit_is_corrected(speller: Speller, typed: str, meant: str | None) -> None:
    assert speller.correction(typed) == meant


def test_punctuation_case_and_other_words_stay(speller: Speller) -> None:
    assert (
        corrected(speller, "  What (Turbulance),\tin the boundry-layer? ")
        == "  What (Turbulence),\tin the boundary-layer? "
    )
    assert corrected(speller, "NOZZEL FLUTTTER") == "NOZZLE FLUTTER"


@pytest.mark.parametrize(
    "text",
    [
        '"turbulance nozzel"',
        "+turbulance",
        "-turbulance wing",
        'wing +"turbulance nozzel"',
        "kind:turbulance",
        "turbulance.nozzel",
        "turbulance_nozzel",
        "turbulance()",
        "turbulance/nozzel",
        "turbulAnce wing",
        "TURBULANCE of a wing",
        "turbulance2",
        "nozzel@example.org",
        "--turbulance",
        "`turbulance`",
        "lucene",
        "kubernetes",
        "shouldn't",
        "wing",
        "wings",  # another form of a known word
        "cathedral",  # English, though no document has it
        "🔥🎉",
        "??? !!!",
        "信息检索系统",
        "wie erklärt man strömungen",
    ],
)
def test_what_is_meant_literally_or_may_be_right_stays(speller: Speller, text: str) -> None:
    assert corrected(speller, text) is None


def test_the_frequent_word_wins_and_ties_are_broken_the_same_way() -> None:
    known = {"bander": 0, "binder": 1, "bonder": 2}
    rows = frozenset(known)
    frequent = SpellingVocabulary(known, np.array([1, 1, 900], np.int32), rows, ("en",))
    assert Speller(frequent).correction("bnder") == "bonder"


@given(st.lists(st.sampled_from(AERONAUTICS), min_size=1, max_size=40))
def test_known_words_are_never_corrected(chosen: list[str]) -> None:
    speller = Speller(vocabulary_of(AERONAUTICS))
    assert corrected(speller, " ".join(chosen)) is None


@given(st.text(max_size=200))
def test_any_text_is_corrected_into_words_of_the_collection(text: str) -> None:
    speller = Speller(vocabulary_of(AERONAUTICS))
    found = corrected(speller, text)
    if found is not None:
        assert len(words(found)) == len(words(text))
        changed = {new for old, new in zip(words(text), words(found), strict=True) if old != new}
        assert changed
        assert changed <= set(AERONAUTICS)
        assert corrected(speller, found) is None or len(words(text)) > 8


@pytest.fixture(scope="module")
def large_speller() -> Speller:
    """Thirty thousand words, many of them near each other."""
    letters = "abcdefghij"
    ends = ["".join(end) for end in itertools.product(letters, repeat=3)]
    speller = Speller(vocabulary_of([word + end for word in AERONAUTICS for end in ends]))
    speller.warm()
    return speller


@pytest.mark.parametrize(
    "text", ["nozzel ", "x", "a ", "🙂", "a-", "'", "nozzle turbulance wing ", "\u0301", "A'b "]
)
def test_long_queries_cost_little(large_speller: Speller, text: str) -> None:
    query = (text * MAX_QUERY_CHARACTERS)[:MAX_QUERY_CHARACTERS]
    began = time.process_time()
    corrected(large_speller, query)
    assert time.process_time() - began < 0.5


def test_without_a_dictionary_of_the_language_nothing_is_corrected() -> None:
    vocabulary = vocabulary_of(["lentotukialus"])
    unknown = SpellingVocabulary(
        vocabulary.words, vocabulary.document_frequencies, vocabulary.stems, ()
    )
    assert Speller(vocabulary).correction("lentotukalus") == "lentotukialus"
    assert Speller(unknown).correction("lentotukalus") is None


def test_endings_are_grammar_where_no_stemmer_tells() -> None:
    german = Speller(vocabulary_of(["charterschulen", "dampfmaschine"], "de"))
    assert german.correction("charterschule") is None
    assert german.correction("dampfmashine") == "dampfmaschine"
    assert german.correction("dampf") is None


@pytest.mark.parametrize(
    ("main", "kept"), [(("de", "en"), ("de", "en")), (("en", "tr"), ()), (("tr",), ())]
)
def test_a_language_without_dictionary_ends_correction(
    main: tuple[str, ...], kept: tuple[str, ...], tmp_path: Path
) -> None:
    write_spelling(tmp_path, [("", "turbulence")], main)
    found = read_spelling(tmp_path)
    assert found is not None
    assert found.languages == kept
    assert (Speller(found).correction("turbolence") == "turbulence") == bool(kept)


def test_a_vocabulary_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_spelling(
        tmp_path, [("The Café", "café naïve x86 it"), ("", "The STRASSE straße")], ["en"]
    )
    found = read_spelling(tmp_path)
    assert found is not None
    assert list(found.words) == ["café", "naïve", "strasse", "the"]
    assert found.document_frequencies.tolist() == [1, 1, 1, 2]
    assert found.has_form_of("naïve")
    assert not found.has_form_of("naive")
    (tmp_path / "vocabulary.json").write_text('{"words": 3}', encoding="utf-8")
    with pytest.raises(IndexCorruptError, match="vocabulary"):
        read_spelling(tmp_path)


def hits(answer: Answer) -> list[dict[str, object]]:
    return [hit.to_json() for hit in answer.hits]


def test_a_misspelt_query_gives_the_answer_of_the_right_one(searcher: Searcher) -> None:
    right = searcher.search(Query("temporary folder", facets=("subject",)))
    wrong = searcher.search(Query("tempoary foldre", facets=("subject",)))
    assert right.did_you_mean is None
    assert wrong.did_you_mean == "temporary folder"
    assert wrong.query == "tempoary foldre"
    assert hits(wrong) == hits(right)
    assert (wrong.total, wrong.facets) == (right.total, right.facets)
    marked = [
        hit.passage.text[mark.start : mark.end].lower()
        for hit in wrong.hits
        for mark in hit.highlights
        if mark.kind == "keyword"
    ]
    assert "temporary" in marked


def test_pages_of_a_misspelt_query_agree(searcher: Searcher) -> None:
    whole = searcher.search(Query("tempoary folder", k=30))
    pages = [searcher.search(Query("tempoary folder", k=10, page=page)) for page in (1, 2, 3)]
    assert {(page.did_you_mean, page.total) for page in pages} == {
        (whole.did_you_mean, whole.total)
    }
    assert [hit.doc_id for page in pages for hit in page.hits] == [hit.doc_id for hit in whole.hits]


@pytest.mark.parametrize("text", ["temporary folder", "read the file", "lucene", "🔥"])
def test_what_is_not_corrected_is_ranked_as_without_correction(
    searcher: Searcher, text: str
) -> None:
    on, off = (searcher.search(Query(text, correct=correct)) for correct in (True, False))
    assert on.did_you_mean is None
    assert hits(on) == hits(off)


def test_correction_can_be_switched_off(searcher: Searcher) -> None:
    answer = searcher.search(Query("tempoary", correct=False))
    assert answer.did_you_mean is None
    assert hits(answer) != hits(searcher.search(Query("temporary")))


def test_the_name_of_a_document_is_right(build: Callable[..., Searcher]) -> None:
    searcher = build(
        Document("turbulnce", "One", "Temporary files and folders."),
        Document("b", "Two", "Turbulence of the air.", names=("temporray",)),
    )
    for name in ("turbulnce", "temporray"):
        assert searcher.search(Query(name)).did_you_mean is None
    assert searcher.search(Query("temporray turbulnce")).did_you_mean == "temporary turbulence"


def forget_the_vocabulary(data_dir: Path) -> None:
    """Make the library's version one of a release that knew of no spelling."""
    for folder in data_dir.glob("default/versions/*"):
        shutil.rmtree(folder / "spelling")
        files, total_bytes = hash_files(folder)
        manifest = replace(read_manifest(folder), files=files, total_bytes=total_bytes)
        write_manifest(folder, manifest)


def test_a_version_without_a_vocabulary_corrects_nothing(copied_data_dir: Path) -> None:
    forget_the_vocabulary(copied_data_dir)
    searcher = Searcher.open(data_dir=copied_data_dir)
    searcher.warm()
    answer = searcher.search(Query("tempoary folder"))
    assert answer.hits
    assert answer.did_you_mean is None


def test_indexing_again_adds_the_vocabulary(
    copied_data_dir: Path, library: list[Document], tiny_settings: IndexSettings
) -> None:
    forget_the_vocabulary(copied_data_dir)
    collection = CollectionFolder(copied_data_dir, "default")
    summary = build_version(collection, library, settings=tiny_settings)
    assert summary.published
    assert summary.passages_encoded == 0
    answer = Searcher.open(data_dir=copied_data_dir).search(Query("tempoary"))
    assert answer.did_you_mean == "temporary"
    assert not build_version(collection, library, settings=tiny_settings).published
