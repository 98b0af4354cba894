"""The tables of a write log: facts about it, the writes, and the tasks that apply them."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ingest.errors import IndexCorruptError, IndexFolderError
from pipeline.version.tasks import ACCEPTED, Task

__all__ = [
    "FORMAT",
    "SCHEMA",
    "TASK_COLUMNS",
    "add_task",
    "fact",
    "last_sequence",
    "log_errors",
    "moment_now",
    "set_fact",
    "set_last_sequence",
    "task_of",
    "task_or_none",
]

FORMAT = 1
TASK_COLUMNS = (
    "task, kind, state, n_put, n_deleted, stage, share, version, error, attempts,"
    " accepted_at, started_at, finished_at"
)
SCHEMA = f"""
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
PRAGMA user_version = {FORMAT};
COMMIT;
"""


def add_task(
    connection: sqlite3.Connection, kind: str, n_put: int, n_deleted: int, n_bytes: int
) -> Task:
    """Begin a task for all that was written until now."""
    task = secrets.token_hex(8)
    connection.execute(
        "INSERT INTO tasks (task, kind, state, n_put, n_deleted, accepted_at, last_sequence,"
        " n_bytes) VALUES (?, ?, ?, ?, ?, ?,"
        " (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'writes'), ?)",
        (task, kind, ACCEPTED, n_put, n_deleted, moment_now(), n_bytes),
    )
    return task_of(connection, task)


def task_of(connection: sqlite3.Connection, task: str) -> Task:
    """A task that must be there.

    Raises
    ------
    IndexCorruptError
        If it is not.
    """
    found = task_or_none(connection, task)
    if found is None:
        raise IndexCorruptError(f"the write log lost task {task!r}")
    return found


def task_or_none(connection: sqlite3.Connection, task: str) -> Task | None:
    """A task, or ``None`` where there is none of this id."""
    row = connection.execute(
        f"SELECT {TASK_COLUMNS} FROM tasks WHERE task = ?",  # noqa: S608
        (task,),
    ).fetchone()
    return None if row is None else Task(*row)


def last_sequence(connection: sqlite3.Connection) -> int:
    """The highest number a write was ever given; 0 before the first."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'writes'").fetchone()
    return 0 if row is None else int(row[0])


def set_last_sequence(connection: sqlite3.Connection, sequence: int) -> None:
    """Give the next write a number above this one."""
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'writes'")
    connection.execute("INSERT INTO sqlite_sequence VALUES ('writes', ?)", (sequence,))


def fact(connection: sqlite3.Connection, name: str) -> str | None:
    """What the log says of itself under a name."""
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def set_fact(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Have the log say something of itself."""
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def moment_now() -> str:
    """The moment it is, as tasks tell it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextlib.contextmanager
def log_errors(path: Path) -> Iterator[None]:
    """Tell errors of SQLite and of the disk as errors of the log in this file."""
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
