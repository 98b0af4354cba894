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
from datetime import datetime
from pathlib import Path

from ingest.errors import (
    IndexNotFoundError,
    IndexVersionError,
    QueryError,
    WriteLogFullError,
)
from pipeline.version.collection import CollectionFolder
from pipeline.version.tasks import ACCEPTED, FAILED, PUBLISHED, REINDEX, RUNNING, WRITE, Task
from pipeline.version.write_snapshot import Snapshot
from pipeline.version.write_tables import (
    FORMAT,
    SCHEMA,
    TASK_COLUMNS,
    add_task,
    fact,
    last_sequence,
    log_errors,
    moment_now,
    set_fact,
    set_last_sequence,
    task_of,
    task_or_none,
)
from pipeline.version.writes import KeptWrite, Write

__all__ = [
    "FILE_NAME",
    "MAX_PENDING",
    "MAX_PENDING_BYTES",
    "Backlog",
    "WriteLog",
    "written_collections",
]

FILE_NAME = "writes.sqlite"
MAX_PENDING = 100_000
MAX_PENDING_BYTES = 500_000_000
_BUSY_S = 30.0
_KEPT_TASKS = 1000


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
            return add_task(connection, WRITE, n_put, n_deleted, n_bytes)

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
                add_task(connection, REINDEX, 0, 0, 0)
                if waiting is None
                else task_of(connection, waiting[0])
            )

    def task(self, task: str) -> Task | None:
        """One task, or ``None`` where there is none (any more)."""
        with self._reading() as connection:
            return None if connection is None else task_or_none(connection, task)

    def tasks(self, limit: int) -> list[Task]:
        """The newest tasks, newest first."""
        with self._reading() as connection:
            if connection is None:
                return []
            rows = connection.execute(
                f"SELECT {TASK_COLUMNS} FROM tasks ORDER BY number DESC LIMIT ?",  # noqa: S608
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
        with log_errors(self.path):
            connection = self._connect()
        # What goes wrong in the block is no fault of the log.
        with contextlib.closing(connection):
            with log_errors(self.path):
                connection.execute("BEGIN")
                snapshot = Snapshot(connection, self.path)
            yield snapshot

    def begin(self, sequence: int, reindex: Iterable[str] = ()) -> None:
        """Note that documents up to this number, or these tasks, are being worked on."""
        now = moment_now()
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
        now = moment_now()
        with self._noting() as connection:
            known = int(fact(connection, "settled") or 0)
            if sequence > known:
                set_fact(connection, "settled", str(sequence))
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
        now = moment_now()
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
            last = max(last_sequence(connection), sequence)
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
            set_last_sequence(connection, last)
            if n_put + n_deleted:
                add_task(connection, WRITE, n_put, n_deleted, n_bytes)
            connection.execute(
                "INSERT OR REPLACE INTO writes (doc_id, document)"
                " SELECT doc_id, document FROM own ORDER BY rowid"
            )
            connection.execute(
                "UPDATE tasks SET last_sequence = ? WHERE open", (last_sequence(connection),)
            )
            set_fact(connection, "log", secrets.token_hex(8))
            set_fact(connection, "settled", str(settled))
            set_fact(connection, "settings", json.dumps(dict(settings)))

    @contextlib.contextmanager
    def _accepting(self, settings: Mapping[str, object]) -> Iterator[sqlite3.Connection]:
        """A transaction that is on the disk when the block has ended."""
        with log_errors(self.path):
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
        with log_errors(self.path), contextlib.closing(self._connect()) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        if not self.exists():
            yield None
            return
        with log_errors(self.path), contextlib.closing(self._connect()) as connection:
            yield connection

    def _connect(self) -> sqlite3.Connection:
        # mode=rw: a log that was removed meanwhile must not come back empty.
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
        try:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found != FORMAT:
                raise IndexVersionError(
                    f"{self.path} is written in format {found}; this release reads format {FORMAT}"
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
                made.executescript(SCHEMA)
                set_fact(made, "log", secrets.token_hex(8))
                set_fact(made, "settings", json.dumps(dict(settings)))
                made.execute("PRAGMA journal_mode = WAL")
            with contextlib.suppress(FileExistsError):
                os.link(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)
        for folder in (state, state.parent, state.parent.parent):
            _sync_folder(folder)


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


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


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


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
