"""Cut a text into passages: windows of an encoder's tokens that respect headings and sentences."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ingest.documents import Passage
from ingest.sentences import sentence_spans

__all__ = ["cut_passages"]

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_MAX_HEADING_CHARACTERS = 100
_NOT_A_HEADING = re.compile(r"[-*•|>]\s|.*[.!?,;…。！？，；、]$", re.DOTALL)  # noqa: RUF001

# How good it is to cut at a place; the best in the last 40 % of a window wins. Among sentences
# it is the last of them; among paragraphs, the one whose first words hash highest: were it the
# last, an insertion could shift every later window of a text whose paragraphs are alike.
_SENTENCE, _PARAGRAPH, _HEADING = 1, 2, 3
_SOUGHT_SHARE = 0.4
_HASHED_CHARACTERS = 64


def cut_passages(
    text: str,
    token_starts: NDArray[np.int64] | Sequence[int],
    *,
    max_tokens: int,
    overlap_tokens: int,
    sentences: Sequence[tuple[int, int]] | None = None,
    page_starts: Sequence[int] = (),
) -> list[Passage]:
    """Cut a text into passages of at most ``max_tokens`` tokens that together hold every token.

    A passage ends, in order of preference, before a heading, at the end of a paragraph or at
    the end of a sentence, sought in the last 40 % of the window; only a sentence longer than a
    window is cut inside. Within a paragraph the next passage repeats the whole sentences that
    fit in ``overlap_tokens``; after a heading or paragraph break it repeats nothing, since
    nothing is cut apart there, and an edit then changes only the passages around it.

    Parameters
    ----------
    text
        The document's text.
    token_starts
        Sorted code-point offsets at which each token of the text begins, shape (n_tokens,).
    max_tokens
        Window size, at least 1.
    overlap_tokens
        At most this many tokens are repeated; less than ``max_tokens``.
    sentences
        Spans of the sentences; found here, by the rules of English, if ``None``.
    page_starts
        Code-point offsets at which each page begins, if there are pages.

    Returns
    -------
    list of Passage
        In order, their starts and ends strictly increasing. A text that fits in a window, even
        an empty one, is one passage.

    Raises
    ------
    ValueError
        If the window or the overlap makes no sense.

    Examples
    --------
    >>> text = "One two. Three four. Five six."
    >>> starts = [0, 4, 9, 15, 21, 26]
    >>> passages = cut_passages(text, starts, max_tokens=4, overlap_tokens=2)
    >>> [text[p.start : p.end] for p in passages]
    ['One two. Three four.', 'Three four. Five six.']
    """
    if max_tokens < 1 or not 0 <= overlap_tokens < max_tokens:
        raise ValueError(
            "a window needs 0 <= overlap_tokens < max_tokens, "
            f"found overlap_tokens={overlap_tokens}, max_tokens={max_tokens}"
        )
    starts = np.asarray(token_starts, dtype=np.int64)
    if len(starts) <= max_tokens:
        return [Passage(0, len(text), _page(0, page_starts))]
    spans = sentence_spans(text) if sentences is None else sentences
    cutter = _Cutter(text, starts, _breaks(text, starts, spans), max_tokens, overlap_tokens)
    passages = []
    for first, last in cutter.windows():
        start, end = cutter.characters(first, last)
        passages.append(Passage(start, end, _page(start, page_starts)))
    return passages


@dataclass(frozen=True, slots=True)
class _Breaks:
    """Tokens before which a text may be cut, ascending, and how good each place is."""

    tokens: NDArray[np.int64]
    grades: NDArray[np.int64]
    tie_breakers: NDArray[np.int64]


def _breaks(text: str, starts: NDArray[np.int64], sentences: Sequence[tuple[int, int]]) -> _Breaks:
    sentence_ends = np.asarray([end for _, end in sentences], dtype=np.int64)
    gaps, gap_grades = _paragraph_gaps(text)
    # A token may begin with the space before its word: the first token that begins at or after
    # the end of what precedes the cut is right either way.
    tokens = np.searchsorted(starts, np.concatenate([sentence_ends, gaps]))
    grades = np.concatenate([np.full(len(sentence_ends), _SENTENCE, dtype=np.int64), gap_grades])
    best = np.full(len(starts) + 1, -1, dtype=np.int64)
    np.maximum.at(best, tokens, grades)
    # Below a heading its own first paragraph follows: no cut, whatever else speaks for it.
    best[tokens[grades == 0]] = -1
    best[[0, len(starts)]] = -1
    kept = np.flatnonzero(best > 0)
    grades = best[kept]
    ties = np.arange(len(kept))
    for row in np.flatnonzero(grades >= _PARAGRAPH):
        start = int(starts[kept[row]])
        ties[row] = len(kept) + crc32(
            text[start : start + _HASHED_CHARACTERS].encode("utf-8", "replace")
        )
    return _Breaks(kept, grades, ties)


def _paragraph_gaps(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where paragraphs end, and the grade of a cut there: 0 below a heading."""
    gaps = [(gap.start(), gap.end()) for gap in _BLANK_LINES.finditer(text)]
    edges = [(0, 0), *gaps, (len(text), len(text))]
    headings = [_is_heading(text, start, end) for (_, start), (end, _) in pairwise(edges)]
    grades = []
    for above, below in pairwise(headings):
        grades.append(0 if above else _HEADING if below else _PARAGRAPH)
    positions = np.asarray([start for start, _ in gaps], dtype=np.int64)
    return positions, np.asarray(grades, dtype=np.int64)


