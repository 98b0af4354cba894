"""Who has a version open: a shared lock on its manifest, which keeps it from being pruned.

The lock is ``flock``'s: it belongs to an open file, asks nobody to wait, and is gone with the
process that held it, however that ended. Where a file system has no such locks nothing is held;
a reader then goes on with the files it has mapped until it lets go of them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

from ingest.errors import IndexCorruptError, IndexNotFoundError
from pipeline.version.manifest import MANIFEST_NAME

__all__ = ["VersionHold", "claimed", "hold_version"]

_TAKEN = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})


class VersionHold:
    """Keeps a version from being pruned for as long as this object lives, or until ``release``."""

    def __init__(self, descriptor: int) -> None:
        self.release = weakref.finalize(self, os.close, descriptor)

    def __enter__(self) -> VersionHold:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def hold_version(folder: Path) -> VersionHold:
    """Hold a version's folder against pruning; never waits.

    Raises
    ------
    IndexNotFoundError
        If the version is being removed, or is gone.
    IndexCorruptError
        If it has no manifest that can be opened.
    """
    path = folder / MANIFEST_NAME
    try:
        # A pipe in a manifest's place would have us wait for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        if not folder.is_dir():
            raise _gone(folder) from error
        reason = (
            "is missing"
            if isinstance(error, FileNotFoundError)
            else f"cannot be read: {error.strerror}"
        )
        raise IndexCorruptError(
            f"{path} {reason}: this version is incomplete; "
            "activate another (trine versions list) or rebuild (trine reindex --full)"
        ) from error
    hold = VersionHold(descriptor)
    if not _locked(descriptor, fcntl.LOCK_SH) or not _is_at(descriptor, path):
        hold.release()
        raise _gone(folder)
    return hold


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether nobody has the version open; while that is so, nobody can open it either."""
    try:
        descriptor = os.open(folder / MANIFEST_NAME, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        # Without a manifest it cannot be opened at all.
        yield True
        return
    try:
        yield _locked(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _TAKEN
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file still is the one at this path: it may have been pruned meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _gone(folder: Path) -> IndexNotFoundError:
    return IndexNotFoundError(f"version {folder.name} was removed (see: trine versions list)")
