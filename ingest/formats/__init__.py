"""One module a format, and the table of which suffix is read by which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from ingest.documents import Document
from ingest.files import SourceFile
from ingest.formats.html import read_html
from ingest.formats.json_lines import read_json_lines
from ingest.formats.markdown import read_markdown
from ingest.formats.restructured_text import read_restructured_text
from ingest.formats.tables import read_csv, read_tsv
from ingest.formats.text import read_text
from ingest.options import SourceOptions
from ingest.report import IngestReport

__all__ = ["READERS", "Reader", "read_text"]

Reader: TypeAlias = Callable[[SourceFile, SourceOptions, IngestReport], Iterator[Document]]
"""Yields a file's documents; raises ``READ_ERRORS`` as they come, reports what it leaves out."""

READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".htm": read_html,
    ".html": read_html,
    ".jsonl": read_json_lines,
    ".log": read_text,
    ".markdown": read_markdown,
    ".md": read_markdown,
    ".ndjson": read_json_lines,
    ".rst": read_restructured_text,
    ".text": read_text,
    ".tsv": read_tsv,
    ".txt": read_text,
    ".xhtml": read_html,
}
"""Reader of each suffix, in lower case, without ``.gz``."""
