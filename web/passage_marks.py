"""How a passage is shown: a readable excerpt, and its marks as runs that never overlap."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from pipeline.search.answer import Highlight

__all__ = [
    "MAX_EXCERPT_CHARACTERS",
    "Excerpt",
    "Piece",
    "Run",
    "excerpt_of",
    "runs_of",
    "tightened",
    "unwrapped",
]

MAX_EXCERPT_CHARACTERS = 600
# How much of what stands before the marked sentence is shown, as a share of the excerpt.
_LEAD = 0.25
# How far a cut may move to fall between two words.
_MAX_SHIFT = 40
# A line break after a long line, before a word, was put there by an editor, not by an author.
_WRAPPED = re.compile(r"(?<=[^\n]{44}[^\n:])\n(?= *[\w(\"'`<])")
_EMPTY_LINES = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of a passage; highlights are code points of this part."""

    text: str
    highlights: tuple[Highlight, ...]
    cut_before: bool
    cut_after: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that is marked as a keyword, or not."""

    text: str
    keyword: bool


@dataclass(frozen=True, slots=True)
class Run:
    """Pieces that lie in the sentence nearest in meaning, or outside it."""

    semantic: bool
    pieces: tuple[Piece, ...]


def excerpt_of(
    text: str,
    highlights: Sequence[Highlight],
    max_characters: int = MAX_EXCERPT_CHARACTERS,
) -> Excerpt:
    """Cut a long passage around its marked sentence, or else its first marked word.

    Parameters
    ----------
    max_characters
        Length the excerpt never exceeds.

    Examples
    --------
    >>> excerpt_of("One two three four.", [Highlight(8, 13, "keyword")], 10)
    Excerpt(text='three', highlights=(Highlight(start=0, end=5, kind='keyword'),),
    cut_before=True, cut_after=True)
    """
    if len(text) <= max_characters:
        return Excerpt(text, tuple(_within(highlights, 0, len(text))), False, False)
    start, end = _window(text, highlights, max_characters)
    return Excerpt(
        text[start:end], tuple(_within(highlights, start, end)), start > 0, end < len(text)
    )


def runs_of(text: str, highlights: Sequence[Highlight]) -> list[Run]:
    """Split a text at every boundary of a mark.

    Nested and overlapping marks come out as neighbours; joined, the pieces are the text.

    Examples
    --------
    >>> runs_of("ab cd", [Highlight(3, 5, "keyword"), Highlight(0, 5, "semantic")])
    [Run(semantic=True, pieces=(Piece(text='ab ', keyword=False),
    Piece(text='cd', keyword=True)))]
    """
    marks = _within(highlights, 0, len(text))
    keyword = _covered(marks, "keyword", len(text))
    semantic = _covered(marks, "semantic", len(text))
    places = sorted({0, len(text), *(mark.start for mark in marks), *(mark.end for mark in marks)})
    flat = [(bool(semantic[a]), bool(keyword[a]), text[a:b]) for a, b in pairwise(places)]
    return [
        Run(
            is_semantic,
            tuple(
                Piece("".join(part for _, _, part in same), is_keyword)
                for is_keyword, same in groupby(pieces, key=lambda piece: piece[1])
            ),
        )
        for is_semantic, pieces in groupby(flat, key=lambda piece: piece[0])
    ]


def unwrapped(text: str) -> str:
    r"""Join the lines of prose that was wrapped at some width; every code point keeps its place.

    Examples
    --------
    >>> unwrapped("Return the line number in the current file, or\nzero.\n>>> f()\n0")
    'Return the line number in the current file, or zero.\n>>> f()\n0'
    """
    return _WRAPPED.sub(" ", text)


def tightened(runs: Sequence[Run]) -> list[Run]:
    r"""Runs without empty lines: an excerpt is to be skimmed.

    Examples
    --------
    >>> tightened(runs_of("One.\n\n\nTwo.", []))
    [Run(semantic=False, pieces=(Piece(text='One.\nTwo.', keyword=False),))]
    """
    return [
        Run(
            run.semantic,
            tuple(Piece(_EMPTY_LINES.sub("\n", piece.text), piece.keyword) for piece in run.pieces),
        )
        for run in runs
    ]


def _covered(marks: Sequence[Highlight], kind: str, length: int) -> bytearray:
    covered = bytearray(length)
    for mark in marks:
        if mark.kind == kind:
            covered[mark.start : mark.end] = b"\x01" * (mark.end - mark.start)
    return covered


def _within(highlights: Sequence[Highlight], start: int, end: int) -> list[Highlight]:
    clipped = [
        Highlight(max(mark.start, start) - start, min(mark.end, end) - start, mark.kind)
        for mark in highlights
    ]
    return [mark for mark in clipped if mark.start < mark.end]


def _window(text: str, highlights: Sequence[Highlight], size: int) -> tuple[int, int]:
    sentences = [mark for mark in highlights if mark.kind == "semantic"]
    marks = sentences or sorted(highlights, key=lambda mark: mark.start)
    if not marks:
        start = 0
    else:
        spare = max(size - (marks[0].end - marks[0].start), 0)
        start = max(marks[0].start - min(int(size * _LEAD), spare), 0)
    start = min(start, len(text) - size)
    end = start + size
    if start > 0:
        limit = min(start + _MAX_SHIFT, marks[0].start if marks else end)
        start = _word_start(text, start, limit)
    if end < len(text):
        end = _word_end(text, end, max(end - _MAX_SHIFT, start + 1))
    return start, end


def _word_start(text: str, place: int, limit: int) -> int:
    """First place from ``place`` up to ``limit`` at which a word begins, or ``place``."""
    for candidate in range(place, limit + 1):
        if text[candidate - 1].isspace() and not text[candidate].isspace():
            return candidate
    return place


def _word_end(text: str, place: int, limit: int) -> int:
    """Last place from ``place`` down to ``limit`` at which a word ends, or ``place``."""
    for candidate in range(place, limit - 1, -1):
        if text[candidate].isspace() and not text[candidate - 1].isspace():
            return candidate
    return place
