"""Excerpts and marks: nothing is lost, nothing shifts, nothing overlaps."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.search.answer import Highlight
from web.passage_marks import excerpt_of, runs_of, unwrapped


@st.composite
def passages(draw: st.DrawFn) -> tuple[str, list[Highlight]]:
    text = draw(st.text(st.sampled_from("ab  c.\n<é🎈"), max_size=200))
    marks = []
    for _ in range(draw(st.integers(0, 6)) if text else 0):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        marks.append(Highlight(start, end, draw(st.sampled_from(["keyword", "semantic"]))))
    return text, marks


@given(passages())
def test_runs_join_to_the_text_and_mark_exactly_what_is_marked(
    passage: tuple[str, list[Highlight]],
) -> None:
    text, marks = passage
    runs = runs_of(text, marks)
    flat = [
        (piece.keyword, run.semantic) for run in runs for piece in run.pieces for _ in piece.text
    ]
    assert "".join(piece.text for run in runs for piece in run.pieces) == text
    for place, (keyword, semantic) in enumerate(flat):
        kinds = {mark.kind for mark in marks if mark.start <= place < mark.end}
        assert keyword == ("keyword" in kinds)
        assert semantic == ("semantic" in kinds)
    # Neighbours differ, so one mark is one element.
    assert all(a.semantic != b.semantic for a, b in pairwise(runs))


@given(passages(), st.integers(1, 120))
def test_an_excerpt_is_a_part_with_its_own_marks(
    passage: tuple[str, list[Highlight]], size: int
) -> None:
    text, marks = passage
    excerpt = excerpt_of(text, marks, size)
    assert len(excerpt.text) <= size
    assert excerpt.text in text
    assert (excerpt.text == text) == (len(text) <= size)
    assert text.startswith(excerpt.text) or excerpt.cut_before
    assert text.endswith(excerpt.text) or excerpt.cut_after
    marked = {(mark.kind, text[mark.start : mark.end]) for mark in marks}
    for mark in excerpt.highlights:
        assert 0 <= mark.start < mark.end <= len(excerpt.text)
        shown = excerpt.text[mark.start : mark.end]
        assert any(kind == mark.kind and shown in whole for kind, whole in marked)
    if text and marks:
        assert excerpt.highlights  # what is marked comes into view


def test_a_long_passage_is_cut_around_its_marked_sentence_between_words() -> None:
    text = "word " * 400 + "Here it is. " + "more " * 400
    start = text.index("Here")
    excerpt = excerpt_of(text, [Highlight(start, start + 11, "semantic")])
    assert 500 < len(excerpt.text) <= 600
    (mark,) = excerpt.highlights
    assert excerpt.text[mark.start : mark.end] == "Here it is."
    assert excerpt.text.startswith("word ")
    assert excerpt.text.endswith("more")
    assert excerpt.cut_before
    assert excerpt.cut_after


def test_a_sentence_longer_than_the_excerpt_is_shown_from_its_beginning() -> None:
    text = "Before. " * 50 + "x" * 2000
    excerpt = excerpt_of(text, [Highlight(400, 2400, "semantic")])
    assert excerpt.text.startswith("x")


@given(passages())
def test_unwrapping_keeps_every_place(passage: tuple[str, list[Highlight]]) -> None:
    text, _ = passage
    joined = unwrapped(text * 3)
    assert len(joined) == len(text * 3)
    assert joined.replace("\n", " ") == (text * 3).replace("\n", " ")
