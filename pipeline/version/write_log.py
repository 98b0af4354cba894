"""What was written into a collection and is not yet in a version: one SQLite file beside them.

A write is accepted once its transaction is on the disk (``synchronous=FULL``). The log keeps the
last word on every document ever written through it, so it grows with documents, not with
writes, and a collection can be built anew from its sources without losing one. Each word has a
sequence number that only grows; a version says in its settings up to which number it holds the log.

https://www.sqlite.org/wal.html: one writer at a time, whose transactions readers never wait for.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.documents import Document
from ingest.errors import (
    IndexCorruptError,
    IndexFolderError,
    IndexNotFoundError,
    IndexVersionError,
    QueryError,
    WriteLogFullError,
)
from pipeline.version.collection import CollectionFolder
from pipeline.version.tasks import ACCEPTED, FAILED, PUBLISHED, REINDEX, RUNNING, WRITE, Task

__all__ = [
    "FILE_NAME",
    "MAX_PENDING",
    "MAX_PENDING_BYTES",
    "Backlog",
    "KeptWrite",
    "Snapshot",
    "Write",
    "WriteLog",
    "marker_of",
    "written_collections",
]

FILE_NAME = "writes.sqlite"
MAX_PENDING = 100_000
MAX_PENDING_BYTES = 500_000_000
_FORMAT = 1
_BUSY_S = 30.0
_KEPT_TASKS = 1000
_COLUMNS = (
    "task, kind, state, n_put, n_deleted, stage, share, version, error, attempts,"
    " accepted_at, started_at, finished_at"
)
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS writes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, doc_id TEXT NOT NULL UNIQUE, document TEXT);
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    state TEXT NOT NULL, n_put INTEGER NOT NULL, n_deleted INTEGER NOT NULL,
    stage TEXT, share REAL, version TEXT, error TEXT, attempts INTEGER NOT NULL DEFAULT 0,
    accepted_at TEXT NOT NULL, started_at TEXT, finished_at TEXT,
    last_sequence INTEGER NOT NULL, n_bytes INTEGER NOT NULL, open INTEGER NOT NULL DEFAULT 1);
CREATE INDEX IF NOT EXISTS open_tasks ON tasks (number) WHERE open;
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class Write:
    """One document put, or, where ``document`` is ``None``, deleted."""

    doc_id: str
    document: Document | None

    @classmethod
    def from_json(cls, doc_id: str, text: str | None) -> Write:
        """A write as `to_json` wrote it."""
        return cls(doc_id, None if text is None else _document_of(doc_id, text))

    def to_json(self) -> str | None:
        """The document without its id, as the log keeps it."""
        return None if self.document is None else _document_json(self.document)


@dataclass(frozen=True, slots=True)
class KeptWrite:
    """A write with its number in the log."""

    sequence: int
    write: Write


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is to be done.

    Parameters
    ----------
    sequence
        Up to which number documents are to be folded into a version.
    n_writes
        How many tasks wait for that.
    reindex
        Ids of the tasks that wait for the sources to be read, oldest first.
    n_failed
        The most often any of them has failed.
    last_accepted_s
        When the newest was accepted, in seconds since 1970.
    """

    sequence: int
    n_writes: int
    reindex: tuple[str, ...]
    n_failed: int
    last_accepted_s: float

    def __bool__(self) -> bool:
        return bool(self.n_writes or self.reindex)


