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

__all__ = ["forget_writer", "write_lock"]


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
