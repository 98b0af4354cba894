"""What the markup formats share: blocks of text, tags left out, a title said once."""

from __future__ import annotations

from collections.abc import Iterable
from html.parser import HTMLParser

from ingest.cleaning import clean_line, clean_text

__all__ = ["join_blocks", "strip_tags", "without_title"]

_INVISIBLE = frozenset({"script", "style", "template", "noscript", "svg", "head"})
_INLINE_TAGS = """
a abbr b bdi bdo cite code data del dfn em font i ins kbd label mark q ruby s samp small span
strong sub sup time tt u var wbr
"""
_INLINE = frozenset(_INLINE_TAGS.split())


def join_blocks(blocks: Iterable[str]) -> str:
    r"""Join the blocks that hold text with a blank line between them.

    Parameters
    ----------
    blocks
        Paragraphs, headings, lists, each without blank lines at its ends.

    Examples
    --------
    >>> join_blocks(["Title", "", "Body."])
    'Title\n\nBody.'
    """
    return "\n\n".join(block for block in blocks if block.strip())


def without_title(text: str, title: str) -> str:
    r"""Text without its first line, when that line only repeats the title.

    Parameters
    ----------
    text
        Clean text.
    title
        The document's title.

    Examples
    --------
    >>> without_title("Title\n\nBody.", "Title")
    'Body.'
    """
    first, _, rest = text.partition("\n")
    return clean_text(rest) if title and clean_line(first) == title else text


def strip_tags(source: str) -> str:
    r"""Visible text of HTML, a blank line where an element other than an inline one begins or ends.

    Parameters
    ----------
    source
        HTML, however broken.

    Examples
    --------
    >>> strip_tags("<p>One <b>word</b></p><script>x()</script><p>Two &amp; three</p>")
    'One word\n\nTwo & three'
    """
    stripper = _TagStripper()
    stripper.feed(source)
    stripper.close()
    blocks = "".join(stripper.parts).split("\0")
    return join_blocks(
        "\n".join(clean_line(line) for line in block.split("\1")).strip() for block in blocks
    )


class _TagStripper(HTMLParser):
    r"""Collects text; ``\0`` stands for an end of a block, ``\1`` for a line break."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._invisible: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._invisible is None and tag in _INVISIBLE:
            self._invisible = tag
        self._separate(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._separate(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._invisible:
            self._invisible = None
        self._separate(tag)

    def handle_data(self, data: str) -> None:
        if self._invisible is None:
            self.parts.append(data.replace("\0", "").replace("\1", ""))

    def _separate(self, tag: str) -> None:
        if tag == "br":
            self.parts.append("\1")
        elif tag not in _INLINE:
            self.parts.append("\0")
