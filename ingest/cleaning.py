"""One written form for all text: NFC, plain newlines, no control characters."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["clean_line", "clean_name", "clean_text"]

_NEWLINES = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Soft hyphens and byte order marks are invisible and would split or double the word they are in.
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n{3,}")
_WHITE_SPACE = re.compile(r"\s+")


def clean_text(text: str) -> str:
    r"""Text in Unicode normal form C, with single newlines and at most one blank line in a row.

    Control characters other than newline and tab, soft hyphens and byte order marks are
    removed; every kind of line break becomes ``\n``; lone surrogates become U+FFFD; trailing
    spaces, and blank lines at either end, are stripped. Cleaning twice changes nothing.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        The same text in its one written form.

    Examples
    --------
    >>> clean_text("cafe\u0301  \r\n\r\n\r\n\r\nnext\x00 line\n")
    'café\n\nnext line'
    """
    text = _NEWLINES.sub("\n", text)
    if not text.isprintable():
        text = _UNWANTED.sub("", text)
    if not text.isascii():
        text = _SURROGATES.sub("\ufffd", text)
        text = unicodedata.normalize("NFC", text)
    if " \n" in text or "\t\n" in text:
        text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip("\n").rstrip()


def clean_line(text: str) -> str:
    r"""Clean text on a single line, every run of white space one space.

    Parameters
    ----------
    text
        Any text, such as a title.

    Returns
    -------
    str
        One line, without white space at its ends.

    Examples
    --------
    >>> clean_line("  A title\n  over two lines ")
    'A title over two lines'
    """
    return _WHITE_SPACE.sub(" ", clean_text(text)).strip()


def clean_name(name: str) -> str:
    r"""A file name or id that can be written as UTF-8; nothing else in it changes.

    Ids are not normalized, so that queries and judgments written elsewhere still name them.

    Parameters
    ----------
    name
        A name, perhaps with the lone surrogates Python uses for undecodable bytes.

    Returns
    -------
    str
        The name with each lone surrogate replaced by U+FFFD.

    Examples
    --------
    >>> clean_name("caf\udce9.txt")
    'caf\ufffd.txt'
    """
    return _SURROGATES.sub("\ufffd", name)
