"""Sources - files, folders, patterns, BEIR folders, Python's own documentation - as Documents."""

from __future__ import annotations

import glob
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingest.beir import CORPUS_NAMES
from ingest.decoding import SAMPLE_BYTES, detect_encoding
from ingest.documents import Document
from ingest.errors import CorpusError
from ingest.files import READ_ERRORS, SourceFile
from ingest.folders import Excludes, walk_folder
from ingest.formats import READERS, Reader, read_text
from ingest.options import SourceOptions
from ingest.pydoc_source import PYDOC_PREFIX, read_pydoc
from ingest.report import IngestReport

__all__ = ["IngestReport", "SourceOptions", "read_documents", "source_files"]


def read_documents(
    sources: Sequence[str],
    *,
    options: SourceOptions | None = None,
    report: IngestReport | None = None,
) -> Iterator[Document]:
    r"""Read every document of every source, one at a time and in a fixed order.

    A source is a file, a folder, a glob pattern, a folder with a BEIR corpus, or
    ``pydoc:stdlib`` and ``pydoc:MODULE[,MODULE...]``. Ids are not checked for being unique:
    whoever stores the documents does that, with their ``origin`` and ``DuplicateDocumentError``.

    Parameters
    ----------
    sources
        What to read.
    options
        How to read it.
    report
        Takes note of what is skipped or repaired.

    Yields
    ------
    Document
        Each with a title or a text.

    Raises
    ------
    CorpusError
        If a source does not exist or makes no sense; names it, and the line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.md").write_text("# Apples\n\nThey keep.")
    ...     [(d.doc_id, d.title, d.text) for d in read_documents([folder])]
    [('a.md', 'Apples', 'They keep.')]
    """
    options = SourceOptions() if options is None else options
    report = IngestReport() if report is None else report
    for source in sources:
        for document in _read_source(source, options, report):
            if not (document.title or document.text):
                report.skip("empty document", document.origin)
                continue
            report.n_documents += 1
            yield document


def source_files(sources: Sequence[str], *, options: SourceOptions | None = None) -> Iterator[Path]:
    """List the files that reading the sources would open; Python modules have none.

    Raises
    ------
    CorpusError
        If a source does not exist; names it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.md").write_text("# Apples")
    ...     [path.name for path in source_files([folder, "pydoc:json"])]
    ['a.md']
    """
    options = SourceOptions() if options is None else options
    for source in sources:
        if not source.startswith(PYDOC_PREFIX):
            for file, _ in _source_files(source, options, IngestReport()):
                yield file.path


def _read_source(source: str, options: SourceOptions, report: IngestReport) -> Iterator[Document]:
    if source.startswith(PYDOC_PREFIX):
        yield from read_pydoc(source.removeprefix(PYDOC_PREFIX), report=report)
        return
    n_before = report.n_documents
    first_error: CorpusError | None = None
    for file, explicit in _source_files(source, options, report):
        try:
            yield from _read_file(file, options, report, explicit=explicit)
        except _NotACorpusError as error:
            # A folder may hold tables that are no documents. If it holds nothing else, then
            # what is wrong with the first of them is what its owner needs to know.
            first_error = first_error or error.reason
            report.skip("table of something else", file.place())
    if first_error is not None and report.n_documents == n_before:
        raise first_error


class _NotACorpusError(Exception):
    """The first record of a file met in a folder makes no sense as a document."""

    def __init__(self, reason: CorpusError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _source_files(
    source: str, options: SourceOptions, report: IngestReport
) -> Iterator[tuple[SourceFile, bool]]:
    """Yield the files of a source, and for each whether the source names it itself."""
    excludes = Excludes(options.excludes)
    path = Path(source).expanduser()
    try:
        mode = path.stat().st_mode if source else None
    except (OSError, ValueError):
        mode = None
    if mode is None:
        if not glob.has_magic(source):
            raise CorpusError(f"no such file or folder: {source!r}")
        yield from _matching_files(str(path), excludes)
    elif stat.S_ISDIR(mode):
        corpus = next((path / name for name in CORPUS_NAMES if (path / name).is_file()), None)
        if corpus is not None:
            yield SourceFile(corpus, corpus.name), True
        else:
            yield from ((file, False) for file in walk_folder(path, excludes, report))
    else:
        yield SourceFile(path, path.name), True


def _matching_files(pattern: str, excludes: Excludes) -> Iterator[tuple[SourceFile, bool]]:
    """Yield the files a pattern matches, named relative to its part before the first wildcard."""
    parts = Path(pattern).parts
    n_fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:n_fixed])
    matches = sorted(
        match
        for match in glob.iglob(pattern, recursive=True)  # noqa: PTH207  (a whole path)
        if Path(match).is_file()
    )
    if not matches:
        raise CorpusError(f"no file matches {pattern!r}")
    for match in matches:
        name = Path(match).relative_to(base).as_posix()
        if not excludes.match(name, is_folder=False):
            yield SourceFile(Path(match), name), True


def _read_file(
    file: SourceFile, options: SourceOptions, report: IngestReport, *, explicit: bool
) -> Iterator[Document]:
    reader = READERS.get(file.suffix)
    n_read = 0
    try:
        if reader is None:
            reader = _reader_of_unknown(file, report, explicit=explicit)
        if reader is not None:
            for document in reader(file, options, report):
                n_read += 1
                yield document
    except CorpusError as error:
        if explicit or n_read:
            raise
        raise _NotACorpusError(error) from error
    except READ_ERRORS as error:
        if n_read:
            # Half a corpus must not pass for a whole one.
            reason = " ".join(str(error).split())
            raise CorpusError(f"{file.place()}: cannot be read to its end: {reason}") from error
        report.skip("unreadable file", file.place())


def _reader_of_unknown(file: SourceFile, report: IngestReport, *, explicit: bool) -> Reader | None:
    with file.open() as stream:
        encoding = detect_encoding(stream.read(SAMPLE_BYTES))
    if encoding is None:
        report.skip("binary file", file.place())
        return None
    if not explicit:
        report.skip("unknown format", file.place())
        return None
    return read_text