def _is_heading(text: str, start: int, end: int) -> bool:
    if not 0 < end - start <= _MAX_HEADING_CHARACTERS:
        return False
    block = text[start:end].strip()
    return bool(block) and "\n" not in block and not _NOT_A_HEADING.match(block)


@dataclass(frozen=True, slots=True)
class _Cutter:
    """One text being cut; positions are rows of ``starts`` unless said otherwise."""

    text: str
    starts: NDArray[np.int64]
    breaks: _Breaks
    max_tokens: int
    overlap_tokens: int

    def windows(self) -> list[tuple[int, int]]:
        """First token of each window and the token after its last."""
        windows: list[tuple[int, int]] = []
        first = previous_last = 0
        while first + self.max_tokens < len(self.starts):
            last, grade = self._last(first, previous_last)
            windows.append((first, last))
            first, previous_last = self._next_first(first, last, grade), last
        windows.append((first, len(self.starts)))
        return windows

    def _last(self, first: int, previous_last: int) -> tuple[int, int]:
        """Where the window ends, and the grade of that place, 0 inside a sentence."""
        limit = first + self.max_tokens
        tokens, grades = self.breaks.tokens, self.breaks.grades
        sought = max(limit - int(self.max_tokens * _SOUGHT_SHARE), previous_last + 1)
        low, high = np.searchsorted(tokens, [sought, limit + 1])
        if low < high:
            best = low + int(np.lexsort((self.breaks.tie_breakers[low:high], grades[low:high]))[-1])
            return int(tokens[best]), int(grades[best])
        if high > 0 and tokens[high - 1] > previous_last:
            earlier = int(tokens[high - 1])
            following = int(tokens[high]) if high < len(tokens) else len(self.starts)
            # Stop early only when the next sentence then fits in a window whole.
            if following - earlier <= self.max_tokens:
                return earlier, int(grades[high - 1])
        return self._word_start(limit, max(sought, limit - self.max_tokens // 4)), 0

    def _next_first(self, first: int, last: int, grade: int) -> int:
        if grade >= _PARAGRAPH or self.overlap_tokens == 0:
            return last
        earliest = max(last - self.overlap_tokens, first + 1)
        tokens, grades = self.breaks.tokens, self.breaks.grades
        low, high = np.searchsorted(tokens, [earliest, last])
        if low == high:
            # Inside a long sentence the overlap begins at a word; after a whole sentence that
            # is longer than the overlap there is none.
            return last if grade else self._word_start(last, earliest, latest=False)
        paragraphs = np.flatnonzero(grades[low:high] >= _PARAGRAPH)
        return int(tokens[low + int(paragraphs[-1])] if len(paragraphs) else tokens[low])

    def _word_start(self, limit: int, lowest: int, *, latest: bool = True) -> int:
        """Return a token in ``lowest..limit`` that begins a line, or else a word."""
        rows = range(limit, lowest - 1, -1) if latest else range(lowest, limit + 1)
        word = -1
        for row in rows:
            before = self._gap_before(row)
            if "\n" in before:
                return row
            if word < 0 and before:
                word = row
        if word >= 0:
            return word
        return limit if latest else lowest

    def _gap_before(self, row: int) -> str:
        """White space that separates a token from what is before it."""
        start = int(self.starts[row])
        around = self.text[max(0, start - 1) : start + 1]
        return "".join(character for character in around if character.isspace())

    def characters(self, first: int, last: int) -> tuple[int, int]:
        """Code-point span of a window, without white space around it."""
        start = int(self.starts[first]) if first else 0
        end = int(self.starts[last]) if last < len(self.starts) else len(self.text)
        while start < end and self.text[end - 1].isspace():
            end -= 1
        while start < end and self.text[start].isspace():
            start += 1
        return start, end


def _page(start: int, page_starts: Sequence[int]) -> int | None:
    return max(1, bisect_right(page_starts, start)) if page_starts else None
