"""What the markup formats share: blocks of text, tags left out, a title said once."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

from ingest.cleaning import clean_line, clean_text

__all__ = ["join_blocks", "strip_tags", "without_title"]

# "--" stands for comments.
_INVISIBLE = frozenset({"--", "head", "noscript", "script", "style", "svg", "template"})
_TAG = re.compile(r"<(?:!--|[!?](?!--)[^<>]*>|(?P<slash>/?)(?P<name>[a-zA-Z][\w:-]*)[^<>]*>)")
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
    blocks = "".join(_visible_parts(source.replace("\0", "").replace("\1", ""))).split("\0")
    return join_blocks(
        "\n".join(clean_line(line) for line in block.split("\1")).strip() for block in blocks
    )


def _visible_parts(source: str) -> Iterator[str]:
    r"""Yield text; ``\0`` stands for an end of a block, ``\1`` for a line break.

    The standard library's parser takes time quadratic in the length of a broken page; this
    looks at each character a bounded number of times.
    """
    never_closed: set[str] = set()
    position = 0
    for match in _TAG.finditer(source):
        if match.start() < position:
            continue
        yield html.unescape(source[position : match.start()])
        position = match.end()
        name = (match["name"] or "--").lower()
        if name in _INVISIBLE and not match["slash"] and name not in never_closed:
            end = re.compile("-->" if name == "--" else rf"</{name}\b[^<>]*>", re.I)
            closing = end.search(source, position)
            if closing is None:
                never_closed.add(name)
            else:
                position = closing.end()
        if name == "br":
            yield "\1"
        elif name not in _INLINE:
            yield "\0"
    yield html.unescape(source[position:])
