"""What people searched for, where the operator wants it kept: one SQLite file beside the versions.

Unlike the write log it may lose its last second in a crash. It keeps the newest 100,000 queries.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.errors import IndexCorruptError, IndexFolderError, IndexNotFoundError, IndexVersionError
from pipeline.version.collection import CollectionFolder

__all__ = ["FILE_NAME", "MAX_CHARACTERS", "MAX_QUERIES", "QueryLog", "QueryTimes", "SearchedFor"]

FILE_NAME = "queries.sqlite"
MAX_QUERIES = 100_000
MAX_CHARACTERS = 500
_FORMAT = 1
_BUSY_S = 10.0
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS queries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, query TEXT NOT NULL,
    folded TEXT NOT NULL, took_ms REAL NOT NULL, total INTEGER NOT NULL,
    no_good_result INTEGER NOT NULL);
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class SearchedFor:
    """One query that was answered.

    Parameters
    ----------
    time_s
        When, in seconds since 1970.
    query
        As it was typed; the log keeps its first 500 characters.
    took_ms
        Milliseconds the search took.
    total
        How many documents matched.
    no_good_result
        Whether nothing found was likely to be relevant.
    """

    time_s: float
    query: str
    took_ms: float
    total: int
    no_good_result: bool


@dataclass(frozen=True, slots=True)
class QueryTimes:
    """A query, upper and lower case and spaces aside, and how often it was asked.

    Parameters
    ----------
    query
        As it was typed last.
    last_s
        When that was, in seconds since 1970.
    mean_ms
        Milliseconds it took on average.
    """

    query: str
    times: int
    last_s: float
    mean_ms: float


class QueryLog:
    """The queries of one collection; holds no file open between two calls.

    Parameters
    ----------
    collection
        The collection.
    """

    def __init__(self, collection: CollectionFolder) -> None:
        self.path = collection.state_path / FILE_NAME
        self._collection = collection

    def add(self, searched: Sequence[SearchedFor]) -> None:
        """Keep queries, and forget the oldest ones beyond 100,000.

        Raises
        ------
        IndexNotFoundError
            If there is no such collection (any more).
        IndexFolderError
            If the file cannot be written.
        """
        if not self._collection.exists():
            raise IndexNotFoundError(f"there is no collection {self._collection.name!r}")
        with _errors(self.path):
            self._create()
            with contextlib.closing(self._connect("rw")) as connection, connection:
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "INSERT INTO queries (time, query, folded, took_ms, total, no_good_result)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    [_row(one) for one in searched],
                )
                connection.execute(
                    "DELETE FROM queries WHERE number <= (SELECT max(number) FROM queries) - ?",
                    (MAX_QUERIES,),
                )

    def popular(self, limit: int = 20, *, since_s: float = 0.0) -> list[QueryTimes]:
        """The queries asked most often since a time, most frequent first."""
        return self._grouped("", "times DESC, last DESC", limit, since_s)

    def without_result(self, limit: int = 20, *, since_s: float = 0.0) -> list[QueryTimes]:
        """The queries that found nothing, or nothing good, most frequent first."""
        return self._grouped(
            "AND (total = 0 OR no_good_result)", "times DESC, last DESC", limit, since_s
        )

    def slowest(self, limit: int = 20, *, since_s: float = 0.0) -> list[SearchedFor]:
        """The single queries that took longest, slowest first."""
        rows = self._rows(
            "SELECT time, query, took_ms, total, no_good_result FROM queries WHERE time >= ?"
            " ORDER BY took_ms DESC, number LIMIT ?",
            (since_s, limit),
        )
        return [SearchedFor(row[0], row[1], row[2], row[3], bool(row[4])) for row in rows]

    def count(self, *, since_s: float = 0.0) -> int:
        """How many queries it holds since a time."""
        rows = self._rows("SELECT count(*) FROM queries WHERE time >= ?", (since_s,))
        return int(rows[0][0]) if rows else 0

    def _grouped(self, condition: str, order: str, limit: int, since_s: float) -> list[QueryTimes]:
        # Of a bare column beside max(), SQLite takes the row of the maximum.
        rows = self._rows(
            "SELECT query, count(*) AS times, max(time) AS last, avg(took_ms) FROM queries"  # noqa: S608
            f" WHERE time >= ? {condition} GROUP BY folded ORDER BY {order} LIMIT ?",
            (since_s, limit),
        )
        return [QueryTimes(*row) for row in rows]

    def _rows(self, statement: str, values: tuple[float | int, ...]) -> list[tuple[Any, ...]]:
        if not self.path.is_file():
            return []
        with _errors(self.path), contextlib.closing(self._connect("rw")) as connection:
            return connection.execute(statement, values).fetchall()

    def _create(self) -> None:
        if self.path.is_file():
            return
        self.path.parent.mkdir(exist_ok=True)
        # What people ask is nobody else's business; SQLite's other files take these rights over.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def _connect(self, mode: str) -> sqlite3.Connection:
        # Never created by a reader: a log that was removed meanwhile must not come back.
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
        try:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found == 0:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
            elif found != _FORMAT:
                raise IndexVersionError(
                    f"{self.path} is of format {found}, and this release reads {_FORMAT}: "
                    "remove it, or install a newer release"
                )
        except BaseException:
            connection.close()
            raise
        return connection


def _row(searched: SearchedFor) -> tuple[float, str, str, float, int, int]:
    # Half a surrogate pair has no UTF-8, and SQLite none of it.
    query = searched.query[:MAX_CHARACTERS].encode("utf-8", "replace").decode()
    return (
        searched.time_s,
        query,
        " ".join(query.casefold().split()),
        searched.took_ms,
        searched.total,
        int(searched.no_good_result),
    )


@contextlib.contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise IndexFolderError(f"{path} cannot be used: {error}") from error
        raise IndexCorruptError(f"{path} cannot be read: {error}; remove it") from error
    except OSError as error:
        raise IndexFolderError(f"{path} cannot be used: {error.strerror}") from error
