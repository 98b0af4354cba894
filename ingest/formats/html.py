"""HTML pages become their main text: no menus, no scripts, nothing fetched."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest.cleaning import clean_line, clean_text
from ingest.decoding import SAMPLE_BYTES, decode
from ingest.documents import Document, MetadataValue
from ingest.files import SourceFile, file_document
from ingest.formats.markup import join_blocks, strip_tags, without_title
from ingest.options import SourceOptions
from ingest.report import IngestReport

__all__ = ["MAX_EXTRACTED_CHARACTERS", "HtmlPage", "extract_page", "read_html"]

MAX_EXTRACTED_CHARACTERS = 2_000_000
"""Larger pages keep all their visible text: to find the main part could take minutes."""

_CHARSET = re.compile(rb"<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.I)
_LANGUAGE = re.compile(r"<html\b[^>]*?\blang\s*=\s*[\"']?([\w-]{2,20})", re.I)
_TITLE = re.compile(r"<title\b[^>]*>(.{0,2000}?)</title", re.I | re.S)
_HEADING = re.compile(r"<h1\b[^>]*>(.{0,5000}?)</h1", re.I | re.S)
_CELL_SEPARATOR = " | "
# Deeper trees are built to exhaust parsers; no page that people read comes near.
_MAX_DEPTH = 200


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """What a page says.

    Parameters
    ----------
    title
        One line; may be empty.
    text
        Its main text, headings and paragraphs separated by blank lines.
    url
        The address it gives as its own, or ``None``.
    metadata
        ``language``, ``date``, ``author``, ``tags`` where it declares them.
    """

    title: str
    text: str
    url: str | None = None
    metadata: dict[str, MetadataValue] = field(default_factory=dict)


def read_html(file: SourceFile, options: SourceOptions, report: IngestReport) -> Iterator[Document]:
    """Read an HTML file as one document.

    Parameters
    ----------
    file
        The file.
    options
        Not used.
    report
        Takes note if the file is binary.

    Yields
    ------
    Document
        At most one.
    """
    source = _decoded(file.read_bytes())
    if source is None:
        report.skip("binary file", file.place())
        return
    page = extract_page(source)
    yield file_document(
        file,
        title=page.title,
        text=page.text,
        kind="html",
        metadata=page.metadata,
        url=page.url,
    )


def extract_page(source: str) -> HtmlPage:
    """Find a page's title, its main text and what it declares about itself.

    Where no main text is found, all visible text is kept.

    Parameters
    ----------
    source
        HTML, however broken.

    Examples
    --------
    >>> extract_page("<title>Apples</title><body><p>They keep.</p></body>").text
    'They keep.'
    """
    metadata: dict[str, MetadataValue] = {}
    language = _LANGUAGE.search(source[:SAMPLE_BYTES])
    if language is not None:
        metadata["language"] = language[1].lower()
    title, text, url = _extract_main(source, metadata)
    if not text:
        text = clean_text(strip_tags(source))
    title = title or _tag_text(_TITLE, source) or _tag_text(_HEADING, source)
    return HtmlPage(title, without_title(text, title), url, metadata)


def _decoded(content: bytes) -> str | None:
    """Decode as the page declares, where it is not UTF-8 and the declaration holds."""
    declared = _CHARSET.search(content[:4096])
    if declared is not None and b"\x00" not in content:
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            try:
                return content.decode(declared[1].decode("ascii"))
            except (LookupError, UnicodeError):
                pass  # an unknown or false declaration: guess as for any other file
    return decode(content)


def _extract_main(source: str, metadata: dict[str, MetadataValue]) -> tuple[str, str, str | None]:
    if len(source) > MAX_EXTRACTED_CHARACTERS or _depth(source) > _MAX_DEPTH:
        return "", "", None
    # Imported here: it reads its settings file when imported, which no module of ours may.
    from trafilatura import bare_extraction

    for name in ("trafilatura", "htmldate", "justext", "charset_normalizer"):
        # They report every page without a main text; we fall back and need no report.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        found = bare_extraction(
            source,
            favor_recall=True,
            include_comments=False,
            include_tables=True,
            with_metadata=True,
            date_extraction_params={"extensive_search": False, "original_date": True},
        )
    except Exception:
        # Broken pages make lxml and the extractor raise whatever they like.
        return "", "", None
    if found is None:
        return "", "", None
    for name, value in (("date", found.date), ("author", found.author)):
        if value:
            metadata[name] = clean_line(value)
    tags = [clean_line(tag) for tag in found.tags or () if clean_line(tag)]
    if tags:
        metadata["tags"] = tags
    body = [] if found.body is None else [_block(element) for element in found.body]
    return clean_line(found.title or ""), clean_text(join_blocks(body)), found.url


def _depth(source: str) -> int:
    """Upper bound on how deep elements that must be closed are nested."""
    depth = deepest = 0
    for match in re.finditer(
        r"<(/?)(?:div|span|b|i|table|ul|ol|blockquote|font|section)\b", source
    ):
        depth = max(0, depth - 1) if match[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


def _tag_text(pattern: re.Pattern[str], source: str) -> str:
    match = pattern.search(source)
    return "" if match is None else clean_line(html.unescape(re.sub("<[^>]*>", "", match[1])))


def _block(element: object) -> str:
    """Text of one element of the extractor's tree: p, head, list, table, code, quote."""
    tag = getattr(element, "tag", None)
    children = list(element)  # type: ignore[call-overload]
    if tag == "list":
        items = (_flat(item) for item in children)
        return "\n".join(f"- {item}" for item in items if item)
    if tag == "table":
        rows = ([_flat(cell) for cell in row] for row in children)
        return "\n".join(_CELL_SEPARATOR.join(row) for row in rows if any(row))
    if tag == "code":
        return "".join(element.itertext()).strip("\n")  # type: ignore[attr-defined]
    if tag == "quote" and any(child.tag in {"p", "list", "head"} for child in children):
        return join_blocks([str(getattr(element, "text", "") or ""), *map(_block, children)])
    return _flat(element)


def _flat(element: object) -> str:
    parts: list[str] = []
    for part in element.iter():  # type: ignore[attr-defined]
        if part.tag == "lb":
            parts.append("\1")
        parts.append(part.text or "")
        if part is not element:
            # Nested items and paragraphs would otherwise run into each other.
            parts.append(" " if part.tag in {"item", "p", "cell"} else "")
            parts.append(part.tail or "")
    return "\n".join(clean_line(line) for line in "".join(parts).split("\1")).strip()
