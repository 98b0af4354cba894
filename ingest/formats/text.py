"""Plain text: a file is a document, a form feed begins a page."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.cleaning import clean_text
from ingest.documents import Document
from ingest.files import SourceFile, file_document
from ingest.options import SourceOptions
from ingest.report import IngestReport

__all__ = ["join_pages", "read_text"]


def read_text(file: SourceFile, options: SourceOptions, report: IngestReport) -> Iterator[Document]:
    """Read a plain text file as one document, titled by its file name.

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
    decoded = file.read_text(report)
    if decoded is None:
        return
    text, page_starts = join_pages(decoded)
    yield file_document(
        file, title="", text=text, kind="text", metadata={}, page_starts=page_starts
    )


def join_pages(text: str) -> tuple[str, tuple[int, ...]]:
    r"""Clean text page by page, where form feeds end pages.

    Parameters
    ----------
    text
        Text as converters of paged documents write it.

    Returns
    -------
    (str, tuple of int)
        The clean text and where in it each page begins; no starts when there are no pages.

    Examples
    --------
    >>> join_pages("one\n\ftwo\n")
    ('one\n\ntwo', (0, 5))
    >>> join_pages("no pages")
    ('no pages', ())
    """
    pages = text.rstrip("\f\n").split("\f")
    if len(pages) == 1:
        return clean_text(text), ()
    starts: list[int] = []
    kept: list[str] = []
    length = 0
    for page in pages:
        cleaned = clean_text(page)
        # An empty page still counts, or the numbers of all later pages would be wrong.
        separator = "\n\n" if kept and cleaned else ""
        starts.append(length + len(separator))
        if cleaned:
            kept.append(separator + cleaned)
            length += len(kept[-1])
    return "".join(kept), tuple(starts)