class WriteLog:
    """The write log of one collection; holds no file open between two calls.

    Parameters
    ----------
    collection
        The collection, which need not exist yet.
    """

    def __init__(self, collection: CollectionFolder) -> None:
        self._collection = collection
        self.path = collection.path / "state" / FILE_NAME

    def exists(self) -> bool:
        """Whether anything was ever written through it."""
        return self.path.is_file()

    def accept(self, writes: Iterable[Write], *, settings: Mapping[str, object]) -> Task:
        """Keep writes for good, all or none; whatever crashes afterwards, they will be applied.

        Parameters
        ----------
        writes
            Documents, in the order given; of several with one id the last counts.
        settings
            What to build the collection with, as a manifest keeps it, where there is none yet.

        Raises
        ------
        WriteLogFullError
            If too much waits to be applied already; nothing was accepted.
        IndexFolderError
            If the disk fails, or the collection is removed meanwhile; nothing was accepted.
        """
        with self._accepting(settings) as connection:
            n_put = n_deleted = n_bytes = 0
            for write in writes:
                text = write.to_json()
                # Replaced, not updated: the last word has a sequence number of its own.
                connection.execute(
                    "INSERT OR REPLACE INTO writes (doc_id, document) VALUES (?, ?)",
                    (write.doc_id, text),
                )
                n_put, n_deleted = n_put + (text is not None), n_deleted + (text is None)
                n_bytes += len(text or "")
            _check_room(connection, n_put + n_deleted, n_bytes)
            return _add_task(connection, WRITE, n_put, n_deleted, n_bytes)

    def ask_reindex(self) -> Task:
        """Ask for the sources to be read again; a task that waits for this already is the answer.

        Raises
        ------
        IndexFolderError
            As `accept` does.
        """
        with self._accepting({}) as connection:
            waiting = connection.execute(
                "SELECT task FROM tasks WHERE open AND kind = ? AND state = ?", (REINDEX, ACCEPTED)
            ).fetchone()
            return (
                _add_task(connection, REINDEX, 0, 0, 0)
                if waiting is None
                else _task(connection, waiting[0])
            )

    def task(self, task: str) -> Task | None:
        """One task, or ``None`` where there is none (any more)."""
        with self._reading() as connection:
            return None if connection is None else _task_or_none(connection, task)

    def tasks(self, limit: int) -> list[Task]:
        """The newest tasks, newest first."""
        with self._reading() as connection:
            if connection is None:
                return []
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM tasks ORDER BY number DESC LIMIT ?",  # noqa: S608
                (limit,),
            )
            return [Task(*row) for row in rows]

    def backlog(self) -> Backlog:
        """What is to be done."""
        with self._reading() as connection:
            if connection is None:
                return Backlog(0, 0, (), 0, 0.0)
            rows = connection.execute(
                "SELECT task, kind, attempts, error, last_sequence, accepted_at FROM tasks"
                " WHERE open ORDER BY number"
            ).fetchall()
        writes = [row for row in rows if row[1] == WRITE]
        return Backlog(
            sequence=max((row[4] for row in writes), default=0),
            n_writes=len(writes),
            reindex=tuple(row[0] for row in rows if row[1] == REINDEX),
            n_failed=max((row[2] for row in rows if row[3] is not None), default=0),
            last_accepted_s=max((_seconds(row[5]) for row in rows), default=0.0),
        )

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The log as it is now, whatever is accepted until the block ends."""
        if not self.exists():
            yield Snapshot(None, self.path)
            return
        with _errors(self.path):
            connection = self._connect()
        # What goes wrong in the block is no fault of the log.
        with contextlib.closing(connection):
            with _errors(self.path):
                connection.execute("BEGIN")
                snapshot = Snapshot(connection, self.path)
            yield snapshot

    def begin(self, sequence: int, reindex: Iterable[str] = ()) -> None:
        """Note that documents up to this number, or these tasks, are being worked on."""
        now = _now()
        with self._noting() as connection:
            for condition, value in _chosen(sequence, reindex):
                connection.execute(
                    "UPDATE tasks SET state = ?, attempts = attempts + 1, stage = NULL,"  # noqa: S608
                    " share = NULL, finished_at = NULL, started_at = coalesce(started_at, ?)"
                    f" WHERE {condition}",
                    (RUNNING, now, value),
                )

    def advance(self, stage: str, share: float | None) -> None:
        """Note how far what is running is."""
        with self._noting() as connection:
            connection.execute(
                "UPDATE tasks SET stage = ?, share = ? WHERE open AND state = ?",
                (stage, share, RUNNING),
            )

    def settle(self, sequence: int, version: str | None, reindex: Iterable[str] = ()) -> None:
        """Note that a version holds the log up to this number, or what these tasks asked for."""
        now = _now()
        with self._noting() as connection:
            known = int(_fact(connection, "settled") or 0)
            if sequence > known:
                _set_fact(connection, "settled", str(sequence))
            for condition, value in _chosen(sequence, reindex):
                connection.execute(
                    "UPDATE tasks SET state = ?, open = 0, version = ?, error = NULL,"  # noqa: S608
                    f" stage = NULL, share = NULL, finished_at = ? WHERE {condition}",
                    (PUBLISHED, version, now, value),
                )
            connection.execute(
                "DELETE FROM tasks WHERE NOT open AND number <="
                " (SELECT max(number) FROM tasks) - ?",
                (_KEPT_TASKS,),
            )

    def fail(self, sequence: int, error: str, reindex: Iterable[str] = ()) -> None:
        """Note that an attempt failed; documents are tried again, reading the sources is not."""
        now = _now()
        with self._noting() as connection:
            for condition, value in _chosen(sequence, reindex):
                connection.execute(
                    "UPDATE tasks SET state = ?, error = ?, stage = NULL, share = NULL,"  # noqa: S608
                    f" finished_at = ?, open = (kind = ?) WHERE {condition}",
                    (FAILED, error, now, WRITE, value),
                )

    def forget(self, doc_ids: Iterable[str], sequence: int) -> None:
        """Forget what was written about some documents up to a number."""
        with self._noting() as connection:
            connection.executemany(
                "DELETE FROM writes WHERE doc_id = ? AND sequence <= ?",
                [(doc_id, sequence) for doc_id in doc_ids],
            )

    def refill(
        self,
        writes: Iterable[KeptWrite],
        *,
        settled: int,
        sequence: int,
        settings: Mapping[str, object],
        pending_after: int,
    ) -> None:
        """Hold these writes, and of its own only those that wait to be indexed.

        The log gets a new name, so that no version there is claims to hold any of it.

        Parameters
        ----------
        writes
            By ascending number; those above ``settled`` wait to be indexed.
        settled
            Up to which number the version they come with holds them.
        sequence
            The highest of their numbers that was ever given.
        settings
            As `accept` takes them.
        pending_after
            Its own writes above this number are the last word, after the others.

        Raises
        ------
        IndexFolderError
            If the disk fails, or the collection is removed meanwhile; the log stays as it was.
        """
        with self._accepting(settings) as connection:
            # Numbers that were given once are not given again: versions may speak of them.
            last = max(_last_sequence(connection), sequence)
            connection.execute(
                "CREATE TEMP TABLE own AS SELECT doc_id, document FROM writes"
                " WHERE sequence > ? ORDER BY sequence",
                (pending_after,),
            )
            connection.execute("DELETE FROM writes")
            n_put = n_deleted = n_bytes = 0
            for kept in writes:
                text = kept.write.to_json()
                connection.execute(
                    "INSERT OR REPLACE INTO writes VALUES (?, ?, ?)",
                    (kept.sequence, kept.write.doc_id, text),
                )
                if kept.sequence > settled:
                    n_put, n_deleted = n_put + (text is not None), n_deleted + (text is None)
                    n_bytes += len(text or "")
            _set_last_sequence(connection, last)
            if n_put + n_deleted:
                _add_task(connection, WRITE, n_put, n_deleted, n_bytes)
            connection.execute(
                "INSERT OR REPLACE INTO writes (doc_id, document)"
                " SELECT doc_id, document FROM own ORDER BY rowid"
            )
            connection.execute(
                "UPDATE tasks SET last_sequence = ? WHERE open", (_last_sequence(connection),)
            )
            _set_fact(connection, "log", secrets.token_hex(8))
            _set_fact(connection, "settled", str(settled))
            _set_fact(connection, "settings", json.dumps(dict(settings)))

    @contextlib.contextmanager
    def _accepting(self, settings: Mapping[str, object]) -> Iterator[sqlite3.Connection]:
        """A transaction that is on the disk when the block has ended."""
        with _errors(self.path):
            self._create(settings)
            inode = self.path.stat().st_ino
            with contextlib.closing(self._connect()) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            if not self.path.is_file() or self.path.stat().st_ino != inode:
                raise IndexNotFoundError(
                    f"collection {self._collection.name!r} was removed meanwhile: write again"
                )

    @contextlib.contextmanager
    def _noting(self) -> Iterator[sqlite3.Connection]:
        """A transaction that a power failure may undo: it is found out anew then."""
        if not self.exists():
            raise IndexNotFoundError(f"{self.path} is gone")
        with _errors(self.path), contextlib.closing(self._connect()) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        if not self.exists():
            yield None
            return
        with _errors(self.path), contextlib.closing(self._connect()) as connection:
            yield connection

    def _connect(self) -> sqlite3.Connection:
        # mode=rw: a log that was removed meanwhile must not come back empty.
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
        try:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found != _FORMAT:
                raise IndexVersionError(
                    f"{self.path} is written in format {found}; this release reads format {_FORMAT}"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self, settings: Mapping[str, object]) -> None:
        if self.exists():
            return
        state = self.path.parent
        state.mkdir(parents=True, exist_ok=True)
        # Made aside and linked: nobody ever meets half a log, and of two at once one stays.
        temporary = self.path.with_name(f"{FILE_NAME}.{secrets.token_hex(4)}")
        try:
            with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as made:
                made.executescript(_SCHEMA)
                _set_fact(made, "log", secrets.token_hex(8))
                _set_fact(made, "settings", json.dumps(dict(settings)))
                made.execute("PRAGMA journal_mode = WAL")
            with contextlib.suppress(FileExistsError):
                os.link(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)
        for folder in (state, state.parent, state.parent.parent):
            _sync_folder(folder)


class Snapshot:
    """The write log at one moment; use it while the block that gave it lasts.

    Parameters
    ----------
    connection
        With a transaction begun; ``None`` where there is no log.
    path
        The log's file, for messages.
    """

    def __init__(self, connection: sqlite3.Connection | None, path: Path) -> None:
        self._connection = connection
        self._path = path
        self.log = _fact(connection, "log") if connection else None
        self.sequence = 0
        self._settled = 0
        if connection is not None:
            self.sequence = _last_sequence(connection)
            self._settled = int(_fact(connection, "settled") or 0)

    @property
    def marker(self) -> dict[str, object]:
        """What a version says that holds all of this; empty where there is no log."""
        return {} if self.log is None else {"log": self.log, "sequence": self.sequence}

    @property
    def settings(self) -> dict[str, Any]:
        """What a collection that has no version yet is to be built with."""
        found = _fact(self._connection, "settings") if self._connection else None
        return dict(json.loads(found)) if found else {}

    def applied(self, marker: Mapping[str, object]) -> int:
        """Up to which number the current version, which says ``marker``, holds the log.

        What was published once counts as applied: a version activated in its stead was chosen.
        """
        said = marker.get("sequence")
        own = marker.get("log") == self.log and isinstance(said, int)
        return max(self._settled, said if own and isinstance(said, int) else 0)

    def has_writes(self, after: int = 0) -> bool:
        """Whether any document was written since."""
        return bool(self._rows("SELECT 1 FROM writes WHERE sequence > ? LIMIT 1", after))

    def laid_over(self, documents: Iterable[Document], after: int = 0) -> Iterator[Document]:
        """Documents as they are once what was written after a number holds, streamed."""
        written = {
            row[0] for row in self._rows("SELECT doc_id FROM writes WHERE sequence > ?", after)
        }
        for document in documents:
            if document.doc_id not in written:
                yield document
        if self._connection is not None:
            with _errors(self._path):
                for doc_id, text in self._connection.execute(
                    "SELECT doc_id, document FROM writes WHERE sequence > ?", (after,)
                ):
                    if text is not None:
                        yield _document_of(doc_id, text)

    def written(self) -> Iterator[KeptWrite]:
        """Everything ever written, the last word on each document, by ascending number."""
        if self._connection is not None:
            with _errors(self._path):
                for sequence, doc_id, text in self._connection.execute(
                    "SELECT sequence, doc_id, document FROM writes ORDER BY sequence"
                ):
                    yield KeptWrite(sequence, Write.from_json(doc_id, text))

    def _rows(self, sql: str, *parameters: object) -> list[Any]:
        if self._connection is None:
            return []
        with _errors(self._path):
            return self._connection.execute(sql, parameters).fetchall()


def marker_of(settings: Mapping[str, object]) -> Mapping[str, object]:
    """What a version's settings say it holds of a write log; empty where they say nothing."""
    marker = settings.get("writes")
    return marker if isinstance(marker, Mapping) else {}


