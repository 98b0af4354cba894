"""Where the sentences of a text begin and end."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sentencex import get_sentence_boundaries

__all__ = ["sentence_spans"]

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_WIDE_SPACE = re.compile(r"[^\S\n ]")
_MAX_CHARACTERS = 20_000
"""Longer paragraphs are split in pieces first; no sentence anyone reads is that long."""


def sentence_spans(text: str, language: str = "en") -> list[tuple[int, int]]:
    r"""Find the sentences of a text; none crosses a blank line.

    Parameters
    ----------
    text
        Any text.
    language
        Two-letter code, perhaps with a region; an unknown one is read by general rules.

    Returns
    -------
    list of (start, end)
        Code-point offsets, in order and without overlap; white space around sentences is left
        out, so every span holds something visible.

    Examples
    --------
    >>> text = "Dr. Lee left. Why?\n\nNobody knows."
    >>> [text[start:end] for start, end in sentence_spans(text)]
    ['Dr. Lee left.', 'Why?', 'Nobody knows.']
    """
    code = re.split("[-_]", language)[0].lower() or "en"
    spans: list[tuple[int, int]] = []
    for start, end in _pieces(text):
        for first, last in _boundaries(text[start:end], code):
            span = _trimmed(text, start + first, start + last)
            if span is not None:
                spans.append(span)
    return spans


def _boundaries(piece: str, code: str) -> list[tuple[int, int]]:
    # The library cuts wide spaces (U+3000 and others) in the middle of their bytes, and panics;
    # one blank for one keeps every offset.
    plain = _WIDE_SPACE.sub(" ", piece)
    try:
        found = get_sentence_boundaries(code, plain)
    except BaseException as error:
        # A panic in the library is no Exception to Python; the whole piece is better than none.
        if type(error).__name__ != "PanicException":
            raise
        return [(0, len(piece))]
    return [(boundary["start_index"], boundary["end_index"]) for boundary in found]


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield the paragraphs, the overlong ones cut at white space where there is some."""
    start = 0
    for gap in _BLANK_LINES.finditer(text):
        yield from _short_pieces(text, start, gap.start())
        start = gap.end()
    yield from _short_pieces(text, start, len(text))


def _short_pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > _MAX_CHARACTERS:
        limit = start + _MAX_CHARACTERS
        half = start + _MAX_CHARACTERS // 2
        cut = max(text.rfind("\n", half, limit), text.rfind(". ", half, limit)) + 1
        cut = cut or text.rfind(" ", half, limit) + 1 or limit
        yield start, cut
        start = cut
    if start < end:
        yield start, end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    end -= len(piece) - len(piece.rstrip())
    return (start, end) if start < end else None
