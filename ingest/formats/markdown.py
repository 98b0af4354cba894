"""Markdown becomes plain text that reads well; its front matter becomes metadata."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.footnote import footnote_plugin

from ingest.cleaning import clean_line, clean_text
from ingest.documents import Document
from ingest.files import SourceFile, file_document
from ingest.formats.front_matter import split_front_matter
from ingest.formats.markup import join_blocks, strip_tags, without_title
from ingest.metadata import flatten_metadata
from ingest.options import SourceOptions
from ingest.report import IngestReport

__all__ = ["MAX_PARSED_CHARACTERS", "markdown_to_text", "read_markdown"]

MAX_PARSED_CHARACTERS = 2_000_000
"""Longer files are kept as they are written; parsing them would take minutes."""

# Nested lists count two levels each; the parser drops what lies deeper than its default of 20.
_MAX_NESTING = 60
_CELL_SEPARATOR = " | "


def read_markdown(
    file: SourceFile, options: SourceOptions, report: IngestReport
) -> Iterator[Document]:
    """Read a Markdown file as one document.

    Its title is the front matter's, or else the first heading of the highest level.

    Parameters
    ----------
    file
        The file.
    options
        Not used.
    report
        Takes note of a broken front matter, and if the file is binary.

    Yields
    ------
    Document
        At most one.
    """
    decoded = file.read_text(report)
    if decoded is None:
        return
    body, fields = split_front_matter(decoded, file.place(), report)
    declared_title = fields.pop("title", None)
    url = fields.pop("url", None)
    heading, text = markdown_to_text(body)
    title = clean_line(str(declared_title)) if declared_title is not None else heading
    language = fields.pop("lang", None)
    if language is not None:
        fields.setdefault("language", language)
    yield file_document(
        file,
        title=title,
        text=without_title(text, title),
        kind="markdown",
        metadata=flatten_metadata(fields),
        url=url,
    )


def markdown_to_text(source: str) -> tuple[str, str]:
    r"""Heading and plain text of Markdown.

    Code stays as it is, links keep their text, images their description; table cells are
    separated by `` | ``, blocks by blank lines, list items by newlines.

    Parameters
    ----------
    source
        Markdown (CommonMark with tables, footnotes and definition lists).

    Returns
    -------
    (str, str)
        The first heading of the highest level there is, perhaps empty, and all the text,
        headings included.

    Examples
    --------
    >>> markdown_to_text("# Title\n\nSee [the *docs*](https://example.org).\n\n- one\n- two\n")
    ('Title', 'Title\n\nSee the docs.\n\n- one\n- two')
    """
    if len(source) > MAX_PARSED_CHARACTERS:
        return "", clean_text(source)
    try:
        root = SyntaxTreeNode(_parser().parse(source))
        headings = [(node.tag, _inline(node)) for node in root.children if node.type == "heading"]
        text = _blocks(root)
    except RecursionError:
        return "", clean_text(source)
    title = min(headings, key=lambda heading: heading[0])[1] if headings else ""
    return clean_line(title), clean_text(text)


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING})
    return parser.enable(["table", "strikethrough"]).use(footnote_plugin).use(deflist_plugin)


def _blocks(node: SyntaxTreeNode) -> str:
    return join_blocks(_block(child) for child in node.children)


def _block(node: SyntaxTreeNode) -> str:
    if node.type in {"fence", "code_block"}:
        return node.content.rstrip()
    if node.type in {"bullet_list", "ordered_list"}:
        return _list(node)
    if node.type == "table":
        return "\n".join(_row(row) for part in node.children for row in part.children)
    if node.type == "html_block":
        return strip_tags(node.content)
    if node.type in {"heading", "paragraph", "dt"}:
        return _inline(node)
    if node.type == "dl":
        return "\n".join(_block(child) for child in node.children)
    return _blocks(node)


def _list(node: SyntaxTreeNode) -> str:
    first = int(str(node.attrs.get("start", 1)))
    ordered = node.type == "ordered_list"
    items: list[str] = []
    for number, item in enumerate(node.children, start=first):
        marker = f"{number}. " if ordered else "- "
        # A blank line inside an item would read as the end of the list.
        lines = [line for line in _blocks(item).split("\n") if line]
        items.append(marker + ("\n" + " " * len(marker)).join(lines))
    return "\n".join(items)


def _row(row: SyntaxTreeNode) -> str:
    return _CELL_SEPARATOR.join(_inline(cell) for cell in row.children).strip()


def _inline(node: SyntaxTreeNode) -> str:
    return "".join(_inline_part(child) for child in node.children).strip()


def _inline_part(node: SyntaxTreeNode) -> str:
    if node.type == "softbreak":
        return " "
    if node.type == "hardbreak":
        return "\n"
    if node.type == "html_inline":
        return "\n" if node.content.lower().startswith("<br") else ""
    if node.type == "footnote_ref":
        return ""
    if node.children:
        return "".join(_inline_part(child) for child in node.children)
    return node.content