def written_collections(data_dir: Path) -> list[CollectionFolder]:
    """Collections of a data folder that have a write log, by name."""
    found = []
    for path in sorted(data_dir.glob(f"*/state/{FILE_NAME}")):
        with contextlib.suppress(QueryError):
            found.append(CollectionFolder(data_dir, path.parent.parent.name))
    return found


def _chosen(sequence: int, reindex: Iterable[str]) -> list[tuple[str, object]]:
    """Conditions, each with its value, that select the open tasks meant."""
    writes: tuple[str, object] = (f"open AND kind = '{WRITE}' AND last_sequence <= ?", sequence)
    return [writes, *(("open AND task = ?", task) for task in reindex)]


def _check_room(connection: sqlite3.Connection, n_writes: int, n_bytes: int) -> None:
    pending, pending_bytes = connection.execute(
        "SELECT coalesce(sum(n_put + n_deleted), 0), coalesce(sum(n_bytes), 0)"
        " FROM tasks WHERE open"
    ).fetchone()
    # A single request may be as large as requests may be.
    if pending and (
        pending + n_writes > MAX_PENDING or pending_bytes + n_bytes > MAX_PENDING_BYTES
    ):
        raise WriteLogFullError(
            f"{pending:,} written documents wait to be indexed, and no more are taken until some "
            "are: try again later"
        )


