"""reStructuredText becomes plain text; Sphinx's directives and roles keep their words."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.cleaning import clean_line, clean_text
from ingest.documents import Document
from ingest.files import SourceFile, file_document
from ingest.formats.markup import without_title
from ingest.formats.rst_parser import parse_rst
from ingest.formats.rst_text import document_parts
from ingest.metadata import flatten_metadata
from ingest.options import SourceOptions
from ingest.report import IngestReport

__all__ = ["MAX_PARSED_CHARACTERS", "read_restructured_text", "rst_to_text"]

MAX_PARSED_CHARACTERS = 2_000_000
"""Longer files are kept as they are written; parsing them would take minutes."""

_MAX_MARKS = 5_000


def read_restructured_text(
    file: SourceFile, options: SourceOptions, report: IngestReport
) -> Iterator[Document]:
    """Read a reStructuredText file as one document.

    Parameters
    ----------
    file
        The file.
    options
        Not used.
    report
        Takes note of markup that cannot be parsed, and if the file is binary.

    Yields
    ------
    Document
        At most one.
    """
    source = file.read_text(report)
    if source is None:
        return
    try:
        title, text, fields = rst_to_text(source)
    except Exception:
        # docutils raises whatever its parser stumbles over; the words are still worth finding.
        report.note("unparsable markup file", file.place(), outcome="read as plain text")
        title, text, fields = "", clean_text(source), {}
    declared_title = fields.pop("title", None)
    title = clean_line(declared_title) if declared_title else title
    language = fields.pop("lang", None)
    if language is not None:
        fields.setdefault("language", language)
    yield file_document(
        file,
        title=title,
        text=without_title(text, title),
        kind="rst",
        metadata=flatten_metadata(fields),
    )


def rst_to_text(source: str) -> tuple[str, str, dict[str, str]]:
    r"""Title, plain text and document fields of reStructuredText.

    Nothing is included from other files and no raw output is passed through.

    Parameters
    ----------
    source
        The markup.

    Returns
    -------
    (str, str, dict of str)
        The first section's title, perhaps empty; all the text, titles included; and the fields
        of the list that stands at the top or below the title, their names in lower case.

    Examples
    --------
    >>> rst_to_text("Title\n=====\n\n:Author: Ada\n\nSee :func:`os.walk`.\n")
    ('Title', 'Title\n\nSee os.walk.', {'author': 'Ada'})
    """
    if len(source) > MAX_PARSED_CHARACTERS or _is_overmarked(source):
        return "", clean_text(source), {}
    title, text, fields = document_parts(parse_rst(source))
    return clean_line(title), clean_text(text), fields


def _is_overmarked(source: str) -> bool:
    """True when a paragraph holds so much markup that docutils, quadratic in it, would hang."""
    return any(block.count("*") + block.count("`") > _MAX_MARKS for block in source.split("\n\n"))
