"""A file that a source names, plain or gzipped, and what its reading may fail with."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from ingest.cleaning import clean_line, clean_name
from ingest.decoding import decode
from ingest.documents import Document, MetadataValue
from ingest.metadata import web_address
from ingest.report import IngestReport

__all__ = ["READ_ERRORS", "SourceFile", "file_document"]

READ_ERRORS = (OSError, EOFError, zlib.error)
"""What opening or reading a file may raise; the last two come from damaged gzip."""

_GZIP_SUFFIX = ".gz"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source.

    Parameters
    ----------
    path
        Where it is.
    name
        The id of the document it holds: its path relative to the source, with ``/``.

    Examples
    --------
    >>> file = SourceFile(Path("docs/user_guide.md.gz"), "user_guide.md.gz")
    >>> file.suffix, file.stem_title
    ('.md', 'User guide')
    """

    path: Path
    name: str

    @property
    def suffix(self) -> str:
        """Suffix that tells the format, in lower case, ``.gz`` set aside."""
        return PurePosixPath(self._inner_name).suffix.lower()

    @property
    def stem_title(self) -> str:
        """The file's name as words, for a document that declares no title."""
        stem = PurePosixPath(self._inner_name).stem
        words = clean_line(stem.replace("_", " ").replace("-", " ")) or clean_line(stem)
        return words[:1].upper() + words[1:]

    @property
    def _inner_name(self) -> str:
        name = self.path.name
        gzipped = name.lower().endswith(_GZIP_SUFFIX)
        return name[: -len(_GZIP_SUFFIX)] if gzipped else name

    def open(self) -> BinaryIO:
        """Open for reading bytes, unpacked."""
        if self.path.name.lower().endswith(_GZIP_SUFFIX):
            return cast(BinaryIO, gzip.open(self.path, "rb"))
        return self.path.open("rb")

    def place(self, line: int | None = None) -> str:
        """``path`` or ``path:line``, for messages and ``Document.origin``."""
        path = clean_name(str(self.path))
        return path if line is None else f"{path}:{line}"

    def read_bytes(self) -> bytes:
        """Everything in it, unpacked."""
        with self.open() as stream:
            return stream.read()

    def read_text(self, report: IngestReport) -> str | None:
        """Everything in it as text, or ``None``, reported, if it is binary."""
        text = decode(self.read_bytes())
        if text is None:
            report.skip("binary file", self.place())
        return text


def file_document(
    file: SourceFile,
    *,
    title: str,
    text: str,
    kind: str,
    metadata: Mapping[str, MetadataValue],
    url: object = None,
    page_starts: tuple[int, ...] = (),
) -> Document:
    """Make the document that a whole file is.

    Parameters
    ----------
    file
        The file read.
    title
        Title found in it, cleaned here; if empty, the file's name as words stands in.
    text
        Clean text.
    kind
        Name of the format.
    metadata
        What the file declares about itself; its own ``kind`` and ``language`` are kept.
    url
        Address it declares, kept only if a browser may open it.
    page_starts
        Offsets at which pages begin.
    """
    title = clean_line(title)
    if not title and text:
        title = file.stem_title
    return Document(
        clean_name(file.name),
        title,
        text,
        url=web_address(url),
        metadata={"kind": kind, **metadata, "path": clean_name(file.name)},
        origin=file.place(),
        page_starts=page_starts,
    )
