"""Where the documents of a version lie: one SQLite file, rows in doc_id order.

``document_row`` is a document's position among all doc_ids sorted by code point, so ties
between equal scores, which go by doc_id, go by row.
"""

from __future__ import annotations

import hashlib
import json
import queue
import sqlite3
import unicodedata
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ingest.documents import Document
from ingest.errors import (
    CorpusError,
    DocumentNotFoundError,
    DuplicateDocumentError,
    IndexCorruptError,
    IndexFolderError,
)

__all__ = ["FILE_NAME", "CorpusChange", "CorpusComparison", "DocumentSpool", "DocumentStore"]

FILE_NAME = "documents.sqlite"
_BATCH = 1000
_REMEMBERED_NAMES = 1000
T = TypeVar("T")
_COLUMNS = "doc_id, title, text, url, metadata, names, page_starts, content_hash"
_SPOOL_TABLE = """
    CREATE TABLE spool (doc_id TEXT PRIMARY KEY, title TEXT, text TEXT, url TEXT,
        metadata TEXT, names TEXT, page_starts TEXT, content_hash TEXT, origin TEXT)
"""
_DOCUMENTS_TABLE = """
    CREATE TABLE documents (document_row INTEGER PRIMARY KEY, doc_id TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL, text TEXT NOT NULL, url TEXT, metadata TEXT NOT NULL,
        names TEXT NOT NULL, page_starts TEXT NOT NULL, content_hash TEXT NOT NULL)
"""
_NAMES_TABLE = """
    CREATE TABLE names (folded TEXT NOT NULL, name TEXT NOT NULL, document_row INTEGER NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class CorpusChange:
    """How a set of documents differs from the parent version's."""

    added: int
    changed: int
    removed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class CorpusComparison:
    """Where the documents of a version stand in its parent.

    Parameters
    ----------
    unchanged
        int64, shape (n_documents,): row of the same document in the parent, -1 where there is none.
    same_text
        int64, shape (n_documents,): the same for documents whose title, text and pages are what
        they were, whatever else of them changed.
    n_parent
        How many documents the parent has.
    """

    change: CorpusChange
    unchanged: NDArray[np.int64]
    same_text: NDArray[np.int64]
    n_parent: int


