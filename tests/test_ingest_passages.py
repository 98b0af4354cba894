"""Passages hold every token, fit the window, and move little when a text is edited."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.passages import cut_passages
from ingest.sentences import sentence_spans


def tokens(text: str) -> list[int]:
    return [match.start() for match in re.finditer(r"\w{1,4}|[^\w\s]", text)]


def cut(text: str, max_tokens: int = 20, overlap_tokens: int = 5) -> list[str]:
    passages = cut_passages(
        text, tokens(text), max_tokens=max_tokens, overlap_tokens=overlap_tokens
    )
    return [text[passage.start : passage.end] for passage in passages]


texts = st.lists(
    st.sampled_from(
        [
            "word",
            "longerword",
            "end.",
            "End!",
            "\n",
            "\n\n",
            "Heading\n\n",
            "- item\n",
            "句子。",
            "e.g.",
        ]
    ),
    max_size=200,
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(texts, st.integers(2, 30), st.data())
def test_passages_cover_fit_and_advance(text: str, max_tokens: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, max_tokens - 1))
    starts = tokens(text)
    passages = cut_passages(text, starts, max_tokens=max_tokens, overlap_tokens=overlap)
    covered: set[int] = set()
    for passage in passages:
        assert 0 <= passage.start <= passage.end <= len(text)
        inside = {start for start in starts if passage.start <= start < passage.end}
        assert len(inside) <= max_tokens
        covered |= inside
    assert covered == set(starts)
    for before, after in pairwise(passages):
        assert before.start < after.start
        assert before.end < after.end
        assert sum(after.start <= start < before.end for start in starts) <= overlap


def test_short_and_empty_texts_are_one_passage() -> None:
    assert cut("One short text.") == ["One short text."]
    (passage,) = cut_passages("", [], max_tokens=10, overlap_tokens=2)
    assert (passage.start, passage.end, passage.page) == (0, 0, None)


def test_whole_sentences_overlap_within_a_paragraph() -> None:
    text = " ".join(f"This is sentence {number}." for number in range(10))
    passages = cut(text, max_tokens=20, overlap_tokens=7)
    assert all(p.startswith("This is") and p.endswith(".") for p in passages)
    for before, after in pairwise(passages):
        assert before.rpartition("This")[2].strip() in after.partition(".")[0] + "."


def test_heading_starts_a_passage_and_is_never_left_behind() -> None:
    body = "Some words of a body here. " * 2
    text = f"{body.strip()}\n\nHeading\n\n{body.strip()}"
    first, second = cut(text, max_tokens=20)
    assert first == body.strip()
    assert second.startswith("Heading")


def test_sentence_longer_than_the_window_is_cut_at_words() -> None:
    text = "abcdefgh " * 100
    for passage in cut(text, max_tokens=21, overlap_tokens=4):
        assert re.fullmatch(r"(abcdefgh ?)+", passage)


def test_edit_near_the_top_leaves_later_passages_alone() -> None:
    paragraphs = [f"Paragraph {n} says word{n}. It says more of {n * 7}." for n in range(200)]
    before = cut("\n\n".join(paragraphs), max_tokens=60, overlap_tokens=10)
    paragraphs[0] += " An inserted sentence of several words."
    after = cut("\n\n".join(paragraphs), max_tokens=60, overlap_tokens=10)
    assert len(set(after) - set(before)) <= 8


def test_tokens_that_begin_with_the_space_before_a_word_are_cut_at_sentences() -> None:
    text = " ".join(f"This is sentence {number}." for number in range(30))
    starts = [match.start() for match in re.finditer(r" ?\w+|\.", text)]
    for passage in cut_passages(text, starts, max_tokens=22, overlap_tokens=5):
        assert text[passage.start : passage.end].startswith("This")


def test_pages_are_numbered_from_one() -> None:
    text = "One two three. " * 20
    passages = cut_passages(
        text, tokens(text), max_tokens=20, overlap_tokens=0, page_starts=[0, 150]
    )
    assert passages[0].page == 1
    assert passages[-1].page == 2


@pytest.mark.parametrize(("max_tokens", "overlap"), [(0, 0), (5, 5), (5, -1)])
def test_senseless_windows_are_refused(max_tokens: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap_tokens"):
        cut_passages("x", [0], max_tokens=max_tokens, overlap_tokens=overlap)


def test_a_megabyte_without_a_full_stop_is_quick() -> None:
    text = "word" * 250_000
    began = time.perf_counter()
    spans = sentence_spans(text)
    starts = np.arange(0, len(text), 4)
    cut_passages(text, starts, max_tokens=254, overlap_tokens=50, sentences=spans)
    assert time.perf_counter() - began < 10


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="aB. !?。\n\t\u3000é😀", max_size=80))
def test_sentence_spans_are_ordered_trimmed_and_complete(text: str) -> None:
    previous = 0
    for start, end in sentence_spans(text):
        assert previous <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        assert text[previous:start].strip() == ""
        assert not re.search(r"\n\s*\n", text[start:end])
        previous = end
    assert text[previous:].strip() == ""


def test_sentences_of_other_scripts_and_languages() -> None:
    text = "今日は晴れです。明日は雨です。"
    assert [text[s:e] for s, e in sentence_spans(text, "ja")] == [
        "今日は晴れです。",
        "明日は雨です。",
    ]
    assert len(sentence_spans("One. Two.", "xx-unknown")) == 2


def test_wide_spaces_are_spaces() -> None:
    for text in ("0\u30000", "\u3000. A\u3000b.\u3000C", "a.\u2003\u2003B\u00a0c.\u3000\u3000"):
        assert [text[start:end].strip() for start, end in sentence_spans(text)]
