"""Documentation strings of the running Python as documents."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.documents import Document
from ingest.errors import CorpusError
from ingest.report import IngestReport

PYDOC_PREFIX = "pydoc:"


def read_pydoc(spec: str, *, report: IngestReport | None = None) -> Iterator[Document]:
    """Not written yet."""
    raise CorpusError("not yet")