class DocumentSpool:
    """Documents being gathered for a new version, in any order, never all in memory.

    Parameters
    ----------
    folder
        The folder of the version being built.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        with _write_errors(self._path):
            self._connection = sqlite3.connect(self._path, isolation_level=None)
            # A build that dies is thrown away whole, so nothing needs a journal.
            self._connection.execute("PRAGMA journal_mode = OFF")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute(_SPOOL_TABLE)
            self._connection.execute("BEGIN")

    def add(self, document: Document) -> None:
        """Add one document.

        Raises
        ------
        DuplicateDocumentError
            If its id was added before; names both places.
        CorpusError
            If its id is empty, or a text cannot be stored as UTF-8.
        IndexFolderError
            If the disk fails.
        """
        if not document.doc_id:
            raise CorpusError(f"{document.origin}: a document has an empty id")
        row = (
            document.doc_id,
            document.title,
            document.text,
            document.url,
            json.dumps(dict(document.metadata), ensure_ascii=False, default=list),
            json.dumps(list(document.names), ensure_ascii=False),
            json.dumps(list(document.page_starts)),
            document.content_hash,
            document.origin,
        )
        try:
            with _write_errors(self._path):
                self._connection.execute("INSERT INTO spool VALUES (?,?,?,?,?,?,?,?,?)", row)
        except sqlite3.IntegrityError as error:
            (first,) = self._connection.execute(
                "SELECT origin FROM spool WHERE doc_id = ?", (document.doc_id,)
            ).fetchone()
            raise DuplicateDocumentError(document.doc_id, first, document.origin) from error
        except UnicodeEncodeError as error:
            where = f"{document.origin}: " if document.origin else ""
            raise CorpusError(
                f"{where}document {document.doc_id!r} holds a lone surrogate, "
                f"{error.object[error.start]!r}, which is no character"
            ) from error

    def finish(self) -> int:
        """Number the rows by doc_id and close; returns the number of documents."""
        with _write_errors(self._path):
            n_documents = self._number_rows(self._connection)
            self._connection.close()
        return n_documents

    def _number_rows(self, connection: sqlite3.Connection) -> int:
        connection.execute(_DOCUMENTS_TABLE)
        connection.execute(_NAMES_TABLE)
        connection.execute(
            f"INSERT INTO documents SELECT row_number() OVER (ORDER BY doc_id) - 1, {_COLUMNS}"  # noqa: S608
            " FROM spool ORDER BY doc_id"
        )
        connection.execute("DROP TABLE spool")
        (n_documents,) = connection.execute("SELECT count(*) FROM documents").fetchone()
        for begin in range(0, n_documents, _BATCH):
            batch = connection.execute(
                "SELECT document_row, doc_id, title, names FROM documents"
                " WHERE document_row >= ? AND document_row < ?",
                (begin, begin + _BATCH),
            ).fetchall()
            connection.executemany(
                "INSERT INTO names VALUES (?, ?, ?)",
                [entry for row in batch for entry in _name_rows(*row)],
            )
        connection.execute("CREATE INDEX names_folded ON names (folded)")
        connection.execute("COMMIT")
        connection.execute("VACUUM")
        return int(n_documents)

    def close(self) -> None:
        """Give up."""
        self._connection.close()


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise IndexFolderError(
            f"writing {path} failed: {error}; the published version is untouched"
        ) from error


def _name_rows(row: int, doc_id: str, title: str, names: str) -> list[tuple[str, str, int]]:
    known = dict.fromkeys([doc_id, title, *json.loads(names)])
    return [(fold_name(name), name, row) for name in known if name.strip()]


def fold_name(name: str) -> str:
    """Fold a name the way exact look-ups compare it: trimmed, composed, case-folded.

    Examples
    --------
    >>> fold_name("  Os.Path.JOIN "), fold_name("Straße") == fold_name("STRASSE")
    ('os.path.join', True)
    """
    # Folding can take a character apart again: canonical caseless matching, Unicode 3.13, D145.
    return unicodedata.normalize("NFC", _trimmed(name).casefold())


def _trimmed(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split()))


class DocumentStore:
    """Read-only access to the documents of one version, by row; safe to share among threads.

    Parameters
    ----------
    folder
        The version's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._closed = False
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        try:
            first = self._connect()
        except sqlite3.DatabaseError as error:
            raise self._unreadable(error) from error
        self._idle.put(first)
        # sqlite3's connections are part of a cycle each: without this, the file would stay open
        # until Python collects garbage.
        weakref.finalize(self, _close_all, self._idle)
        # One query asks for its own name several times. A method under lru_cache would be
        # another cycle.
        self._named: dict[str, list[tuple[str, int]]] = {}
        (self.n_documents,) = self._fetch("SELECT count(*) FROM documents")[0]

    def _connect(self) -> sqlite3.Connection:
        # immutable: no lock and no journal is looked for, and nothing is ever written.
        uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
        return sqlite3.connect(uri, uri=True, check_same_thread=False)

    def _taken(self) -> sqlite3.Connection:
        """A connection that nobody else uses now."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        try:
            return self._connect()
        except sqlite3.OperationalError:
            if self._closed:
                raise
            # The version was removed while it is still being read: share what is open.
            return self._idle.get()

    def _fetch(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        try:
            connection = self._taken()
            try:
                return connection.execute(sql, parameters).fetchall()
            finally:
                self._idle.put(connection)
        except sqlite3.DatabaseError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> IndexCorruptError:
        return IndexCorruptError(f"{self._path} cannot be read: {error}")

    def _in_order(self, found: dict[int, T], rows: Sequence[int]) -> list[T]:
        try:
            return [found[int(row)] for row in rows]
        except KeyError as error:
            raise IndexCorruptError(f"{self._path} has no document row {error}") from error

    def _document(self, columns: Sequence[Any]) -> Document:
        doc_id, title, text, url, metadata, names, page_starts, _content_hash = columns
        try:
            return Document(
                doc_id=doc_id,
                title=title,
                text=text,
                url=url,
                # Most documents have none of these, and a parser takes its time to find out.
                metadata={} if metadata == "{}" else json.loads(metadata),
                names=() if names == "[]" else tuple(json.loads(names)),
                page_starts=() if page_starts == "[]" else tuple(json.loads(page_starts)),
            )
        except (ValueError, TypeError) as error:
            raise IndexCorruptError(f"{self._path}: document {doc_id!r} is damaged") from error

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """Documents of the given rows, in the given order."""
        found: dict[int, Document] = {}
        for begin in range(0, len(rows), _BATCH):
            part = [int(row) for row in rows[begin : begin + _BATCH]]
            marks = ",".join("?" * len(part))
            for row, *columns in self._fetch(
                f"SELECT document_row, {_COLUMNS} FROM documents WHERE document_row IN ({marks})",  # noqa: S608
                part,
            ):
                found[row] = self._document(columns)
        return self._in_order(found, rows)

    def iterate(self, batch_size: int = _BATCH) -> Iterator[list[Document]]:
        """All documents in row order, in batches."""
        for begin in range(0, self.n_documents, batch_size):
            yield [
                self._document(columns)
                for columns in self._fetch(
                    f"SELECT {_COLUMNS} FROM documents"  # noqa: S608
                    " WHERE document_row >= ? AND document_row < ? ORDER BY document_row",
                    (begin, begin + batch_size),
                )
            ]

    def stream(self, rows: NDArray[np.int64] | None = None) -> Iterator[Document]:
        """All documents in row order, or those of the given rows, one by one."""
        if rows is None:
            for documents in self.iterate():
                yield from documents
        else:
            for begin in range(0, len(rows), _BATCH):
                yield from self.documents(rows[begin : begin + _BATCH].tolist())

    def titles_and_texts(self, rows: Sequence[int]) -> Iterator[tuple[int, str, str]]:
        """(row, title, text) of each of the given rows, in any order."""
        for begin in range(0, len(rows), _BATCH):
            part = [int(row) for row in rows[begin : begin + _BATCH]]
            marks = ",".join("?" * len(part))
            yield from self._fetch(
                f"SELECT document_row, title, text FROM documents WHERE document_row IN ({marks})",  # noqa: S608
                part,
            )

    def doc_ids(self, rows: Sequence[int]) -> list[str]:
        """External ids of the given rows, in the given order."""
        found: dict[int, str] = {}
        for begin in range(0, len(rows), _BATCH):
            part = [int(row) for row in rows[begin : begin + _BATCH]]
            marks = ",".join("?" * len(part))
            found.update(
                self._fetch(
                    f"SELECT document_row, doc_id FROM documents WHERE document_row IN ({marks})",  # noqa: S608
                    part,
                )
            )
        return self._in_order(found, rows)

    def row(self, doc_id: str) -> int:
        """Row of an external id.

        Raises
        ------
        DocumentNotFoundError
            If no document has it.
        """
        try:
            found = self._fetch("SELECT document_row FROM documents WHERE doc_id = ?", (doc_id,))
        except UnicodeEncodeError:
            found = []
        if not found:
            raise DocumentNotFoundError(f"no document {doc_id!r}")
        return int(found[0][0])

    def known_rows(self, doc_ids: Iterable[str]) -> list[int]:
        """Rows of those external ids that a document has, ascending."""
        # No document has a lone surrogate in its id, and SQLite takes none.
        wanted = sorted({id_ for id_ in doc_ids if id_ == id_.encode(errors="ignore").decode()})
        found: list[Any] = []
        for begin in range(0, len(wanted), _BATCH):
            part = wanted[begin : begin + _BATCH]
            marks = ",".join("?" * len(part))
            found += self._fetch(
                f"SELECT document_row FROM documents WHERE doc_id IN ({marks})",  # noqa: S608
                part,
            )
        return sorted(row for (row,) in found)

    def rows_named(self, name: str) -> list[tuple[int, bool]]:
        """Rows whose doc_id, title or one of whose names equals ``name``, case folded.

        Returns
        -------
        list of (document_row, case_exact)
        """
        exact: dict[int, bool] = {}
        for found, row in self._rows_called(fold_name(name)):
            exact[row] = exact.get(row, False) or _trimmed(found) == _trimmed(name)
        return sorted(exact.items())

    def corpus_hash(self) -> str:
        """SHA-256, in hex, over every (doc_id, content hash), in doc_id order."""
        digest = hashlib.sha256()
        for begin in range(0, self.n_documents, _BATCH):
            for (content_hash,) in self._fetch(
                "SELECT content_hash FROM documents"
                " WHERE document_row >= ? AND document_row < ? ORDER BY document_row",
                (begin, begin + _BATCH),
            ):
                digest.update(content_hash.encode())
        return digest.hexdigest()

    def compare(self, parent: DocumentStore | None) -> CorpusComparison:
        """Find, for every document, its row in the parent version; both are streamed."""
        unchanged, same_text = (np.full(self.n_documents, -1, np.int64) for _ in range(2))
        if parent is None:
            change = CorpusChange(self.n_documents, 0, 0, 0)
            return CorpusComparison(change, unchanged, same_text, 0)
        n_kept = 0
        suspects: list[tuple[int, int]] = []
        old = parent._identities()
        known = next(old, None)
        # Both go by doc_id, as SQLite and Python sort it: by code point.
        for row, doc_id, content_hash in self._identities():
            while known is not None and known[1] < doc_id:
                known = next(old, None)
            if known is None or known[1] != doc_id:
                continue
            n_kept += 1
            if known[2] == content_hash:
                unchanged[row] = same_text[row] = known[0]
            else:
                suspects.append((row, known[0]))
            if len(suspects) == _BATCH:
                self._keep_same_texts(parent, suspects, same_text)
                suspects = []
        self._keep_same_texts(parent, suspects, same_text)
        n_unchanged = int(np.count_nonzero(unchanged >= 0))
        change = CorpusChange(
            added=self.n_documents - n_kept,
            changed=n_kept - n_unchanged,
            removed=parent.n_documents - n_kept,
            unchanged=n_unchanged,
        )
        return CorpusComparison(change, unchanged, same_text, parent.n_documents)

    def _rows_called(self, folded: str) -> list[tuple[str, int]]:
        if (known := self._named.get(folded)) is None:
            known = self._fetch("SELECT name, document_row FROM names WHERE folded = ?", (folded,))
            if len(self._named) >= _REMEMBERED_NAMES:
                self._named.clear()
            self._named[folded] = known
        return known

    def content_hashes(self) -> dict[str, str]:
        """doc_id -> content hash."""
        return {doc_id: content_hash for _, doc_id, content_hash in self._identities()}

    def _identities(self) -> Iterator[tuple[int, str, str]]:
        """(row, doc_id, content hash) of every document, in row order."""
        for begin in range(0, self.n_documents, _BATCH):
            yield from self._fetch(
                "SELECT document_row, doc_id, content_hash FROM documents"
                " WHERE document_row >= ? AND document_row < ? ORDER BY document_row",
                (begin, begin + _BATCH),
            )

    def _keep_same_texts(
        self, parent: DocumentStore, pairs: list[tuple[int, int]], same_text: NDArray[np.int64]
    ) -> None:
        own = self.documents([row for row, _ in pairs])
        old = parent.documents([row for _, row in pairs])
        for (row, old_row), new, before in zip(pairs, own, old, strict=True):
            if (new.title, new.text, new.page_starts) == (
                before.title,
                before.text,
                before.page_starts,
            ):
                same_text[row] = old_row

    def close(self) -> None:
        """Close every connection; call when no thread reads any more."""
        self._closed = True
        _close_all(self._idle)


def _close_all(idle: queue.LifoQueue[sqlite3.Connection]) -> None:
    with suppress(queue.Empty):
        while True:
            idle.get_nowait().close()
