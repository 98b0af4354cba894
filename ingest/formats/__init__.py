"""One module a format, and the table of which suffix is read by which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from ingest.documents import Document
from ingest.files import SourceFile
from ingest.formats.json_lines import read_json_lines
from ingest.formats.markdown import read_markdown
from ingest.formats.text import read_text
from ingest.options import SourceOptions
from ingest.report import IngestReport

__all__ = ["READERS", "Reader", "read_text"]

Reader: TypeAlias = Callable[[SourceFile, SourceOptions, IngestReport], Iterator[Document]]
"""Yields a file's documents; raises ``READ_ERRORS`` as they come, reports what it leaves out."""

READERS: dict[str, Reader] = {
    ".jsonl": read_json_lines,
    ".log": read_text,
    ".markdown": read_markdown,
    ".md": read_markdown,
    ".ndjson": read_json_lines,
    ".text": read_text,
    ".txt": read_text,
}
"""Reader of each suffix, in lower case, without ``.gz``."""
