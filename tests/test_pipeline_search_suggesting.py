"""Completions while one types: titles and phrases, whole words, later words, typing mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import IndexCorruptError, QueryError
from pipeline.search.searcher import Searcher
from pipeline.search.suggesting import Suggester
from pipeline.version.suggestions import fold_typed, read_suggestions, write_suggestions

TEXTS = [
    ("Reading files", "A context manager closes the file. The context manager is short."),
    ("Writing files quickly", "Use a context manager, or a regular expression."),
    ("Sockets", "No context manager here: a regular expression matches text."),
    ("Straße und Öl", "Regular expression again. Context Manager again."),
    ("reading files", "The same title in other letters."),
    ("", "No title at all."),
    ("日本語の文書", "本文"),
]


class _Ids:
    def doc_ids(self, rows: list[int]) -> list[str]:
        return [f"d{row}" for row in rows]


@pytest.fixture
def suggester(tmp_path: Path) -> Suggester:
    write_suggestions(tmp_path, TEXTS, len(TEXTS))
    table = read_suggestions(tmp_path)
    assert table is not None
    return Suggester(table, _Ids(), None)  # type: ignore[arg-type]


def texts(suggester: Suggester, typed: str, **options: object) -> list[str]:
    return [found.text for found in suggester.complete(typed, **options)]  # type: ignore[arg-type]


def test_titles_are_completed_from_their_beginning_first(suggester: Suggester) -> None:
    assert texts(suggester, "read") == ["Reading files", "reading files"]
    found = suggester.complete("SOCK")[0]
    assert (found.text, found.kind, found.doc_id) == ("Sockets", "title", "d2")


def test_titles_are_completed_from_any_of_their_words(suggester: Suggester) -> None:
    assert set(texts(suggester, "fil")) == {
        "Reading files",
        "reading files",
        "Writing files quickly",
    }
    assert texts(suggester, "files q") == ["Writing files quickly"]


def test_frequent_phrases_are_offered_and_rare_ones_are_not(suggester: Suggester) -> None:
    assert texts(suggester, "con") == ["context manager"]
    assert suggester.complete("regular")[0].kind == "phrase"
    assert texts(suggester, "matches t") == []


def test_words_in_another_order_are_found_when_nothing_continues(suggester: Suggester) -> None:
    assert texts(suggester, "quickly wri") == ["Writing files quickly"]


@pytest.mark.parametrize("typed", ["STRASSE", "strasse und o\u0308", "straße", "öl"])
def test_case_and_form_of_letters_do_not_matter(suggester: Suggester, typed: str) -> None:
    assert texts(suggester, typed) == ["Straße und Öl"]


def test_scripts_without_spaces_are_completed(suggester: Suggester) -> None:
    assert texts(suggester, "日本") == ["日本語の文書"]


@pytest.mark.parametrize("typed", ["", "   ", "\n", "zzz", "z" * 5000, "\x00", "%_*"])
def test_nothing_fitting_gives_nothing(suggester: Suggester, typed: str) -> None:
    assert suggester.complete(typed) == []


@given(typed=st.text(max_size=40))
def test_whatever_is_typed_each_completion_holds_it(typed: str, searcher: Searcher) -> None:
    folded = fold_typed(typed).strip()
    for found in searcher.suggest(typed, 20):
        words = folded.split()
        held = fold_typed(found.text)
        assert folded in held or all(word in held for word in words) or len(words[-1]) >= 4


def test_only_titles_of_allowed_documents_are_told(suggester: Suggester) -> None:
    allowed = np.array([row == 1 for row in range(len(TEXTS))])
    assert texts(suggester, "fil", allowed=allowed) == ["Writing files quickly"]
    assert texts(suggester, "con", allowed=allowed) == []


def test_the_number_of_completions_is_bounded(suggester: Suggester) -> None:
    assert len(texts(suggester, "r", limit=1)) == 1
    for limit in (0, 51):
        with pytest.raises(QueryError, match="1 to 50"):
            suggester.complete("r", limit)


def test_a_long_title_is_told_from_one_with_the_same_beginning(tmp_path: Path) -> None:
    titles = [f"The very same long beginning of a title, part {n}" for n in range(300)]
    write_suggestions(tmp_path, [(title, "") for title in titles], len(titles))
    table = read_suggestions(tmp_path)
    assert table is not None
    found = Suggester(table, _Ids(), None).complete(  # type: ignore[arg-type]
        "the very same long beginning of a title, part 29", 20
    )
    assert {one.text for one in found} == {
        titles[n] for n in (29, 290, 291, 292, 293, 294, 295, 296, 297, 298, 299)
    }


def test_misspelt_words_are_completed_as_meant(searcher: Searcher) -> None:
    right = searcher.suggest("quaternion int")
    assert [one.text for one in right] == ["Quaternion interpolation"]
    assert searcher.suggest("quatrenion int") == right
    assert searcher.suggest("quaternion inetrp") == right


def test_a_filter_keeps_titles_of_other_documents_untold(searcher: Searcher) -> None:
    told = searcher.suggest("o", 50, filter="subject:files")
    assert told
    assert all(one.doc_id is not None and one.doc_id.startswith("files/") for one in told)


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    write_suggestions(tmp_path, TEXTS, len(TEXTS))
    np.save(tmp_path / "rows.npy", np.zeros(2, np.int64))
    with pytest.raises(IndexCorruptError, match="do not fit together"):
        read_suggestions(tmp_path)
