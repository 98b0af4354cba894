"""Where the workers of one server keep their counters: a folder that goes with the server.

A server that is killed leaves it behind, and the next one removes it. Whether a folder is still in
use is told by a lock its server holds, which ends with the last of its processes: their ids may be
others' by then.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["counters_folder"]

_PREFIX = "trine-metrics-"
_STARTING = "trine-starting-"
_LOCK_NAME = "server.lock"


@contextmanager
def counters_folder() -> Iterator[Path]:
    """Make a folder, for as long as this process is in the block; forks may come out of it."""
    _remove_abandoned()
    starting = Path(tempfile.mkdtemp(prefix=_STARTING))
    # Nobody looks for it before it has its name, and is locked by then.
    lock = os.open(starting / _LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    folder = starting.rename(starting.with_name(_PREFIX + starting.name.removeprefix(_STARTING)))
    owner = os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