def _add_task(
    connection: sqlite3.Connection, kind: str, n_put: int, n_deleted: int, n_bytes: int
) -> Task:
    task = secrets.token_hex(8)
    connection.execute(
        "INSERT INTO tasks (task, kind, state, n_put, n_deleted, accepted_at, last_sequence,"
        " n_bytes) VALUES (?, ?, ?, ?, ?, ?,"
        " (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'writes'), ?)",
        (task, kind, ACCEPTED, n_put, n_deleted, _now(), n_bytes),
    )
    return _task(connection, task)


def _task(connection: sqlite3.Connection, task: str) -> Task:
    found = _task_or_none(connection, task)
    if found is None:
        raise IndexCorruptError(f"the write log lost task {task!r}")
    return found


def _task_or_none(connection: sqlite3.Connection, task: str) -> Task | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM tasks WHERE task = ?",  # noqa: S608
        (task,),
    ).fetchone()
    return None if row is None else Task(*row)


def _last_sequence(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'writes'").fetchone()
    return 0 if row is None else int(row[0])


def _set_last_sequence(connection: sqlite3.Connection, sequence: int) -> None:
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'writes'")
    connection.execute("INSERT INTO sqlite_sequence VALUES ('writes', ?)", (sequence,))


def _fact(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _set_fact(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def _document_json(document: Document) -> str:
    content: dict[str, object] = {"title": document.title, "text": document.text}
    if document.url is not None:
        content["url"] = document.url
    if document.metadata:
        content["metadata"] = dict(document.metadata)
    if document.names:
        content["names"] = list(document.names)
    return json.dumps(content, ensure_ascii=False, default=list)


def _document_of(doc_id: str, text: str) -> Document:
    try:
        content = json.loads(text)
        return Document(
            doc_id,
            content["title"],
            content["text"],
            url=content.get("url"),
            metadata=content.get("metadata", {}),
            names=tuple(content.get("names", ())),
            origin=f"written document {doc_id!r}",
        )
    except (ValueError, KeyError, TypeError) as error:
        raise IndexCorruptError(f"the write log's document {doc_id!r} is damaged") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise IndexFolderError(f"{path} cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        raise IndexCorruptError(
            f"{path} is damaged ({error}): put a copy of it back, or move it away and write again "
            "what no version holds"
        ) from error
    except OSError as error:
        raise IndexFolderError(f"{path} cannot be used: {error.strerror or error}") from error
