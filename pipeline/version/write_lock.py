"""One writer a collection: a lock that its holder's end frees, however it ends.

The lock is ``flock``'s, on ``state/write.lock``. ``state/writer.json`` only says who holds it: one
that a killed writer left is replaced by the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import filelock

from ingest.errors import IndexFolderError, IndexLockedError, TrineError

__all__ = ["forget_writer", "indexer_lock", "indexer_runs", "write_lock"]

_INDEXER_LOCK_WAITS_S = 1.0


def _holder_path(path: Path) -> Path:
    return path / "state" / "writer.json"


def forget_writer(path: Path) -> None:
    """Remove what a writer left to say who it was."""
    with contextlib.suppress(OSError):
        _holder_path(path).unlink(missing_ok=True)


@contextlib.contextmanager
def write_lock(path: Path, name: str) -> Iterator[None]:
    """Hold the write lock of the collection in this folder, called ``name``.

    Raises
    ------
    IndexLockedError
        If another process holds it; names the holder.
    IndexFolderError
        If the folder cannot be written, then or while the lock is held.
    """
    try:
        (path / "state").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IndexFolderError(f"cannot write to {path}: {error.strerror}") from error
    lock = filelock.FileLock(path / "state" / "write.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise IndexLockedError(
            f"collection {name!r} is being written by {_holder(path)}; try again when it is done"
        ) from error
    except OSError as error:
        raise IndexFolderError(f"cannot lock {path}: {error.strerror}") from error
    try:
        with _storage_errors(path):
            who = {
                "pid": os.getpid(),
                "command": " ".join(Path(sys.argv[0]).name.split() + sys.argv[1:]),
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            _holder_path(path).write_text(json.dumps(who), encoding="utf-8")
            yield
    finally:
        forget_writer(path)
        lock.release()


@contextlib.contextmanager
def indexer_lock(data_dir: Path) -> Iterator[bool]:
    """Be the one process that indexes in the background in a data folder; ``False`` if one is.

    Raises
    ------
    IndexFolderError
        If the folder cannot be written.
    """
    lock = _indexer_lock(data_dir)
    try:
        # Somebody may hold it for a moment to see whether anybody does.
        lock.acquire(timeout=_INDEXER_LOCK_WAITS_S)
    except filelock.Timeout:
        yield False
        return
    except OSError as error:
        raise IndexFolderError(f"cannot lock {data_dir}: {error.strerror}") from error
    try:
        yield True
    finally:
        lock.release()


def indexer_runs(data_dir: Path) -> bool:
    """Whether a process indexes in the background in this data folder."""
    lock = _indexer_lock(data_dir)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    except OSError as error:
        raise IndexFolderError(f"cannot lock {data_dir}: {error.strerror}") from error
    lock.release()
    return False


def _indexer_lock(data_dir: Path) -> filelock.FileLock:
    state = data_dir / "state"
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IndexFolderError(f"cannot write to {data_dir}: {error.strerror}") from error
    return filelock.FileLock(state / "indexer.lock")


def _holder(path: Path) -> str:
    try:
        who = json.loads(_holder_path(path).read_text(encoding="utf-8"))
        return f"process {who['pid']} ({who['command']}) since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, a missing right or a failing device into one clear line."""
    try:
        yield
    except TrineError:
        raise
    except OSError as error:
        # NumPy, whose write was cut short, says how many bytes but not why.
        reason = error.strerror or f"{error}: is the disk full?"
        raise IndexFolderError(
            f"writing {path} failed: {reason}; the published version is untouched"
        ) from error
